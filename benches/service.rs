//! Processes of a cluster, and how they are asked over HTTPS.

use crate::{Result, from_environment};
use lockgate_core::Name;
use lockgate_core::dsse::Envelope;
use lockgate_core::trust::Documents;
use lockgate_jobmanager::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a process may take until it says what it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `lockgate` in a process of its own; its log goes to a file, as a service's does.
pub struct Service {
    process: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `lockgate VERB --config CONFIG` with this configuration, which is written beside its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(verb: &str, folder: &Path, settings: &str) -> Result<Self> {
        let (config, log) = (folder.join(format!("{verb}.toml")), folder.join(format!("{verb}.log")));
        std::fs::write(&config, settings)?;
        let mut command = Command::new(from_environment("LOCKGATE")?);
        command.arg(verb).arg("--config").arg(config);
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?).spawn()?;
        Ok(Self { process, log })
    }

    /// Waits until it has logged `message`; the line.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_message(&self, message: &str) -> Result<Value> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            for line in BufReader::new(std::fs::File::open(&self.log)?).lines() {
                let line: Value = serde_json::from_str(&line?).unwrap_or_default();
                if line.get("message").and_then(Value::as_str).is_some_and(|text| text == message) {
                    return Ok(line);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("no word of {message:?}:\n{}", std::fs::read_to_string(&self.log)?).into())
    }

    /// The address that it listens on, as its line `message` has it.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self, message: &str) -> Result<SocketAddr> {
        let line = self.await_message(message)?;
        let address = line.get("address").and_then(|at| at.as_str()?.parse().ok());
        Ok(address.ok_or_else(|| format!("no address: {line}"))?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A JobManager and its administrator's credential.
pub struct JobManager {
    /// The process.
    pub service: Service,
    /// Where it listens, for whoever has the credential that was made last.
    pub place: Place,
}

impl JobManager {
    /// Starts one with these further lines in its configuration.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn start(folder: &Path, settings: &str) -> Result<Self> {
        let settings = format!(
            "data = \"data\"\nlisten = [\"127.0.0.1:0\"]\ndomain = \"development.local\"\nlog-format = \"json\"\n{settings}"
        );
        let service = Service::start("jobmanager", folder, &settings)?;
        let address = service.address("listening")?;
        let tls = Arc::new(tls::client_config(tls::roots(&folder.join("data/tls/ca.pem"))?)?);
        let token = std::fs::read_to_string(folder.join("data/setup-token"))?.trim().to_owned();
        let mut this = Self { service, place: Place { address, tls, token } };
        this.place.connect()?.json("PUT /api/v1/members/user:op", &json!({ "roles": ["operator"] }))?;
        this.place.token = this.token("/api/v1/tokens", "user:op")?;
        Ok(this)
    }

    /// Makes the tenant of these documents, who is under the operator root `root`; where its administrator asks.
    ///
    /// # Errors
    /// When something of it is refused.
    pub fn furnish(&self, tenant: &Name, documents: &Documents, root: &Envelope) -> Result<Place> {
        let at = format!("/api/v1/tenants/{tenant}");
        let mut operator = self.place.connect()?;
        operator.json("POST /api/v1/tenants", &json!({ "name": tenant }))?;
        operator.json(&format!("PUT {at}/members/user:ana"), &json!({ "roles": ["tenant-admin"] }))?;
        let admin = Place { token: self.token(&format!("{at}/tokens"), "user:ana")?, ..self.place.clone() };
        operator.json("POST /api/v1/trust/operator-root", root)?;
        for policy in &documents.policies {
            operator.json(&format!("POST {at}/trust/policy"), policy)?;
        }
        operator.json("POST /api/v1/trust/operator-status", &documents.operator_status)?;
        let mut connection = admin.connect()?;
        connection.json(&format!("POST {at}/trust/root"), &documents.tenant_root)?;
        connection.json(&format!("POST {at}/trust/status"), &documents.tenant_status)?;
        Ok(admin)
    }

    fn token(&self, path: &str, principal: &str) -> Result<String> {
        let made = self.place.connect()?.json(&format!("POST {path}"), &json!({ "principal": principal }))?;
        Ok(made.get("token").and_then(Value::as_str).ok_or("no token")?.to_owned())
    }
}

/// A server, and how it is asked.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
    pub token: String,
}

impl Place {
    /// A connection.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let client = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("localhost")?)?;
        Ok(Connection { stream: StreamOwned::new(client, stream), token: self.token.clone(), received: Vec::new() })
    }
}

/// A connection that is kept.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    token: String,
    received: Vec<u8>,
}

impl Connection {
    /// The status of the answer, and its body.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, String)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{headers}content-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.stream.flush()?;
        self.received.clear();
        loop {
            let end = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
            if let Some((head, rest)) = end.and_then(|end| self.received.split_at_checked(end)) {
                let head = String::from_utf8_lossy(head).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                if rest.len() >= length.trim().parse::<usize>()? {
                    let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
                    return Ok((status, String::from_utf8_lossy(rest).into_owned()));
                }
            }
            let mut buffer = [0; 16 << 10];
            let count = self.stream.read(&mut buffer)?;
            let read = buffer.get(..count).filter(|read| !read.is_empty()).ok_or("the server closed")?;
            self.received.extend_from_slice(read);
        }
    }

    /// A request of JSON that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn json(&mut self, line: &str, body: &impl serde::Serialize) -> Result<Value> {
        let (method, path) = line.split_once(' ').ok_or("a line of method and path")?;
        let bytes = serde_json::to_vec(body)?;
        match self.ask(method, path, "content-type: application/json\r\n", &bytes)? {
            (200..=299, body) => Ok(serde_json::from_str(&body)?),
            (status, body) => Err(format!("{line}: {status} {body}").into()),
        }
    }
}
