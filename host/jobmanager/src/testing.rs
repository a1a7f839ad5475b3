//! For tests: an authority, a running server, a client that says exactly what it is told to, and a directory of
//! credentials. All over real sockets and real TLS on loopback.

pub mod client;
pub mod directory;

pub use client::{Answer, Trust};
pub use directory::People;

use crate::config::{Config, Surroundings};
use crate::serve::Prepared;
use crate::server::{Server, routed};
use crate::tls;
use axum::Router;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes: a test that waits for this has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// An authority with files in a folder.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { issuer, folder: folder.to_owned() };
        std::fs::write(this.ca(), this.issuer.pem()).unwrap();
        this
    }

    /// The file with its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("test-ca.pem")
    }

    /// A certificate for localhost and these URIs, with its key, in files `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str, uris: &[&str]) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.1, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

/// A configuration of this text, in a folder of its own, on a port that the system chooses.
pub fn config(folder: &Path, text: &str) -> Config {
    let text = format!("data = \"data\"\nlisten = [\"127.0.0.1:0\"]\n{text}");
    Config::parse(&text, "jobmanager.toml", Surroundings { folder, environment: &|_| None })
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// A server that runs until it is stopped or dropped.
pub struct Running {
    pub folder: TempDir,
    pub address: SocketAddr,
    pub people: Arc<People>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<lockgate_core::Result<bool>>,
}

impl Running {
    /// With a configuration of this text and the test routes.
    pub async fn start(text: &str, routes: Router) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), text, routes).await
    }

    pub async fn start_in(folder: TempDir, text: &str, routes: Router) -> Self {
        let people = Arc::new(People::default());
        let config = config(folder.path(), text);
        let prepared = Prepared::new(&config, Arc::clone(&people), false).await.unwrap();
        let address = prepared.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(prepared.run(routes, async move {
            let _ = stopped.await;
        }));
        Self { folder, address, people, stop: Some(stop), serving }
    }

    /// The authority that the server made.
    pub fn trust(&self) -> Trust {
        Trust::of(&self.folder.path().join("data/tls/ca.pem"))
    }

    /// What is answered to a request of this text, sent as it is.
    pub async fn ask(&self, request: &str) -> Answer {
        self.trust().ask(self.address, request.as_bytes()).await
    }

    /// A GET with a bearer token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(&client::get(path, token)).await
    }

    /// Asks it to stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it; whether everything ended by itself.
    pub async fn stopped(mut self) -> bool {
        self.stop();
        soon("the end", &mut self.serving).await.unwrap().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A service elsewhere over HTTPS, without a guard: an identity provider, an authorisation service. It ends when dropped.
pub struct Service {
    pub address: SocketAddr,
    /// The file with the authority that vouches for it.
    pub ca: PathBuf,
    _stop: watch::Sender<bool>,
}

impl Service {
    /// One whose routes may depend on where it is.
    pub async fn start(folder: &Path, routes: impl FnOnce(SocketAddr) -> Router) -> Self {
        let authority = Authority::new(folder, "service authority");
        let (certificate, key) = authority.issue("service", &[]);
        let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        let config = config(folder, &text);
        let (tls, _) = tls::of(&config).unwrap();
        let server = Server::bind(&config.listen, Arc::new(tls), config.limits.of_connections()).await.unwrap();
        let address = server.addresses()[0];
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server.run(routed(routes(address)), stopped));
        Self { address, ca: authority.ca(), _stop: stop }
    }
}

/// All that this process logs from now on, at every level, whichever test does: a callsite that one thread met without a
/// subscriber may stay silent for all, so that one for a thread alone would miss lines.
pub fn log() -> impl Fn() -> String {
    static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static ONCE: Once = Once::new();
    struct Lines;
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LINES.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    ONCE.call_once(|| {
        let level = tracing::Level::TRACE;
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(|| Lines).init();
    });
    || String::from_utf8_lossy(&LINES.lock().unwrap()).into_owned()
}
