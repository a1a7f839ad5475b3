//! A server that says exactly the bytes that a case gives it, over TLS, which no proper server would do.
//!
//! It blocks: each connection is a thread that reads one request after the other and says what it is told to. What it holds
//! is bounded by the few connections that one TaskManager makes.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most bytes of a request's head, and of its body: more than the plane allows.
const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: usize = 64 << 20;
/// How long a thread waits for bytes before it looks whether the server is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What a TaskManager asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub path: String,
    /// Lines of the head behind the first one, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The last part of the path, such as `heartbeat`.
    pub fn route(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The body, which must be the message that the plane has there.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {text}", self.path))
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub how: How,
}

/// How an answer is put on the wire.
#[derive(Clone, Debug)]
pub enum How {
    /// As HTTP has it.
    Properly,
    /// The body's bytes are all that is sent, and the connection ends.
    Raw,
    /// The body again and again as chunks, with a pause after each, until the TaskManager has had enough.
    Endless(Duration),
    /// Byte by byte, with a pause after each.
    Drip(Duration),
    /// Nothing at all: the connection stays open.
    Silence,
}

impl Answer {
    pub fn json(value: &impl serde::Serialize) -> Self {
        Self::bytes("application/json", serde_json::to_vec(value).expect("JSON"))
    }

    pub fn bytes(kind: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status: 200, headers, body, how: How::Properly }
    }

    /// A refusal as the JobManager words it.
    pub fn problem(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "type": "about:blank", "title": "refused", "status": status, "code": code });
        let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), how: How::Properly }
    }

    /// The same with other words in the body.
    pub fn with(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with a header, in place of one of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn head(&self, length: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Said\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let own = self.headers.iter().any(|(name, _)| ["content-length", "transfer-encoding"].contains(&name.as_str()));
        if length && !own {
            text += &format!("content-length: {}\r\n", self.body.len());
        }
        (text + "\r\n").into_bytes()
    }
}

/// What a listener does with requests.
pub type Handler = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

/// A listener of one TLS configuration, which may change.
pub struct Listener {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    handler: Handler,
    /// Counts the configurations: connections of an earlier one end.
    generation: AtomicU64,
    end: AtomicBool,
    /// Connections on which no TLS came about.
    failed: AtomicU64,
    /// The most bytes of one answer that a TaskManager took.
    taken: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener {
    pub fn start(tls: Arc<ServerConfig>, handler: Handler) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            tls: Mutex::new(tls),
            handler,
            generation: AtomicU64::default(),
            end: AtomicBool::default(),
            failed: AtomicU64::default(),
            taken: AtomicU64::default(),
        });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if of_acceptor.end.load(Ordering::Acquire) {
                    break;
                }
                threads.retain(|thread: &JoinHandle<()>| !thread.is_finished());
                let shared = Arc::clone(&of_acceptor);
                threads.push(std::thread::spawn(move || shared.serve(stream)));
            }
            for thread in threads {
                let _ = thread.join();
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Speaks TLS as `tls` says from now on, and ends all connections.
    pub fn speak(&self, tls: Arc<ServerConfig>) {
        *lock(&self.shared.tls) = tls;
        self.hang_up();
    }

    /// Ends all connections.
    pub fn hang_up(&self) {
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Connections on which no TLS came about.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// The most bytes of one answer that were taken, since this was last asked.
    pub fn taken(&self) -> u64 {
        self.shared.taken.swap(0, Ordering::AcqRel)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        self.hang_up();
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let generation = self.generation.load(Ordering::Acquire);
        let over = || self.end.load(Ordering::Acquire) || self.generation.load(Ordering::Acquire) != generation;
        let tls = Arc::clone(&lock(&self.tls));
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(LOOK))).expect("a socket");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let mut connection = ServerConnection::new(tls).expect("a connection");
        while connection.is_handshaking() {
            match connection.complete_io(&mut stream) {
                Ok(_) => {}
                Err(error) if waits(&error) && !over() => {}
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::AcqRel);
                    return;
                }
            }
        }
        let mut stream = StreamOwned::new(connection, stream);
        let mut read = Vec::new();
        while let Some(request) = next(&mut stream, &mut read, &over) {
            if over() {
                return;
            }
            let answer = (self.handler)(request);
            if over() || !self.say(&mut stream, &answer, &over) {
                return;
            }
        }
        // Whoever did not like the certificate says so only when the handshake is over on this side.
        if generation == self.generation.load(Ordering::Acquire) && read.is_empty() {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }

    /// Whether the connection goes on.
    fn say(&self, stream: &mut Stream, answer: &Answer, over: &dyn Fn() -> bool) -> bool {
        let mut count = 0;
        let mut put = |bytes: &[u8]| {
            let put = stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
            count += if put { bytes.len() as u64 } else { 0 };
            self.taken.fetch_max(count, Ordering::AcqRel);
            put
        };
        match answer.how {
            How::Properly => put(&answer.head(true)) && put(&answer.body),
            How::Raw => {
                put(&answer.body);
                false
            }
            How::Endless(pause) => {
                let head = answer.clone().header("transfer-encoding", "chunked").head(false);
                let chunk = [format!("{:x}\r\n", answer.body.len()).as_bytes(), &answer.body, b"\r\n"].concat();
                let mut goes_on = put(&head);
                while goes_on && !over() {
                    goes_on = put(&chunk);
                    std::thread::sleep(pause);
                }
                false
            }
            How::Drip(pause) => {
                let bytes = [answer.head(true), answer.body.clone()].concat();
                bytes.iter().all(|byte| {
                    std::thread::sleep(pause);
                    !over() && put(&[*byte])
                })
            }
            How::Silence => {
                let mut buffer = [0; 1];
                while !over() {
                    match stream.read(&mut buffer) {
                        Err(error) if waits(&error) => {}
                        _ => break,
                    }
                }
                false
            }
        }
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Reads until `enough` says where it ends; none if the connection ends first.
fn read_until(
    stream: &mut Stream,
    read: &mut Vec<u8>,
    over: &dyn Fn() -> bool,
    most: usize,
    enough: impl Fn(&[u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(end) = enough(read) {
            let rest = read.split_off(end);
            return Some(std::mem::replace(read, rest));
        }
        if read.len() > most || over() {
            return None;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if waits(&error) => {}
            Err(_) => return None,
        }
    }
}

/// The next request; none if there is none any more.
fn next(stream: &mut Stream, read: &mut Vec<u8>, over: &dyn Fn() -> bool) -> Option<Request> {
    let end = |ending: &'static [u8]| {
        move |bytes: &[u8]| bytes.windows(ending.len()).position(|window| window == ending).map(|at| at + ending.len())
    };
    let head = read_until(stream, read, over, MAX_HEAD, end(b"\r\n\r\n"))?;
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let path = first.nth(1)?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request = Request { path, headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        loop {
            let line = read_until(stream, read, over, MAX_HEAD, end(b"\r\n"))?;
            let length = usize::from_str_radix(String::from_utf8(line).ok()?.trim(), 16).ok()?;
            let chunk = read_until(stream, read, over, MAX_BODY, |bytes| bytes.get(..length + 2).map(<[u8]>::len))?;
            request.body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length") {
        let length: usize = length.parse().ok()?;
        request.body = read_until(stream, read, over, MAX_BODY, |bytes| bytes.get(..length).map(<[u8]>::len))?;
    }
    Some(request)
}
