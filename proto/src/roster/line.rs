//! One line of a roster: text to peer, and peer to text.

use super::place::{is_host_name, is_origin};
use super::{Environments, Peer, Role, Standing};
use crate::ids::{Environment, NodeId};
use crate::seal::{NotAKey, PublicKey};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A line's bytes; a list of environments or hosts has room, a megabyte pasted by mistake has not.
const LINE_BYTES_MAX: usize = 4096;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("it is not text")]
    NotText,
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    Long,
    #[error("{0:?} is no role; roles are buck, tailer, porter, web, reader and admin")]
    Role(String),
    #[error("after the role comes a public key")]
    NoKey,
    #[error(transparent)]
    Key(#[from] NotAKey),
    #[error("{0:?} is no option")]
    Option(String),
    #[error("`{option}` is no option for role {role}")]
    Misplaced { option: &'static str, role: Role },
    #[error("`{0}` stands there twice")]
    Repeated(&'static str),
    #[error("`{option}` wants {wants}, not {text:?}")]
    Value { option: &'static str, wants: &'static str, text: String },
    #[error("role {role} needs `{option}`")]
    Missing { option: &'static str, role: Role },
    #[error("a buck is `retiring` or `lost`, not both")]
    RetiringAndLost,
    #[error("its key is that of line {line}")]
    SameKey { line: usize },
    #[error("its address is that of line {line}")]
    SameAddress { line: usize },
    #[error("node {id} stands on line {line}, and only key and `expires` may differ")]
    SameNode { id: NodeId, line: usize },
    #[error("node {id} stands there a third time")]
    ThirdKey { id: NodeId },
}

/// `None` for a line that is empty or only a comment.
pub(super) fn parse(line: &[u8]) -> Result<Option<Peer>, Problem> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Problem::Long);
    }
    let text = std::str::from_utf8(line).map_err(|_| Problem::NotText)?;
    let mut words = text.split_ascii_whitespace().take_while(|word| !word.starts_with('#'));
    let Some(role) = words.next() else { return Ok(None) };
    let role = Role::ALL.into_iter().find(|known| known.as_str() == role).ok_or_else(|| Problem::Role(cut(role)))?;
    let key: PublicKey = words.next().ok_or(Problem::NoKey)?.parse()?;
    let mut peer = Peer::new(role, key, NodeId(0));
    let mut seen = BTreeSet::new();
    for word in words {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let option = Known::of(name).ok_or_else(|| Problem::Option(cut(word)))?;
        if !option.roles.contains(&role) {
            return Err(Problem::Misplaced { option: option.name, role });
        }
        if !seen.insert(option.name) {
            return Err(Problem::Repeated(option.name));
        }
        (option.take)(&mut peer, value).ok_or_else(|| option.refuse(value))?;
    }
    check_whole(&peer, &seen)?;
    Ok(Some(peer))
}

fn check_whole(peer: &Peer, seen: &BTreeSet<&'static str>) -> Result<(), Problem> {
    let needed: &[&'static str] = if peer.role == Role::Buck { &["id", "addr"] } else { &["id"] };
    if let Some(option) = needed.iter().find(|option| !seen.contains(*option)) {
        return Err(Problem::Missing { option, role: peer.role });
    }
    if seen.contains("retiring") && seen.contains("lost") { Err(Problem::RetiringAndLost) } else { Ok(()) }
}

/// What is quoted from a bad line.
fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// An option, who may have it, and how it is taken.
struct Known {
    name: &'static str,
    wants: &'static str,
    roles: &'static [Role],
    take: fn(&mut Peer, Option<&str>) -> Option<()>,
}

impl Known {
    fn of(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name)
    }

    fn refuse(&self, value: Option<&str>) -> Problem {
        Problem::Value { option: self.name, wants: self.wants, text: cut(value.unwrap_or_default()) }
    }
}

const OPTIONS: [Known; 11] = [
    Known {
        name: "id",
        wants: "16 digits of lower-case hex",
        roles: &Role::ALL,
        take: |peer, value| set(&mut peer.id, value),
    },
    Known {
        name: "addr",
        wants: "host:port, an IPv6 host in brackets",
        roles: &[Role::Buck, Role::Porter],
        take: |peer, value| set_some(&mut peer.address, value),
    },
    Known {
        name: "domain",
        wants: "a name of lower-case letters, digits, dots, - and _",
        roles: &[Role::Buck],
        take: |peer, value| take_text(&mut peer.domain, value, is_host_name),
    },
    Known {
        name: "env",
        wants: "names of environments, or *",
        roles: &[Role::Tailer, Role::Web, Role::Reader, Role::Admin],
        take: |peer, value| set(&mut peer.environments, value),
    },
    Known {
        name: "host",
        wants: "names of hosts",
        roles: &[Role::Tailer],
        take: |peer, value| {
            peer.hosts = list(value?, |host| is_host_label(host).then(|| host.to_owned()))?;
            Some(())
        },
    },
    Known {
        name: "from",
        wants: "networks such as 10.0.0.0/8",
        roles: &Role::ALL,
        take: |peer, value| {
            peer.from = value?.split(',').map(|network| network.parse().ok()).collect::<Option<_>>()?;
            Some(())
        },
    },
    Known {
        name: "rate",
        wants: "a number above 0 and kB/s, MB/s or GB/s",
        roles: &[Role::Tailer],
        take: |peer, value| {
            peer.bytes_per_second = Some(rate(value?)?);
            Some(())
        },
    },
    Known {
        name: "expires",
        wants: "a date such as 2027-06-01",
        roles: &Role::ALL,
        take: |peer, value| set_some(&mut peer.expires, value),
    },
    Known {
        name: "web",
        wants: "an origin such as https://logs.example.org:8443",
        roles: &[Role::Web, Role::Buck],
        take: |peer, value| take_text(&mut peer.web, value, is_origin),
    },
    Known {
        name: "retiring",
        wants: "nothing behind it",
        roles: &[Role::Buck],
        take: |peer, value| {
            peer.standing = Standing::Retiring;
            value.is_none().then_some(())
        },
    },
    Known {
        name: "lost",
        wants: "a date such as 2027-06-01",
        roles: &[Role::Buck, Role::Tailer],
        take: |peer, value| {
            peer.standing = Standing::Lost(value?.parse().ok()?);
            Some(())
        },
    },
];

fn set<T: FromStr>(place: &mut T, value: Option<&str>) -> Option<()> {
    *place = value?.parse().ok()?;
    Some(())
}

fn set_some<T: FromStr>(place: &mut Option<T>, value: Option<&str>) -> Option<()> {
    *place = Some(value?.parse().ok()?);
    Some(())
}

fn take_text(place: &mut Option<String>, value: Option<&str>, is_good: fn(&str) -> bool) -> Option<()> {
    *place = Some(value.filter(|text| is_good(text))?.to_owned());
    Some(())
}

/// Host names as machines report them: also with capitals.
fn is_host_label(text: &str) -> bool {
    is_host_name(&text.to_ascii_lowercase())
}

/// Parts between commas, none empty and none twice.
fn list<T: Ord>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<BTreeSet<T>> {
    let mut parts = BTreeSet::new();
    for part in text.split(',') {
        if !parts.insert(parse(part)?) {
            return None;
        }
    }
    Some(parts)
}

impl FromStr for Environments {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "*" {
            return Ok(Self::All);
        }
        list(text, |name| name.parse::<Environment>().ok()).map(Self::Only).ok_or(())
    }
}

const RATE_UNITS: [(&str, u64); 3] = [("GB/s", 1_000_000_000), ("MB/s", 1_000_000), ("kB/s", 1_000)];

fn rate(text: &str) -> Option<u64> {
    let (number, unit) = RATE_UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let plain = !number.starts_with(['0', '+']);
    number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*unit)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} id={}", self.role, self.key, self.id)?;
        put(f, "addr", self.address.as_ref())?;
        put(f, "domain", self.domain.as_ref())?;
        match &self.environments {
            Environments::All if matches!(self.role, Role::Buck | Role::Porter) => {}
            Environments::All => f.write_str(" env=*")?,
            default if *default == Environments::default() => {}
            Environments::Only(some) => put_list(f, "env", some)?,
        }
        put_list(f, "host", &self.hosts)?;
        put_list(f, "from", &self.from)?;
        put(f, "rate", self.bytes_per_second.map(rate_text).as_ref())?;
        put(f, "expires", self.expires.as_ref())?;
        put(f, "web", self.web.as_ref())?;
        match self.standing {
            Standing::Member => Ok(()),
            Standing::Retiring => f.write_str(" retiring"),
            Standing::Lost(date) => write!(f, " lost={date}"),
        }
    }
}

fn rate_text(bytes_per_second: u64) -> String {
    let whole = RATE_UNITS.iter().find(|(_, unit)| bytes_per_second.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(&("kB/s", 1_000));
    format!("{}{name}", (bytes_per_second / unit).max(1))
}

fn put(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}

fn put_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() { Ok(()) } else { write!(f, " {name}={}", values.join(",")) }
}
