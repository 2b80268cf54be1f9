//! `tailbuck init`: a fleet's keys, roster and settings, one folder a node, to be carried to the hosts.

use crate::args::Init;
use crate::exit::Outcome;
use crate::layout::{Layout, NodePlan};
use anyhow::{Context, bail};
use std::fs;
use std::io::Write;
use std::path::Path;

pub fn run(init: &Init) -> anyhow::Result<Outcome> {
    let layout = Layout {
        bucks: init.bucks.clone(),
        porters: init.porters.clone(),
        web: init.web,
        tailers: init.tailers.clone(),
        paths: init.paths.clone(),
        exclude: Vec::new(),
        environment: init.environment.parse().context("--environment")?,
        bucket_seconds: u32::try_from(init.bucket.as_secs()).context("--bucket")?,
        shelf: "../shelf".into(),
    };
    refuse_strange_names(&layout)?;
    refuse_equal_addresses(&layout)?;
    refuse_a_folder_in_use(&init.out)?;
    layout.write(&init.out)?;
    tell(&layout, &init.out)?;
    Ok(Outcome::Done)
}

/// A host's name becomes a folder's, and must not be another node's.
fn refuse_strange_names(layout: &Layout) -> anyhow::Result<()> {
    let mut names: Vec<String> = layout.nodes().into_iter().map(|node| node.name).collect();
    for name in &names {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            bail!("{name:?} is no host's name");
        }
    }
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => bail!("two nodes would be called {:?}", pair[0]),
        None => Ok(()),
    }
}

fn refuse_equal_addresses(layout: &Layout) -> anyhow::Result<()> {
    let mut addresses: Vec<_> = layout.bucks.iter().chain(&layout.porters).collect();
    addresses.sort();
    match addresses.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => bail!("two nodes would listen on {}", pair[0]),
        None => Ok(()),
    }
}

fn refuse_a_folder_in_use(out: &Path) -> anyhow::Result<()> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{}: there is something in it already", out.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(out).with_context(|| out.display().to_string())
        }
        Err(error) => Err(error).with_context(|| out.display().to_string()),
    }
}

fn tell(layout: &Layout, out: &Path) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "Carry each folder to its host, and start there:")?;
    let everywhere = |node: &NodePlan| node.listens().is_some_and(|listens| listens.ip().is_unspecified());
    for node in layout.nodes() {
        let run = if node.role == proto::roster::Role::Porter { " run" } else { "" };
        let config = out.join(&node.name).join("settings.toml");
        writeln!(stdout, "  tailbuck {}{run} --config {}", node.role, config.display())?;
    }
    if layout.nodes().iter().any(everywhere) {
        writeln!(
            stdout,
            "Names are looked up when nodes connect. Who has one listens on all IPv4 addresses of its host; `listen` in \
             its settings narrows that."
        )?;
    }
    Ok(())
}
