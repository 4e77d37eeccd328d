//! Records statements in traces.

use std::pin::Pin;

use diesel::connection::{Instrumentation, InstrumentationEvent};

use crate::telemetry::trace;

/// The separator that diesel puts between a statement's text and its values.
const VALUES: &str = " -- binds: ";

/// If tracing is on, records the text of each statement on the current span, without its values.
pub(super) fn instrumentation() -> Option<impl Instrumentation> {
    trace::is_on().then_some(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            trace::sent(text.split(VALUES).next().unwrap_or_default());
        }
    })
}

/// Erases the type of a statement's future. Diesel's types are deep: nested in the future of a call, they would be checked again for every
/// use-case, which took half of the time of a build. The allocation costs about 50 ns, a statement at least 10 µs.
pub(crate) fn boxed<'a, T>(
    statement: impl Future<Output = T> + Send + 'a,
) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(statement)
}

/// Runs one statement in its own span: `in_span!("sqlite", future)`. The future is also created within the span.
macro_rules! in_span {
    ($system:literal, $statement:expr) => {{
        let span = $crate::telemetry::trace::statement($system);
        let statement = {
            let _within = span.enter();
            $statement
        };
        tracing::Instrument::instrument($crate::db::boxed(statement), span).await
    }};
}

pub(crate) use in_span;
