//! Where the program's own log goes: stderr, one line an event, without times under systemd (it adds its own).

use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Told once, first thing. `filter` is what was typed; warnings and worse when nothing was.
pub fn begin(filter: Option<&str>, usual: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(usual)).context("--log")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    Ok(())
}
