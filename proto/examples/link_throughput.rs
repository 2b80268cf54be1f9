//! How fast questions travel over loopback, sealed and plain: `cargo run --release -p proto --features io --example
//! link_throughput`. Both ends run in this process, so the processor time is that of asker and answerer together.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use proto::ids::NodeId;
use proto::io::clock::{Clock, generator};
use proto::io::members::Members;
use proto::io::quic::{Endpoint, Link};
use proto::roster::{Peer, Role, Roster};
use proto::seal::{Keys, PeerBox, Seed};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TOTAL_BYTES: usize = 512 << 20;
const BUCK: NodeId = NodeId(1);
const TAILER: NodeId = NodeId(2);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let (buck, tailer) = (Keys::from_seed(&Seed::from_bytes([1; 32])), Keys::from_seed(&Seed::from_bytes([2; 32])));
    let mut buck_line = Peer::new(Role::Buck, buck.public(), BUCK);
    buck_line.address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into());
    let roster = format!("{buck_line}\n{}\n", Peer::new(Role::Tailer, tailer.public(), TAILER));
    let members = Arc::new(Members::new(Roster::parse(roster.as_bytes())?));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listening, mut arrivals) = Endpoint::listen(any, &buck, Arc::clone(&members), Clock::real())?;
    let dialling = Endpoint::dialler(&tailer, members, Clock::real())?;
    let serving = tokio::spawn(async move {
        let link = arrivals.next().await?;
        let mut asks = link.asks();
        while let Some(exchange) = asks.next().await {
            let _ = exchange.reply(vec![1]).await;
        }
        Some(())
    });
    let link = dialling.dial(listening.local_address()?, BUCK).await?;
    println!("question     at once      MB/s   cpu ms/MB   asks/s");
    for (kib, at_once) in [(64, 1), (64, 16), (128, 16), (256, 1), (256, 4), (256, 16), (1024, 16)] {
        run(&link, kib << 10, at_once).await?;
    }
    seal_and_open(&buck, &tailer)?;
    drop(link);
    let _ = serving.await;
    Ok(())
}

async fn run(link: &Link, bytes: usize, at_once: usize) -> Result<()> {
    let question = vec![7; bytes];
    let (started, cpu) = (Instant::now(), cpu_seconds()?);
    let mut asking = JoinSet::new();
    let asks = TOTAL_BYTES / bytes;
    for _ in 0..asks {
        if asking.len() >= at_once {
            asking.join_next().await.ok_or("nothing to wait for")???;
        }
        let (link, question) = (link.clone(), question.clone());
        asking.spawn(async move { link.ask(question, Duration::from_secs(30)).await.map(drop).map_err(Box::new) });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let (megabytes, asks) = ((asks * bytes) as f64 / 1e6, asks as f64);
    println!(
        "{:>5} KiB   {at_once:>7}   {:>7.0}   {:>9.2}   {:>6.0}",
        bytes >> 10,
        megabytes / took,
        cpu * 1e3 / megabytes,
        asks / took
    );
    Ok(())
}

/// Of this process, user and system, in hundredths.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).ok_or("a short stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn seal_and_open(buck: &Keys, tailer: &Keys) -> Result<()> {
    let there = PeerBox::new(TAILER, tailer, BUCK, &buck.public());
    let here = PeerBox::new(BUCK, buck, TAILER, &tailer.public());
    let (mut rng, content) = (generator()?, vec![7; 64 << 10]);
    let (mut sealed, mut opened) = (Vec::new(), Vec::new());
    let started = Instant::now();
    for _ in 0..2000 {
        sealed.clear();
        opened.clear();
        there.seal_into(&mut rng, &content, &mut sealed);
        here.open_into(&sealed, &mut opened)?;
    }
    let megabytes = 2000.0 * 65_536.0 / 1e6;
    println!("64 KiB sealed and opened: {:.0} MB/s on one core", megabytes / started.elapsed().as_secs_f64());
    Ok(())
}
