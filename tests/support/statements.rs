//! The statements that servers of this process send, as diesel tells them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, Once, PoisonError},
};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// What was sent to either database since the recording began, also by tests beside this one.
static SENT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// What is looked for among the values that are bound, and how often it was seen.
static WATCHED: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());

/// Records what is sent on connections that are opened from now on.
pub fn record() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| set_default_instrumentation(instrumentation).unwrap());
}

/// The texts of what was sent to a database whose names are quoted so, which tests quote not at all.
pub fn sent(quote: char) -> Vec<String> {
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    sent.iter().filter(|text| text.contains(&format!("{quote}cf_"))).cloned().collect()
}

/// Counts the statements that bind a value from now on.
pub fn watch(value: &str) {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push((value.to_owned(), 0));
}

/// How many statements have bound a value since it is watched.
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
