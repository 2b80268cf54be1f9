//! The one binary: parse what was typed, do it, return an exit code. No logic lives here.

mod args;
mod exit;
mod http;
mod log;
mod search;
mod settings;

use args::{Command, Typed};
use clap::Parser;
use exit::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(run(Typed::parse()))
}

fn run(typed: Typed) -> anyhow::Result<Outcome> {
    log::begin(typed.log.as_deref(), "warn")?;
    match typed.command {
        Command::Search(search) => search::run(&search),
        _ => anyhow::bail!("not yet"),
    }
}
