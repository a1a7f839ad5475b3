//! One connection to the API: requests one after the other, each with its answer, or none once the other side is gone.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any answer takes: who is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with a credential.
pub struct Https {
    stream: StreamOwned<ClientConnection, TcpStream>,
    token: String,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

/// A stream of events.
pub struct Events {
    connection: Https,
    received: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Https {
    /// A connection; none if nobody listens any more.
    pub fn connect(address: SocketAddr, tls: &Arc<ClientConfig>, token: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(tls), name).expect("a client");
        Some(Self { stream: StreamOwned::new(connection, stream), token: token.to_owned() })
    }

    /// Sends `METHOD /path` with a JSON body.
    pub fn json(&mut self, line: &str, headers: &[(&str, &str)], body: &Value) -> Option<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.send(line, "application/json", headers, text.as_bytes())
    }

    /// Sends `METHOD /path` with a body, and waits for the answer; none if the other side is gone before it is all there.
    pub fn send(&mut self, line: &str, kind: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let mut request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
            self.token,
            body.len()
        );
        if !body.is_empty() {
            request += &format!("Content-Type: {kind}\r\n");
        }
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        request += "\r\n";
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).and_then(|()| self.stream.flush()).ok()?;
        let mut received = Vec::new();
        let end = loop {
            if let Some(at) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut received)?;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = match answer.header("content-length") {
            Some(length) => length.parse().expect("a length"),
            None => {
                assert!(status == 204, "an answer without a length: {}", answer.head);
                0
            }
        };
        while received.len() < end + length {
            self.more(&mut received)?;
        }
        answer.body = String::from_utf8_lossy(&received[end..end + length]).into_owned();
        Some(answer)
    }

    /// The events at `path`, from the first one that is kept; none if the other side is gone.
    pub fn follow(mut self, path: &str) -> Option<Events> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
            self.token
        );
        self.stream.write_all(request.as_bytes()).and_then(|()| self.stream.flush()).ok()?;
        let mut received = Vec::new();
        while received.len() < 12 {
            self.more(&mut received)?;
        }
        assert!(received.starts_with(b"HTTP/1.1 200"), "no stream: {}", String::from_utf8_lossy(&received));
        Some(Events { connection: self, received })
    }

    fn more(&mut self, received: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(length) => {
                received.extend_from_slice(&buffer[..length]);
                Some(())
            }
            Err(error) => {
                assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "no answer comes");
                None
            }
        }
    }
}

impl Events {
    /// Waits for the next event; none if the other side is gone.
    pub fn next(&mut self) -> Option<()> {
        // The server writes an event at once, so that no line of it is cut.
        const DATA: &[u8] = b"\ndata:";
        loop {
            if let Some(at) = self.received.windows(DATA.len()).position(|bytes| bytes == DATA) {
                self.received.drain(..at + DATA.len());
                return Some(());
            }
            self.connection.more(&mut self.received)?;
        }
    }
}
