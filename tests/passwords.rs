//! Requirements on passwords. Each test is named after its requirement.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tenantry::pb::{self, ErrorReason};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    authentication::sign_in,
    support::{
        Backend, DAY, Test, both,
        database::TestDatabase,
        follow::list,
        given::{PASSWORD, unique},
        refused,
        serving::Serving,
    },
};

const PHRASE: &str = "seven wet dogs on a boat";

async fn set(t: &Test, user: &pb::User, password: &str) -> Result<(), Status> {
    let (user_id, password) = (user.id.clone(), password.to_owned());
    let request = pb::SetPasswordRequest { user_id, password, ..Default::default() };
    t.admin().authentication().set_password(request).await.map(drop)
}

/// A user with the given password.
async fn with(t: &Test, password: &str) -> pb::User {
    let user = t.user("ada").await;
    set(t, &user, password).await.unwrap_or_else(|status| panic!("{password:?}: {status:?}"));
    user
}

/// The rule in the refusal of a new password.
fn rule(refusal: Result<(), Status>) -> String {
    let status = refused(refusal, ErrorReason::PasswordUnacceptable);
    status.get_details_error_info().unwrap().metadata["rule"].clone()
}

/// An uncommon password of a number of bytes.
fn long(bytes: usize) -> String {
    "the quick brown fox jumps over 13 lazy dogs and then some more of them; ".chars().cycle().take(bytes).collect()
}

/// The stored hash of a user.
async fn hash_of(t: &Test, user: &pb::User) -> String {
    let id = match t.database {
        TestDatabase::Sqlite(_) => format!("x'{}'", user.id.replace('-', "")),
        TestDatabase::Postgres(_) => format!("'{}'", user.id),
    };
    t.database.texts(&format!("SELECT hash AS value FROM cf_passwords WHERE user_id = {id}")).await.remove(0)
}

/// Stores a hash without any check.
async fn put_hash(t: &Test, hash: &str) {
    t.database.execute(&format!("UPDATE cf_passwords SET hash = '{hash}'")).await;
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[both]
async fn r1_a_new_password_has_15_characters_and_at_most_1024_bytes(t: Arc<Test>) {
    let user = t.user("ada").await;
    for short in [String::new(), long(14), "🦀".to_owned(), "e\u{301}".repeat(14)] {
        assert_eq!(rule(set(&t, &user, &short).await), "TOO_SHORT", "{short}");
    }
    assert_eq!(rule(set(&t, &user, &long(1025)).await), "TOO_LONG");
    let emoji = "🦀🐢🐙🦑🐠🐡🐬🐳🐋🦈🐊🐅🐆🦓🦍";
    for good in [long(15), long(64), long(128), long(1024), emoji.to_owned()] {
        let user = with(&t, &good).await;
        sign_in(&t, &user.email, &good).await.unwrap();
    }
}

#[both(options = ["--password-min-length", "8"])]
async fn r1_eight_characters_do_where_the_operator_says_so(t: Arc<Test>) {
    assert_eq!(rule(set(&t, &t.user("ada").await, "k3jd82j").await), "TOO_SHORT");
    with(&t, "k3jd82js").await;
}

#[both]
async fn r2_no_rule_of_composition_and_no_end(t: Arc<Test>) {
    for phrase in ["correct horse battery", "onlylowercaseletters", "ONLYUPPERCASELETTERS", "730281946205837"] {
        with(&t, phrase).await;
    }
    let user = with(&t, PHRASE).await;
    t.advance(5 * 365 * DAY);
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both]
async fn r3_the_whole_password_counts_as_it_is(t: Arc<Test>) {
    let password = long(100);
    let user = with(&t, &password).await;
    let others = [
        password[..99].to_owned(),
        password[..72].to_owned(),
        format!("{password} "),
        format!(" {password}"),
        password.to_uppercase(),
        format!("{password}\0"),
        format!("{password}\0x"),
    ];
    for other in others {
        refused(sign_in(&t, &user.email, &other).await, ErrorReason::SignInRejected);
    }
    sign_in(&t, &user.email, &password).await.unwrap();
    let user = with(&t, "  spaces at both its ends  ").await;
    refused(sign_in(&t, &user.email, "spaces at both its ends").await, ErrorReason::SignInRejected);
    // A NUL is a character like any other.
    let user = with(&t, "before and\0after it").await;
    refused(sign_in(&t, &user.email, "before and").await, ErrorReason::SignInRejected);
    sign_in(&t, &user.email, "before and\0after it").await.unwrap();
}

#[both]
async fn r4_a_password_is_its_nfkc_form(t: Arc<Test>) {
    // Composed and decomposed; a ligature; full width as typed on a Japanese keyboard.
    let spellings = [
        ("caf\u{e9} au lait s'il vous", "cafe\u{301} au lait s'il vous"),
        ("the \u{fb01}rst of them all", "the first of them all"),
        ("\u{ff11}\u{ff12}\u{ff13} is no secret", "123 is no secret"),
    ];
    for (one, other) in spellings {
        for (set, said) in [(one, other), (other, one)] {
            let user = with(&t, set).await;
            sign_in(&t, &user.email, said).await.unwrap();
        }
    }
    let user = with(&t, "caf\u{e9} au lait s'il vous").await;
    refused(sign_in(&t, &user.email, "cafe au lait s'il vous").await, ErrorReason::SignInRejected);
}

/// Passwords that attackers try first.
const COMMON: [&str; 51] = [
    "password",
    "12345678",
    "qwertyui",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "letmein1",
    "dragon12",
    "monkey12",
    "passw0rd",
    "PASSWORD",
    "Password1",
    "password!",
    "password123",
    "qwerty123",
    "1q2w3e4r",
    "1qaz2wsx",
    "zaq12wsx",
    "qazwsxedc",
    "asdfghjkl",
    "zxcvbnm1",
    "aaaaaaaa",
    "abcabcabc",
    "11111111",
    "121212121",
    "87654321",
    "abcdefgh",
    "zyxwvuts",
    "computer",
    "internet",
    "whatever",
    "starwars",
    "pokemon1",
    "charlie1",
    "michael1",
    "jordan23",
    "welcome1",
    "admin123",
    "changeme",
    "administrator",
    "liverpool",
    "chelsea1",
    "passwordpassword",
    "iloveyouiloveyou",
    "password1234567",
    "qwertyuiopasdfgh",
    "123456789012345",
];

#[both(options = ["--product-names", "Moonlight Ledger, Acme", "--password-min-length", "8"])]
async fn r5_common_and_personal_passwords_are_refused(t: Arc<Test>) {
    let user = t.user("margaret.hamilton").await;
    let request = pb::CreateOrganizationRequest {
        name: "Instrumentation Laboratory".to_owned(),
        slug: "instrumentation-lab".to_owned(),
        owner_user_id: user.id.clone(),
        ..Default::default()
    };
    t.admin().organizations().create_organization(request).await.unwrap();
    for password in COMMON {
        assert_eq!(rule(set(&t, &user, password).await), "COMMON", "{password}");
    }
    let local = user.email.split('@').next().unwrap().to_owned();
    let personal = [
        user.email.clone(),
        local.clone(),
        local.to_uppercase(),
        format!("{local}1969"),
        "instrumentation-lab".to_owned(),
        "Instrumentation Laboratory".to_owned(),
        "moonlightledger".to_owned(),
        "Moonlight-Ledger-2026".to_owned(),
    ];
    for password in personal {
        assert_eq!(rule(set(&t, &user, &password).await), "PERSONAL", "{password}");
    }
    set(&t, &user, "kq3v9z0tx7w1m4bd").await.unwrap();
}

#[both]
async fn r6_stored_is_argon2id_of_at_least_19_mib_and_2_passes_with_a_salt_of_its_own(t: Arc<Test>) {
    let mut salts = HashSet::new();
    for _ in 0..20 {
        let hash = hash_of(&t, &with(&t, PHRASE).await).await;
        let [_, algorithm, version, params, salt, digest] = hash.split('$').collect::<Vec<_>>()[..] else {
            panic!("{hash}")
        };
        assert_eq!((algorithm, version, params), ("argon2id", "v=19", "m=19456,t=2,p=1"));
        // 16 and 32 bytes.
        assert!(salt.len() == 22 && digest.len() == 43 && salts.insert(salt.to_owned()), "{hash}");
    }
    let dump = t.database.rows().await.concat();
    assert!(!dump.contains(PHRASE));
}

#[both]
async fn r7_an_old_hash_is_renewed_and_an_absurd_one_is_not_run(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
    let renewed = hash_of(&t, &user).await;
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
    assert_eq!(hash_of(&t, &user).await, renewed, "a hash with the current parameters is kept");
    let before = resident_kib();
    let absurd = [
        renewed.replace("m=19456", "m=4194304"),
        renewed.replace("t=2", "t=4000000000"),
        renewed.replace("p=1", "p=16777215"),
        "$scrypt$ln=25,r=8,p=1$c2FsdA$MDEyMzQ1Njc4OWFiY2RlZg".to_owned(),
        "garbage".to_owned(),
        String::new(),
    ];
    for hash in absurd {
        put_hash(&t, &hash).await;
        refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
        assert_eq!(hash_of(&t, &user).await, hash);
    }
    // Other tests run concurrently; none of them takes a gigabyte.
    assert!(resident_kib() < before + 1024 * 1024);
    put_hash(&t, &renewed).await;
    t.advance(DAY);
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
}

// A hash takes long enough for 100 calls to arrive within few of them, however slow the machine, and more work than an imported one may.
#[both(options = ["--hash-threads", "1", "--hash-passes", "60"])]
async fn r8_a_call_without_a_turn_to_hash_is_refused_soon_and_other_calls_do_not_wait(t: Arc<Test>) {
    let user = with(&t, PHRASE).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (t, email) = (t.clone(), user.email.clone());
        calls.spawn(async move { sign_in(&t, &email, PHRASE).await });
    }
    // Meanwhile, calls that hash nothing are answered.
    t.reload_user(&user.id).await;
    let answers = calls.join_all().await;
    let (good, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!good.is_empty() && refusals.len() >= 50, "{} {}", good.len(), refusals.len());
    for refusal in refusals {
        let status = refused(refusal, ErrorReason::Overloaded);
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    }
    // A refused attempt is not counted: the right password works.
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both(options = ["--password-peppers", "p1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="])]
async fn r9_without_the_pepper_a_hash_verifies_nothing(t: Arc<Test>) {
    use argon2::{Algorithm, Argon2, Params, Version};
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let user = with(&t, PHRASE).await;
    let hash = hash_of(&t, &user).await;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid=cDE$"), "{hash}");
    let parts: Vec<&str> = hash.split('$').collect();
    let salt = STANDARD_NO_PAD.decode(parts[4]).unwrap();
    let params = Params::new(19456, 2, 1, Some(32)).unwrap();
    let digest = |argon2: Argon2<'_>| {
        let mut out = [0; 32];
        argon2.hash_password_into(PHRASE.as_bytes(), &salt, &mut out).unwrap();
        STANDARD_NO_PAD.encode(out)
    };
    assert_ne!(digest(Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())), parts[5]);
    let pepper: Vec<u8> = (0..32).collect();
    assert_eq!(
        digest(Argon2::new_with_secret(&pepper, Algorithm::Argon2id, Version::V0x13, params).unwrap()),
        parts[5]
    );
    sign_in(&t, &user.email, PHRASE).await.unwrap();
    put_hash(&t, &hash.replace("keyid=cDE", "keyid=cDI")).await;
    refused(sign_in(&t, &user.email, PHRASE).await, ErrorReason::SignInRejected);
}

#[both]
async fn r10_whatever_is_wrong_a_sign_in_is_refused_byte_for_byte_alike(t: Arc<Test>) {
    let bytes = |result: Result<pb::IssuedSession, Status>| {
        let status = result.unwrap_err();
        let mut metadata = status.metadata().clone().into_headers();
        metadata.remove("x-request-id");
        metadata.remove("date");
        let mut names: Vec<String> = metadata.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        names.sort();
        (status.code(), status.message().to_owned(), status.details().to_vec(), names)
    };
    let user = with(&t, PHRASE).await;
    let without = t.user("without").await;
    let [suspended, deleted, throttled] = [with(&t, PHRASE).await, with(&t, PHRASE).await, with(&t, PHRASE).await];
    t.suspend(&suspended).await;
    let delete = pb::DeleteUserRequest { user_id: deleted.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    // Until the delay of the next attempt is longer than this test.
    for _ in 0..20 {
        refused(sign_in(&t, &throttled.email, "wrong").await, ErrorReason::SignInRejected);
        t.advance(Duration::from_mins(15));
    }
    refused(sign_in(&t, &throttled.email, "wrong").await, ErrorReason::SignInRejected);
    let wrong = bytes(sign_in(&t, &user.email, "wrong").await);
    let cases = [
        ("unknown e-mail", sign_in(&t, "nobody@example.com", PHRASE).await),
        ("no password", sign_in(&t, &without.email, PHRASE).await),
        ("suspended", sign_in(&t, &suspended.email, PHRASE).await),
        ("deleted", sign_in(&t, &deleted.email, PHRASE).await),
        ("too many attempts", sign_in(&t, &throttled.email, PHRASE).await),
    ];
    for (what, case) in cases {
        assert_eq!(bytes(case), wrong, "{what}");
    }
}

#[both]
async fn r11_for_nobody_as_much_is_hashed_counted_and_stored(t: Arc<Test>) {
    // `make test-slow` compares the times themselves.
    let user = with(&t, PHRASE).await;
    let counted =
        async || t.database.texts("SELECT 'x' AS value FROM cf_sign_in_failures WHERE failures > 0").await.len();
    refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
    assert_eq!(counted().await, 1);
    refused(sign_in(&t, "nobody@example.com", "wrong").await, ErrorReason::SignInRejected);
    assert_eq!(counted().await, 2);
    // However often: unknown e-mails share a fixed number of rows.
    let same = format!("{}@example.com", unique("nobody"));
    for _ in 0..3 {
        refused(sign_in(&t, &same, "wrong").await, ErrorReason::SignInRejected);
    }
    assert!(counted().await <= 3);
}

#[both(options = ["--max-failures-per-address", "0"])]
async fn r12_wrong_passwords_in_a_row_are_counted_for_the_account_and_cost_time(t: Arc<Test>) {
    let user = with(&t, PHRASE).await;
    let (local, domain) = user.email.split_once('@').unwrap();
    let spellings = [
        user.email.clone(),
        user.email.to_uppercase(),
        format!("{}@{domain}", local.to_uppercase()),
        format!("{local}@{}", domain.to_uppercase()),
    ];
    let verify =
        || pb::VerifyPasswordRequest { user_id: user.id.clone(), password: "wrong".to_owned(), ..Default::default() };
    let change = || pb::ChangePasswordRequest {
        user_id: user.id.clone(),
        current_password: "wrong".to_owned(),
        new_password: "eleven dry cats in a barn".to_owned(),
        ..Default::default()
    };
    for at in 0..10 {
        match at % 3 {
            0 => drop(refused(sign_in(&t, &spellings[at % 4], "wrong").await, ErrorReason::SignInRejected)),
            1 => {
                drop(refused(
                    t.admin().authentication().verify_password(verify()).await,
                    ErrorReason::PasswordRejected,
                ));
            }
            _ => {
                drop(refused(
                    t.admin().authentication().change_password(change()).await,
                    ErrorReason::PasswordRejected,
                ));
            }
        }
    }
    // Until the delay of the next attempt is longer than this test.
    for _ in 0..10 {
        t.advance(Duration::from_mins(15));
        refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
    }
    // The delay applies to every spelling and every method, and to the right password too.
    refused(sign_in(&t, &spellings[1], PHRASE).await, ErrorReason::SignInRejected);
    let right = pb::VerifyPasswordRequest { password: PHRASE.to_owned(), ..verify() };
    refused(t.admin().authentication().verify_password(right).await, ErrorReason::PasswordRejected);
    // Early attempts do not extend it.
    for _ in 0..20 {
        refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
    }
    t.advance(Duration::from_mins(15));
    sign_in(&t, &user.email, PHRASE).await.unwrap();
    // The right password resets the count.
    for _ in 0..9 {
        refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
    }
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both(options = ["--max-failures-per-address", "0"])]
async fn r12_nobody_guesses_more_than_a_hundred_times_in_a_row_and_nobody_is_locked_out_for_good(t: Arc<Test>) {
    let user = with(&t, PHRASE).await;
    let here = pb::SignInRequest {
        email: user.email.clone(),
        password: PHRASE.to_owned(),
        ip_address: "192.0.2.1".to_owned(),
        ..Default::default()
    };
    t.admin().authentication().sign_in(here.clone()).await.unwrap();
    // As fast as the delays allow.
    for tried in 0..50 {
        refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
        if tried < 49 {
            t.advance(Duration::from_mins(15));
        }
    }
    t.advance(Duration::from_hours(23));
    refused(sign_in(&t, &user.email, PHRASE).await, ErrorReason::SignInRejected);
    // Attempts by strangers elsewhere do not count at an address where the user has a session.
    t.admin().authentication().sign_in(here).await.unwrap();
    let elsewhere = pb::SignInRequest {
        email: user.email.clone(),
        password: PHRASE.to_owned(),
        ip_address: "192.0.2.2".to_owned(),
        ..Default::default()
    };
    refused(t.admin().authentication().sign_in(elsewhere).await, ErrorReason::SignInRejected);
    // A reset by e-mail works at once, anywhere.
    let [_, token, _] = t.mailed_tokens(&user).await;
    let reset = pb::ConfirmPasswordResetRequest {
        plaintext_token: token,
        new_password: "eleven dry cats in a barn".to_owned(),
        ..Default::default()
    };
    t.admin().authentication().confirm_password_reset(reset).await.unwrap();
    sign_in(&t, &user.email, "eleven dry cats in a barn").await.unwrap();
}

#[both]
async fn r12_concurrent_tries_are_all_counted(t: Arc<Test>) {
    for _ in 0..3 {
        let user = with(&t, PHRASE).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (t, email) = (t.clone(), user.email.clone());
            calls.spawn(async move {
                // Retries if all hashing threads are busy.
                while let Err(status) = sign_in(&t, &email, "wrong").await {
                    if crate::support::refusal::reason_of(&status) == "SIGN_IN_REJECTED" {
                        return;
                    }
                }
            });
        }
        calls.join_all().await;
        // The delays start after the tenth, and an attempt within a delay is not counted.
        let failures =
            t.database.texts("SELECT failures || '' AS value FROM cf_sign_in_failures WHERE failures >= 10").await;
        assert_eq!(failures.len(), 1);
        t.advance(Duration::from_secs(5));
        sign_in(&t, &user.email, PHRASE).await.unwrap();
    }
}

#[both(options = ["--max-failures-per-address", "2", "--max-failures-per-caller", "3"])]
async fn r12_wrong_tries_are_bounded_by_address_and_by_caller(t: Arc<Test>) {
    let tried = async |address: &str| {
        let request = pb::SignInRequest {
            email: format!("{}@example.com", unique("guess")),
            password: "wrong".to_owned(),
            ip_address: address.to_owned(),
            ..Default::default()
        };
        t.admin().authentication().sign_in(request).await
    };
    // The bound refills while a slow machine runs this, so it tries until it is refused.
    let fill = async |address: &str| {
        let mut taken = 0;
        while refused_at(tried(address).await) == "SIGN_IN_REJECTED" {
            taken += 1;
        }
        taken
    };
    assert!(fill("2001:db8:1:2::1").await >= 2);
    // Another address of the same network.
    let status = refused(tried("2001:db8:1:2:3:4:5:6").await, ErrorReason::TooManyAttempts);
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() <= Duration::from_mins(1));
    // Another address and a call without one are counted separately.
    refused(tried("192.0.2.1").await, ErrorReason::SignInRejected);
    assert!(fill("").await >= 3);
    refused(tried("192.0.2.1").await, ErrorReason::SignInRejected);
    // Another key of the caller is counted with it, and another caller separately.
    let request =
        || pb::SignInRequest { email: "a@example.com".to_owned(), password: "wrong".to_owned(), ..Default::default() };
    let admin = t.first_admin().await;
    let same = t.with_key(&t.user_key(&admin).await);
    while refused_at(same.authentication().sign_in(request()).await) != "TOO_MANY_ATTEMPTS" {
        fill("").await;
    }
    let other = t.user("other").await;
    let grant = pb::GrantPlatformAdminRequest { user_id: other.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let other = t.with_key(&t.user_key(&other).await);
    refused(other.authentication().sign_in(request()).await, ErrorReason::SignInRejected);
}

#[both]
async fn r13_the_current_password_is_asked_for_and_a_reset_token_works_once_for_ten_minutes(t: Arc<Test>) {
    let (user, other) = (with(&t, PHRASE).await, with(&t, PHRASE).await);
    // No caller can overwrite it, not even a platform admin.
    refused(set(&t, &user, "eleven dry cats in a barn").await, ErrorReason::PasswordExists);
    let reset = async |token: &str| {
        let request = pb::ConfirmPasswordResetRequest {
            plaintext_token: token.to_owned(),
            new_password: "eleven dry cats in a barn".to_owned(),
            ..Default::default()
        };
        t.admin().authentication().confirm_password_reset(request).await.map(Response::into_inner)
    };
    let [_, token, _] = t.mailed_tokens(&user).await;
    assert!(token.len() >= 6 + 22 + 43, "the token has 256 random bits");
    let dump = t.database.rows().await.concat();
    assert!(!dump.contains(&token[28..71]), "the token is hashed at rest");
    // It works for its own user only.
    assert_eq!(reset(&token).await.unwrap().user.unwrap().id, user.id);
    sign_in(&t, &other.email, PHRASE).await.unwrap();
    refused(reset(&token).await, ErrorReason::OneTimeTokenRejected);
    let [_, token, _] = t.mailed_tokens(&user).await;
    t.advance(Duration::from_secs(601));
    refused(reset(&token).await, ErrorReason::OneTimeTokenRejected);
    let [_, token, _] = t.mailed_tokens(&user).await;
    t.advance(Duration::from_secs(595));
    reset(&token).await.unwrap();
}

#[both]
async fn r14_a_new_password_ends_the_other_sessions_and_is_reported(t: Arc<Test>) {
    let user = with(&t, PHRASE).await;
    let [first, second] =
        [sign_in(&t, &user.email, PHRASE).await.unwrap(), sign_in(&t, &user.email, PHRASE).await.unwrap()];
    let change = pb::ChangePasswordRequest {
        user_id: user.id.clone(),
        current_password: PHRASE.to_owned(),
        new_password: "eleven dry cats in a barn".to_owned(),
        ..Default::default()
    };
    t.admin().authentication().change_password(change).await.unwrap();
    for session in [first, second] {
        refused(crate::authentication::refresh(&t, &session.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    }
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: user.id, ..Default::default() }).await;
    let reported = |action: &str| events.iter().filter(|event| event.action == action).count();
    assert_eq!((reported("user.password_changed"), reported("session.revoked")), (1, 2));
}

#[both]
async fn wrong_passwords_of_a_user_are_reported_together_with_their_number(t: Arc<Test>) {
    let user = with(&t, PHRASE).await;
    for _ in 0..4 {
        refused(sign_in(&t, &user.email, "wrong").await, ErrorReason::SignInRejected);
    }
    refused(sign_in(&t, "nobody@example.com", "wrong").await, ErrorReason::SignInRejected);
    let reported = async || {
        let of_user = pb::ListEventsRequest { actions: vec!["user.sign_in_failed".to_owned()], ..Default::default() };
        list(&t.admin(), of_user).await
    };
    let count = |events: &[pb::Event]| events.iter().map(|event| event.count).sum::<i32>();
    let mut events = reported().await;
    while count(&events) < 4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        events = reported().await;
    }
    assert_eq!(count(&events), 4);
    for event in events {
        assert!(event.user_id == user.id && event.reason() == ErrorReason::SignInRejected);
        assert_eq!(event.method, "tenantry.v1.AuthenticationService.SignIn");
    }
}

fn refused_at<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    crate::support::refusal::reason_of(&result.unwrap_err())
}

#[both]
async fn r12_the_count_survives_a_crash(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let mut server = Serving::on(&database).await;
    let key = server.first_admin_key.clone().unwrap();
    let email = server.user_with_password(&key).await.email;
    let tried = |password: &str| pb::SignInRequest {
        email: email.clone(),
        password: password.to_owned(),
        ..Default::default()
    };
    // The delays start after the tenth: 1, 2, 4 s.
    for _ in 0..11 {
        refused(server.with_key(&key).authentication().sign_in(tried("wrong")).await, ErrorReason::SignInRejected);
    }
    server.crash();
    let failures = database.texts("SELECT failures || '' AS value FROM cf_sign_in_failures WHERE failures >= 10").await;
    assert_eq!(failures.len(), 1);
    // As many as cause a delay that is longer than a restart.
    database.execute("UPDATE cf_sign_in_failures SET failures = failures + 10 WHERE failures > 0").await;
    let server = Serving::on(&database).await;
    refused(server.with_key(&key).authentication().sign_in(tried(PASSWORD)).await, ErrorReason::SignInRejected);
    drop(server);
    database.remove().await;
}
