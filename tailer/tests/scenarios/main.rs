//! What other log shippers are blamed for, as tests: each is named after its letter and number.
//!
//! "Exact" means every line once after copies are dropped by name, none missing, none altered, in file order.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers")]
#![allow(dead_code, reason = "the world is shared with other tests")]

#[path = "../world/mod.rs"]
mod world;

mod copies;
mod crashes;
mod identity;
mod lines;
mod refusals;
mod rotation;

use world::World;

fn text(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("2026-11-21T10:00:00Z line {n:06} with some words\n")).collect()
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Every line of `written` is found once, in its order, under this path.
fn exact(world: &World, path: &str, written: &str) {
    let found = world.lines();
    let found = found.get(path).cloned().unwrap_or_default();
    let (mut sorted, mut expected) = (found.clone(), lines_of(written));
    sorted.sort();
    expected.sort();
    assert_eq!(sorted.len(), expected.len(), "{path}: {:?}", world.warnings);
    assert_eq!(sorted, expected, "{path}");
}

fn all_exact(world: &World, written: &str) {
    let mut expected = lines_of(written);
    expected.sort();
    let found = world.all_lines();
    assert_eq!(found.len(), expected.len(), "{:?}", world.warnings);
    assert_eq!(found, expected);
}
