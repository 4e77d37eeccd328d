//! Formats log entries. Each is a single line, whatever a client has sent, with a UTC timestamp, an increasing number, and the id of its
//! call.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::request_id;
use crate::config::LogFormat;

/// Formats a log entry.
pub(super) struct Line {
    format: LogFormat,
    number: AtomicU64,
}

impl Line {
    /// A log layer that writes to `writer`.
    pub(super) fn layer<S, W>(format: LogFormat, writer: W) -> impl Layer<S> + Send + Sync + use<S, W>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let line = Self { format, number: AtomicU64::new(1) };
        tracing_subscriber::fmt::layer().event_format(line).with_writer(writer)
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let request_id = request_id();
        if !request_id.is_empty() {
            fields.0.insert("request_id".to_owned(), Value::String(request_id));
        }
        let message = fields.0.remove("message").unwrap_or(Value::Null);
        let level = event.metadata().level();
        match self.format {
            LogFormat::Json => {
                let mut object = Map::new();
                object.insert("timestamp".to_owned(), Value::String(time));
                object.insert("number".to_owned(), Value::from(number));
                object.insert("level".to_owned(), Value::String(level.to_string()));
                object.insert("target".to_owned(), Value::String(event.metadata().target().to_owned()));
                object.insert("message".to_owned(), message);
                object.insert("fields".to_owned(), Value::Object(fields.0));
                writeln!(line, "{}", Value::Object(object))
            }
            LogFormat::Text => {
                write!(line, "{time} {level:>5} ")?;
                write_text(&mut line, message.as_str().unwrap_or_default())?;
                for (name, value) in &fields.0 {
                    write!(line, " {name}=")?;
                    match value {
                        Value::String(text) => write_text(&mut line, text)?,
                        other => write!(line, "{other}")?,
                    }
                }
                writeln!(line)
            }
        }
    }
}

/// Writes text, escaping everything that a terminal or a line-based reader would interpret.
fn write_text(line: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        // Including characters that change the direction of the following text.
        let is_harmful =
            c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_harmful { write!(line, "{}", c.escape_unicode())? } else { line.write_char(c)? }
    }
    Ok(())
}

/// The fields of an entry.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::String(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::String(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn a_text_stays_on_its_line_and_colours_nothing() {
        let mut line = String::new();
        write_text(&mut Writer::new(&mut line), "a\r\nb\u{1b}[31mc\u{202e}d \u{e9}").unwrap();
        assert_eq!(line, "a\\u{d}\\u{a}b\\u{1b}[31mc\\u{202e}d \u{e9}");
    }
}
