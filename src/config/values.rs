//! Value types and parsers of settings.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use clap::{Arg, builder::TypedValueParser, error::ErrorKind};
use zeroize::Zeroizing;

/// A day in milliseconds.
pub(super) const DAY: u64 = 24 * 60 * 60 * 1000;

/// Parses a duration such as `10s`, `30d` or `1h 30m` of `MIN..=MAX` milliseconds.
pub(super) fn duration<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(MIN)..=Duration::from_millis(MAX);
    if range.contains(&duration) {
        Ok(duration)
    } else {
        let text = |millis: u64| match millis {
            millis if millis >= DAY && millis.is_multiple_of(DAY) => format!("{}d", millis / DAY),
            millis => humantime::format_duration(Duration::from_millis(millis)).to_string(),
        };
        Err(format!("must be {} to {}", text(MIN), text(MAX)))
    }
}

/// Parses a positive number.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be 1 or more".to_owned())
}

/// Parses a number from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| "must be 0 to 1".to_owned())
}

/// Parses a size such as `256KiB` of `MIN..=MAX` KiB.
pub(super) fn size<const MIN: u64, const MAX: u64>(text: &str) -> Result<usize, String> {
    let size = bytes(text).filter(|bytes| (MIN << 10..=MAX << 10).contains(bytes));
    let size = size.and_then(|bytes| usize::try_from(bytes).ok());
    size.ok_or_else(|| format!("must be {} to {}, such as 256KiB", size_text(MIN), size_text(MAX)))
}

fn size_text(kib: u64) -> String {
    if kib.is_multiple_of(1024) { format!("{}MiB", kib / 1024) } else { format!("{kib}KiB") }
}

/// Parses a number of bytes with its unit.
fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A number of bytes, such as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = bytes(text).filter(|bytes| (1 << 20..=1 << 36).contains(bytes));
        bytes.map(Self).ok_or_else(|| "must be 1MiB to 64GiB, such as 64MiB".to_owned())
    }
}

/// A secret setting. Its `Debug` output is redacted.
#[derive(Clone)]
pub struct SecretText(pub Zeroizing<String>);

impl std::str::FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// Location of the database. Its `Debug` output omits the password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, as `tokio_postgres` parses it.
    Postgres(Zeroizing<String>),
}

impl std::str::FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let names_a_file =
                !path.is_empty() && !path.contains('?') && !path.contains(":memory:") && !path.contains('\0');
            return if names_a_file {
                Ok(Self::Sqlite(PathBuf::from(path)))
            } else {
                Err("a SQLite URL is sqlite:FILE; an in-memory database would not outlive the process")
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(Zeroizing::new(text.to_owned())));
        }
        // Never repeat the text: it may contain a password.
        Err("it must begin with sqlite:, postgres:// or postgresql://")
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://.."),
        }
    }
}

/// Parses a database URL. Unlike clap's own messages, its errors never repeat the value, which may contain a password.
#[derive(Clone)]
pub(super) struct DatabaseUrlParser;

impl TypedValueParser for DatabaseUrlParser {
    type Value = DatabaseUrl;

    fn parse_ref(&self, _: &clap::Command, _: Option<&Arg>, value: &OsStr) -> Result<DatabaseUrl, clap::Error> {
        let parsed = value.to_str().ok_or("it is not UTF-8").and_then(str::parse);
        parsed.map_err(|rule| {
            let text = format!("the database URL (--database-url, TENANTRY_DATABASE_URL) cannot be used: {rule}\n");
            clap::Error::raw(ErrorKind::ValueValidation, text)
        })
    }
}
