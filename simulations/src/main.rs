//! `sim`: runs seeds of the simulator, alone or in rows, and shows that planted bugs are caught.

use simulations::checks::rules_of;
use simulations::faults::Bug;
use simulations::rows::in_order;
use simulations::story::{Outcome, tell};
use simulations::total::Total;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;

const HELP: &str = "\
sim --seed N [--bug NAME] [--trace]     one seed
sim sweep [--seeds N] [--from K]        seeds until N of them counted; one in twenty is run twice
          [--threads T] [--summary FILE] [--bug NAME]
sim bugs [--seeds N] [--threads T]      every planted bug, until a checker finds it
         [--bug NAME]";

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    let bug = value("--bug").map(|name| Bug::named(name));
    if bug == Some(None) {
        println!("no such bug; there are {:?}", Bug::ALL.map(|(name, _)| name));
        return ExitCode::from(2);
    }
    let row = |seeds| Row {
        from: number("--from").unwrap_or(0),
        seeds: number("--seeds").unwrap_or(seeds),
        threads: number("--threads").and_then(|threads| usize::try_from(threads).ok()).unwrap_or(2),
        bug: bug.flatten(),
    };
    match (args.first().map(String::as_str), number("--seed")) {
        (Some("sweep"), _) => sweep(&row(300), value("--summary")),
        (Some("bugs"), _) => bugs(&row(500)),
        (_, Some(seed)) => one(seed, bug.flatten(), args.iter().any(|arg| arg == "--trace")),
        _ => {
            println!("{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Which seeds, and how.
struct Row {
    from: u64,
    seeds: u64,
    threads: usize,
    bug: Option<Bug>,
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

/// Runs seeds until so many of them counted; one in twenty is run twice.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn sweep(row: &Row, summary: Option<&String>) -> ExitCode {
    let mut total = Total::default();
    let twice = |seed: u64| {
        let outcome = tell(seed, row.bug, false);
        let again = seed.is_multiple_of(20).then(|| tell(seed, row.bug, false).hash == outcome.hash);
        (outcome, again)
    };
    in_order(row.from, row.threads, twice, |seed, (outcome, again)| {
        failed(&outcome);
        if let Some(same) = again {
            total.again(seed, same);
            if !same {
                println!("seed {seed}: VIOLATED determinism: another hash the second time");
            }
        }
        total.add(&outcome);
        // Seeds without faults, and others too small to count, come on top: but not for ever.
        let enough = total.counted >= row.seeds || total.seeds >= 2 * row.seeds + 20;
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    println!("{total}");
    if let Some(Err(why)) = summary.map(|path| std::fs::write(path, format!("{total}\n"))) {
        println!("the summary can't be written: {why}");
        return ExitCode::FAILURE;
    }
    if total.bad.is_empty() && total.silent().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn bugs(row: &Row) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let wanted = |bug: Bug| row.bug.is_none_or(|only| only == bug);
    for (name, bug) in Bug::ALL.into_iter().filter(|(_, bug)| wanted(*bug)) {
        let mut caught = None;
        in_order(
            0,
            row.threads,
            |seed| tell(seed, Some(bug), false).violations,
            |seed, violations| {
                let by_rule = violations.into_iter().find(|violation| rules_of(bug).contains(&violation.rule));
                caught = by_rule.map(|violation| (seed, violation));
                if caught.is_some() || seed + 1 >= row.seeds {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        match caught {
            Some((seed, violation)) => {
                println!("{name}: caught at seed {seed}, the {}. one, by {}", seed + 1, violation.rule);
            }
            None => {
                println!("{name}: NOT CAUGHT in {} seeds", row.seeds);
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
