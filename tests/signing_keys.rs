//! Rotation of the keys of access tokens, without any effect on valid tokens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tenantry::pb::{self, ErrorReason};

use crate::{
    authentication::{part, sign_in},
    support::{
        Answered as _, Api, Backend, SEALING_KEYS, Test, both,
        database::TestDatabase,
        given::{Issued as _, PASSWORD},
        refused,
        serving::{Serving, tenantry},
    },
};

async fn keys(t: &Test) -> Vec<pb::SigningKey> {
    let keys = t.admin().authentication().get_signing_keys(pb::GetSigningKeysRequest {}).await.unwrap();
    keys.into_inner().signing_keys
}

/// Waits for a number of keys.
async fn become_keys(t: &Test, count: usize) -> Vec<pb::SigningKey> {
    let waits = async {
        loop {
            let keys = keys(t).await;
            if keys.len() == count {
                return keys;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap_or_else(|_| panic!("{count} keys did not appear"))
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

async fn get(api: &Api, user: &pb::User) -> Result<(), tonic::Status> {
    api.users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await.map(drop)
}

/// Runs `tenantry signing-keys` on a database.
async fn command(url: &str, arguments: &[&str], sealing_keys: Option<&str>) -> String {
    let arguments = [&["signing-keys"], arguments, &["--database-url", url, "--log", "off"]].concat();
    let mut command = tenantry(&arguments);
    command.envs(sealing_keys.map(|keys| ("TENANTRY_SEALING_KEYS", keys)));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[both(options = ["--signing-key-life", "2h", "--access-token-life", "1h"])]
async fn a_key_is_known_before_it_signs_and_after_as_long_as_a_token_of_it_lives(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let first = keys(&t).await.remove(0);
    t.advance(Duration::from_mins(111));
    let both = become_keys(&t, 2).await;
    let second = both[1].clone();
    assert_eq!(both[0].id, first.id);
    let (ends, begins) = (both[0].verifies_until.unwrap().seconds, second.signs_from.unwrap().seconds);
    assert_eq!(ends - begins, 3660);
    // Ten minutes before its end the first key still signs.
    let of_first = sign_in(&t, &user.email, PASSWORD).await.unwrap();
    assert_eq!(kid(&of_first.access_token), first.id);
    t.advance(Duration::from_mins(11));
    let of_second = sign_in(&t, &user.email, PASSWORD).await.unwrap();
    assert_eq!(kid(&of_second.access_token), second.id);
    t.advance(Duration::from_mins(48));
    // The last minute of the last token of the first key.
    get(&t.with_key(&of_first.access_token), &user).await.unwrap();
    get(&t.with_key(&of_second.access_token), &user).await.unwrap();
    t.advance(Duration::from_mins(2));
    refused(get(&t.with_key(&of_first.access_token), &user).await, ErrorReason::Unauthenticated);
    t.advance(Duration::from_mins(11));
    assert_eq!(become_keys(&t, 1).await[0].id, second.id);
    // The database deletes it too.
    while t.database.texts("SELECT algorithm AS value FROM cf_signing_keys").await.len() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[both]
async fn the_command_line_lists_and_replaces_keys_and_ends_those_that_others_may_have(t: Arc<Test>) {
    let (user, signed_in, api) = t.signed_in_user("ada").await;
    let url = t.database.url();
    // SQLite keeps its own key ring next to the database.
    let ring = matches!(t.database, TestDatabase::Postgres(_)).then_some(SEALING_KEYS);
    let first = kid(&signed_in.access_token);
    let table = command(&url, &["list"], ring).await;
    assert!(table.lines().count() == 3 && table.contains(&first) && table.contains("another key follows"), "{table}");
    let table = command(&url, &["rotate"], ring).await;
    assert!(table.lines().count() == 4 && table.contains(&first), "{table}");
    become_keys(&t, 2).await;
    // The new key does not sign yet.
    assert_eq!(kid(&t.signed_in(&user).await.access_token), first);
    get(&api, &user).await.unwrap();
    let table = command(&url, &["rotate", "--revoke-former"], ring).await;
    assert!(table.lines().count() == 3 && !table.contains(&first), "{table}");
    become_keys(&t, 1).await;
    refused(get(&api, &user).await, ErrorReason::Unauthenticated);
    let again = t.signed_in(&user).await;
    assert_ne!(kid(&again.access_token), first);
    get(&t.with_key(&again.access_token), &user).await.unwrap();
    // The stored keys are sealed: they contain no part of PKCS#8.
    let column = match t.database {
        TestDatabase::Sqlite(_) => "SELECT lower(hex(private_key)) AS value FROM cf_signing_keys",
        TestDatabase::Postgres(_) => "SELECT encode(private_key, 'hex') FROM cf_signing_keys",
    };
    assert!(t.database.texts(column).await.iter().all(|hex| !hex.contains("2b6570") && !hex.contains("2a8648ce3d")));
}

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn an_emergency_rotation_keeps_the_algorithm(t: Arc<Test>) {
    let ring = matches!(t.database, TestDatabase::Postgres(_)).then_some(SEALING_KEYS);
    let table = command(&t.database.url(), &["rotate", "--revoke-former"], ring).await;
    assert!(table.lines().count() == 3 && table.contains("| EdDSA |"), "{table}");
    let table = command(&t.database.url(), &["rotate", "--signing-algorithm", "ES256"], ring).await;
    assert!(table.lines().count() == 4 && table.contains("| ES256 |"), "{table}");
}

/// Two processes, one for sign-ins and refreshes and the other for calls with the tokens, during replacements of keys. Some new keys
/// sign at once, before the other process knows them.
#[both]
async fn rotation_under_load_refuses_no_valid_token(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let servers = [Serving::on(&database).await, Serving::on(&database).await];
    let key = servers[0].first_admin_key.clone().unwrap();
    let user = servers[0].user_with_password(&key).await;
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for at in 0..4 {
        let (signer, verifier) = (&servers[at % 2], &servers[(at + 1) % 2]);
        let (signing, calling, address) = (signer.with_key(&key), signer.address, verifier.address);
        let (is_over, calls, user) = (Arc::clone(&is_over), Arc::clone(&calls), user.clone());
        clients.spawn(async move {
            let request =
                pb::SignInRequest { email: user.email.clone(), password: PASSWORD.to_owned(), ..Default::default() };
            let first = signing.authentication().sign_in(request).await.answered().issued();
            let (mut refresh_token, mut tokens) = (first.plaintext_token, vec![first.access_token]);
            let mut kids = std::collections::HashSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let request = pb::RefreshRequest { plaintext_token: refresh_token.clone(), ..Default::default() };
                let next = signing.authentication().refresh(request).await.answered().issued();
                refresh_token = next.plaintext_token;
                tokens.push(next.access_token);
                // The newest token and older ones, at either process.
                for token in [&tokens[tokens.len() - 1], &tokens[tokens.len() / 2], &tokens[0]] {
                    kids.insert(kid(token));
                    for address in [address, calling] {
                        get(&Api::new(address, Some(token.clone())), &user)
                            .await
                            .unwrap_or_else(|status| panic!("a valid token was refused: {status:?}"));
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            kids.len()
        });
    }
    for lead in ["0s", "0s", "1s", "0s", "0s"] {
        let before = calls.load(Ordering::Relaxed);
        command(&database.url(), &["rotate", "--lead", lead], Some(SEALING_KEYS)).await;
        while calls.load(Ordering::Relaxed) < before + 200 {
            if let Some(ended) = clients.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let kids = clients.join_all().await;
    assert!(kids.iter().all(|kids| *kids >= 4), "a process saw too few keys: {kids:?}");
    eprintln!(
        "{backend:?}: {} calls with valid tokens during the creation of 5 keys, none refused",
        calls.load(Ordering::Relaxed)
    );
    drop(servers);
    database.remove().await;
}
