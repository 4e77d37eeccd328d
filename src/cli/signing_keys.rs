//! `tenantry signing-keys`.

use std::fmt::Write as _;

use crate::models::{SigningKey, Timestamp, stored::StoredText as _};

/// Renders the keys that verify now or later as a table.
pub fn table(keys: &[SigningKey], now: Timestamp) -> String {
    let mut table = "| Key | Algorithm | Signs from | Verifies until |\n| --- | --- | --- | --- |\n".to_owned();
    let text = |time: Timestamp| {
        let time = prost_types::Timestamp { seconds: time.as_micros().div_euclid(1_000_000), nanos: 0 };
        time.to_string()
    };
    for key in keys.iter().filter(|key| key.verifies(now)) {
        let until = key.verifies_until.map_or_else(|| "another key follows".to_owned(), text);
        let from = if key.signs_from <= now { "now".to_owned() } else { text(key.signs_from) };
        // Writing to a `String` cannot fail.
        let _ = writeln!(table, "| {} | {} | {from} | {until} |", key.id, key.algorithm.as_stored());
    }
    table
}
