//! The report of the test, as a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::{Code, Status};

use super::client::Rule;

/// Findings for all methods.
#[derive(Debug, Default)]
pub struct Report {
    /// One row for each method that reflection lists.
    pub rows: Vec<Row>,
    /// Resources that could not be deleted.
    pub left: Vec<String>,
}

/// Findings for one method.
#[derive(Debug)]
pub struct Row {
    /// Full name of the method.
    pub method: String,
    /// Number of calls.
    pub calls: usize,
    /// Violations of the isolation.
    pub leaks: BTreeSet<String>,
    /// Reasons why the method was not fully tested.
    pub untested: BTreeSet<String>,
    pub(super) rule: Rule,
    own: BTreeSet<&'static str>,
    outside: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

impl Report {
    /// True if every method was tested, nothing leaks and nothing was left behind.
    pub fn is_good(&self) -> bool {
        !self.rows.is_empty()
            && self.left.is_empty()
            && self.rows.iter().all(|row| row.leaks.is_empty() && row.untested.is_empty())
    }
}

impl Row {
    pub(super) fn new(method: &MethodDescriptor, rule: Rule) -> Self {
        Self {
            method: method.full_name().to_owned(),
            calls: 0,
            leaks: BTreeSet::new(),
            untested: BTreeSet::new(),
            rule,
            own: BTreeSet::new(),
            outside: BTreeMap::new(),
        }
    }

    pub(super) fn leak(&mut self, what: String) {
        self.leaks.insert(what);
    }

    pub(super) fn untested(&mut self, why: String) {
        self.untested.insert(why);
    }

    /// Records an answer to a request with the caller's own ids.
    pub(super) fn own(&mut self, outcome: &Result<DynamicMessage, Status>) {
        self.own.insert(word(outcome));
    }

    /// Records an answer to a kind of caller for ids of another tenant.
    pub(super) fn outside(&mut self, kind: &'static str, outcome: &Result<DynamicMessage, Status>) {
        self.outside.entry(kind).or_default().insert(word(outcome));
    }

    fn verdict(&self) -> &'static str {
        match (self.leaks.is_empty(), self.untested.is_empty()) {
            (false, _) => "LEAK",
            (true, false) => "NOT TESTED",
            (true, true) => "ok",
        }
    }
}

fn word(outcome: &Result<DynamicMessage, Status>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(status) => match status.code() {
            Code::NotFound => "not found",
            Code::PermissionDenied => "denied",
            Code::Unauthenticated => "unauthenticated",
            Code::FailedPrecondition => "precondition",
            Code::InvalidArgument => "invalid",
            Code::AlreadyExists => "exists",
            _ => "other",
        },
    }
}

fn list(words: &BTreeSet<&'static str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(" or ")
}

impl Report {
    /// The answers of each method as text: first for the caller's own ids, then for another tenant's, by kind of caller.
    pub fn by_caller(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.rows {
            lines.push(format!("{}: {}", row.method, list(&row.own)));
            let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (kind, words) in &row.outside {
                kinds.entry(list(words)).or_default().push(kind);
            }
            lines.extend(kinds.into_iter().map(|(words, kinds)| format!("    {words}: {}", kinds.join(", "))));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.method.len()).max().unwrap_or_default();
        writeln!(
            f,
            "{:width$}  {:10}  {:>5}  {:24}  for another tenant's ids",
            "method", "verdict", "calls", "for own ids"
        )?;
        for row in &self.rows {
            let (own, outside) = (list(&row.own), list(&row.outside.values().flatten().copied().collect()));
            writeln!(f, "{:width$}  {:10}  {:>5}  {own:24}  {outside}", row.method, row.verdict(), row.calls)?;
            for what in row.leaks.iter().chain(&row.untested) {
                writeln!(f, "    {what}")?;
            }
        }
        for left in &self.left {
            writeln!(f, "left behind: {left}")?;
        }
        let count = |verdict: &str| self.rows.iter().filter(|row| row.verdict() == verdict).count();
        let calls: usize = self.rows.iter().map(|row| row.calls).sum();
        write!(
            f,
            "{} methods, {calls} calls: {} good, {} with a leak, {} not tested",
            self.rows.len(),
            count("ok"),
            count("LEAK"),
            count("NOT TESTED"),
        )
    }
}
