//! Records statements in traces.

use diesel::connection::{Instrumentation, InstrumentationEvent};

use crate::telemetry::trace;

/// The separator that diesel puts between a statement's text and its values.
const VALUES: &str = " -- binds: ";

/// If tracing is on, records the text of each statement on the current span, without its values.
pub(super) fn noted() -> Option<impl Instrumentation> {
    trace::is_on().then_some(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            trace::sent(text.split(VALUES).next().unwrap_or_default());
        }
    })
}

/// Runs one statement in its own span: `in_span!("sqlite", future)`. The future is also created within the span.
macro_rules! in_span {
    ($system:literal, $statement:expr) => {{
        let span = $crate::telemetry::trace::statement($system);
        let statement = {
            let _within = span.enter();
            $statement
        };
        tracing::Instrument::instrument(statement, span).await
    }};
}

pub(crate) use in_span;
