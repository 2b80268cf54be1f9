//! A web from start to stop: the listener, the connections to nodes, and the order in which they end.

use crate::config::{Config, ConfigError};
use crate::links::Cluster;
use crate::nodes::Nodes;
use crate::routes;
use crate::site::Site;
use proto::io::clock::Clock;
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, LinkError};
use proto::io::stop::Token;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{info, warn};

/// How long readers get to take what is on its way to them.
const DRAIN: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A web that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
}

/// Takes the address, so that whoever starts a web knows it before anything is served.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    config.validate()?;
    let refuse = |source| RunError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    Ok(Bound { listener, address, config })
}

/// Serves until told to stop; `on_bound` hears the true address first.
pub async fn run(
    config: Config,
    keys: &NodeKeys,
    members: Arc<Members>,
    clock: Clock,
    stop: Token,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), RunError> {
    let bound = bind(config).await?;
    on_bound(bound.address());
    bound.run(keys, members, clock, stop).await
}

impl Bound {
    /// With the port that was given when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn run(self, keys: &NodeKeys, members: Arc<Members>, clock: Clock, stop: Token) -> Result<(), RunError> {
        let endpoint = Arc::new(Endpoint::dialler(&keys.keys, Arc::clone(&members), clock)?);
        let links = Arc::new(Links::new(Arc::clone(&endpoint), Arc::clone(&members), clock));
        self.serve(Arc::new(Cluster::new(keys.id, links, members, clock)), stop).await;
        endpoint.close().await;
        Ok(())
    }

    /// Serves this cluster until told to stop. In this order: nothing new is accepted; searches and live tails end
    /// with what they have; readers get a while to take it.
    pub async fn serve(self, nodes: Arc<dyn Nodes>, stop: Token) {
        info!(address = %self.address, "the web listens");
        let site = Arc::new(Site::new(nodes, self.config));
        let mut closing = stop.another("web: accepting");
        let serving = routes::serve(self.listener, Arc::clone(&site), async move { closing.asked().await });
        tokio::pin!(serving);
        let mut stop = stop;
        tokio::select! {
            () = &mut serving => {}
            () = stop.asked() => {
                site.stop_all();
                if tokio::time::timeout(DRAIN, &mut serving).await.is_err() {
                    warn!(running = site.running(), "readers that did not take the end of their answers are cut off");
                }
            }
        }
        info!("the web has stopped");
    }
}
