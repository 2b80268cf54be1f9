//! The same work on many things, side by side on a few threads; results come back in the things' order.
//!
//! How many threads is the caller's to say. Each has a state of its own, so that buffers are made once a thread
//! and not once a thing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does the work on each thing; the caller's thread helps.
pub fn side_by_side<T: Sync, R: Send>(threads: usize, things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    side_by_side_with(threads, things, || (), |(), thing| work(thing))
}

/// As [`side_by_side`], with a state for each thread.
pub fn side_by_side_with<S, T: Sync, R: Send>(
    threads: usize,
    things: &[T],
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(things.len()));
    let help = || {
        let mut state = begin();
        let mut own = Vec::new();
        while let Some((at, thing)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            things.get(at).map(|thing| (at, thing))
        } {
            own.push((at, work(&mut state, thing)));
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(things.len()) {
            scope.spawn(help);
        }
        help();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_side_by_side_comes_back_in_order() {
        let things: Vec<u64> = (0..1000).collect();
        let doubled: Vec<u64> = things.iter().map(|thing| thing * 2).collect();
        for threads in [0, 1, 2, 7] {
            assert_eq!(side_by_side(threads, &things, |thing| thing * 2), doubled);
            assert_eq!(side_by_side(threads, &[], |thing: &u64| *thing), [0u64; 0]);
        }
    }
}
