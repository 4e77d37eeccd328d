//! IP addresses, and the ranges that an API key may be used from.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{scope::strings, stored::StoredJson};

/// The network that an address is counted under. An IPv6 user has many addresses, so all of a /64 count as one.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

/// Parses an address, such as `192.0.2.1` or `2001:db8::1`. Ignores what proxies add: a port, brackets, a zone, and surrounding
/// whitespace.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let is_end = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return without_zone(address).filter(|_| is_end);
    }
    // Without brackets, only the port of an IPv4 address is unambiguous.
    let v4 = text.split_once(':').filter(|(_, port)| is_port(port)).map_or(text, |(address, _)| address);
    v4.parse().ok().map(IpAddr::V4).or_else(|| without_zone(text))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// An IPv6 address, optionally with a zone such as `%eth0`, which has a meaning only on its own machine.
fn without_zone(text: &str) -> Option<IpAddr> {
    let (address, zone) = text.split_once('%').map_or((text, "0"), |(address, zone)| (address, zone));
    let is_zone = (1..=64).contains(&zone.len()) && zone.bytes().all(|b| b.is_ascii_graphic());
    address.parse().ok().map(IpAddr::V6).filter(|_| is_zone)
}

/// A sorted set of ranges of IP addresses. The empty set allows every address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpRanges(Vec<IpNet>);

/// One range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpRange(IpNet);

impl IpRange {
    /// Parses a range, such as `192.0.2.0/24`, or a single address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let range: Option<IpNet> = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into())).ok();
        match range {
            // Addresses are compared in canonical form, so such a range would match none.
            Some(IpNet::V6(range)) if range.addr().to_ipv4_mapped().is_some() => {
                Err("must have an IPv4 address in its own form, not mapped to IPv6")
            }
            Some(range) if range == range.trunc() => Ok(Self(range)),
            Some(_) => Err("must have no bits set beyond its prefix length, as in 192.0.2.0/24"),
            None => Err("must be an IPv4 or IPv6 address, or a range such as 192.0.2.0/24"),
        }
    }
}

impl IpRanges {
    /// Maximum number of ranges of a key.
    pub const MAX: usize = 50;

    /// True if an address is in one of the ranges. An unknown address is allowed only by the empty set.
    pub fn allow(&self, address: Option<IpAddr>) -> bool {
        let is_in_one = |address: IpAddr| self.0.iter().any(|range| range.contains(&address.to_canonical()));
        self.0.is_empty() || address.is_some_and(is_in_one)
    }

    /// True if every address that `others` allows is allowed here.
    pub fn cover(&self, others: &Self) -> bool {
        let covers = |other: &IpNet| self.0.iter().any(|range| range.contains(other));
        self.0.is_empty() || !others.0.is_empty() && others.0.iter().all(covers)
    }

    /// The ranges as texts.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

impl FromIterator<IpRange> for IpRanges {
    fn from_iter<I: IntoIterator<Item = IpRange>>(ranges: I) -> Self {
        let mut ranges: Vec<IpNet> = ranges.into_iter().map(|range| range.0).collect();
        ranges.sort();
        ranges.dedup();
        Self(ranges)
    }
}

impl StoredJson for IpRanges {
    fn to_stored(&self) -> Value {
        self.texts().map(Value::from).collect()
    }

    fn from_stored(json: Value) -> Result<Self, String> {
        strings(json)?.iter().map(|text| IpRange::parse(text).map_err(str::to_owned)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn an_address_is_taken_out_of_what_proxies_write_around_it() {
        for (text, address) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:51234", "203.0.113.7"),
            (" 203.0.113.7 ", "203.0.113.7"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:1", "203.0.113.7"),
        ] {
            assert_eq!(
                parse_address(text).map(|read| read.to_canonical().to_string()),
                Some(address.to_owned()),
                "{text}"
            );
        }
        for text in [
            "unknown",
            "_hidden",
            "203.0.113.7:",
            "203.0.113.7:99999",
            "203.0.113.7:+1",
            "203.0.113.7%eth0",
            "[203.0.113.7]",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "fe80::1%",
            "1.2.3.4, 5.6.7.8",
            "example.com:80",
            ":80",
            "",
        ] {
            assert!(parse_address(text).is_none(), "{text}");
        }
    }

    fn ranges(texts: &[&str]) -> IpRanges {
        texts.iter().map(|text| IpRange::parse(text).unwrap()).collect()
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "x", "10.0.0.0/33", "10.0.0.1/8", "::1/64", "::ffff:10.0.0.0/104", "10.0.0.0/-1", "10.0.0/8"] {
            assert!(IpRange::parse(text).is_err(), "{text}");
        }
        let sorted: Vec<String> = ranges(&["2001:db8::/32", "192.0.2.7", "10.0.0.0/8", "10.0.0.0/8"]).texts().collect();
        assert_eq!(sorted, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    }

    #[test]
    fn no_range_allows_every_address_and_any_range_none_that_is_not_known() {
        let (all, some) = (IpRanges::default(), ranges(&["10.0.0.0/8", "2001:db8::/32"]));
        assert!(all.allow(None));
        for (address, is_allowed) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(some.allow(address.parse().ok()), is_allowed, "{address}");
        }
        assert!(!some.allow(None));
    }

    #[test]
    fn ranges_cover_what_allows_no_more() {
        let (all, wide, narrow) =
            (IpRanges::default(), ranges(&["10.0.0.0/8"]), ranges(&["10.1.0.0/16", "10.2.0.0/16"]));
        assert!(all.cover(&wide) && all.cover(&all) && wide.cover(&narrow) && wide.cover(&wide));
        assert!(!wide.cover(&all) && !narrow.cover(&wide) && !wide.cover(&ranges(&["10.1.0.0/16", "11.0.0.0/8"])));
    }
}
