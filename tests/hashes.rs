//! Password hashes of other systems: `tests/hashes/corpus.tsv`, each made by the system's own library or documented recipe.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ErrorReason, imported_user_result::Outcome};
use tonic::Status;

use crate::{
    authentication::sign_in,
    support::{Answered as _, Backend, Test, both, given::unique, refusal::fields, refused, run},
};

const CORPUS: &str = include_str!("hashes/corpus.tsv");
const RECIPES: &str = include_str!("hashes/recipes.txt");
const PASSWORD: &str = "Tr0ub4dor&3 zoo";
/// bcrypt of `très long ﬁn` in three normal forms.
const NFC: &str = "$2b$04$Ty7iBHzvk80OntmBZ0VxeuUWg7grZh/aN.RBbkGPAvLx8ND0vjEuu";
const NFD: &str = "$2b$04$Tp8zhGC4SCWX.0b.Ug8XkOEWe.pSJbHgSEobn3zr1pcUpcjTy6ejm";
const NFKC: &str = "$2b$04$TRvZc4rbVlPQvKXzUszVWuPHIPtT5NsKVC2dMO8omTe.eCIEBKmzC";
/// CPU time up to which `make test` verifies a hash, in milliseconds. `make test-slow` verifies all of them.
const QUICK: u32 = 20;

/// A hash of the corpus.
struct Made {
    system: &'static str,
    recipe: &'static str,
    millis: u32,
    hash: &'static str,
}

fn corpus() -> Vec<Made> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [system, _, recipe, millis, hash] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            Made { system, recipe, millis: millis.parse().unwrap(), hash }
        })
        .collect()
}

async fn import(t: &Test, hash: &str, recipe: &str, known: &str) -> Result<(pb::User, String), Status> {
    let user = t.user("moved").await;
    t.advance(Duration::from_secs(1));
    let request = pb::ImportPasswordHashRequest {
        user_id: user.id.clone(),
        password_hash: hash.to_owned(),
        password_recipe: recipe.to_owned(),
        known_password: known.to_owned(),
        ..Default::default()
    };
    let answer = t.admin().authentication().import_password_hash(request).await?;
    Ok((user, answer.into_inner().format))
}

/// The hash that was stored last.
async fn stored(t: &Test) -> String {
    t.database.texts("SELECT hash AS value FROM cf_passwords ORDER BY changed_at DESC LIMIT 1").await.remove(0)
}

/// Imports hashes, and signs in with a wrong and the right password.
async fn all_sign_in(t: &Test, hashes: impl Iterator<Item = Made>) {
    for made in hashes {
        let (user, format) = import(t, made.hash, made.recipe, "")
            .await
            .unwrap_or_else(|status| panic!("{}: {}", made.system, status.message()));
        assert!(!format.is_empty(), "{}", made.system);
        t.advance(Duration::from_secs(1));
        refused(sign_in(t, &user.email, "Tr0ub4dor&3 zop").await, ErrorReason::SignInRejected);
        sign_in(t, &user.email, PASSWORD).await.unwrap_or_else(|status| panic!("{} {status:?}", made.system));
        assert!(stored(t).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.system);
        sign_in(t, &user.email, PASSWORD).await.unwrap();
    }
}

#[test]
fn the_corpus_has_at_least_a_hundred_hashes() {
    assert!(corpus().len() >= 100, "{}", corpus().len());
}

#[both(options = ["--password-recipes", RECIPES])]
async fn quick_hashes_of_other_systems_sign_in_as_exported(t: Arc<Test>) {
    all_sign_in(&t, corpus().into_iter().filter(|made| made.millis <= QUICK)).await;
}

#[both(long)]
async fn slow_all_hashes_of_other_systems_sign_in_as_exported(backend: Backend) {
    let all = async |t: Arc<Test>| all_sign_in(&t, corpus().into_iter()).await;
    run(backend, &["--password-recipes", RECIPES], all).await;
}

#[both(options = ["--password-recipes", RECIPES])]
async fn a_weak_digest_is_stored_only_as_argon2id_of_it(t: Arc<Test>) {
    for (hash, recipe, digest) in [
        ("$1$25cDLQYM$TVqoCZoR57NJN80R/stbE.", "", "TVqoCZoR57NJN80R"),
        ("{SHA}3HfAUCi5G+9ztiZiFuFU4gnA0qk=", "", "3HfAUCi5G+9ztiZi"),
        ("c3e4893dbb820851684d4bc289fbdccd", "md5", "c3e4893dbb820851"),
        ("$P$HDAvSAjhJ73VqGKwgSAb6Gg53SBUt0/", "", "qGKwgSAb6Gg53SBUt0"),
    ] {
        let (user, _) = import(&t, hash, recipe, "").await.unwrap();
        let text = stored(&t).await;
        assert!(text.starts_with("$of$") && text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(!text.contains(digest), "{text}");
        sign_in(&t, &user.email, PASSWORD).await.unwrap();
    }
}

#[both(options = ["--password-recipes", RECIPES])]
async fn an_import_tries_a_known_password_and_stores_nothing_if_it_differs(t: Arc<Test>) {
    let hash = "{SSHA}R3sNEgYeDaK1gZKSVFs9/AA88UuuFYJQ";
    let status = import(&t, hash, "", "another password").await.unwrap_err();
    assert_eq!(fields(&status), ["known_password"]);
    let (user, format) = import(&t, hash, "", PASSWORD).await.unwrap();
    assert_eq!(format, "LDAP's {SSHA}");
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
    let row = |known: &str| pb::ImportedUser {
        external_id: unique("row"),
        email: format!("{}@example.com", unique("row")),
        name: "Row".to_owned(),
        password_hash: hash.to_owned(),
        known_password: known.to_owned(),
        ..Default::default()
    };
    let users = vec![row("another password"), row(PASSWORD), row("")];
    let batches = tokio_stream::once(pb::ImportUsersRequest { users: users.clone() });
    let mut answers = t.admin().users().import_users(batches).await.answered();
    let results = answers.message().await.unwrap().unwrap().results;
    assert!(
        matches!(&results[0].outcome, Some(Outcome::Error(error)) if error.violations == ["known_password must be the password of the hash"])
    );
    for (result, user) in results.iter().zip(&users).skip(1) {
        assert!(matches!(result.outcome, Some(Outcome::CreatedUserId(_))), "{result:?}");
        assert_eq!(result.password_format, "LDAP's {SSHA}");
        sign_in(&t, &user.email, PASSWORD).await.unwrap();
    }
}

#[both]
async fn a_refusal_names_what_a_text_looks_like(t: Arc<Test>) {
    let cases = [
        ("$gy$j9T$abc$def", "gost-yescrypt"),
        ("$2x$05$abcdefghijklmnopqrstuui2ZhtZGjBkiDEkyRJLtRyCBfJDI2lMO", "obsolete bcrypt"),
        ("abJnggxhB/yWI", "DES crypt(3)"),
        ("{noop}secret", "a password in clear"),
        ("auth0:$2b$10$B7mi079kkiJiPswH8BeI8.DQL794CKuxRfnjLwwdX5d6LCSo.SXoO", "auth0:"),
        ("c3e4893dbb820851684d4bc289fbdccd", "an unsalted MD5"),
        ("24941318af3c5418821e2b2b169bc19a:ab", "needs a recipe"),
        ("$P$HDAvSAjhJ73VqGKwgSAb6Gg53SBUt", "phpass"),
        ("$2b$15$B7mi079kkiJiPswH8BeI8.DQL794CKuxRfnjLwwdX5d6LCSo.SXoO", "1200 ms of CPU, and takes about 2294"),
        (
            "$argon2id$v=19$m=1048576,t=1,p=1$7pHNFfLWe45S3gLm/Oco+Q$9CU0z10ZELgbYTn/Q23RdZWd07CCuPZDQonR8JAZJuw",
            "KiB of memory",
        ),
        // Hex digits where base64 is wanted, and lengths that differ.
        ("pbkdf2_sha256$1000$saltsalt$6c138dd87987c75596082f65b87213e8f061f2541669fe39649625f86c00860b", "hex digits"),
        ("pbkdf2_sha1$1000$saltsalt$dc77c05028b91bef73b6266216e154e209c0d2a9", "hex digits"),
        (
            "$pbkdf2-sha256$i=1000,l=32$abcd$6c138dd87987c75596082f65b87213e8f061f2541669fe39649625f86c00860b",
            "hex digits",
        ),
        ("$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHQ$3HfAUCi5G+9ztiZiFuFU4gnA0qk", "a digest of the length"),
        ("nothing known", "docs/importing.md"),
        ("!", "docs/importing.md"),
    ];
    for (text, words) in cases {
        let status = import(&t, text, "", "").await.unwrap_err();
        assert_eq!(fields(&status), ["password_hash"], "{text}");
        assert!(status.message().contains(words), "{text}: {}", status.message());
    }
    let status = import(&t, "c3e4893dbb820851684d4bc289fbdccd", "md5", "").await.unwrap_err();
    assert!(status.message().contains("a recipe that the server's settings name"), "{}", status.message());
}

#[both(options = ["--password-recipes", "trimming = digest sha256(trim(password))"])]
async fn a_hash_that_ignores_blanks_is_not_replaced_by_one_that_does_not(t: Arc<Test>) {
    let wordpress = "$wp$2y$10$hBx474JKVLYrQJlWamBDpOawFZDn57lbEty.S4gj4GAi.vK2ljnrG";
    let digest = "6c138dd87987c75596082f65b87213e8f061f2541669fe39649625f86c00860b";
    for (hash, recipe) in [(wordpress, ""), (digest, "trimming")] {
        let (user, _) = import(&t, hash, recipe, "").await.unwrap();
        sign_in(&t, &user.email, &format!("{PASSWORD} ")).await.unwrap();
        sign_in(&t, &user.email, PASSWORD).await.unwrap();
        assert!(stored(&t).await.starts_with("$argon2id$"));
        sign_in(&t, &user.email, PASSWORD).await.unwrap();
    }
}

#[both]
async fn an_imported_hash_matches_every_unicode_form_of_the_password(t: Arc<Test>) {
    for hash in [NFC, NFD, NFKC] {
        for typed in ["tre\u{300}s long ﬁn", "très long ﬁn"] {
            let (user, _) = import(&t, hash, "", "").await.unwrap();
            sign_in(&t, &user.email, typed).await.unwrap();
        }
    }
}
