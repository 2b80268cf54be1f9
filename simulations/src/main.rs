//! `sim`: runs seeds of the simulator, alone or in rows, and shows that planted bugs are caught.

use simulations::checks::RULES;
use simulations::faults::Bug;
use simulations::story::{Outcome, tell};
use std::collections::BTreeMap;
use std::process::ExitCode;

const HELP: &str = "\
sim --seed N [--bug NAME] [--trace]     one seed
sim sweep --seeds N [--from K]          a row of seeds; one in twenty is run twice
sim bugs [--seeds N]                    every planted bug, until a checker finds it";

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    match (args.first().map(String::as_str), number("--seed")) {
        (Some("sweep"), _) => sweep(number("--from").unwrap_or(0), number("--seeds").unwrap_or(300)),
        (Some("bugs"), _) => bugs(number("--seeds").unwrap_or(500)),
        (_, Some(seed)) => {
            let bug = value("--bug").map(|name| Bug::named(name));
            if bug == Some(None) {
                println!("no such bug; there are {:?}", Bug::ALL.map(|(name, _)| name));
                return ExitCode::from(2);
            }
            one(seed, bug.flatten(), args.iter().any(|arg| arg == "--trace"))
        }
        _ => {
            println!("{HELP}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn one(seed: u64, bug: Option<Bug>, trace: bool) -> ExitCode {
    let outcome = tell(seed, bug, trace);
    println!("{:?}, {:.2} h, hash {:016x}", outcome.preset, outcome.simulated.as_secs_f64() / 3600.0, outcome.hash);
    println!(
        "{:?}, {} packets, {} buckets ported, {} complete",
        outcome.account, outcome.packets, outcome.buckets, outcome.complete
    );
    println!("faults: {:?}", outcome.faults);
    print_rules(&outcome.evaluated);
    failed(&outcome)
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn failed(outcome: &Outcome) -> ExitCode {
    for violation in outcome.violations.iter().take(5) {
        println!("seed {}: VIOLATED {}, at {:?}: {}", outcome.seed, violation.rule, violation.at, violation.what);
    }
    if outcome.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("replay: cargo run -q -p simulations --bin sim -- --seed {} --trace", outcome.seed);
    ExitCode::FAILURE
}

/// What a row of seeds came to.
#[derive(Default)]
struct Total {
    hours: f64,
    counted: u64,
    lines: u64,
    faults: u64,
    buckets: u64,
    complete: u64,
    vanished: u64,
    host_lost: u64,
    again: u64,
    bad: Vec<u64>,
    evaluated: BTreeMap<&'static str, u64>,
    struck: BTreeMap<&'static str, u64>,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        if outcome.counts() {
            self.counted += 1;
            self.hours += outcome.simulated.as_secs_f64() / 3600.0;
        }
        self.lines += outcome.account.born;
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
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn sweep(from: u64, seeds: u64) -> ExitCode {
    let mut total = Total::default();
    for seed in from..from + seeds {
        let outcome = tell(seed, None, false);
        failed(&outcome);
        if seed % 20 == 0 {
            total.again += 1;
            if tell(seed, None, false).hash != outcome.hash {
                println!("seed {seed}: VIOLATED determinism: another hash the second time");
                total.bad.push(seed);
            }
        }
        total.add(&outcome);
    }
    println!(
        "{} seeds, {} of them count: {:.0} simulated hours; {} lines, {} faults struck, {} buckets ported, {} of them complete",
        seeds, total.counted, total.hours, total.lines, total.faults, total.buckets, total.complete
    );
    println!(
        "{} lines vanished unread, {} lost with a host; {} seeds run twice",
        total.vanished, total.host_lost, total.again
    );
    println!("faults: {:?}", total.struck);
    print_rules(&total.evaluated);
    let silent: Vec<_> = RULES.iter().filter(|rule| !total.evaluated.contains_key(*rule)).collect();
    if !silent.is_empty() {
        println!("never evaluated: {silent:?}");
        return ExitCode::FAILURE;
    }
    println!("{} seeds went wrong {:?}", total.bad.len(), total.bad);
    if total.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn bugs(seeds: u64) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (name, bug) in Bug::ALL {
        let caught =
            (0..seeds).find_map(|seed| tell(seed, Some(bug), false).violations.into_iter().next().map(|v| (seed, v)));
        match caught {
            Some((seed, violation)) => {
                println!("{name}: caught at seed {seed}, the {}. one, by {}", seed + 1, violation.rule);
            }
            None => {
                println!("{name}: NOT CAUGHT in {seeds} seeds");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn print_rules(evaluated: &BTreeMap<&'static str, u64>) {
    for (rule, times) in evaluated {
        println!("{times:>10} x {rule}");
    }
}
