//! The one binary: parse what was typed, do it, return an exit code. No logic lives here.

mod args;
mod exit;
mod http;
mod init;
mod layout;
mod log;
mod search;
mod settings;

use anyhow::Context;
use args::{Command, Keygen, Typed};
use clap::Parser;
use exit::Outcome;
use proto::io::clock;
use proto::io::keys::NodeKeys;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(run(Typed::parse()))
}

fn run(typed: Typed) -> anyhow::Result<Outcome> {
    log::begin(typed.log.as_deref(), "warn")?;
    match typed.command {
        Command::Search(search) => search::run(&search),
        Command::Init(init) => init::run(&init),
        Command::Keygen(keygen) => make_key(&keygen),
        _ => anyhow::bail!("not yet"),
    }
}

fn make_key(keygen: &Keygen) -> anyhow::Result<Outcome> {
    let keys = NodeKeys::generate(&keygen.out, None, &mut clock::generator()?)?;
    let public = keys.keys.public();
    writeln!(std::io::stdout(), "{public} id={}", keys.id).context("stdout")?;
    Ok(Outcome::Done)
}
