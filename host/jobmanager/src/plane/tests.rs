//! The plane and the way onto it, over real TLS: who gets in, who does not, and what happens to whoever loses his place.

mod certificates;
mod cluster;
mod joining;
mod places;

use super::{Peer, Plane};
use crate::api::{Measured, router};
use crate::config::Limits;
use crate::credentials::Kept;
use crate::serve::Prepared;
use crate::testing::client::rest;
use crate::testing::{self, Answer, Trust, soon};
use crate::world::{World, name, operator};
use axum::routing::get;
use axum::{Extension, Router};
use lockgate_core::plane::{Certificate, HEADER, Joined, Version, path};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::client::TlsStream;

/// A JobManager with a plane, whose clock is the machine's until it is put forward.
struct Site {
    world: World,
    api: SocketAddr,
    plane: SocketAddr,
    /// A request that waits has come.
    waiting: Arc<Notify>,
    made: AtomicUsize,
    _stop: oneshot::Sender<()>,
}

/// A TaskManager: its key and its certificate as files.
type Files = (PathBuf, PathBuf);

impl Site {
    async fn start(text: &str) -> Self {
        let world = World::empty().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        world.pass(i64::try_from(now).unwrap() - world.now().seconds());
        let config = testing::config(world.folder.path(), text);
        let waiting = Arc::new(Notify::new());
        let plane = Plane::bind(&world.service, &Limits::default()).await.unwrap().unwrap();
        let plane_address = plane.addresses()[0];
        let come = Arc::clone(&waiting);
        let routes =
            Router::new().route("/who", get(|Extension(peer): Extension<Peer>| async move { peer.name.to_string() }));
        let routes = routes.route(
            "/wait",
            get(move || async move {
                come.notify_one();
                std::future::pending::<()>().await;
            }),
        );
        let directory = Kept::new(Arc::clone(&world.store));
        let prepared = Prepared::new(&config, directory, false).await.unwrap().with_plane(Some((plane, routes)));
        let api = prepared.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let api_routes = router(Arc::clone(&world.service), Arc::new(Measured::default()));
        tokio::spawn(prepared.run(api_routes, async move {
            let _ = stopped.await;
        }));
        Self { world, api, plane: plane_address, waiting, made: AtomicUsize::new(0), _stop: stop }
    }

    /// Asks the API with this credential.
    async fn ask_api(&self, token: &str, line: &str, body: &str) -> Answer {
        let trust = Trust::of(&self.world.folder.path().join("data/tls/ca.pem"));
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        trust.ask(self.api, text.as_bytes()).await
    }

    /// Asks to join.
    async fn join(&self, token: &str, called: &str, request: &str) -> Answer {
        let body = json!({ "name": called, "request": request, "of a later version": 1 });
        self.ask_api(token, &format!("POST {}", path::JOIN), &body.to_string()).await
    }

    /// What a TaskManager has that has joined.
    async fn joined(&self, called: &str) -> Files {
        let (key, chain) = self.world.taskmanager(called).await;
        self.files(&key, &chain)
    }

    /// A key and a certificate as files.
    fn files(&self, key: &str, chain: &str) -> Files {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.world.folder.path().join(format!("taskmanager-{number}.{end}"));
        std::fs::write(file("pem"), chain).unwrap();
        std::fs::write(file("key"), key).unwrap();
        (file("pem"), file("key"))
    }

    /// What a client trusts on the plane.
    fn trust(&self) -> Trust {
        Trust::of(&self.world.folder.path().join("plane/ca.pem"))
    }

    async fn connect(&self, files: &Files) -> TlsStream<TcpStream> {
        self.trust().with(files.clone()).connect(self.plane).await.unwrap()
    }

    /// What is answered to a GET on a connection of its own; status 0 if there is no answer.
    async fn get(&self, files: &Files, path: &str) -> Answer {
        self.trust().with(files.clone()).ask(self.plane, text(path, "1.0", "close").as_bytes()).await
    }

    /// Sends a GET that is not answered, and waits until it has come.
    async fn wait_on(&self, stream: &mut TlsStream<TcpStream>) {
        stream.write_all(text("/wait", "1.0", "keep-alive").as_bytes()).await.unwrap();
        soon("the request", self.waiting.notified()).await;
    }

    /// Asks for the next certificate on an open connection.
    async fn renew(&self, stream: &mut TlsStream<TcpStream>, request: &str) -> (u16, String) {
        let body = json!({ "request": request }).to_string();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\n{HEADER}: 1.0\r\ncontent-length: {}\r\n\r\n",
            path::CERTIFICATE,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        one(stream).await
    }
}

/// The text of a GET.
fn text(path: &str, version: &str, connection: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{HEADER}: {version}\r\nconnection: {connection}\r\n\r\n")
}

/// One answer of a connection that stays open: its status and body.
async fn one(stream: &mut TlsStream<TcpStream>) -> (u16, String) {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            bytes.push(byte[0]);
            if bytes.ends_with(b"\r\n\r\n") {
                return;
            }
        }
    };
    soon("an answer", reading).await;
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    soon("its body", stream.read_exact(&mut body)).await.unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Asks who one is on an open connection.
async fn who(stream: &mut TlsStream<TcpStream>) -> (u16, String) {
    stream.write_all(text("/who", "1.0", "keep-alive").as_bytes()).await.unwrap();
    one(stream).await
}

fn joined(answer: &Answer) -> Joined {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// All lines of the audit log.
async fn audited(site: &Site) -> String {
    site.world.service.records().audit(0, 1_000).await.unwrap().0.join("\n")
}
