//! Time per page of each list in a database with 500,000 unrelated users: by every kind of caller, with every filter and every allowed
//! pair of filters.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use prost_reflect::{DynamicMessage, Value};
use tonic::Code;

use crate::{
    report::name,
    support::{
        Backend, Test,
        crowd::{self, Question, Small},
        raw,
        request::encode,
        run,
    },
};

/// Number of unrelated users.
const CROWD: usize = 500_000;
/// Page size.
const PAGE: i32 = 50;
/// Number of calls per median.
const CALLS: usize = 15;
/// Maximum time of a page, as a multiple of the fastest full page of its list.
const MOST: f64 = 3.0;

/// Results of one list for one kind of caller.
struct Row {
    lists: usize,
    /// Time of the slowest page, as a multiple of the fastest full page of any caller.
    ratio: f64,
    slowest: (Duration, String),
}

/// Measures both databases and prints a table. Returns it, with true if every page is fast enough.
pub fn sweep(runtime: &tokio::runtime::Runtime) -> (String, bool) {
    let mut text = format!(
        "| List, pages of {PAGE} | Caller | Database | Combinations | Fastest full page | Slowest page | Ratio | Slowest filters |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n"
    );
    let mut is_well = true;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let lines = Arc::new(std::sync::Mutex::new(String::new()));
        let filled = lines.clone();
        runtime.block_on(run(backend, &["--rate-limit", "0"], move |t| async move {
            let lines = measure(&t, backend).await;
            filled.lock().unwrap().push_str(&lines);
        }));
        let lines = lines.lock().unwrap().clone();
        is_well &= !lines.contains("**");
        text.push_str(&lines);
    }
    println!("{text}");
    (text, is_well)
}

/// Time of a question, number of rows in its answer, and its name.
type Measured = (Duration, usize, String);

async fn measure(t: &Test, backend: Backend) -> String {
    let begun = Instant::now();
    crowd::fill(&t.database, CROWD).await;
    crowd::index(&t.database).await;
    // PostgreSQL would do so by itself a minute later.
    t.database.execute(if backend == Backend::Postgres { "VACUUM ANALYZE" } else { "ANALYZE" }).await;
    let small = Small::make(t).await;
    eprintln!("  {}: filled in {:.0?}", name(backend), begun.elapsed());
    let questions = small.questions(PAGE);
    let mut measured: BTreeMap<(String, &str), Vec<Measured>> = BTreeMap::new();
    for asker in &small.askers {
        for question in &questions {
            if let Some((median, rows)) = median(t, &asker.key, question).await {
                let method = question.name.split(' ').next().unwrap().to_owned();
                measured.entry((method, asker.kind)).or_default().push((median, rows, question.name.clone()));
            }
        }
    }
    let mut fastest: BTreeMap<String, Duration> = BTreeMap::new();
    for ((method, _), pages) in &measured {
        // If no page of a list is full, the page with the most rows counts.
        let full = pages.iter().map(|(_, rows, _)| *rows).max().unwrap_or_default();
        let quickest = pages.iter().filter(|(_, rows, _)| *rows == full).map(|(time, ..)| *time).min();
        let entry = fastest.entry(method.clone()).or_insert(Duration::MAX);
        if full == usize::try_from(PAGE).unwrap() || *entry == Duration::MAX {
            *entry = (*entry).min(quickest.unwrap());
        }
    }
    let mut text = String::new();
    for ((method, kind), pages) in measured {
        let quickest = fastest[&method];
        let mut slow: Vec<&Measured> = pages.iter().filter(|page| page.0 > quickest.mul_f64(MOST)).collect();
        slow.sort_unstable();
        for (time, rows, filters) in slow.into_iter().rev() {
            eprintln!("  {}: {filters} by {kind}: {time:.1?}, {rows} rows", name(backend));
        }
        let (slowest, _, filters) = pages.iter().max().unwrap().clone();
        let row = Row {
            lists: pages.len(),
            ratio: slowest.as_secs_f64() / quickest.as_secs_f64(),
            slowest: (slowest, filters),
        };
        let ratio = if row.ratio > MOST { format!("**{:.2}**", row.ratio) } else { format!("{:.2}", row.ratio) };
        let filters = row.slowest.1.trim_start_matches(&method);
        writeln!(
            text,
            "| {method} | {kind} | {} | {} | {quickest:.1?} | {:.1?} | {ratio} |{filters} |",
            name(backend),
            row.lists,
            row.slowest.0,
        )
        .unwrap();
    }
    text
}

/// Returns the median time of a list and its number of rows; `None` if the caller may not make it, or not with these filters.
async fn median(t: &Test, key: &str, question: &Question) -> Option<(Duration, usize)> {
    let (api, bytes) = (t.anonymous(), encode(&question.request));
    let mut taken = Vec::new();
    let mut rows = 0;
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = match raw::call(&api, &question.path, bytes.clone(), raw::bearer(&[key])).await {
            Ok(answer) => answer,
            Err(status) => {
                let is_failed = matches!(status.code(), Code::Internal | Code::ResourceExhausted | Code::Unavailable);
                assert!(!is_failed, "{}: {status:?}", question.name);
                return None;
            }
        };
        taken.push(begun.elapsed());
        rows = count(question, &answer);
    }
    taken.sort_unstable();
    Some((taken[CALLS / 2], rows))
}

fn count(question: &Question, answer: &[u8]) -> usize {
    let message = DynamicMessage::decode(question.answer.clone(), answer).unwrap();
    let rows = message.fields().find_map(|(_, value)| match value {
        Value::List(rows) => Some(rows.len()),
        _ => None,
    });
    rows.unwrap_or_default()
}
