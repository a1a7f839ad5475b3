//! The network between two processes, as far as it can be bad without rights of root: a TCP relay on loopback that stops
//! forwarding in either direction, or forwards slowly.
//!
//! What is not forwarded is held and goes on when the relay does, as TCP sends again what a network has lost. Whoever
//! connects meanwhile is let in and hears nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How much is forwarded at a time.
const PIECE: usize = 1_024;

/// What the network does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// Nothing comes from who dials to who listens.
    pub up_blocked: bool,
    /// Nothing comes back.
    pub down_blocked: bool,
    /// Bytes a second, each way and for each connection; no bound if 0.
    pub rate: u64,
}

/// A relay. It ends when this is dropped.
pub struct Relay {
    address: SocketAddrV4,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    network: Mutex<(Network, bool)>,
    changed: Condvar,
}

impl Relay {
    /// A relay to `target`.
    pub fn start(target: SocketAddrV4) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared: Arc<Shared> = Arc::default();
        let kept = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if kept.network.lock().unwrap().1 {
                    return;
                }
                // If nobody listens there, nobody does here.
                let Ok(far) = TcpStream::connect(target) else { continue };
                let pairs = [(near.try_clone(), far.try_clone(), true), (Ok(far), Ok(near), false)];
                for (from, to, up) in pairs {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    let shared = Arc::clone(&kept);
                    std::thread::spawn(move || shared.forward(from, to, up));
                }
            }
        });
        Self { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.shared.network.lock().unwrap().0 = network;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, up: bool) {
        let mut piece = [0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if !self.pass(length, up) || to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        // An end is told no sooner than what was sent before it.
        self.pass(0, up);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Waits until so many bytes may go on; false if nothing will any more.
    fn pass(&self, length: usize, up: bool) -> bool {
        let network = self.network.lock().unwrap();
        let blocked = |network: &(Network, bool)| if up { network.0.up_blocked } else { network.0.down_blocked };
        let network = self.changed.wait_while(network, |network| blocked(network) && !network.1).unwrap();
        let (Network { rate, .. }, ended) = *network;
        drop(network);
        if let Some(micros) = (length as u64 * 1_000_000).checked_div(rate) {
            std::thread::sleep(Duration::from_micros(micros));
        }
        !ended
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.network.lock().unwrap().1 = true;
        self.shared.changed.notify_all();
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}
