//! A network between two processes that can be cut: datagrams pass a socket on each side, or are dropped.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How soon its threads see that the test is over.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Stands before one listening process, for one dialler. Ends when it is dropped.
pub struct Cut {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    dialler: Mutex<Option<SocketAddr>>,
}

impl Cut {
    pub fn before(listener: SocketAddr) -> Self {
        let (front, back) = (socket(), socket());
        let address = front.local_addr().expect("it is bound");
        back.connect(listener).expect("loopback");
        let shared = Arc::new(Shared::default());
        let (front, back) = (Arc::new(front), Arc::new(back));
        thread::spawn({
            let (front, back, shared) = (Arc::clone(&front), Arc::clone(&back), Arc::clone(&shared));
            move || {
                forward(&front, &shared, |bytes, from| {
                    *shared.dialler.lock().expect("no thread panics") = Some(from);
                    // A listener that is not there yet is like one that hears nothing.
                    let _ = back.send(bytes);
                });
            }
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                forward(&back, &shared, |bytes, _| {
                    let dialler = *shared.dialler.lock().expect("no thread panics");
                    let _ = dialler.map(|dialler| front.send_to(bytes, dialler));
                });
            }
        });
        Self { address, shared }
    }

    pub fn set(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(LOOK_UP)).expect("it is not zero");
    socket
}

fn forward(from: &UdpSocket, shared: &Shared, pass: impl Fn(&[u8], SocketAddr)) {
    let mut datagram = vec![0; 1 << 16];
    while !shared.is_over.load(Ordering::Relaxed) {
        let Ok((length, sender)) = from.recv_from(&mut datagram) else { continue };
        if !shared.is_cut.load(Ordering::Relaxed) {
            pass(&datagram[..length], sender);
        }
    }
}
