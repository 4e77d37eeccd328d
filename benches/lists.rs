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
/// Number of calls per median of pages that seem too slow: of thousands of medians of a few calls, some are chance.
const CALLS_OF_SLOW: usize = 101;
/// Maximum time of a page, as a multiple of the fastest full page of its list.
const MOST: f64 = 3.0;

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

/// A measured page.
struct Measured<'q> {
    time: Duration,
    rows: usize,
    question: &'q Question,
    key: &'q str,
}

async fn measure(t: &Test, backend: Backend) -> String {
    let begun = Instant::now();
    crowd::fill(&t.database, CROWD).await;
    crowd::index(&t.database).await;
    // PostgreSQL would do so by itself a minute later.
    t.database.execute(if backend == Backend::Postgres { "VACUUM ANALYZE" } else { "ANALYZE" }).await;
    let small = Small::make(t).await;
    eprintln!("  {}: filled in {:.0?}", name(backend), begun.elapsed());
    let questions = small.questions(PAGE);
    let mut measured: BTreeMap<(String, &str), Vec<Measured<'_>>> = BTreeMap::new();
    for asker in &small.askers {
        for question in &questions {
            if let Some((time, rows)) = median(t, &asker.key, question, CALLS).await {
                let method = question.name.split(' ').next().unwrap().to_owned();
                let page = Measured { time, rows, question, key: &asker.key };
                measured.entry((method, asker.kind)).or_default().push(page);
            }
        }
    }
    let mut fastest: BTreeMap<String, Duration> = BTreeMap::new();
    for ((method, _), pages) in &measured {
        // If no page of a list is full, the page with the most rows counts.
        let full = pages.iter().map(|page| page.rows).max().unwrap_or_default();
        let quickest = pages.iter().filter(|page| page.rows == full).map(|page| page.time).min();
        let entry = fastest.entry(method.clone()).or_insert(Duration::MAX);
        if full == usize::try_from(PAGE).unwrap() || *entry == Duration::MAX {
            *entry = (*entry).min(quickest.unwrap());
        }
    }
    let mut text = String::new();
    for ((method, kind), mut pages) in measured {
        let quickest = fastest[&method];
        for page in pages.iter_mut().filter(|page| page.time > quickest.mul_f64(MOST)) {
            page.time = median(t, page.key, page.question, CALLS_OF_SLOW).await.unwrap().0;
        }
        pages.sort_unstable_by_key(|page| std::cmp::Reverse(page.time));
        for Measured { time, rows, question, .. } in pages.iter().filter(|page| page.time > quickest.mul_f64(MOST)) {
            eprintln!("  {}: {} by {kind}: {time:.1?}, {rows} rows", name(backend), question.name);
        }
        let slowest = &pages[0];
        let ratio = slowest.time.as_secs_f64() / quickest.as_secs_f64();
        let ratio = if ratio > MOST { format!("**{ratio:.2}**") } else { format!("{ratio:.2}") };
        writeln!(
            text,
            "| {method} | {kind} | {} | {} | {quickest:.1?} | {:.1?} | {ratio} |{} |",
            name(backend),
            pages.len(),
            slowest.time,
            slowest.question.name.trim_start_matches(&method),
        )
        .unwrap();
    }
    text
}

/// Returns the median time of a list and its number of rows; `None` if the caller may not make it, or not with these filters.
async fn median(t: &Test, key: &str, question: &Question, calls: usize) -> Option<(Duration, usize)> {
    let (api, bytes) = (t.anonymous(), encode(&question.request));
    let mut taken = Vec::new();
    let mut rows = 0;
    for _ in 0..calls {
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
    Some((taken[calls / 2], rows))
}

fn count(question: &Question, answer: &[u8]) -> usize {
    let message = DynamicMessage::decode(question.answer.clone(), answer).unwrap();
    let rows = message.fields().find_map(|(_, value)| match value {
        Value::List(rows) => Some(rows.len()),
        _ => None,
    });
    rows.unwrap_or_default()
}
