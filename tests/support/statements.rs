//! The statements that servers in this process send, recorded through diesel's instrumentation.

use std::{
    collections::BTreeSet,
    sync::{Mutex, Once, PoisonError},
};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// Statements sent to either database since the recording began, including those of other tests.
static SENT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Watched bind values, and how often each was seen.
static WATCHED: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());

/// Records statements on connections opened from now on.
pub fn record() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| set_default_instrumentation(instrumentation).unwrap());
}

/// Statements sent to the database with this quote character. The tests' own statements do not quote names.
pub fn sent(quote: char) -> Vec<String> {
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    sent.iter().filter(|text| text.contains(&format!("{quote}cf_"))).cloned().collect()
}

/// Counts the statements that bind a value from now on.
pub fn watch(value: &str) {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push((value.to_owned(), 0));
}

/// Number of statements that bound a value since [`watch`].
pub fn seen(value: &str) -> usize {
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.iter().find(|(watched, _)| watched == value).map_or(0, |(_, seen)| *seen)
}

fn instrumentation() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        let InstrumentationEvent::StartQuery { query, .. } = event else { return };
        let query = query.to_string();
        let (text, values) = query.split_once(" -- binds").unwrap_or((&query, ""));
        SENT.lock().unwrap_or_else(PoisonError::into_inner).insert(text.trim().to_owned());
        for (watched, seen) in WATCHED.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            *seen += usize::from(values.contains(watched.as_str()));
        }
    }))
}
