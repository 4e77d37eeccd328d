//! Starts: two at once, the first admin, the key ring, the settings, and refusals.

use std::{path::PathBuf, sync::Arc};

use tenantry::{clock::MovableClock, pb, server::Server};

use crate::support::{
    Answered as _, Api, Backend, SEALING_KEYS, args, both, database::TestDatabase, given::Issued as _, question,
};

async fn start(url: &str, options: &[&str]) -> Result<Server, String> {
    Server::start(&args(url, options), Arc::new(MovableClock::default())).await
}

/// The one-line error of a refused start.
async fn refusal(url: &str, options: &[&str]) -> String {
    let error = start(url, options).await.err().expect("the start must be refused");
    assert!(!error.contains('\n') && !error.is_empty(), "{error}");
    error
}

fn file(database: &TestDatabase, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", database.url().trim_start_matches("sqlite:")))
}

#[both]
async fn two_servers_started_at_once_on_an_empty_database_both_come_up(backend: Backend) {
    for _ in 0..5 {
        let database = TestDatabase::empty(backend).await;
        let url = database.url();
        let (one, two) = tokio::join!(start(&url, &[]), start(&url, &[]));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_ne!(one.first_admin_key.is_some(), two.first_admin_key.is_some());
        let key = one.first_admin_key.as_ref().or(two.first_admin_key.as_ref()).unwrap().expose().to_owned();
        for server in [one, two] {
            let api = Api::new(server.address, Some(key.clone()));
            let users = api.users().list_users(pb::ListUsersRequest::default()).await.answered().users;
            assert_eq!(users.len(), 1);
            server.stop().await.unwrap();
        }
        database.remove().await;
    }
}

#[both]
async fn only_the_first_start_makes_an_admin(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    for first in [true, false] {
        let server = start(&database.url(), &[]).await.unwrap();
        assert_eq!(server.first_admin_key.is_some(), first);
        server.stop().await.unwrap();
    }
    database.remove().await;
}

#[both]
async fn written_data_is_there_after_a_restart(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let server = start(&database.url(), &[]).await.unwrap();
    let key = server.first_admin_key.as_ref().map(|key| key.expose().to_owned());
    let request =
        pb::CreateUserRequest { email: "ada@example.com".to_owned(), name: "Ada".to_owned(), ..Default::default() };
    let api = Api::new(server.address, key.clone());
    let ada = api.users().create_user(request).await.answered().user.unwrap();
    let session = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
    let token = api.refresh_tokens().create_refresh_token(session).await.answered().issued().plaintext_token;
    let rotate = pb::RotateRefreshTokenRequest { plaintext_token: token, ..Default::default() };
    api.refresh_tokens().rotate_refresh_token(rotate.clone()).await.unwrap();
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    let ada = api.users().get_user(get.clone()).await.answered().user.unwrap();
    server.stop().await.unwrap();

    let server = start(&database.url(), &[]).await.unwrap();
    let api = Api::new(server.address, key);
    assert_eq!(api.users().get_user(get).await.answered().user.unwrap(), ada);
    // The use of a rotated token is still known too.
    api.refresh_tokens().rotate_refresh_token(rotate).await.unwrap_err();
    let sessions = pb::ListSessionsRequest { user_id: ada.id, ..Default::default() };
    assert!(api.sessions().list_sessions(sessions).await.answered().sessions.is_empty());
    server.stop().await.unwrap();
    database.remove().await;
}

#[both]
async fn another_key_under_the_same_id_is_refused(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    start(&database.url(), &["--sealing-keys", SEALING_KEYS]).await.unwrap().stop().await.unwrap();
    let other = "k1:HxAeHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";
    let error = refusal(&database.url(), &["--sealing-keys", other]).await;
    assert!(error.contains("k1") && !error.contains(&other[3..]), "{error}");
    database.remove().await;
}

#[both]
async fn a_ring_without_a_key_that_was_used_is_refused(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    start(&database.url(), &["--sealing-keys", SEALING_KEYS]).await.unwrap().stop().await.unwrap();
    let new = "k2:HxAeHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";
    let error = refusal(&database.url(), &["--sealing-keys", new]).await;
    assert!(error.contains("\"k1\"") && error.contains("not in the key ring"), "{error}");
    // A new key before the old one rotates the keys.
    let both = format!("{new},{SEALING_KEYS}");
    start(&database.url(), &["--sealing-keys", &both]).await.unwrap().stop().await.unwrap();
    database.remove().await;
}

#[both]
async fn secrets_begin_with_the_prefix_of_the_deployment_and_former_ones_work_while_they_are_listed(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let url = database.url();
    let server = start(&url, &[]).await.unwrap();
    let old_key = server.first_admin_key.as_ref().unwrap().expose().to_owned();
    assert!(old_key.starts_with("cf_live_"));
    let api = Api::new(server.address, Some(old_key.clone()));
    let new =
        pb::CreateUserRequest { email: "ada@example.com".to_owned(), name: "Ada".to_owned(), ..Default::default() };
    let ada = api.users().create_user(new).await.answered().user.unwrap();
    let session = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
    let old_token = api.refresh_tokens().create_refresh_token(session).await.answered().issued().plaintext_token;
    let start_reset = pb::StartPasswordResetRequest { email: ada.email.clone(), ..Default::default() };
    let old_mail = api.authentication().start_password_reset(start_reset.clone()).await.answered();
    server.stop().await.unwrap();

    // The former prefix is accepted. What is issued has the new one, and what is issued again its own.
    let options = ["--secret-prefix", "acme", "--former-secret-prefixes", "cf,older"];
    let server = start(&url, &options).await.unwrap();
    let api = Api::new(server.address, Some(old_key.clone()));
    let rotate = pb::RotateRefreshTokenRequest { plaintext_token: old_token, ..Default::default() };
    let token = api.refresh_tokens().rotate_refresh_token(rotate).await.answered().issued().plaintext_token;
    assert!(token.starts_with("acme_rt_"), "{token}");
    let again = api.authentication().start_password_reset(start_reset.clone()).await.answered();
    assert_eq!(again.plaintext_token, old_mail.plaintext_token);
    let first = pb::GetUserByEmailRequest { email: "admin@tenantry.local".to_owned() };
    let admin = api.users().get_user_by_email(first).await.answered().user.unwrap();
    let new = pb::CreateApiKeyRequest {
        owner: Some(pb::create_api_key_request::Owner::UserId(admin.id)),
        name: "new".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: 1,
        ..Default::default()
    };
    let created = api.api_keys().create_api_key(new).await.answered();
    assert!(
        created.plaintext_key.starts_with("acme_live_") && created.plaintext_key.len() == 71,
        "{}",
        created.plaintext_key
    );
    assert_eq!(created.api_key.unwrap().prefix, created.plaintext_key[..22]);
    let verdict = async |api: &Api, key: &str| {
        let verify = pb::VerifyApiKeyRequest { question: question(key) };
        api.api_keys().verify_api_key(verify).await.answered().verification.unwrap().verdict()
    };
    for key in [&old_key, &created.plaintext_key] {
        assert_eq!(verdict(&api, key).await, pb::ApiKeyVerdict::Valid);
    }
    server.stop().await.unwrap();

    // Once the former prefix is not listed, secrets with it are invalid, and mailed tokens with it are replaced.
    let server = start(&url, &["--secret-prefix", "acme"]).await.unwrap();
    let former = Api::new(server.address, Some(old_key.clone()));
    former.users().list_users(pb::ListUsersRequest::default()).await.unwrap_err();
    let api = Api::new(server.address, Some(created.plaintext_key.clone()));
    assert_eq!(verdict(&api, &old_key).await, pb::ApiKeyVerdict::Unknown);
    assert_eq!(verdict(&api, &created.plaintext_key).await, pb::ApiKeyVerdict::Valid);
    let mailed = api.authentication().start_password_reset(start_reset).await.answered().plaintext_token;
    assert!(mailed.starts_with("acme_pr_"), "{mailed}");
    server.stop().await.unwrap();
    database.remove().await;
}

#[test]
fn a_prefix_that_could_not_be_read_back_is_refused_with_the_rule() {
    use crate::support::serving::tenantry;
    for prefix in ["a", "Acme", "ac_me", "eyes", "a2345678901234567"] {
        for option in ["--secret-prefix", "--former-secret-prefixes"] {
            let output = tenantry(&["serve", option, prefix]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success() && said.contains("must be 2 to 16 lower-case letters"), "{said}");
        }
    }
}
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_its_key_in_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = TestDatabase::empty(Backend::Sqlite).await;
    start(&database.url(), &[]).await.unwrap().stop().await.unwrap();
    for ending in ["", ".keys"] {
        let mode = std::fs::metadata(file(&database, ending)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{ending}");
    }
    std::fs::remove_file(file(&database, ".keys")).unwrap();
    let keys = "SELECT id || hex(key_check) AS value FROM cf_sealing_keys";
    let before = database.texts(keys).await;
    let error = refusal(&database.url(), &[]).await;
    assert!(error.contains(".keys"), "{error}");
    assert!(!file(&database, ".keys").exists(), "a lost key must not be replaced silently");
    assert_eq!(database.texts(keys).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_a_key_ring_is_refused() {
    let database = TestDatabase::empty(Backend::Postgres).await;
    let mut args = args(&database.url(), &[]);
    args.sealing.sealing_keys = None;
    let error = Server::start(&args, Arc::new(MovableClock::default())).await.err().unwrap();
    assert!(error.contains("TENANTRY_SEALING_KEYS"), "{error}");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    std::fs::write(file(&database, ""), "not a database, but something dear to somebody").unwrap();
    refusal(&database.url(), &[]).await;
    assert!(std::fs::read_to_string(file(&database, "")).unwrap().starts_with("not a database"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_does_not_answer_is_named_without_its_password() {
    let error = refusal("postgres://me:canary@127.0.0.1:1/x", &[]).await;
    assert!(error.contains("PostgreSQL") && !error.contains("canary"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_signed_will_do_for_prefer_and_not_for_require() {
    let database = TestDatabase::empty(Backend::Postgres).await;
    if database.texts("SELECT setting AS value FROM pg_settings WHERE name = 'ssl'").await != ["on"] {
        println!("the PostgreSQL server of these tests has no TLS: skipped");
        return database.remove().await;
    }
    let url = |mode: &str| format!("{}?sslmode={mode}", database.url().split('?').next().unwrap());
    let server = start(&url("prefer"), &[]).await.unwrap();
    let encrypted = "SELECT DISTINCT ssl::text AS value FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'tenantry' AND datname = current_database()";
    assert_eq!(database.texts(encrypted).await, ["true"]);
    server.stop().await.unwrap();
    let error = refusal(&url("require"), &[]).await;
    assert!(error.contains("certificate"), "{error}");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let mut args = args(&database.url(), &[]);
    args.network.listen = address.parse().unwrap();
    let error = Server::start(&args, Arc::new(MovableClock::default())).await.err().unwrap();
    assert!(error.contains(&address), "{error}");
    assert!(!file(&database, "").exists(), "the database is opened before the address is bound");
}
