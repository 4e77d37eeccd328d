//! The README is true: its tour runs line by line, and its table of settings is the one of the command line.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use crate::support::serving::{Serving, tenantry};

const README: &str = include_str!("../README.md");

/// The text under a heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("## {heading}\n")).expect("the README has the section");
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The shell lines of a section, in order.
fn shell(section: &str) -> Vec<&str> {
    section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

#[test]
fn the_settings_are_those_of_the_command_line() {
    let help = tenantry(&["serve", "--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, table) = help.split_once("| Option").unwrap();
    let table = format!("| Option{}", table.trim_end());
    assert!(section("Settings").contains(&table), "the README needs the table of `tenantry serve --help`:\n{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_runs_as_it_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/tools");
    assert!(tools.join("grpcurl").exists(), "the tour needs grpcurl: run `make test`, or `make target/tools/grpcurl`");

    // What `make run` leaves where the tour is: the binary, and a server on the database in ./data.
    let blocks = shell(section("A five-minute tour"));
    assert_eq!(blocks[0], "make run\n");
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(here.path().join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_tenantry"), here.path().join("target/release/tenantry")).unwrap();
    let url = format!("sqlite:{}", here.path().join("data/tenantry.db").display());
    let server = tokio::task::spawn_blocking(move || Serving::start(&url, &[])).await.unwrap();

    let lines = blocks[1..].concat().replace("localhost:50051", &server.address.to_string());
    let script = format!("set -euo pipefail\nset -x\n{lines}");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(here.path()).env("PATH", path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENANTRY_")) {
        shell.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    for promised in [
        "PERMISSION_BASIS_ROLE",
        "API_KEY_VERDICT_VALID",
        "REFRESH_TOKEN_REJECTED",
        "SIGN_IN_REJECTED",
        "emailVerifiedAt",
        "Ed25519",
        "\"active\": true",
        "endedSessions",
        "gho_example",
        "user.updated",
        "user.suspended",
        "Unauthenticated",
        "users:read",
    ] {
        assert!(text.contains(promised), "the tour promises {promised}:\n{text}");
    }
}
