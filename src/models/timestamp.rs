//! A point in time, with the precision of both databases.

use std::time::Duration;

/// UTC, in microseconds since 1970. Either database returns exactly what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The range of `google.protobuf.Timestamp`: the years 1 to 9999.
    const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

    /// The time `micros` microseconds after 1970. `None` outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        Self::RANGE.contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Rounded down to a multiple of `unit` since 1970.
    pub fn floor(self, unit: Duration) -> Self {
        let unit = i64::try_from(unit.as_micros()).unwrap_or(i64::MAX).max(1);
        Self(self.0.saturating_sub(self.0.rem_euclid(unit)).max(*Self::RANGE.start()))
    }

    /// Later by `duration`, limited to the end of the year 9999.
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(*Self::RANGE.end()))
    }

    /// Earlier by `duration`, limited to the beginning of the year 1.
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(*Self::RANGE.start()))
    }
}
