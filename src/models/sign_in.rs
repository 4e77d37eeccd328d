//! How often a password may be guessed.
//!
//! Wrong ones are counted in a row, for an account and not for how its e-mail was written, and further tries have to wait longer and
//! longer: there is no lock that a stranger could turn against the owner for good. Tries that come too early are not looked at and not
//! counted. An address from which the user has a session is counted apart, so that strangers do not keep the user out there.
//!
//! All counts of an account together stay within the hundred that NIST SP 800-63B-4 section 3.2.2 allows in a row: half of them
//! are for unknown addresses, half for all familiar addresses together. What one side uses up is never taken from the other.

use std::time::Duration;

use uuid::Uuid;

use super::{Timestamp, UserId, session::IpText, stored::stored_as_is};

/// Wrong passwords in a row that cost no time.
const FREE: i64 = 10;
/// Wrong passwords in a row from unknown addresses from which on each costs a day.
const MOST_UNKNOWN: i64 = 50;
/// The same for one familiar address. Fewer than for all of them together, so that a bad neighbour at one address leaves room for
/// the user at another.
const MOST_OF_FAMILIAR: i64 = 20;
/// The same for all familiar addresses of an account together.
const MOST_FAMILIAR: i64 = 50;
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

    /// Wrong passwords in a row from here from which on each costs a day.
    fn most(&self) -> i64 {
        if self.is_familiar() { MOST_OF_FAMILIAR } else { MOST_UNKNOWN }
    }

    /// How long what a familiar address tried has to be remembered: after that it may try again in any case.
    pub const REMEMBERED: Duration = LONG.1;
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
    /// When the next one from a source is looked at.
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

    /// This and another one from the same source, unless it comes too early.
    pub fn and_one(self, source: &Source, now: Timestamp) -> Option<Self> {
        // Of several at once the later one may be counted first.
        let is_time = self.count < FREE || self.next_at(source) <= now;
        is_time.then_some(Self { count: self.count.saturating_add(1), last: self.last.max(now) })
    }

    /// The same for a familiar address, given what is counted for every familiar address of the account, this one included.
    pub fn and_one_familiar(self, source: &Source, all: &[Self], now: Timestamp) -> Option<Self> {
        // An address that has used up its own part waits a day each time anyway, and takes nothing from the others.
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
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

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

    /// Tries from so many familiar addresses, each as often as it may within a day, and tells how many were compared.
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
        // For months, as often as it may.
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
