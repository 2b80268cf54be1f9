//! One UDP socket: dialling out, letting in, and stopping.

use super::guard::Guard;
use super::link::{Budgets, Link};
use super::reset;
use super::tls::Identity;
use super::{
    Farewell, HANDSHAKE_MAX, HANDSHAKES_MAX, INCOMING_MAX, LinkError, PROTOCOL, Party, SOCKET_BUFFER_BYTES,
    UNPROVEN_HANDSHAKES_MAX, transport,
};
use crate::ids::NodeId;
use crate::io::clock::Clock;
use crate::io::members::Members;
use crate::seal::Keys;
use quinn::{Connection, Incoming, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

/// Links that were let in and not yet taken.
const ARRIVALS_MAX: usize = 64;

/// A node's end of all its connections. Dropping it closes them.
pub struct Endpoint {
    socket: quinn::Endpoint,
    home: Arc<Home>,
    /// The guard, and the welcome of those who dial us.
    _tasks: JoinSet<()>,
}

/// What all connections of an endpoint share.
struct Home {
    identity: Identity,
    members: Arc<Members>,
    guard: Guard,
    budgets: Budgets,
}

/// Those who dialled us, proved who they are and may be here.
#[derive(Debug)]
pub struct Arrivals(mpsc::Receiver<Link>);

impl Arrivals {
    /// `None` when the endpoint has stopped.
    pub async fn next(&mut self) -> Option<Link> {
        self.0.recv().await
    }
}

impl Endpoint {
    /// For a node that is dialled and may dial.
    pub fn listen(
        address: SocketAddr,
        keys: &Keys,
        members: Arc<Members>,
        clock: Clock,
    ) -> Result<(Self, Arrivals), LinkError> {
        let mut endpoint = Self::open(address, keys, members, clock)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(endpoint.home.identity.server()));
        config.transport_config(transport(false)).max_incoming(INCOMING_MAX);
        endpoint.socket.set_server_config(Some(config));
        let (arrived, arrivals) = mpsc::channel(ARRIVALS_MAX);
        endpoint._tasks.spawn(welcome(endpoint.socket.clone(), Arc::clone(&endpoint.home), arrived));
        Ok((endpoint, Arrivals(arrivals)))
    }

    /// For a node that only dials.
    pub fn dialler(keys: &Keys, members: Arc<Members>, clock: Clock) -> Result<Self, LinkError> {
        let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self::open(six, keys, Arc::clone(&members), clock).or_else(|_| Self::open(four, keys, members, clock))
    }

    fn open(address: SocketAddr, keys: &Keys, members: Arc<Members>, clock: Clock) -> Result<Self, LinkError> {
        let refuse = |source| LinkError::Socket { address, source };
        let socket = bind(address).map_err(refuse)?;
        let socket = quinn::Endpoint::new(reset::config(keys), None, socket, Arc::new(TokioRuntime));
        let home = Arc::new(Home {
            identity: Identity::new(keys, Arc::clone(&members), clock),
            guard: Guard::new(Arc::clone(&members), clock),
            members,
            budgets: Budgets::new(),
        });
        let mut tasks = JoinSet::new();
        let watching = Arc::clone(&home);
        tasks.spawn(async move { watching.guard.watch().await });
        Ok(Self { socket: socket.map_err(refuse)?, home, _tasks: tasks })
    }

    /// Where others reach this endpoint.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Connects to this node and no other. Done when it has let us in.
    pub async fn dial(&self, address: SocketAddr, node: NodeId) -> Result<Link, LinkError> {
        let key = self.home.members.now().by_id(node).ok_or(LinkError::Stranger(node))?.key;
        let party = Party { node, key, address };
        let refuse = |why: String| LinkError::Dial { party: party.into(), why };
        let mut config = quinn::ClientConfig::new(Arc::new(self.home.identity.client(node)));
        config.transport_config(transport(true));
        let connecting =
            self.socket.connect_with(config, address, "tailbuck").map_err(|why| refuse(why.to_string()))?;
        let greeted = async {
            let connection = connecting.await.map_err(|why| why.to_string())?;
            hear_greeting(&connection).await.map(|()| connection)
        };
        let greeted = timeout(HANDSHAKE_MAX, greeted).await;
        let connection = greeted.map_err(|_| refuse(format!("no answer within {HANDSHAKE_MAX:?}")))?.map_err(refuse)?;
        self.home.link(connection, false).map_err(refuse)
    }

    /// Says goodbye to all peers, and returns when they have heard it or can't be reached.
    pub async fn close(&self) {
        self.socket.close(Farewell::Stopping.code(), b"stopping");
        self.socket.wait_idle().await;
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({:?})", self.local_address())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.socket.close(Farewell::Stopping.code(), b"stopping");
    }
}

impl Home {
    fn link(&self, connection: Connection, came: bool) -> Result<Link, String> {
        let party = self.guard.admit(&connection, came)?;
        let budget = self.budgets.of(party.node);
        Ok(Link::new(connection, party, Arc::clone(&self.members), budget))
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel gives as much as it is set to allow; less only costs speed.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Handshakes side by side, so that a slow one holds up nobody; stops with the endpoint.
async fn welcome(socket: quinn::Endpoint, home: Arc<Home>, arrived: mpsc::Sender<Link>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => {}
            incoming = socket.accept() => {
                let Some(incoming) = incoming else { return };
                if let Some(incoming) = sift(incoming, handshakes.len()) {
                    handshakes.spawn(let_in(incoming, Arc::clone(&home), arrived.clone()));
                }
            }
        }
    }
}

/// When many knock, those come first who have proved that they are where they say.
fn sift(incoming: Incoming, handshakes: usize) -> Option<Incoming> {
    if handshakes >= HANDSHAKES_MAX {
        incoming.ignore();
        return None;
    }
    if handshakes >= UNPROVEN_HANDSHAKES_MAX && !incoming.remote_address_validated() {
        // Fails only for who was asked before; then they may knock again.
        let _ = incoming.retry();
        return None;
    }
    Some(incoming)
}

async fn let_in(incoming: Incoming, home: Arc<Home>, arrived: mpsc::Sender<Link>) {
    let from = incoming.remote_address();
    let greeted = async {
        let connection = incoming.await.map_err(|why| why.to_string())?;
        let link = home.link(connection.clone(), true)?;
        greet(&connection).await.map(|()| link)
    };
    match timeout(HANDSHAKE_MAX, greeted).await {
        Ok(Ok(link)) => drop(arrived.send(link).await),
        Ok(Err(why)) => debug!(%from, %why, "nobody was let in"),
        Err(_) => debug!(%from, "a handshake took too long"),
    }
}

async fn greet(connection: &Connection) -> Result<(), String> {
    let mut stream = connection.open_uni().await.map_err(|why| why.to_string())?;
    stream.write_all(PROTOCOL).await.map_err(|why| why.to_string())?;
    stream.finish().map_err(|why| why.to_string())
}

async fn hear_greeting(connection: &Connection) -> Result<(), String> {
    let mut stream = connection.accept_uni().await.map_err(|why| why.to_string())?;
    let greeting = stream.read_to_end(PROTOCOL.len()).await.map_err(|why| why.to_string())?;
    if greeting == PROTOCOL { Ok(()) } else { Err("it speaks another protocol".to_owned()) }
}
