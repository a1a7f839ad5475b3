//! A client that sends exactly the bytes that a case gives it, over TLS, which no proper client would do.
//!
//! It blocks: a case is a thread that says one thing and waits for what comes of it.

use lockgate_jobmanager::tls;
use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The source of whoever does no harm, and that of whoever does, where what is limited by source is tried.
pub const HONEST: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 if the connection ended without any.
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The code of the problem that it tells; nothing if it tells none.
    pub fn code(&self) -> String {
        let value: Option<Value> = serde_json::from_str(&self.body).ok();
        value.and_then(|value| Some(value["code"].as_str()?.to_owned())).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, body: body.to_owned() }
    }
}

/// Where a server is, and who may vouch for it.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddrV4,
    config: Arc<ClientConfig>,
}

impl Client {
    pub fn new(address: SocketAddrV4, ca: &Path) -> Self {
        let roots = tls::roots(ca).expect("the authority");
        Self { address, config: Arc::new(tls::client_config(roots).expect("a configuration")) }
    }

    /// The same, speaking nothing newer than TLS 1.2.
    pub fn only_1_2(&self, ca: &Path) -> Self {
        let builder = ClientConfig::builder_with_provider(tls::provider());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).expect("TLS 1.2");
        let config = builder.with_root_certificates(tls::roots(ca).expect("the authority")).with_no_client_auth();
        Self { address: self.address, config: Arc::new(config) }
    }

    /// A bare connection from `source`, without TLS.
    pub fn bare(&self, source: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        rustix::net::connect(&socket, &self.address)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A connection with TLS, or why there is none.
    pub fn connect(&self, source: Ipv4Addr) -> io::Result<Connection> {
        let mut stream = self.bare(source)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    /// What is answered to these bytes on a connection of their own.
    pub fn ask_from(&self, source: Ipv4Addr, request: &[u8]) -> Answer {
        let Ok(mut connection) = self.connect(source) else { return Answer::default() };
        // A server that refuses early may close before it has taken everything.
        let _ = connection.write_all(request).and_then(|()| connection.flush());
        rest(&mut connection)
    }

    /// What is answered to `head` and `pieces` that follow one by one, until an answer begins: a server that refuses early
    /// closes on what it has not read, and what it said would be lost with that.
    pub fn drip(
        &self,
        source: Ipv4Addr,
        head: &[u8],
        pieces: impl Iterator<Item = Vec<u8>>,
        pause: Duration,
    ) -> Answer {
        let Ok(mut connection) = self.connect(source) else { return Answer::default() };
        let mut sent = connection.write_all(head).and_then(|()| connection.flush());
        let mut begun = Vec::new();
        connection.sock.set_read_timeout(Some(pause)).expect("a timeout");
        for piece in pieces {
            let mut buffer = [0; 16 << 10];
            match connection.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                ended => {
                    begun.extend_from_slice(&buffer[..ended.unwrap_or_default()]);
                    break;
                }
            }
            sent = sent.and_then(|()| connection.write_all(&piece)).and_then(|()| connection.flush());
        }
        connection.sock.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut all = begun;
        all.extend(everything(&mut connection));
        Answer::parse(&all)
    }

    /// What is answered to these bytes from where the honest come from.
    pub fn ask(&self, request: &[u8]) -> Answer {
        self.ask_from(HONEST, request)
    }
}

/// What comes until the server closes, which it must.
pub fn rest(connection: &mut Connection) -> Answer {
    Answer::parse(&everything(connection))
}

fn everything(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server keeps the connection open"),
            Err(_) => break,
        }
    }
    bytes
}

/// A request's bytes: its first line without the version, further header lines, its body.
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let own = headers.iter().any(|(name, _)| ["content-length", "transfer-encoding"].contains(name));
    if !own && !line.starts_with("GET") {
        text += &format!("content-length: {}\r\n", body.len());
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One connection that is kept, for the many small questions of somebody honest.
pub struct Session(Connection);

impl Session {
    pub fn open(client: &Client) -> Self {
        Self(client.connect(HONEST).expect("an honest connection"))
    }

    /// What stands in the answer to a GET.
    pub fn get(&mut self, path: &str, token: &str) -> Answer {
        let text = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()).expect("a request");
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.expect("a length").parse().expect("a number");
                if body.len() >= length {
                    return Answer::parse(&bytes);
                }
            }
            let count = self.0.read(&mut buffer).expect("an answer");
            assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..count]);
        }
    }
}
