//! Messages into models and back. Pure: no database, no clock, no state.
//!
//! A parse function checks every field before it answers, so that a caller learns all violations at once: it fails with
//! [`Error::Invalid`]. Each check returns `Some` of the value, or `None` after noting a violation.

pub mod api_key;
pub mod authentication;
pub mod authorization;
pub mod batch;
pub mod call;
mod diff;
pub mod erase;
pub mod event;
pub mod event_filter;
pub mod impact;
pub mod invitation;
mod json;
mod list;
mod mask;
pub mod membership;
pub mod oauth_account;
pub mod organization;
pub mod persons;
pub mod refresh_token;
pub mod role;
pub mod session;
mod stored_event;
pub mod user;

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

pub use list::{Listing, Lists};
pub use mask::Mask;
use uuid::Uuid;

use crate::{
    app::target::Target,
    error::{Error, Result, Violation},
    models::{Scope, Scopes, Timestamp},
};

/// Collects the violations of a request.
#[derive(Debug, Default)]
pub struct Validation {
    violations: Vec<Violation>,
}

impl Validation {
    /// Maximum number of items of a batch: the largest answers fit into the 4 MiB that clients accept by default.
    pub const MAX_BATCH: usize = 100;

    /// Notes a violation of `field`.
    pub fn violation(&mut self, field: impl Into<String>, rule: impl Display) {
        self.violations.push(Violation { field: field.into(), rule: rule.to_string() });
    }

    /// The value of a field, unless it breaks a rule.
    pub fn field<T>(&mut self, field: &str, parsed: std::result::Result<T, impl Display>) -> Option<T> {
        parsed.map_err(|rule| self.violation(field, rule)).ok()
    }

    /// The value of a text field that may be empty.
    pub fn optional<T, E: Display>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { self.field(field, parse(text)).map(Some) }
    }

    /// A required id.
    pub fn id<Id: From<Uuid>>(&mut self, field: &str, text: &str) -> Option<Id> {
        self.field(field, uuid(text))
    }

    /// An id that may be empty.
    pub fn optional_id<Id: From<Uuid>>(&mut self, field: &str, text: &str) -> Option<Option<Id>> {
        self.optional(field, text, uuid)
    }

    /// A time to be stored, in whole milliseconds and never later than sent, that may be unset.
    pub fn optional_time(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
        let read = |time| read_time(time).map(|time| time.floor(Timestamp::RESOLUTION));
        time.map_or(Some(None), |time| self.field(field, read(time)).map(Some))
    }

    /// A bound of a filter that may be unset: `.._from` or `.._before`. Stored times are whole milliseconds, so a bound between two of them
    /// is the later one.
    pub fn optional_bound(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
        let read = |time: &prost_types::Timestamp| {
            let rest = Duration::from_micros(u64::from(time.nanos % 1000 != 0));
            read_time(time).map(|time| time.after(rest).ceil(Timestamp::RESOLUTION))
        };
        time.map_or(Some(None), |time| self.field(field, read(time)).map(Some))
    }

    /// A duration within a range, in whole milliseconds; `usual` if it is unset.
    pub fn duration(
        &mut self,
        field: &str,
        duration: Option<prost_types::Duration>,
        range: RangeInclusive<Duration>,
        usual: Duration,
    ) -> Option<Duration> {
        let read = duration.map_or(Some(usual), |duration| Duration::try_from(duration).ok());
        let read = read.map(|duration| Duration::new(duration.as_secs(), duration.subsec_millis() * 1_000_000));
        let hours = |duration: &Duration| duration.as_secs() / 3600;
        let rule = format!("must be {} to {} hours", hours(range.start()), hours(range.end()));
        self.field(field, read.filter(|duration| range.contains(duration)).ok_or(rule))
    }

    /// The violations, each as the field and its rule.
    fn rules(self) -> Vec<String> {
        self.violations.into_iter().map(|Violation { field, rule }| format!("{field} {rule}")).collect()
    }

    /// An enum value that must be specified. `known` is `None` for an unknown number, and `Some(None)` for the unspecified value.
    pub fn choice<T>(&mut self, field: &str, known: Option<Option<T>>) -> Option<T> {
        self.field(field, specified(known))
    }

    /// An enum value that may be unspecified.
    pub fn optional_choice<T>(&mut self, field: &str, known: Option<Option<T>>) -> Option<Option<T>> {
        self.field(field, known.ok_or("must be one of the enum's values"))
    }

    /// Scopes or permissions, `min` to 100 of them.
    pub fn scopes(&mut self, field: &str, texts: &[String], min: usize) -> Option<Scopes> {
        if !(min..=Scopes::MAX).contains(&texts.len()) {
            self.violation(field, format!("must have {min} to {} items", Scopes::MAX));
            return None;
        }
        self.items(field, texts, |text| Scope::parse(text)).map(Scopes::from_iter)
    }

    /// The values of a list's items, with every violation noted.
    pub fn items<I, T, E: Display>(
        &mut self,
        field: &str,
        items: &[I],
        parse: impl Fn(&I) -> std::result::Result<T, E>,
    ) -> Option<Vec<T>> {
        let parsed = items.iter().enumerate();
        let parsed: Vec<_> = parsed.map(|(at, item)| self.field(&format!("{field}[{at}]"), parse(item))).collect();
        parsed.into_iter().collect()
    }

    /// The error with the noted violations.
    pub fn failed(self) -> Error {
        if self.violations.is_empty() {
            return Error::internal("a request was refused without a violation");
        }
        Error::Invalid(self.violations)
    }
}

/// The target of a request without other fields.
///
/// # Errors
/// [`Error::Invalid`] for an id that is not a UUID.
pub fn target<Id: From<Uuid>>(field: &str, id: &str, etag: String) -> Result<Target<Id>> {
    Ok(Target { id: id_of(field, id)?, etag })
}

/// The id of a request without other fields.
///
/// # Errors
/// [`Error::Invalid`] for an id that is not a UUID.
pub fn id_of<Id: From<Uuid>>(field: &str, text: &str) -> Result<Id> {
    uuid(text).map_err(|rule| Error::invalid(field, rule))
}

/// The items of a batch, each with its text; `None` for one that is malformed.
pub type Batch<T> = Vec<(String, Option<T>)>;

/// Reads the items of a batch.
fn batch<T, E>(texts: Vec<String>, parse: impl Fn(&str) -> std::result::Result<T, E>) -> Batch<T> {
    texts.into_iter().map(|text| (parse(&text).ok(), text)).map(|(item, text)| (text, item)).collect()
}

/// Refuses an empty batch and one of more than `most` items.
fn batch_size(field: &str, size: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&size) {
        Ok(())
    } else {
        Err(Error::invalid(field, &format!("must have 1 to {most} items")))
    }
}

fn specified<T>(known: Option<Option<T>>) -> std::result::Result<T, &'static str> {
    known.flatten().ok_or("must be one of the enum's values other than UNSPECIFIED")
}

fn uuid<Id: From<Uuid>>(text: &str) -> std::result::Result<Id, &'static str> {
    // `Uuid` accepts other forms too; here an id has a single text form.
    match Uuid::try_parse(text) {
        Ok(id) if text.len() == 36 => Ok(id.into()),
        _ => Err("must be a UUID"),
    }
}

fn read_time(time: &prost_types::Timestamp) -> std::result::Result<Timestamp, &'static str> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let micros = nanos.and_then(|nanos| time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1000)));
    micros.and_then(Timestamp::from_micros).ok_or("must be a time between the years 1 and 9999")
}

/// A time as a message, in whole milliseconds.
pub fn time(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.floor(Timestamp::RESOLUTION).as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// Scopes on the wire.
fn texts(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_comes_back_from_the_wire_as_it_was(micros in -62_135_596_800_000_000..=253_402_300_799_999_999_i64) {
            let stored = Timestamp::from_micros(micros).unwrap().floor(Timestamp::RESOLUTION);
            prop_assert_eq!(read_time(&time(stored)), Ok(stored));
        }

        #[test]
        fn reading_any_time_never_panics(seconds: i64, nanos: i32) {
            let _ = read_time(&prost_types::Timestamp { seconds, nanos });
        }
    }

    #[test]
    fn an_id_has_one_text() {
        assert!(uuid::<Uuid>("0190a5d0-0000-7000-8000-000000000000").is_ok());
        for text in ["", "x", "0190a5d0000070008000000000000000", "{0190a5d0-0000-7000-8000-000000000000}"] {
            assert!(uuid::<Uuid>(text).is_err(), "{text}");
        }
    }
}
