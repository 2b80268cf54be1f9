//! Many seeds on several threads, their outcomes in the order of seeds: how many threads there are is not seen.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Outcomes that wait for one of an earlier seed; a thread that is far ahead waits too.
const AHEAD: usize = 64;

/// Does `work` for one seed after the other from `first` on, until `each` has heard enough.
pub fn in_order<T: Send>(
    first: u64,
    threads: usize,
    work: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let (next, enough) = (AtomicU64::new(first), AtomicBool::new(false));
    let (done, outcomes) = mpsc::sync_channel(AHEAD);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let done = done.clone();
            let (next, enough, work) = (&next, &enough, &work);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if done.send((seed, work(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let (mut waiting, mut due) = (BTreeMap::new(), first);
        for (seed, outcome) in &outcomes {
            waiting.insert(seed, outcome);
            while let Some(outcome) = waiting.remove(&due) {
                if each(due, outcome).is_break() {
                    enough.store(true, Ordering::Relaxed);
                    // Threads that still work find nobody who listens.
                    drop(outcomes);
                    return;
                }
                due += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_in_order_and_no_more_than_wanted() {
        for threads in [1, 2, 5] {
            let mut seen = Vec::new();
            in_order(
                7,
                threads,
                |seed| seed * 2,
                |seed, twice| {
                    seen.push((seed, twice));
                    if seed == 99 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
            assert_eq!(seen, (7..100).map(|seed| (seed, seed * 2)).collect::<Vec<_>>(), "{threads} threads");
        }
    }
}
