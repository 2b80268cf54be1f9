//! Connections: how many there are at once, and how long each may stand still.
//!
//! Whoever connects costs a descriptor and some memory before a word is said, so that nobody may hold a place for
//! nothing: the head of a request must come in time, the first as well as the next on a connection that is kept, and
//! an answer must be taken, however slowly. Who comes while all places are taken waits outside. The only file that
//! names hyper, the server underneath warp, as warp's own has no such limits.

use crate::config::Limits;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{debug, warn};
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// What is read ahead of a connection: the longest address and as much again for headers.
const READ_BYTES_MAX: usize = 128 << 10;

/// After an accept that failed, as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until `stop` is done; then connections end what they send, and no more is read from them.
pub(super) async fn serve(
    listener: TcpListener,
    routes: BoxedFilter<(Response,)>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let stopping = watch::Sender::new(false);
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (stream, place) = accept(&listener, &places) => {
                let serving = connection(stream, routes.clone(), limits.clone(), stopping.subscribe());
                open.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    while open.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it. Cancel-safe.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(why) => {
                warn!(%why, "a connection can't be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    routes: BoxedFilter<(Response,)>,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(warp::service(routes));
    let serving = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(READ_BYTES_MAX)
        .serve_connection(TokioIo::new(Taken::new(stream, limits.untaken)), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(why) = ended {
        debug!(%why, "a connection ended early");
    }
}

/// A connection whose peer takes what is written to it within some time.
#[derive(Debug)]
struct Taken {
    stream: TcpStream,
    within: Duration,
    /// Runs while something can't be written.
    until: Pin<Box<Sleep>>,
    waits: bool,
}

impl Taken {
    fn new(stream: TcpStream, within: Duration) -> Self {
        Self { stream, within, until: Box::pin(sleep(within)), waits: false }
    }

    /// What came of writing; an error when nothing could be written for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        if !std::mem::replace(&mut self.waits, true) {
            self.until.as_mut().reset(Instant::now() + self.within);
        }
        self.until.as_mut().poll(context).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

impl AsyncRead for Taken {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Taken {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
