//! The documentation is correct: the quick start of the README and the tour run line by line, and the table of settings matches the
//! command line.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{
    REPOSITORY,
    serving::{Serving, binary},
};

const README: &str = include_str!("../README.md");
const SETTINGS: &str = include_str!("../docs/settings.md");
const TOUR: &str = include_str!("../docs/tour.md");
const TEAM_PAGE: &str = include_str!("../docs/team-page.md");

/// The section of the README under a heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("## {heading}\n")).expect("the README has the section");
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The shell blocks of a text, in order.
fn shell(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

/// Runs shell blocks as a reader would, on a server with an empty database. Returns the whole output. The first block starts that
/// server.
async fn run(blocks: &[&str]) -> String {
    let root = Path::new(REPOSITORY);
    let tools = root.join("target/tools");
    assert!(tools.join("grpcurl").exists(), "grpcurl is missing: run `make test` or `make target/tools/grpcurl`");

    // The state that `make run` leaves: the binary, and a server on the database in ./data.
    assert_eq!(blocks[0], "make run\n");
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(here.path().join("target/quick")).unwrap();
    symlink(binary(), here.path().join("target/quick/tenantry")).unwrap();
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
    text
}

#[test]
fn the_settings_are_those_of_the_command_line() {
    let settings = tenantry::config::settings();
    assert!(SETTINGS.ends_with(&settings), "docs/settings.md must end with this:\n{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_runs_as_it_is_printed() {
    let blocks = [shell(section("Run it")), shell(section("Call it"))].concat();
    let text = run(&blocks).await;
    for promised in ["API_KEY_VERDICT_VALID", "\"allowed\": true", "organization.created", "api_key.created"] {
        assert!(text.contains(promised), "the quick start promises {promised}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_runs_as_it_is_printed() {
    let text = run(&shell(TOUR)).await;
    for promised in [
        "PERMISSION_BASIS_ROLE",
        "API_KEY_VERDICT_VALID",
        "REFRESH_TOKEN_REJECTED",
        "SIGN_IN_REJECTED",
        "emailVerifiedAt",
        "P-256",
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

#[tokio::test(flavor = "multi_thread")]
async fn the_team_page_runs_as_it_is_printed() {
    let text = run(&shell(TEAM_PAGE)).await;
    for promised in ["José Núñez", "\"total\": 3", "USER_STATE_SUSPENDED", "edsger@example.com", "linus@other.example"]
    {
        assert!(text.contains(promised), "the page promises {promised}:\n{text}");
    }
}
