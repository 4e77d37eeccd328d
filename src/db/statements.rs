//! What statements leave in a trace.

use diesel::connection::{Instrumentation, InstrumentationEvent};

use crate::telemetry::trace;

/// What diesel puts between the text of a statement and its values.
const VALUES: &str = " -- binds: ";

/// Notes the text of each statement on the span that it is sent in, and nothing of its values; if spans go anywhere.
pub(super) fn noted() -> Option<impl Instrumentation> {
    trace::is_on().then_some(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            trace::sent(text.split(VALUES).next().unwrap_or_default());
        }
    })
}

/// Runs something that sends one statement in a span of its own: `in_span!("sqlite", future)`. The future is made within it too.
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
