//! The one loop: take a seed or an earlier input, damage it, run the target, watch time and memory.
//!
//! Release builds abort on panic, so the input is kept where a panic hook finds it.

use crate::mutate::mutate;
use crate::targets::Target;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const ONE_INPUT_MAX: Duration = Duration::from_secs(1);
const MEMORY_KIB_MAX: u64 = 512 << 10;

/// What is being tried right now, for the panic hook.
static TRYING: Mutex<(&str, Vec<u8>)> = Mutex::new(("", Vec::new()));

#[derive(Clone, Copy)]
pub struct Budget {
    pub seconds: u64,
    pub seed: u64,
}

/// Runs one target until its time is up; an error names the file that breaks it.
#[expect(clippy::disallowed_methods, reason = "measures how long the code under test takes")]
pub fn run(target: &Target, budget: Budget) -> Result<(), String> {
    install_hook();
    let mut rng = StdRng::seed_from_u64(budget.seed);
    let seeds = if target.seeds.is_empty() { vec![Vec::new()] } else { target.seeds.clone() };
    seeds.iter().for_each(|seed| (target.run)(seed));
    let begun = Instant::now();
    let (mut tried, mut slowest) = (0u64, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(budget.seconds) {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        let other = &seeds[rng.random_range(0..seeds.len())];
        mutate(&mut rng, &mut bytes, other);
        remember(target.name, &bytes);
        let one = Instant::now();
        (target.run)(&bytes);
        slowest = slowest.max(one.elapsed());
        if slowest > ONE_INPUT_MAX {
            return Err(format!("{} took {slowest:?}: {}", target.name, keep()));
        }
        tried += 1;
    }
    let memory = peak_memory_kib();
    println!("{:16} {tried:>9} inputs, slowest {slowest:>9.1?}, peak {} MiB", target.name, memory >> 10);
    if tried == 0 {
        return Err(format!("{} was never run", target.name));
    }
    if memory > MEMORY_KIB_MAX {
        return Err(format!("{} took {} MiB", target.name, memory >> 10));
    }
    Ok(())
}

fn remember(name: &'static str, bytes: &[u8]) {
    let mut trying = TRYING.lock().expect("no panic while held");
    trying.0 = name;
    trying.1.clear();
    trying.1.extend_from_slice(bytes);
}

fn install_hook() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        eprintln!("{}", keep());
    }));
}

/// Writes what was tried to a file, and says how to try it again.
fn keep() -> String {
    let Ok(trying) = TRYING.lock() else { return "the input is lost".to_owned() };
    let path = std::env::temp_dir().join(format!("fuzz-{}-{:08x}", trying.0, crc_of(&trying.1)));
    match std::fs::write(&path, &trying.1) {
        Ok(()) => format!(
            "replay with: cargo run --release -p simulations --bin fuzz -- {} --replay {}",
            trying.0,
            path.display()
        ),
        Err(error) => format!("{}: {error}", path.display()),
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    proto::packet::TailMark::of(bytes).crc
}

/// The most memory this process ever had, where the kernel says so.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
