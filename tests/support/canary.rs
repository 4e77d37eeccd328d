//! Looks for secrets in everything that is logged, in the whole run, at the lowest level. Secrets that the service makes are known by
//! how they begin and how long they are; those that tests choose carry one of a few phrases.

use std::{io, sync::Once};

use tenantry::{
    config::{LogArgs, LogFormat},
    telemetry,
};
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt as _};

use super::SEALING_KEYS;

/// What secrets that tests choose carry.
const PHRASES: [&str; 7] = [
    "canary-",
    ":canary",
    "a phrase that tests know",
    "eleven dry cats",
    "seven wet dogs",
    "some other phrase of mine",
    "a phrase of the selftest",
];
/// How secrets that the service makes begin, and how many letters and digits a secret has at least after that. The public beginning
/// of a key is shorter.
const PREFIXES: [(&str, usize); 7] = [
    ("cf_live_", 40),
    ("cf_test_", 40),
    ("cf_rt_", 40),
    ("cf_inv_", 40),
    ("cf_ev_", 40),
    ("cf_pr_", 40),
    ("cf_ec_", 40),
];

/// The first secret in a text.
pub fn secret_in(text: &str) -> Option<String> {
    let phrase = PHRASES.into_iter().find(|phrase| text.contains(phrase)).map(str::to_owned);
    let sealing = SEALING_KEYS.split_once(':').map(|(_, key)| key).filter(|key| text.contains(key)).map(str::to_owned);
    let made = PREFIXES.into_iter().find_map(|(prefix, least)| {
        let found = text.match_indices(prefix).find(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= least
        });
        found.map(|_| prefix.to_owned())
    });
    // A signed token: a header in base64, and a body.
    let token = text.match_indices("eyJ").find_map(|(at, _)| {
        let head: String =
            text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
        text[at + head.len()..].starts_with(".eyJ").then(|| "a signed token".to_owned())
    });
    phrase.or(sealing).or(made).or(token)
}

/// Ends the run if a line has a secret in it.
pub fn check(line: &str) {
    if let Some(secret) = secret_in(line) {
        eprintln!("a secret ({secret}) is told in: {line}");
        std::process::exit(101);
    }
}

/// Looks at every line that this process logs from now on.
pub fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let args = LogArgs { log: "trace".to_owned(), log_format: LogFormat::Json };
        // Another one would be of a test that looks for itself.
        let _ = telemetry::with_log(&args, Canary).unwrap().try_init();
    });
}

/// Takes lines and looks at them.
struct Canary;

impl io::Write for Canary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Canary {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

#[test]
fn a_secret_of_each_kind_is_found_and_what_is_public_is_none() {
    let long = "a".repeat(61);
    for secret in [
        format!("key cf_live_{long}."),
        format!("token=cf_rt_{long}"),
        format!("\"cf_pr_{long}\""),
        "Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln".to_owned(),
        "tokens canary-access".to_owned(),
        format!("keys {SEALING_KEYS}"),
    ] {
        assert!(secret_in(&secret).is_some(), "{secret}");
    }
    for harmless in ["prefix cf_live_3kTMd92LmQ0a", "a canary sings", "eyJhbGciOiJFZERTQSJ9"] {
        assert_eq!(secret_in(harmless), None);
    }
}
