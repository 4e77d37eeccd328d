//! How often a password may be guessed.
//!
//! Wrong ones are counted in a row, for an account and not for how its e-mail was written, and further tries have to wait longer and
//! longer: there is no lock that a stranger could turn against the owner for good. Tries that come too early are not looked at and not
//! counted. An address from which the user has a session is counted apart, so that strangers do not keep the user out there.

use std::time::Duration;

use uuid::Uuid;

use super::{Timestamp, UserId, refresh_token::IpText, stored::stored_as_is};

/// Wrong passwords in a row that cost no time.
const FREE: i64 = 10;
/// Wrong passwords in a row from which on each costs a day (NIST SP 800-63B-4 section 3.2.2 allows 100 in a row).
const MANY: i64 = 100;
/// The longest wait before that, and the wait from then on.
const LONG: (Duration, Duration) = (Duration::from_mins(15), Duration::from_hours(24));
/// How many decoys there are.
const DECOYS: u128 = 1024;

/// Who signs in, perhaps: a user, or, for an address that nobody has, one of a fixed number of decoys, so that it costs the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountId(pub Uuid);

impl AccountId {
    /// The decoy that some bytes lead to.
    pub fn decoy(bytes: [u8; 16]) -> Self {
        // No UUID that is made has version 0.
        Self(Uuid::from_u128(u128::from_be_bytes(bytes) % DECOYS))
    }
}

impl From<UserId> for AccountId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

/// From where somebody tries: an address from which the user has signed in, in a session that goes on, or anywhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    /// An address from which the user has a session.
    pub fn familiar(address: &IpText) -> Self {
        use super::stored::StoredText as _;
        Self(address.as_stored().to_owned())
    }

    /// True for an address from which the user has a session.
    pub fn is_familiar(&self) -> bool {
        !self.0.is_empty()
    }
}

stored_as_is!(Source);

/// Wrong passwords in a row, and when the last one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: i64,
    /// When.
    pub last: Timestamp,
}

impl Failures {
    /// When the next one is looked at.
    pub fn next_at(self) -> Timestamp {
        let wait = match self.count {
            count if count < FREE => Duration::ZERO,
            count if count >= MANY => LONG.1,
            count => {
                let doublings = u32::try_from(count - FREE).unwrap_or(u32::MAX);
                let seconds = 1_u64.checked_shl(doublings).filter(|_| doublings < 32).unwrap_or(u64::MAX);
                Duration::from_secs(seconds).min(LONG.0)
            }
        };
        self.last.after(wait)
    }

    /// This and another one, unless it comes too early.
    pub fn and_one(self, now: Timestamp) -> Option<Self> {
        // Of several at once the later one may be counted first.
        let is_time = self.count < FREE || self.next_at() <= now;
        is_time.then_some(Self { count: self.count.saturating_add(1), last: self.last.max(now) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

    use super::*;

    #[test]
    fn ten_are_free_a_hundred_take_a_day_and_from_then_on_each_takes_one() {
        let begin = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
        let (mut failures, mut now) = (Failures { count: 0, last: begin }, begin);
        for count in 1..=150 {
            if count > 10 {
                let early = failures.next_at().before(Duration::from_micros(1));
                assert_eq!(failures.and_one(early), None, "{count}");
            }
            now = failures.next_at().max(now);
            failures = failures.and_one(now).unwrap();
            assert_eq!(failures.count, count);
            match count {
                10 => assert_eq!(now, begin),
                100 => {
                    assert!(now > begin.after(Duration::from_hours(20)) && now < begin.after(Duration::from_hours(24)));
                }
                150 => assert!(now > begin.after(Duration::from_hours(50 * 24))),
                _ => {}
            }
        }
    }

    #[test]
    fn no_decoy_is_a_user() {
        for bytes in [[0; 16], [7; 16], [255; 16]] {
            assert_eq!(AccountId::decoy(bytes).0.get_version_num(), 0);
        }
    }
}
