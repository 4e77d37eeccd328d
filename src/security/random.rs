//! The only source of randomness: the operating system's generator.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
};

use uuid::{Builder, Uuid};

use crate::models::Timestamp;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Generates random bytes.
///
/// Panics if the system provides no randomness: an identity service cannot run without it.
#[expect(clippy::expect_used, reason = "nothing here is safe without randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// The system's generator, as the type that the signing library takes.
pub fn generator() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

/// `length` random letters and digits, uniform over 62: 5.95 bits of randomness per character.
pub fn base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Bytes from 248 on would favor the first eight characters.
        let alike = bytes::<64>().into_iter().filter(|byte| *byte < 248);
        text.extend(alike.filter_map(base62_digit).take(length - text.len()));
    }
    text
}

/// An id for a call: 64 bits in hexadecimal. It is a keyed hash of a counter, so it costs no system call. Unlike everything else here it
/// is not secret.
pub fn call_id() -> String {
    thread_local! {
        /// The hash key and the counter of this thread.
        static CALLS: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let number = CALLS.with(|(state, count)| {
        count.set(count.get().wrapping_add(1));
        state.hash_one(count.get())
    });
    format!("{number:016x}")
}

/// The last `length` base62 digits of a number.
pub fn to_base62(mut number: u128, length: usize) -> String {
    let mut digits = Vec::with_capacity(length);
    for _ in 0..length {
        digits.extend(u8::try_from(number % 62).ok().and_then(base62_digit));
        number /= 62;
    }
    digits.into_iter().rev().collect()
}

/// The number that base62 digits denote. `None` for other characters, or more than 128 bits.
pub fn from_base62(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |number, digit| {
        // The digits are sorted by their codes.
        let value = u128::try_from(BASE62.binary_search(&digit).ok()?).ok()?;
        number.checked_mul(62)?.checked_add(value)
    })
}

/// The base62 digit of `number` modulo 62.
fn base62_digit(number: u8) -> Option<char> {
    BASE62.get(usize::from(number % 62)).map(|byte| char::from(*byte))
}

/// A new UUID version 7 for `now`. The 12 bits after the milliseconds carry the microseconds (RFC 9562 section 6.2, method 3), so the ids
/// of a process sort by creation time.
pub fn uuid(now: Timestamp) -> Uuid {
    let micros = now.as_micros().max(0).unsigned_abs();
    let [high, low] = fraction(micros);
    let mut random = bytes::<10>();
    random[..2].copy_from_slice(&[high, low]);
    Builder::from_unix_timestamp_millis(micros / 1000, &random).into_uuid()
}

/// The smallest UUID version 7 that [`uuid()`] can return at `time` or later.
pub fn first_uuid_at(time: Timestamp) -> Uuid {
    let micros = time.as_micros().max(0).unsigned_abs();
    let [high, low] = fraction(micros);
    Builder::from_unix_timestamp_millis(micros / 1000, &[high, low, 0, 0, 0, 0, 0, 0, 0, 0]).into_uuid()
}

fn fraction(micros: u64) -> [u8; 2] {
    u16::try_from((micros % 1000) * 4096 / 1000).unwrap_or(0).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_they_were_made() -> Result<(), &'static str> {
        let at = |micros| Timestamp::from_micros(micros).ok_or("range");
        let start = 1_700_000_000_000_000;
        for step in [1, 999, 1000, 1001, 3_600_000_000] {
            let (earlier, later) = (at(start)?, at(start + step)?);
            assert!(uuid(earlier) < uuid(later), "{step} µs apart");
            assert!(first_uuid_at(later) <= uuid(later) && first_uuid_at(later) > uuid(earlier));
        }
        Ok(())
    }

    #[test]
    fn random_text_has_the_asked_length_and_only_letters_and_digits() {
        for length in [0, 1, 43, 200] {
            let text = base62(length);
            assert!(text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        assert_ne!(base62(43), base62(43));
    }
}
