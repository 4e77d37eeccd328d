//! The binary, started from the command line.

use std::process::Command;

use tenantry::pb;

use crate::support::{
    Answered as _, Api, Backend, SEALING_KEYS, both,
    database::TestDatabase,
    serving::{Serving, tenantry},
};

fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[both]
async fn an_admin_is_created_with_nothing_but_the_key_on_standard_output(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let url = database.url();
    let create = |email: &str, more: &[&str]| {
        let mut command = tenantry(&["admin", "create", "--email", email, "--name", "Ada", "--database-url", &url]);
        let (done, printed, log) = output(command.args(more));
        assert!(done, "{log}");
        // Only the key and a newline.
        let key = printed.strip_suffix('\n').unwrap().to_owned();
        assert!(key.starts_with("cf_live_") && key.len() == 69, "{printed}");
        key
    };
    let keys =
        [create("ada@example.com", &[]), create("ADA@example.com", &["--existing"]), create("eve@example.com", &[])];
    let server = Serving::start(&url, &[("TENANTRY_SEALING_KEYS", SEALING_KEYS)]);
    assert_eq!(server.first_admin_key, None, "an admin exists already");
    for key in keys {
        let api = Api::new(server.address, Some(key));
        let users = api.users().list_users(pb::ListUsersRequest::default()).await.answered().users;
        assert_eq!(users.len(), 2);
        assert!(users.iter().all(|user| user.is_platform_admin));
    }
    drop(server);
    database.remove().await;
}

#[both]
async fn two_processes_started_at_once_on_an_empty_database_both_serve(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let url = database.url();
    let start = || {
        let url = url.clone();
        tokio::task::spawn_blocking(move || Serving::start(&url, &[("TENANTRY_SEALING_KEYS", SEALING_KEYS)]))
    };
    let (one, two) = tokio::join!(start(), start());
    let (one, two) = (one.unwrap(), two.unwrap());
    let key =
        one.first_admin_key.clone().xor(two.first_admin_key.clone()).expect("exactly one of them creates the admin");
    for server in [&one, &two] {
        let api = Api::new(server.address, Some(key.clone()));
        api.users().list_users(pb::ListUsersRequest::default()).await.unwrap();
    }
    drop((one, two));
    database.remove().await;
}

#[test]
fn an_unknown_variable_is_an_error() {
    let (done, _, error) = output(tenantry(&["migrate"]).env("TENANTRY_LISTN", "127.0.0.1:1"));
    assert!(!done && error.contains("TENANTRY_LISTN") && error.lines().count() == 1, "{error}");
}

#[test]
fn bad_settings_are_refused_without_telling_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("x.db").display());
    for (arguments, named) in [
        (&["--listen", "nowhere"][..], "--listen"),
        (&["--database-url", "mysql://me:canary@host/x"], "--database-url"),
        (&["--database-url", "postgres://me:canary@host:port/x", "--sealing-keys", "k1:canary"], "PostgreSQL"),
        (&["--database-connections", "0"], "--database-connections"),
        (&["--database-timeout", "1ms"], "--database-timeout"),
        (&["--request-timeout", "10"], "--request-timeout"),
        (&["--session-life", "9999d"], "3650d"),
        (&["--rotation-grace", "1m"], "--rotation-grace"),
        (&["--reflection", "maybe"], "--reflection"),
        (&["--log", "=="], "--log"),
        (&["--log-format", "xml"], "--log-format"),
        (&["--database-url", &url, "--sealing-keys", "k1:canary"], "sealing keys"),
    ] {
        let (done, printed, error) = output(tenantry(&["serve"]).args(arguments));
        assert!(!done && printed.is_empty() && error.contains(named), "{arguments:?}: {error}");
        assert!(!error.contains("canary") && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn migrate_brings_the_schema_and_serves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("deep/down/x.db").display());
    for _ in 0..2 {
        let (done, printed, log) = output(&mut tenantry(&["migrate", "--database-url", &url]));
        assert!(done && printed.is_empty(), "{log}");
    }
    assert!(directory.path().join("deep/down/x.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_the_server_cleanly_and_acknowledged_changes_are_stored() {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let url = database.url();
    let mut key = None;
    for signal in ["TERM", "INT", "KILL"] {
        let mut server = Serving::start(&url, &[]);
        key = key.or(server.first_admin_key.clone());
        let api = Api::new(server.address, key.clone());
        let email = format!("{signal}@example.com");
        let request = pb::CreateUserRequest { email, name: "X".to_owned(), ..Default::default() };
        api.users().create_user(request).await.unwrap();
        server.signal(signal);
        let ended = tokio::task::spawn_blocking(move || server.process.wait().unwrap()).await.unwrap();
        assert_eq!(ended.success(), signal != "KILL", "{signal}");
    }
    let server = Serving::start(&url, &[]);
    let users = Api::new(server.address, key).users().list_users(pb::ListUsersRequest::default()).await.unwrap();
    assert_eq!(users.into_inner().users.len(), 4);
}
