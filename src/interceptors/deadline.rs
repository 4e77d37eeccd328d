//! Ends a call that takes longer than its client waits or the server allows.

use std::time::Duration;

use http::{HeaderMap, Response};
use tonic::{Status, body::Body};

use super::{Layer, Next, Received};
use crate::error::Error;

/// The metadata key of the client's timeout.
const HEADER: &str = "grpc-timeout";
/// Maximum number of digits in it.
const MAX_DIGITS: usize = 8;

/// Limits every call, whatever its client's timeout.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Duration);

impl Layer for Deadline {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        let limit = client_timeout(&request.head.headers).map_or(self.0, |timeout| timeout.min(self.0));
        let expired = || Status::from(Error::DeadlineExceeded).into_http();
        // A zero timeout would still let a call that finishes without waiting be answered, although its client is gone.
        if limit.is_zero() {
            return expired();
        }
        tokio::time::timeout(limit, next.call(request)).await.unwrap_or_else(|_| expired())
    }
}

/// The client's timeout: up to 8 digits and a unit. Anything else is ignored.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().unwrap());
        client_timeout(&headers)
    }

    #[test]
    fn each_unit_of_the_protocol_is_read() {
        assert_eq!(read("2H"), Some(Duration::from_hours(2)));
        assert_eq!(read("2M"), Some(Duration::from_mins(2)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("2m"), Some(Duration::from_millis(2)));
        assert_eq!(read("2u"), Some(Duration::from_micros(2)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn what_is_no_timeout_says_nothing() {
        for text in ["", "S", "5", "-1S", "+1S", "1 S", "1.5S", "123456789S", "1s", "1SS"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(client_timeout(&HeaderMap::new()), None);
    }
}
