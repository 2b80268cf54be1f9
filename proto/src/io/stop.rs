//! Stopping in order: a signal everybody hears, and a list of who is not done yet.
//!
//! Whoever does work holds a [`Token`] and lets go of it when finished. Who stops asks, waits a while, and can then
//! name those that still hold on.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// The one who stops. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: watch::Sender<bool>,
    holders: watch::Sender<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    next: u64,
    names: BTreeMap<u64, String>,
}

/// Those who did not finish in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still at work: {}", .0.join(", "))]
pub struct StillAtWork(pub Vec<String>);

impl Stop {
    /// For somebody with this name to hold while at work.
    #[must_use]
    pub fn token(&self, name: &str) -> Token {
        let mut number = 0;
        self.shared.holders.send_modify(|holders| {
            number = holders.next;
            holders.next += 1;
            holders.names.insert(number, name.to_owned());
        });
        Token { stop: self.clone(), number, asked: self.shared.asked.subscribe() }
    }

    pub fn ask(&self) {
        self.shared.asked.send_replace(true);
    }

    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.shared.asked.borrow()
    }

    /// Waits for everybody to let go.
    pub async fn all_done(&self, within: Duration) -> Result<(), StillAtWork> {
        let mut holders = self.shared.holders.subscribe();
        let empty = timeout(within, holders.wait_for(|holders| holders.names.is_empty())).await;
        if empty.is_ok() {
            return Ok(());
        }
        Err(StillAtWork(self.shared.holders.borrow().names.values().cloned().collect()))
    }

    /// Asks when the process is told to end: by SIGTERM, or at a terminal by Ctrl-C.
    pub async fn on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.ask();
        Ok(())
    }
}

/// Held by who is at work; dropping it says that the work is done.
pub struct Token {
    stop: Stop,
    number: u64,
    asked: watch::Receiver<bool>,
}

impl Token {
    /// Returns when it is time to stop. Cancel-safe, and true at once ever after.
    pub async fn asked(&mut self) {
        let asked = self.asked.wait_for(|asked| *asked).await;
        asked.expect("a token keeps what it waits for");
    }

    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.stop.is_asked()
    }

    /// For a part of the work that is done by another.
    #[must_use]
    pub fn another(&self, name: &str) -> Self {
        self.stop.token(name)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.number)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.stop.shared.holders.send_modify(|holders| {
            holders.names.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn everybody_hears_and_is_waited_for() {
        let stop = Stop::default();
        let mut token = stop.token("disk 0");
        let part = token.another("disk 0, the last sync");
        let worker = tokio::spawn(async move {
            token.asked().await;
            token.asked().await;
            assert!(token.is_asked());
        });
        assert!(!stop.is_asked());
        stop.ask();
        drop(part);
        assert_eq!(stop.all_done(ENOUGH).await, Ok(()));
        worker.await.expect("it heard");
    }

    #[tokio::test]
    async fn who_holds_on_is_named() {
        let stop = Stop::default();
        let (one, _two) = (stop.token("disk 0"), stop.token("web"));
        stop.ask();
        let named = stop.all_done(Duration::ZERO).await.expect_err("two hold on");
        assert_eq!(named.to_string(), "still at work: disk 0, web");
        drop(one);
        assert_eq!(stop.all_done(Duration::ZERO).await, Err(StillAtWork(vec!["web".to_owned()])));
    }
}
