//! The one binary: parse what was typed, do it, return an exit code. No logic lives here.

mod args;
mod around;
mod ask;
mod block;
mod demo;
mod doubts;
mod exit;
mod follow;
mod followed;
mod http;
mod init;
mod layout;
mod log;
mod nodes;
mod printer;
mod progress;
mod search;
mod settings;
mod status;
mod up;

use anyhow::Context;
use args::{Command, Keygen, Porter, PorterCommand, Typed};
use clap::Parser;
use exit::Outcome;
use nodes::Nodes;
use proto::io::clock;
use proto::io::keys::NodeKeys;
use proto::roster::Role;
use settings::Settings;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(run(Typed::parse_from(args::words(std::env::args_os()))))
}

fn run(typed: Typed) -> anyhow::Result<Outcome> {
    // A reader that leaves is an error to the HTTP library, and everyday to us.
    log::begin(typed.log.as_deref(), "warn,warp=off")?;
    match typed.command {
        Command::Up(up) => on_threads(up::run(&up)),
        Command::Search(search) => search::run(&search),
        Command::Status(status) => status::run(&status),
        Command::Init(init) => init::run(&init),
        Command::Keygen(keygen) => make_key(&keygen),
        Command::Tailer(node) => run_node(Role::Tailer, &node.config),
        Command::Buck(node) => run_node(Role::Buck, &node.config),
        Command::Porter(Porter { command: PorterCommand::Run(node) }) => run_node(Role::Porter, &node.config),
        Command::Porter(Porter { command: PorterCommand::Block(block) }) => block::run(&block.command),
        Command::Web(node) => run_node(Role::Web, &node.config),
    }
}

fn on_threads<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("threads")?.block_on(work)
}

/// One node, until it is told to stop.
fn run_node(role: Role, config: &Path) -> anyhow::Result<Outcome> {
    let settings = Settings::read(config)?;
    on_threads(async {
        let mut nodes = Nodes::default();
        let address = nodes.start(role, role.as_str(), settings).await?;
        let listens = address.map(|address| format!(", listening on {address}")).unwrap_or_default();
        writeln!(std::io::stdout(), "tailbuck {role} runs{listens}")?;
        nodes.until_stopped().await?;
        Ok(Outcome::Done)
    })
}

fn make_key(keygen: &Keygen) -> anyhow::Result<Outcome> {
    let keys = NodeKeys::generate(&keygen.out, None, &mut clock::generator()?)?;
    let public = keys.keys.public();
    writeln!(std::io::stdout(), "{public} id={}", keys.id).context("stdout")?;
    Ok(Outcome::Done)
}
