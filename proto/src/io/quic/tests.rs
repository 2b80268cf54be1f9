//! Real sockets on loopback: who gets in, who is cut off, what is too long, and who waits for whom.

use super::*;
use crate::io::clock::Clock;
use crate::io::members::Members;
use crate::roster::{Peer, Role, Roster};
use crate::seal::{Keys, Seed};
use crate::time::Timestamp;
use quinn::crypto::rustls::QuicClientConfig;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

const BUCK: u8 = 1;
const TAILER: u8 = 2;
const STRANGER: u8 = 3;
const ENOUGH: Duration = Duration::from_secs(20);

fn keys(who: u8) -> Keys {
    Keys::from_seed(&Seed::from_bytes([who; 32]))
}

fn line(role: Role, who: u8, more: &str) -> String {
    let address = if role == Role::Buck { " addr=localhost:1" } else { "" };
    format!("{}{address}{more}\n", Peer::new(role, keys(who).public(), NodeId(who.into())))
}

fn roster(lines: &[String]) -> Roster {
    Roster::parse(lines.concat().as_bytes()).expect("a good roster")
}

fn everyone() -> Roster {
    roster(&[line(Role::Buck, BUCK, ""), line(Role::Tailer, TAILER, "")])
}

fn members(roster: Roster) -> Arc<Members> {
    Arc::new(Members::new(roster))
}

fn clock() -> Clock {
    Clock::starting_at(Timestamp::from_seconds(1_795_255_200))
}

fn listen(who: u8, members: &Arc<Members>) -> (Endpoint, Arrivals, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (endpoint, arrivals) = Endpoint::listen(any, &keys(who), Arc::clone(members), clock()).expect("a socket");
    let address = endpoint.local_address().expect("it is bound");
    (endpoint, arrivals, address)
}

fn dialler(who: u8, members: &Arc<Members>) -> Endpoint {
    Endpoint::dialler(&keys(who), Arc::clone(members), clock()).expect("a socket")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(ENOUGH, what).await.expect("long before this")
}

/// A buck that answers each question with the same bytes, and a tailer connected to it.
struct Pair {
    members: Arc<Members>,
    _buck: Endpoint,
    _tailer: Endpoint,
    link: Link,
    tasks: JoinSet<()>,
}

async fn pair<F: Future<Output = ()> + Send + 'static>(answer: fn(Exchange) -> F) -> Pair {
    let members = members(everyone());
    let (buck, mut arrivals, address) = listen(BUCK, &members);
    let tailer = dialler(TAILER, &members);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut answering = JoinSet::new();
        while let Some(link) = arrivals.next().await {
            let mut asks = link.asks();
            while let Some(exchange) = asks.next().await {
                answering.spawn(answer(exchange));
            }
        }
    });
    let link = soon(tailer.dial(address, NodeId(BUCK.into()))).await.expect("both are in the roster");
    Pair { members, _buck: buck, _tailer: tailer, link, tasks }
}

async fn echo(exchange: Exchange) {
    let question = exchange.question.clone();
    let _ = exchange.reply(question).await;
}

#[tokio::test]
async fn a_question_is_answered() {
    let pair = pair(|exchange| async move {
        assert_eq!(exchange.party().node, NodeId(TAILER.into()));
        assert_eq!(exchange.peer().map(|peer| peer.role), Some(Role::Tailer));
        echo(exchange).await;
    })
    .await;
    assert_eq!(pair.link.party().node, NodeId(BUCK.into()));
    for length in [0, 1, 1000, FRAME_BYTES_MAX] {
        let question = vec![7; length];
        assert_eq!(soon(pair.link.ask(question.clone(), ENOUGH)).await.expect("an answer"), question);
    }
}

#[tokio::test]
async fn many_questions_are_asked_at_once() {
    let pair = pair(echo).await;
    let mut asking = JoinSet::new();
    for number in 0..1000u32 {
        let link = pair.link.clone();
        asking.spawn(async move {
            let question = number.to_le_bytes().to_vec();
            assert_eq!(link.ask(question.clone(), ENOUGH).await.expect("an answer"), question);
        });
    }
    soon(async {
        while let Some(asked) = asking.join_next().await {
            asked.expect("answered");
        }
    })
    .await;
}

#[tokio::test]
async fn many_answers_come_in_order_and_end() {
    let pair = pair(|exchange| async move {
        let mut replies = exchange.replies();
        for number in 0..200u8 {
            replies.send(vec![number; 3000]).await.expect("they are read");
        }
        replies.finish().await.expect("they are read");
    })
    .await;
    let mut answers = soon(pair.link.ask_for_many(Vec::new(), ENOUGH)).await.expect("asked");
    for number in 0..200u8 {
        assert_eq!(soon(answers.next()).await.expect("an answer"), Some(vec![number; 3000]));
    }
    assert_eq!(soon(answers.next()).await.expect("an end"), None);
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let pair = pair(|exchange| async move {
        let mut replies = exchange.replies();
        let _ = replies.send(b"half".to_vec()).await;
    })
    .await;
    let mut answers = soon(pair.link.ask_for_many(Vec::new(), ENOUGH)).await.expect("asked");
    loop {
        match soon(answers.next()).await {
            Ok(Some(half)) => assert_eq!(half, b"half"),
            Ok(None) => panic!("it looks whole"),
            Err(error) => return assert!(matches!(error, LinkError::GivenUp { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn an_unanswered_question_is_late_and_a_dropped_one_given_up() {
    let waiting = pair(|exchange| async move {
        std::future::pending::<()>().await;
        drop(exchange);
    })
    .await;
    let late = soon(waiting.link.ask(Vec::new(), Duration::from_millis(1))).await.expect_err("no answer");
    assert!(matches!(late, LinkError::Late { .. }), "{late}");
    let dropping = pair(|exchange| async move { drop(exchange) }).await;
    let given_up = soon(dropping.link.ask(Vec::new(), ENOUGH)).await.expect_err("no answer");
    assert!(matches!(given_up, LinkError::GivenUp { .. }), "{given_up}");
    let text = given_up.to_string();
    assert!(text.contains("127.0.0.1") && text.contains("(tb1") && text.contains("0000000000000001"), "{text}");
}

static CANCELLED: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn who_wants_no_more_answers_says_so() {
    let mut pair = pair(|exchange| async move {
        let mut replies = exchange.replies();
        replies.send(b"first".to_vec()).await.expect("it is wanted");
        replies.cancelled().await;
        assert!(replies.send(b"second".to_vec()).await.is_err());
        CANCELLED.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let mut answers = soon(pair.link.ask_for_many(Vec::new(), ENOUGH)).await.expect("asked");
    assert_eq!(soon(answers.next()).await.expect("an answer"), Some(b"first".to_vec()));
    drop(answers);
    soon(async {
        while CANCELLED.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    pair.tasks.abort_all();
}

static SENT: AtomicUsize = AtomicUsize::new(0);

/// The writer gets as far as the windows reach and no further, and the connection's other streams go on.
#[tokio::test]
async fn a_slow_reader_holds_up_only_itself_within_bounds() {
    const FRAME: usize = 100_000;
    let pair = pair(|exchange| async move {
        if !exchange.question.is_empty() {
            return echo(exchange).await;
        }
        let mut replies = exchange.replies();
        while replies.send(vec![0; FRAME]).await.is_ok() {
            SENT.fetch_add(FRAME, Ordering::SeqCst);
        }
    })
    .await;
    let slow = soon(pair.link.ask_for_many(Vec::new(), ENOUGH)).await.expect("asked");
    let bound = usize::try_from(STREAM_WINDOW_BYTES + CONNECTION_WINDOW_BYTES).expect("small") + FRAME;
    let mut before = usize::MAX;
    while SENT.load(Ordering::SeqCst) != before || before == 0 {
        before = SENT.load(Ordering::SeqCst);
        for _ in 0..200 {
            soon(pair.link.ask(b"still here?".to_vec(), ENOUGH)).await.expect("others are answered");
        }
        assert!(SENT.load(Ordering::SeqCst) <= bound, "{} > {bound}", SENT.load(Ordering::SeqCst));
    }
    drop(slow);
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let known = members(everyone());
    let with_stranger = members(roster(&[line(Role::Buck, BUCK, ""), line(Role::Tailer, STRANGER, "")]));
    let (_buck, mut arrivals, address) = listen(BUCK, &known);
    let refused = soon(dialler(STRANGER, &with_stranger).dial(address, NodeId(BUCK.into()))).await;
    let why = refused.expect_err("the buck does not know it").to_string();
    assert!(why.contains("aborted by peer"), "{why}");
    soon(dialler(TAILER, &known).dial(address, NodeId(BUCK.into()))).await.expect("the buck knows it");
    let first = soon(arrivals.next()).await.expect("one arrived");
    assert_eq!(first.party().node, NodeId(TAILER.into()), "nobody arrived before");
}

#[tokio::test]
async fn another_than_the_one_dialled_is_refused() {
    let known = members(roster(&[
        line(Role::Buck, BUCK, ""),
        line(Role::Tailer, TAILER, ""),
        line(Role::Tailer, STRANGER, ""),
    ]));
    let (_other, mut arrivals, address) = listen(STRANGER, &known);
    let refused = soon(dialler(TAILER, &known).dial(address, NodeId(BUCK.into()))).await;
    assert!(matches!(refused, Err(LinkError::Dial { .. })), "{refused:?}");
    let nobody = soon(dialler(TAILER, &known).dial(address, NodeId(99))).await;
    assert!(matches!(nobody, Err(LinkError::Stranger(NodeId(99)))), "{nobody:?}");
    soon(dialler(TAILER, &known).dial(address, NodeId(STRANGER.into()))).await.expect("the one that is there");
    assert_eq!(soon(arrivals.next()).await.expect("one arrived").party().node, NodeId(TAILER.into()));
}

/// A client of the test's own making: any protocol, key or none.
async fn raw_dial(address: SocketAddr, tls: rustls::ClientConfig) -> Result<(), String> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = quinn::Endpoint::client(any).expect("a socket");
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")));
    let connecting = socket.connect_with(config, address, "tailbuck").expect("a good address");
    let connection = connecting.await.map_err(|why| why.to_string())?;
    let mut greeting = connection.accept_uni().await.map_err(|why| why.to_string())?;
    greeting.read_to_end(100).await.map_err(|why| why.to_string()).map(drop)
}

#[tokio::test]
async fn another_protocol_or_no_key_exchanges_nothing() {
    let known = members(everyone());
    let (_buck, mut arrivals, address) = listen(BUCK, &known);
    let check = async |change: fn(&mut rustls::ClientConfig)| {
        let mut tls = tls::Identity::new(&keys(TAILER), Arc::clone(&known), clock()).client_tls(NodeId(BUCK.into()));
        change(&mut tls);
        soon(raw_dial(address, tls)).await
    };
    check(|tls| tls.alpn_protocols = vec![b"tailbuck/0".to_vec()]).await.expect_err("another version");
    check(|tls| tls.alpn_protocols = vec![b"h3".to_vec()]).await.expect_err("another protocol");
    check(|tls| tls.alpn_protocols.clear()).await.expect_err("no protocol");
    check(|tls| tls.client_auth_cert_resolver = Arc::new(tls::NoKey)).await.expect_err("no key");
    check(|_| {}).await.expect("nothing changed");
    assert_eq!(soon(arrivals.next()).await.expect("the good one").party().node, NodeId(TAILER.into()));
}

#[tokio::test]
async fn who_leaves_the_roster_loses_the_connection() {
    let pair = pair(echo).await;
    soon(pair.link.ask(b"hello".to_vec(), ENOUGH)).await.expect("an answer");
    pair.members.replace(roster(&[line(Role::Buck, BUCK, ""), line(Role::Tailer, STRANGER, "")]));
    let why = timeout(Duration::from_secs(5), pair.link.closed()).await.expect("within five seconds");
    assert!(!why.is_empty());
    assert!(pair.link.ask(b"hello".to_vec(), ENOUGH).await.is_err());
}

#[tokio::test]
async fn who_expires_or_is_lost_or_comes_from_elsewhere_is_cut_off() {
    for more in [" expires=2026-11-21", " lost=2026-11-20", " from=192.0.2.0/24"] {
        let buck_members = members(everyone());
        let tailer_members = members(everyone());
        let (_buck, mut arrivals, address) = listen(BUCK, &buck_members);
        let tailer = dialler(TAILER, &tailer_members);
        let link = soon(tailer.dial(address, NodeId(BUCK.into()))).await.expect("all is well");
        let arrived = soon(arrivals.next()).await.expect("it arrived");
        buck_members.replace(roster(&[line(Role::Buck, BUCK, ""), line(Role::Tailer, TAILER, more)]));
        timeout(Duration::from_secs(5), link.closed()).await.expect("within five seconds");
        assert!(!arrived.is_open());
        let again = soon(tailer.dial(address, NodeId(BUCK.into()))).await;
        assert!(matches!(again, Err(LinkError::Dial { .. })), "{more}: {again:?}");
    }
}

#[tokio::test]
async fn a_change_elsewhere_in_the_roster_cuts_off_nobody() {
    let pair = pair(echo).await;
    let more = roster(&[line(Role::Buck, BUCK, ""), line(Role::Tailer, TAILER, ""), line(Role::Tailer, STRANGER, "")]);
    pair.members.replace(more);
    let mut ticks = tokio::time::interval(GUARD_EVERY);
    for _ in 0..2 {
        ticks.tick().await;
        soon(pair.link.ask(b"hello".to_vec(), ENOUGH)).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused() {
    let pair = pair(echo).await;
    let large = soon(pair.link.ask(vec![0; FRAME_BYTES_MAX + 1], ENOUGH)).await.expect_err("too large to send");
    assert!(matches!(large, LinkError::Large { .. }), "{large}");
    let given_up = soon(pair.link.ask_raw(&u32::MAX.to_le_bytes())).await.expect_err("too large to read");
    assert!(matches!(given_up, LinkError::GivenUp { .. }), "{given_up}");
    let cut = [&100u32.to_le_bytes()[..], b"short"].concat();
    assert!(matches!(soon(pair.link.ask_raw(&cut)).await, Err(LinkError::GivenUp { .. })));
    soon(pair.link.ask(b"and now?".to_vec(), ENOUGH)).await.expect("the connection goes on");
}

/// Questions that claim four megabytes and send nothing wait for memory; they get no more than one peer may have.
#[tokio::test]
async fn claims_take_no_more_memory_than_a_peer_may_have() {
    let pair = pair(echo).await;
    let claim = u32::try_from(FRAME_BYTES_MAX).expect("small").to_le_bytes();
    let mut claims = Vec::new();
    for _ in 0..10 {
        claims.push(pair.link.begin_raw(&claim).await);
    }
    let waiting = timeout(Duration::from_millis(300), pair.link.ask(vec![1; FRAME_BYTES_MAX], ENOUGH)).await;
    assert!(waiting.is_err(), "no memory is left for this peer");
    drop(claims);
    soon(pair.link.ask(vec![1; FRAME_BYTES_MAX], ENOUGH)).await.expect("memory was given back");
}

#[tokio::test]
async fn a_node_has_only_so_many_connections() {
    let known = members(everyone());
    let (_buck, _arrivals, address) = listen(BUCK, &known);
    let tailer = dialler(TAILER, &known);
    let others = dialler(TAILER, &known);
    let first = soon(tailer.dial(address, NodeId(BUCK.into()))).await.expect("the first");
    let mut links = Vec::new();
    for _ in 0..CONNECTIONS_PER_NODE_MAX {
        links.push(soon(others.dial(address, NodeId(BUCK.into()))).await.expect("one more"));
    }
    assert!(soon(first.closed()).await.contains("replaced"));
}

/// Stands between a dialler and whoever is behind it just now.
struct Between {
    address: SocketAddr,
    behind: tokio::sync::watch::Sender<SocketAddr>,
    _task: JoinSet<()>,
}

impl Between {
    async fn start(behind: SocketAddr) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let address = front.local_addr().expect("it is bound");
        let (behind, target) = tokio::sync::watch::channel(behind);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut came, mut went) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let mut dialler = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut came) => {
                        dialler = Some(from);
                        let to = *target.borrow();
                        let _ = back.send_to(&came[..length], to).await;
                    }
                    Ok((length, from)) = back.recv_from(&mut went) => {
                        if let Some(dialler) = dialler.filter(|_| from == *target.borrow()) {
                            let _ = front.send_to(&went[..length], dialler).await;
                        }
                    }
                }
            }
        });
        Self { address, behind, _task: task }
    }
}

#[tokio::test]
async fn a_node_that_was_killed_and_started_again_says_that_it_knows_no_old_connection() {
    let known = members(everyone());
    let (_killed, _arrivals, address) = listen(BUCK, &known);
    let between = Between::start(address).await;
    let tailer = dialler(TAILER, &known);
    let link = soon(tailer.dial(between.address, NodeId(BUCK.into()))).await.expect("a link");
    let (_again, _arrivals, address) = listen(BUCK, &known);
    between.behind.send(address).expect("it stands");
    let asked = soon(link.ask(vec![1; 100], ENOUGH)).await;
    assert!(asked.is_err(), "nobody who knows it is there");
    assert!(soon(link.closed()).await.contains("reset"));
}

#[tokio::test]
async fn a_stopping_endpoint_says_goodbye() {
    let known = members(everyone());
    let (buck, mut arrivals, address) = listen(BUCK, &known);
    let link = soon(dialler(TAILER, &known).dial(address, NodeId(BUCK.into()))).await;
    drop(link);
    let tailer = dialler(TAILER, &known);
    let link = soon(tailer.dial(address, NodeId(BUCK.into()))).await.expect("a link");
    soon(buck.close()).await;
    assert!(soon(link.closed()).await.contains("stopping"));
    soon(async { while arrivals.next().await.is_some() {} }).await;
}
