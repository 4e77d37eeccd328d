//! The measured processes: Tenantry and the bare server.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use crate::support::{
    SEALING_KEYS,
    database::TestDatabase,
    serving::{Serving, tenantry},
};

/// The bare server as a child process.
pub struct Echo {
    process: Child,
    /// Its address.
    pub address: SocketAddr,
}

impl Echo {
    /// Starts the server.
    pub fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new(own).arg("echo").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts Tenantry on a database, with default settings except `--max-api-keys`: one owner has all keys for cold verifications.
pub fn ours(database: &TestDatabase) -> Serving {
    Serving::start(&database.url(), &[("TENANTRY_SEALING_KEYS", SEALING_KEYS), ("TENANTRY_MAX_API_KEYS", "0")])
}

/// Creates a platform admin and returns its API key.
pub fn admin_key(database: &TestDatabase) -> String {
    let url = database.url();
    let arguments = ["admin", "create", "--email", "bench@example.com", "--name", "Bench", "--database-url", &url];
    let made = tenantry(&arguments).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// The resident memory of a process, in MiB.
pub fn memory(serving: &Serving) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
