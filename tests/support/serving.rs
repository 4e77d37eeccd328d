//! The binary as a separate process.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tenantry::pb;

use super::{
    Answered as _, Api, SEALING_KEYS, canary,
    database::TestDatabase,
    given::{CHEAP_HASH, unique},
};

/// The binary: the one that was built along with the tests, or the one that `TENANTRY_TEST_BINARY` names.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("TENANTRY_TEST_BINARY") {
        return named.into();
    }
    // Tests are in target/PROFILE/deps.
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(Path::parent).unwrap().join("tenantry");
    assert!(built.exists(), "{} is missing: `cargo build --workspace` first, or run `make test`", built.display());
    built
}

/// The binary with no setting but those given.
pub fn tenantry(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENANTRY_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// A serving process, killed when the test ends.
pub struct Serving {
    pub process: Child,
    pub address: std::net::SocketAddr,
    pub first_admin_key: Option<String>,
}

impl Serving {
    /// Starts the binary on a free port and waits until it serves.
    pub fn start(url: &str, variables: &[(&str, &str)]) -> Self {
        Self::start_telling(url, variables, std::sync::mpsc::channel().0)
    }

    /// Like [`Self::start`], and sends every log line.
    pub fn start_telling(url: &str, variables: &[(&str, &str)], reported: std::sync::mpsc::Sender<String>) -> Self {
        let mut command =
            tenantry(&["serve", "--listen", "127.0.0.1:0", "--database-url", url, "--log-format", "json"]);
        // Logs everything, so that the canary checks every line.
        command
            .env("TENANTRY_LOG", "trace")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut printed = BufReader::new(process.stdout.take().unwrap());
        let mut lines = Vec::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended: {lines:?}");
            canary::check(&line);
            if let Some((_, rest)) = line.split_once("\"address\":\"") {
                break rest.split('"').next().unwrap().parse().unwrap();
            }
            lines.push(line);
        };
        // An unread pipe would block the process sooner or later.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                canary::check(&line);
                // The receiver may have been dropped.
                let _ = reported.send(line);
            }
        });
        // The key is printed before the log line with the address.
        let migrated = lines.iter().any(|line| line.contains("migrated"));
        let mut first_admin_key = None;
        while migrated && first_admin_key.is_none() {
            let mut line = String::new();
            printed.read_line(&mut line).unwrap();
            first_admin_key = line.starts_with("cf_live_").then(|| line.trim().to_owned());
        }
        std::thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
        Self { process, address, first_admin_key }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Serving {
    /// Starts the binary on any database, with long timeouts for a busy machine.
    pub fn start_patient(url: &str, variables: &[(&str, &str)]) -> Self {
        let fixed = [
            ("TENANTRY_SEALING_KEYS", SEALING_KEYS),
            ("TENANTRY_DATABASE_TIMEOUT", "30s"),
            ("TENANTRY_REQUEST_TIMEOUT", "1m"),
        ];
        Self::start(url, &[&fixed, variables].concat())
    }

    /// Starts the binary on a test database.
    pub async fn on(database: &TestDatabase) -> Self {
        let url = database.url();
        tokio::task::spawn_blocking(move || Self::start_patient(&url, &[])).await.unwrap()
    }

    /// A user with [`super::given::PASSWORD`].
    pub async fn user_with_password(&self, key: &str) -> pb::User {
        let (email, name) = (format!("{}@example.com", unique("ada")), "Ada".to_owned());
        let create = pb::CreateUserRequest { email, name, ..Default::default() };
        let user = self.with_key(key).users().create_user(create).await.answered().user.unwrap();
        let (user_id, password_hash) = (user.id.clone(), CHEAP_HASH.to_owned());
        let import = pb::ImportPasswordHashRequest { user_id, password_hash, ..Default::default() };
        self.with_key(key).authentication().import_password_hash(import).await.unwrap();
        user
    }

    /// A client with a key.
    pub fn with_key(&self, key: &str) -> Api {
        Api::new(self.address, Some(key.to_owned()))
    }

    /// Kills the process.
    pub fn crash(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
