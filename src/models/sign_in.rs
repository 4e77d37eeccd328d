//! Limits on guessing a password.
//!
//! Wrong passwords in a row are counted per account, however its e-mail is spelled, and further attempts have to wait longer and longer.
//! There is no permanent lock that a stranger could turn against the owner. Attempts that come too early are neither compared nor
//! counted. An address from which the user has a session is counted separately, so that strangers cannot lock the user out there.
//!
//! The counts of an account add up to at most the hundred consecutive failures that NIST SP 800-63B-4 section 3.2.2 allows: half of them
//! for unknown addresses, half for all familiar addresses together. Neither half can use up the other.

use std::time::Duration;

use uuid::Uuid;

use super::{Timestamp, UserId, session::IpText, stored::stored_as_is};

/// Wrong passwords in a row that cause no wait.
const FREE: i64 = 10;
/// Number of wrong passwords in a row, from unknown addresses, from which each further one has to wait a day.
const MOST_UNKNOWN: i64 = 50;
/// The same for one familiar address. Fewer than for all of them together, so that a bad neighbour at one address leaves room for the
/// user at another.
const MOST_OF_FAMILIAR: i64 = 20;
/// The same for all familiar addresses of an account together.
const MOST_FAMILIAR: i64 = 50;
/// The maximum wait below that number, and the wait from that number on.
const LONG: (Duration, Duration) = (Duration::from_mins(15), Duration::from_hours(24));
/// Number of decoy accounts.
const DECOYS: u128 = 1024;

/// The account of a sign-in attempt: a user or, for an unknown address, one of a fixed number of decoys that cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountId(pub Uuid);

impl AccountId {
    /// The decoy selected by some bytes.
    pub fn decoy(bytes: [u8; 16]) -> Self {
        // UUIDs in use never have version 0.
        Self(Uuid::from_u128(u128::from_be_bytes(bytes) % DECOYS))
    }
}

impl From<UserId> for AccountId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

/// The source of an attempt: a familiar address, from which the user has a live session, or any other.
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

    /// Number of wrong passwords in a row from here from which each further one has to wait a day.
    fn most(&self) -> i64 {
        if self.is_familiar() { MOST_OF_FAMILIAR } else { MOST_UNKNOWN }
    }

    /// How long the failures of a familiar address are stored: after that it may try again in any case.
    pub const REMEMBERED: Duration = LONG.1;
}

stored_as_is!(Source);

/// Wrong passwords in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Their number.
    pub count: i64,
    /// The time of the last one.
    pub last: Timestamp,
}

impl Failures {
    /// When the next attempt from a source is compared.
    fn next_at(self, source: &Source) -> Timestamp {
        let wait = match self.count {
            count if count < FREE => Duration::ZERO,
            count if count >= source.most() => LONG.1,
            count => {
                let doublings = u32::try_from(count - FREE).unwrap_or(u32::MAX);
                let seconds = 1_u64.checked_shl(doublings).filter(|_| doublings < 32).unwrap_or(u64::MAX);
                Duration::from_secs(seconds).min(LONG.0)
            }
        };
        self.last.after(wait)
    }

    /// These and one more from the same source, unless it comes too early.
    pub fn and_one(self, source: &Source, now: Timestamp) -> Option<Self> {
        // Of several concurrent ones, the later one may be counted first.
        let is_time = self.count < FREE || self.next_at(source) <= now;
        is_time.then_some(Self { count: self.count.saturating_add(1), last: self.last.max(now) })
    }

    /// The same for a familiar address. `all` are the counts of every familiar address of the account, including this one.
    pub fn and_one_familiar(self, source: &Source, all: &[Self], now: Timestamp) -> Option<Self> {
        // An address that has used up its own part has to wait a day each time anyway, and takes nothing from the others.
        if self.count < MOST_OF_FAMILIAR {
            let sum = all.iter().fold(0_i64, |sum, one| sum.saturating_add(one.count.min(MOST_OF_FAMILIAR)));
            let last = all.iter().map(|one| one.last).max();
            if sum >= MOST_FAMILIAR && last.is_some_and(|last| now < last.after(LONG.1)) {
                return None;
            }
        }
        self.and_one(source, now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn begin() -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).unwrap()
    }

    fn address(last: u8) -> Source {
        Source::familiar(&IpText::parse(&format!("192.0.2.{last}")).unwrap())
    }

    #[test]
    fn ten_are_free_and_from_the_fiftieth_on_each_takes_a_day() {
        let source = Source::default();
        let (mut failures, mut now) = (Failures { count: 0, last: begin() }, begin());
        for count in 1..=100 {
            if count > 10 {
                let early = failures.next_at(&source).before(Duration::from_micros(1));
                assert_eq!(failures.and_one(&source, early), None, "{count}");
            }
            now = failures.next_at(&source).max(now);
            failures = failures.and_one(&source, now).unwrap();
            assert_eq!(failures.count, count);
            match count {
                10 => assert_eq!(now, begin()),
                50 => assert!(
                    now > begin().after(Duration::from_hours(7)) && now < begin().after(Duration::from_hours(8))
                ),
                100 => assert!(now > begin().after(Duration::from_hours(50 * 24))),
                _ => {}
            }
        }
    }

    /// Tries from a number of familiar addresses, each as often as allowed within a day. Returns how many attempts were compared.
    fn compared_within_a_day(addresses: u8) -> i64 {
        let mut all: Vec<Failures> = (0..addresses).map(|_| Failures { count: 0, last: begin() }).collect();
        let mut now = begin();
        while now < begin().after(Duration::from_hours(23)) {
            for at in 0..addresses {
                let source = address(at);
                while let Some(next) = all[usize::from(at)].and_one_familiar(&source, &all, now) {
                    all[usize::from(at)] = next;
                }
            }
            now = now.after(Duration::from_mins(1));
        }
        all.iter().map(|one| one.count).sum()
    }

    #[test]
    fn however_many_addresses_are_familiar_the_sum_of_an_account_is_at_most_a_hundred() {
        for addresses in [1, 2, 3, 15, 100] {
            let familiar = compared_within_a_day(addresses);
            assert_eq!(familiar, MOST_FAMILIAR.min(i64::from(addresses) * MOST_OF_FAMILIAR), "{addresses}");
            assert!(MOST_UNKNOWN + familiar <= 100);
        }
    }

    #[test]
    fn one_bad_neighbour_takes_no_other_familiar_address_along() {
        let (here, there) = (address(1), address(2));
        let mut all = vec![Failures { count: 0, last: begin() }; 2];
        let mut now = begin();
        // For months, as often as allowed.
        while all[0].count < 100 {
            if let Some(next) = all[0].and_one_familiar(&here, &all, now) {
                all[0] = next;
            }
            assert!(all[1].and_one_familiar(&there, &all, now).is_some());
            now = now.after(Duration::from_mins(10));
        }
    }

    #[test]
    fn no_decoy_is_a_user() {
        for bytes in [[0; 16], [7; 16], [255; 16]] {
            assert_eq!(AccountId::decoy(bytes).0.get_version_num(), 0);
        }
    }
}
