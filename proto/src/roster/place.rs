//! Addresses, networks and dates as a roster writes them. Each is written in one way.

use crate::limits::NAME_BYTES_MAX;
use crate::time::{Timestamp, civil_from_days, days_from_civil};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Host and port. The host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let number: u16 = port.parse().map_err(|_| ())?;
        let good_host = if host.starts_with('[') || is_like_ipv4(host) {
            text.parse::<SocketAddr>().is_ok_and(|address| address.to_string() == text)
        } else {
            is_host_name(host)
        };
        if good_host && number != 0 && number.to_string() == port { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Digits and dots must be a whole address: `10.0.0.300` is a mistake, not a name.
fn is_like_ipv4(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Lower case letters, digits, `-`, `_` and dots between them.
pub(super) fn is_host_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-');
    text.len() <= NAME_BYTES_MAX && text.split('.').all(label)
}

/// Scheme, host and port, as a browser names an origin: no path, no slash at the end.
pub(super) fn is_origin(text: &str) -> bool {
    let Some(place) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    place.parse::<Address>().is_ok() || is_host_name(place)
}

/// All addresses that begin alike: `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// How many bits are alike.
    bits: u8,
}

impl Network {
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.masked(address) == Some(number(self.first))
    }

    fn masked(&self, address: IpAddr) -> Option<u128> {
        let away = width(address).checked_sub(self.bits)?;
        Some(number(address).checked_shr(away.into()).unwrap_or(0).checked_shl(away.into()).unwrap_or(0))
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| ())?;
        let bits = bits.map_or(Ok(width(first)), |bits| bits.parse().map_err(|_| ()))?;
        let network = Self { first, bits };
        let whole = network.masked(first) == Some(number(first));
        let one_spelling = network.to_string() == text || network.first.to_string() == text;
        if whole && one_spelling && first.to_canonical() == first { Ok(network) } else { Err(()) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// A day, UTC: `2027-06-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    days: i64,
}

impl Date {
    /// The day's first moment.
    #[must_use]
    pub fn begins(self) -> Timestamp {
        Timestamp::from_seconds(self.days.saturating_mul(86_400))
    }

    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self { days: time.seconds().div_euclid(86_400) }
    }
}

impl FromStr for Date {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<u32>().map_err(|_| ()));
        let mut next = || parts.next().ok_or(())?;
        let (year, month, day) = (next()?, next()?, next()?);
        // What timestamps reach; within it no month has a number that is not checked by spelling it back.
        if !(1970..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(());
        }
        let date = Self { days: days_from_civil(i64::from(year), month, day) };
        if date.to_string() == text { Ok(date) } else { Err(()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.days);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["10.0.0.1:4433", "[::1]:1", "[2001:db8::1]:65535", "buck-1.example.org:80", "localhost:4433"] {
            assert_eq!(good.parse::<Address>().map(|address| address.to_string()), Ok(good.to_owned()));
        }
        let bad = [
            "",
            ":",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1:+1",
            "10.0.0.1:01",
            "10.0.0.300:1",
            "::1:1",
            "[::1:1",
            "[2001:DB8::1]:1",
            "[0::1]:1",
            "a b:1",
            "Buck:1",
            "a..b:1",
            "-a:1",
            "a/b:1",
            "é:1",
            ":1",
            "1.2:3",
        ];
        for bad in bad {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn origins() {
        for good in ["https://logs.example.org", "http://localhost:8080", "https://[::1]:1", "https://10.0.0.1:443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["", "https://", "logs", "https://a/", "https://a/b", "javascript:x", "https://a b", "https://a'b"] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.holds(address.parse().expect("an address")), expected, "{address} in {network}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("10.0.0.7", "10.0.0.7", true);
        check("10.0.0.7", "10.0.0.6", false);
        check("0.0.0.0/0", "255.1.2.3", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "1.2.3.4", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "::1/129", "10/8", "::ffff:1.2.3.4"] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dates() {
        let date: Date = "2027-06-01".parse().expect("a date");
        assert_eq!(date.begins().to_string(), "2027-06-01T00:00:00.000000000Z");
        assert_eq!(Date::of(Timestamp(date.begins().0 - 1)).to_string(), "2027-05-31");
        for bad in [
            "",
            "2027",
            "2027-6-1",
            "2027-02-29",
            "2027-13-01",
            "2027-00-01",
            "1969-12-31",
            "9999-01-01",
            "2027-06-01x",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad:?}");
        }
    }
}
