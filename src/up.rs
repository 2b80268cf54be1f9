//! `tailbuck up`: a whole cluster in this process, on loopback, kept in one folder.
//!
//! The folder is a fleet as `init` would lay it out; every node runs as it would alone, with its own key, over real
//! connections. Keys and data stay from start to start; addresses are drawn anew when one is taken.

use crate::args::Up;
use crate::ask::WEB_URL_FILE;
use crate::demo;
use crate::exit::Outcome;
use crate::followed;
use crate::layout::Layout;
use crate::nodes::Nodes;
use crate::settings::Settings;
use anyhow::{Context, bail};
use proto::io::dir::write_whole;
use proto::roster::{Address, Role};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bucks of a new folder: two copies of everything, and one may be away.
const BUCKS: usize = 3;

/// A bucket's width when nobody says otherwise: whoever tries it sees a block within two minutes.
const BUCKET_SECONDS: u32 = 60;

/// What is followed when no path is named, and what below it is not text.
const LOGS: &str = "/var/log/**";
const NOT_LOGS: [&str; 4] = [
    "/var/log/journal/**",
    "/var/log/**/*.{gz,xz,zst,bz2,zip,journal,db}",
    "/var/log/{wtmp,btmp,lastlog,faillog,tallylog}*",
    "/var/log/private/**",
];

pub async fn run(up: &Up) -> anyhow::Result<Outcome> {
    let layout = plan(up)?;
    layout.write(&up.data)?;
    let mut nodes = Nodes::default();
    let url = match start_all(&mut nodes, &layout, &up.data).await {
        Ok(url) => url,
        Err(error) => {
            let _ = nodes.end().await;
            return Err(error);
        }
    };
    write_whole(&up.data.join(WEB_URL_FILE), format!("{url}\n").as_bytes())?;
    if up.demo {
        demo::start(demo_folder(&up.data), &nodes.stop);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "tailbuck is up: {url}/   (Ctrl-C stops it)")?;
    followed::tell(&mut stdout, &up.paths, &layout, &up.data)?;
    let ended = nodes.until_stopped().await;
    // Who searches meanwhile is told that nothing runs here, not that nobody answers.
    let _ = std::fs::remove_file(up.data.join(WEB_URL_FILE));
    ended.map(|()| Outcome::Done)
}

/// Every node, in the order of the layout; gives back where the page is.
async fn start_all(nodes: &mut Nodes, layout: &Layout, data: &Path) -> anyhow::Result<String> {
    let mut url = None;
    for planned in layout.nodes() {
        let settings = Settings::read(&data.join(&planned.name).join("settings.toml"))?;
        let address = nodes.start(planned.role, &planned.name, settings).await?;
        if planned.role == Role::Web {
            url = address.map(|address| format!("http://{address}"));
        }
    }
    url.context("no web was started")
}

fn plan(up: &Up) -> anyhow::Result<Layout> {
    let before = Before::read(&up.data)?;
    if !up.web.ip().is_loopback() {
        bail!("--web {}: the page is served on loopback only, for there is no login yet", up.web);
    }
    let mut paths = up.paths.iter().map(|path| followed::as_glob(path)).collect::<anyhow::Result<Vec<String>>>()?;
    let mut exclude = Vec::new();
    if up.demo {
        paths.push(demo::glob(&demo_folder(&std::path::absolute(&up.data)?)));
    } else if paths.is_empty() {
        paths.push(LOGS.to_owned());
        exclude = NOT_LOGS.map(str::to_owned).to_vec();
    }
    Ok(Layout {
        bucks: before.addresses("buck", before.bucks(up.bucks)?)?,
        porters: before.addresses("porter", 1)?,
        web: up.web,
        tailers: vec![host_name()],
        paths,
        exclude,
        environment: proto::ids::Environment::default(),
        bucket_seconds: before.bucket_seconds(up.bucket)?,
        shelf: "../shelf".into(),
    })
}

fn demo_folder(data: &Path) -> PathBuf {
    data.join("demo")
}

/// The kernel's name for this host, as far as it can name a folder.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let name: String = name.trim().chars().filter(plain).collect();
    if name.is_empty() || name.starts_with('.') { "localhost".to_owned() } else { name }
}

/// What the folder holds from an earlier start.
struct Before {
    data: PathBuf,
    bucks: usize,
    bucket_seconds: Option<u32>,
}

impl Before {
    fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("buck-1").join("settings.toml");
        let settings = if path.exists() { Some(Settings::read(&path)?) } else { None };
        let is_there = |number: &usize| data.join(format!("buck-{number}")).join("settings.toml").exists();
        let bucks = (1..).take_while(is_there).count();
        Ok(Self { data: data.to_owned(), bucks, bucket_seconds: settings.map(|settings| settings.bucket_seconds) })
    }

    /// What a buck that is left out holds would not be found, and nobody would know that it is missing.
    fn bucks(&self, typed: Option<u8>) -> anyhow::Result<usize> {
        match typed.map(usize::from) {
            Some(typed) if typed < self.bucks => {
                bail!(
                    "{}: there are {} bucks in it, and {typed} would not find what the others hold",
                    self.data.display(),
                    self.bucks
                )
            }
            Some(typed) => Ok(typed),
            None if self.bucks > 0 => Ok(self.bucks),
            None => Ok(BUCKS),
        }
    }

    /// Fixed when the folder is made: buckets of two widths can't lie in one.
    fn bucket_seconds(&self, typed: Option<Duration>) -> anyhow::Result<u32> {
        let typed = typed.map(|span| u32::try_from(span.as_secs())).transpose().context("--bucket")?;
        match (self.bucket_seconds, typed) {
            (Some(before), Some(typed)) if before != typed => {
                bail!("{}: its buckets last {before}s, which can't be changed to {typed}s", self.data.display())
            }
            (before, typed) => Ok(before.or(typed).unwrap_or(BUCKET_SECONDS)),
        }
    }

    /// Where these nodes listened before, as far as that is free; else somewhere new.
    fn addresses(&self, word: &str, count: usize) -> anyhow::Result<Vec<Address>> {
        let mut held = Vec::new();
        for number in 1..=count {
            let socket = match self.address_of(&format!("{word}-{number}")).map(UdpSocket::bind) {
                Some(Ok(socket)) => socket,
                _ => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("a port on loopback")?,
            };
            held.push(socket);
        }
        let address = |socket: &UdpSocket| socket.local_addr().map(Address::from).context("a port on loopback");
        held.iter().map(address).collect()
    }

    fn address_of(&self, name: &str) -> Option<SocketAddr> {
        let settings = Settings::read(&self.data.join(name).join("settings.toml")).ok()?;
        let listens = settings.buck.map(|buck| buck.listen).or(settings.porter.map(|porter| porter.listen))?;
        listens.ip().is_loopback().then_some(listens)
    }
}
