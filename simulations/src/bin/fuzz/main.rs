//! Feeds damaged bytes to everything that reads bytes from disk, network or a browser: `fuzz [TARGET...] [--seconds N] [--half 0|1]`.
//!
//! In-process mutation on stable Rust, one driver for all targets. A target must not panic, must answer within a
//! second, and the whole run must stay below 512 MiB. What breaks one is written to a file whose name is printed
//! with the command that plays it again: `fuzz TARGET --replay FILE`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod blocks;
mod driver;
mod mutate;
mod targets;

use driver::Budget;
use std::process::ExitCode;
use targets::Target;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(words: Vec<String>) -> Result<(), String> {
    let (mut names, mut seconds, mut replay, mut seed, mut half) = (Vec::new(), 10, None, 1, None);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => seconds = value()?.parse().map_err(|_| "--seconds needs a number")?,
            "--seed" => seed = value()?.parse().map_err(|_| "--seed needs a number")?,
            "--half" => half = Some(value()?.parse::<usize>().map_err(|_| "--half needs 0 or 1")?),
            "--replay" => replay = Some(value()?),
            _ => names.push(word),
        }
    }
    let all = targets::all();
    let chosen: Vec<&Target> =
        all.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.name)).collect();
    if chosen.is_empty() || chosen.len() < names.len() {
        let known: Vec<&str> = all.iter().map(|target| target.name).collect();
        return Err(format!("no such target; there are {}", known.join(", ")));
    }
    if let Some(path) = replay {
        let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        chosen.iter().for_each(|target| (target.run)(&bytes));
        return Ok(());
    }
    // Two processes, a half each, keep two cores busy.
    let of_half = |at: &usize| half.is_none_or(|half| at % 2 == half);
    for (_, target) in chosen.into_iter().enumerate().filter(|(at, _)| of_half(at)) {
        driver::run(target, Budget { seconds, seed })?;
    }
    Ok(())
}
