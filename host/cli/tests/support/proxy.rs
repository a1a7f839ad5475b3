//! Stands between the command and a JobManager and loses answers: the request arrives, is carried out, and the connection
//! breaks before any of the answer comes through.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes: more than the session tickets that a TLS 1.3 server may send after a handshake, less than an answer.
const ANSWERED: usize = 300;
/// Bytes of the record that says nothing (RFC 8446, appendix D.4), which a client may send while the server still speaks.
const NOTHING: usize = 6;

/// A proxy that passes bytes on, as long as it lives.
pub struct Proxy {
    pub port: u16,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    /// Before the JobManager at this port.
    pub fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                pass(&client, &server, taken.is_ok());
            }
        });
        Self { port, cuts }
    }

    /// Loses the answers of this many connections from now on.
    pub fn cut(&self, connections: usize) {
        self.cuts.store(connections, Ordering::SeqCst);
    }

    /// How many are still to be lost.
    pub fn left(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes on both ways; if `cut`, nothing that the server says after the handshake.
fn pass(client: &TcpStream, server: &TcpStream, cut: bool) {
    let both = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    // Whether the server has spoken, and whether the client has answered that: the handshake is over then.
    let (spoke, shaken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (heard, told) = (Arc::clone(&spoke), Arc::clone(&shaken));
    let (mut from, mut to) = both();
    std::thread::spawn(move || {
        let (mut buffer, mut said) = ([0; 16 << 10], 0);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if heard.load(Ordering::SeqCst) {
                said += count;
            }
            told.fetch_or(said > NOTHING, Ordering::SeqCst);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut to, mut from) = both();
    std::thread::spawn(move || {
        let (mut buffer, mut lost) = ([0; 16 << 10], 0);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if cut && shaken.load(Ordering::SeqCst) {
                lost += count;
                if lost > ANSWERED {
                    break;
                }
            } else if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            spoke.store(true, Ordering::SeqCst);
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
