//! A point in time.

use std::time::Duration;

/// UTC, in microseconds since 1970. The current time has all of them, so that ids sort in order of creation; stored times, and those that
/// clients see, are whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The resolution of stored times, and of the times in messages: the coarsest that clients have. A time that a client has read and sends
    /// back equals the stored one, even if its language keeps only milliseconds. `db` applies it to every column, `grpc::convert` to every
    /// message.
    pub const RESOLUTION: Duration = Duration::from_millis(1);

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

    /// Rounded up to a multiple of `unit` since 1970, limited to the end of the year 9999.
    pub fn ceil(self, unit: Duration) -> Self {
        let floor = self.floor(unit);
        if floor == self { self } else { floor.after(unit) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_to_the_resolution() {
        let rounded = |micros| {
            let time = Timestamp::from_micros(micros).unwrap();
            (time.floor(Timestamp::RESOLUTION).as_micros(), time.ceil(Timestamp::RESOLUTION).as_micros())
        };
        assert_eq!(rounded(1_000), (1_000, 1_000));
        assert_eq!(rounded(1_001), (1_000, 2_000));
        assert_eq!(rounded(-1), (-1_000, 0));
        assert_eq!(rounded(253_402_300_799_999_999).1, 253_402_300_799_999_999);
    }
}
