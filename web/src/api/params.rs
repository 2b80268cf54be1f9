//! Parameters by name, each at most once, and what the one who reads them knows: the time, and what may be seen.

use super::Complaint;
use proto::ids::Environment;
use proto::query::{TimeRange, parse, read_time};
use proto::time::Timestamp;
use std::collections::BTreeMap;

/// Parameters of one address. No route takes more than ten.
const PARAMS_MAX: usize = 16;

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub now: Timestamp,
    /// What may be seen.
    pub environments: &'a [Environment],
}

impl Reader<'_> {
    pub fn time(&self, name: &str, text: &str) -> Result<Timestamp, Complaint> {
        read_time(text, self.now).map_err(|why| Complaint::bad_time(name, &why))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    pub fn new(pairs: Vec<(String, String)>) -> Result<Self, Complaint> {
        if pairs.len() > PARAMS_MAX {
            return Err(Complaint::bad("parameters", format!("at most {PARAMS_MAX} are read")));
        }
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            if let Some(_twice) = params.insert(name.clone(), value) {
                return Err(Complaint::bad(&name, "given twice"));
            }
        }
        Ok(Self(params))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The name of any of them.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    /// A misspelt parameter that was passed over would give a wrong answer.
    pub fn only(&self, known: &[&str]) -> Result<(), Complaint> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(other) => Err(Complaint::bad(other, format!("not known here; {} are", known.join(", ")))),
            None => Ok(()),
        }
    }

    pub(super) fn number(&self, name: &str, default: u64, least: u64, most: u64) -> Result<u64, Complaint> {
        let text = match self.get(name) {
            None | Some("") => return Ok(default),
            Some(text) => text,
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            let range = if most == u64::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
            Complaint::bad(name, format!("{text:?} is not a number of {range}"))
        })
    }

    /// The query's text, after reading it once: whoever asks hears at once where it is wrong.
    pub(super) fn query(&self) -> Result<String, Complaint> {
        let text = self.get("q").unwrap_or_default();
        parse(text)?;
        Ok(text.to_owned())
    }

    /// An hour up to now when nothing is said.
    pub(super) fn range(&self, reader: &Reader<'_>) -> Result<TimeRange, Complaint> {
        let text = |name, default| self.get(name).filter(|text| !text.is_empty()).unwrap_or(default);
        let from = reader.time("from", text("from", "now-1h"))?;
        let to = reader.time("to", text("to", "now"))?;
        let range = TimeRange { from, to };
        if range.is_empty() {
            return Err(Complaint::new(400, "bad_time", format!("the range ends before it begins: {from} to {to}")));
        }
        Ok(range)
    }

    /// Those that were asked for, or all that may be seen.
    pub(super) fn environments(&self, reader: &Reader<'_>) -> Result<Vec<Environment>, Complaint> {
        let Some(text) = self.get("env").filter(|text| !text.is_empty()) else {
            return Ok(reader.environments.to_vec());
        };
        let mut environments = Vec::new();
        for name in text.split(',') {
            let environment = name.trim().parse::<Environment>();
            let environment = environment.map_err(|why| Complaint::bad("env", why))?;
            if !reader.environments.contains(&environment) {
                return Err(Complaint::new(403, "not_allowed", format!("env: {environment} may not be read here")));
            }
            environments.push(environment);
        }
        environments.sort();
        environments.dedup();
        Ok(environments)
    }
}
