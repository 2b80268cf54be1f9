//! What a row of seeds came to.

use crate::checks::RULES;
use crate::story::Outcome;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

#[derive(Clone, Debug, Default)]
pub struct Total {
    pub seeds: u64,
    pub counted: u64,
    hours: f64,
    lines: u64,
    packets: u64,
    steps: u64,
    faults: u64,
    buckets: u64,
    complete: u64,
    vanished: u64,
    host_lost: u64,
    again: u64,
    pub bad: Vec<u64>,
    evaluated: BTreeMap<&'static str, u64>,
    struck: BTreeMap<&'static str, u64>,
}

impl Total {
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.counted += u64::from(outcome.counts());
        self.hours += outcome.hours();
        self.lines += outcome.account.born;
        self.packets += outcome.packets;
        self.steps += outcome.steps;
        self.faults += outcome.struck();
        self.buckets += outcome.buckets;
        self.complete += outcome.complete;
        self.vanished += outcome.account.vanished;
        self.host_lost += outcome.account.host_lost;
        for (rule, times) in &outcome.evaluated {
            *self.evaluated.entry(rule).or_default() += times;
        }
        for (fault, times) in &outcome.faults {
            *self.struck.entry(fault).or_default() += times;
        }
        if !outcome.violations.is_empty() {
            self.bad.push(outcome.seed);
        }
    }

    /// A seed was run a second time.
    pub fn again(&mut self, seed: u64, same: bool) {
        self.again += 1;
        if !same {
            self.bad.push(seed);
        }
    }

    /// Rules that never were evaluated: about them the row has proved nothing.
    #[must_use]
    pub fn silent(&self) -> Vec<&'static str> {
        RULES.into_iter().filter(|rule| !self.evaluated.contains_key(rule)).collect()
    }
}

impl Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, counted, hours, lines, packets, steps, faults, buckets, complete, .. } = self;
        writeln!(f, "{seeds} seeds, {counted} of them count: {hours:.0} simulated hours, {steps} steps")?;
        writeln!(f, "{lines} lines in {packets} packets; {buckets} buckets ported, {complete} of them complete")?;
        writeln!(f, "{} lines vanished unread, {} lost with a host", self.vanished, self.host_lost)?;
        writeln!(f, "{} seeds run twice with the same hash wanted", self.again)?;
        writeln!(f, "{faults} faults struck:")?;
        self.struck.iter().try_for_each(|(fault, times)| writeln!(f, "{times:>10} x {fault}"))?;
        writeln!(f, "rules evaluated:")?;
        self.evaluated.iter().try_for_each(|(rule, times)| writeln!(f, "{times:>10} x {rule}"))?;
        if !self.silent().is_empty() {
            writeln!(f, "never evaluated: {:?}", self.silent())?;
        }
        write!(f, "{} seeds went wrong {:?}", self.bad.len(), self.bad)
    }
}
