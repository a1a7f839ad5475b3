//! Exchanges with a real server over mutual TLS on loopback, which does what a server should not, too.

use crate::body::{Sent, Watched};
use crate::client::Patience;
use crate::{Address, Answer, Body, Client, Failure, Request, Times, body, tls};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);
/// Shorter than what never comes.
const SHORT: Duration = Duration::from_millis(200);
const TIMES: Times = Times { connect: LONG, stall: LONG, whole: None };

/// An authority, and what it vouches for.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    own: Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        Self { params, key, own }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.der().clone()).unwrap();
        roots
    }

    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// A server whose connections a test answers by hand, one after the other.
struct Server {
    authority: Authority,
    address: Address,
    connections: mpsc::Receiver<TlsStream<TcpStream>>,
}

impl Server {
    async fn start() -> Self {
        let authority = Authority::new("operator");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), tls::provider()).build().unwrap();
        let (chain, key) = authority.issue("localhost");
        let config = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = Address::new("localhost", listener.local_addr().unwrap().port()).unwrap();
        let (arrived, connections) = mpsc::channel(8);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = arrived.send(stream).await;
                }
            }
        });
        Self { authority, address, connections }
    }

    /// A client that brings a certificate of `vouched`, and believes `trusted`.
    fn client_of(&self, vouched: &Authority, trusted: &Authority) -> Client {
        let (chain, key) = vouched.issue("taskmanager");
        let builder = tls::client_config().unwrap().with_root_certificates(trusted.roots());
        Client::new(self.address.clone(), builder.with_client_auth_cert(chain, key).unwrap())
    }

    fn client(&self) -> Client {
        self.client_of(&self.authority, &self.authority)
    }

    async fn accept(&mut self) -> TlsStream<TcpStream> {
        self.connections.recv().await.unwrap()
    }
}

/// What comes until `end`.
async fn until(stream: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn say(stream: &mut TlsStream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(body::empty()).unwrap()
}

async fn text(answer: Answer) -> String {
    String::from_utf8(answer.whole(1_000).await.unwrap().1).unwrap()
}

#[tokio::test]
async fn a_connection_carries_one_exchange_after_the_other() {
    let mut server = Server::start().await;
    let client = server.client();
    let serving = tokio::spawn(async move {
        let mut stream = server.accept().await;
        let mut heads = Vec::new();
        for number in 0..3 {
            heads.push(until(&mut stream, "\r\n\r\n").await);
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}")).await;
        }
        assert!(server.connections.try_recv().is_err(), "there is a second connection");
        heads
    });
    for number in 0..3 {
        assert_eq!(text(client.send(get("/p?q=1"), &TIMES).await.unwrap()).await, number.to_string());
    }
    let heads = serving.await.unwrap();
    let host = format!("host: {}\r\n", client.address().authority());
    assert!(heads.iter().all(|head| head.starts_with("GET /p?q=1 HTTP/1.1\r\n") && head.contains(&host)), "{heads:?}");
}

#[tokio::test]
async fn a_connection_that_was_kept_and_has_ended_is_replaced() {
    let mut server = Server::start().await;
    let client = server.client();
    let serving = tokio::spawn(async move {
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nb"]
        {
            let mut stream = server.accept().await;
            until(&mut stream, "\r\n\r\n").await;
            say(&mut stream, answer).await;
            stream.shutdown().await.unwrap();
        }
        let mut stream = server.accept().await;
        until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(text(client.send(get("/"), &TIMES).await.unwrap()).await, "a");
    client.until_none_is_kept().await;
    assert_eq!(text(client.send(get("/"), &TIMES).await.unwrap()).await, "b");
    assert_eq!(text(client.send(get("/"), &TIMES).await.unwrap()).await, "");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stream_is_sent_and_received_piece_by_piece() {
    let mut server = Server::start().await;
    let client = server.client();
    let (sender, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let request = Request::put("/").header("content-length", 6).body(body::stream(pieces)).unwrap();
    let asking = tokio::spawn(async move {
        let mut answer = client.send(request, &TIMES).await.unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = answer.chunk().await.unwrap() {
            all.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        all
    });
    let mut stream = server.accept().await;
    until(&mut stream, "\r\n\r\n").await;
    for piece in ["one", "two"] {
        sender.send(Ok(Bytes::from(piece))).await.unwrap();
        assert_eq!(until(&mut stream, piece).await, piece);
    }
    say(&mut stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    say(&mut stream, "2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(asking.await.unwrap().concat(), "abcde");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_with_its_own_error() {
    let mut server = Server::start().await;
    let client = server.client();
    let broken = stream::iter([Ok(Bytes::from("one")), Err(std::io::Error::other("the disk is gone"))]);
    let request = Request::put("/").header("content-length", 6).body(body::stream(broken)).unwrap();
    let (failed, _stream) = tokio::join!(client.send(request, &TIMES), server.accept());
    let Err(Failure::Body(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.downcast::<std::io::Error>().unwrap().to_string(), "the disk is gone");
}

#[tokio::test]
async fn a_long_answer_is_read_up_to_the_bound() {
    let mut server = Server::start().await;
    let client = server.client();
    for (head, most, fits) in
        [("content-length: 5", 5, true), ("content-length: 5", 4, false), ("transfer-encoding: chunked", 4, false)]
    {
        let asking = async { client.send(get("/"), &TIMES).await.unwrap().whole(most).await };
        let serving = async {
            let mut stream = server.accept().await;
            until(&mut stream, "\r\n\r\n").await;
            let body = if head.contains("chunked") { "5\r\nabcde\r\n0\r\n\r\n" } else { "abcde" };
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n\r\n{body}")).await;
        };
        match tokio::join!(asking, serving).0 {
            Ok((_, body)) => assert!(fits && body == b"abcde"),
            Err(error) => assert!(!fits && matches!(error, Failure::TooLong(4)), "{error}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let mut server = Server::start().await;
    let client = server.client();
    for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"] {
        let asking = async { client.send(get("/"), &TIMES).await?.whole(100).await };
        let serving = async {
            let mut stream = server.accept().await;
            until(&mut stream, "\r\n\r\n").await;
            say(&mut stream, cut).await;
        };
        let (lost, ()) = tokio::join!(asking, serving);
        assert!(matches!(lost, Err(Failure::Lost(_))), "{cut:?}: {lost:?}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let mut server = Server::start().await;
    let client = server.client();
    for (times, said) in [
        (Times { stall: SHORT, ..TIMES }, ""),
        (Times { whole: Some(SHORT), ..TIMES }, ""),
        (Times { stall: SHORT, ..TIMES }, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"),
        (Times { whole: Some(SHORT), ..TIMES }, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"),
    ] {
        let asking = async { client.send(get("/"), &times).await?.whole(100).await };
        let serving = async {
            let mut stream = server.accept().await;
            until(&mut stream, "\r\n\r\n").await;
            say(&mut stream, said).await;
            stream
        };
        let (lost, _stream) = tokio::join!(asking, serving);
        assert!(matches!(lost, Err(Failure::Lost(_))), "{times:?}, {said:?}: {lost:?}");
    }
}

#[tokio::test]
async fn what_goes_on_is_not_given_up_before_its_end() {
    let slow = |pieces: u64, watched: &Arc<Watched>| {
        let pieces = stream::iter(0..pieces).then(|_| async {
            tokio::time::sleep(SHORT / 4).await;
            Ok::<_, std::io::Error>(Bytes::from("x"))
        });
        Sent::new(body::stream(pieces), watched).collect()
    };
    let watched = Arc::default();
    // Eight pieces take longer than what may pass without one.
    let whole = Patience::of(&Times { stall: SHORT, ..TIMES }).wait(Some(&watched), slow(8, &watched)).await;
    assert_eq!(whole.unwrap().unwrap().to_bytes().len(), 8);
    assert!(Patience::of(&Times { stall: SHORT, ..TIMES }).wait(None, slow(8, &watched)).await.is_none());
    // However well it goes on, the whole has its end.
    let times = Times { whole: Some(SHORT), ..TIMES };
    assert!(Patience::of(&times).wait(Some(&watched), slow(1_000_000, &watched)).await.is_none());
}

#[tokio::test]
async fn only_whom_both_believe_is_talked_to() {
    let mut server = Server::start().await;
    let stranger = Authority::new("stranger");
    let untrusted = server.client_of(&server.authority, &stranger).send(get("/"), &TIMES).await;
    assert!(matches!(untrusted, Err(Failure::Untrusted(CertificateError::UnknownIssuer))), "{untrusted:?}");
    let other = Address::new("127.0.0.1", server.address.port).unwrap();
    let config = tls::client_config().unwrap().with_root_certificates(server.authority.roots());
    let misnamed = Client::new(other, config.clone().with_no_client_auth()).send(get("/"), &TIMES).await;
    assert!(matches!(misnamed, Err(Failure::Untrusted(_))), "{misnamed:?}");
    // In TLS 1.3 the server says no to a client after the client's side of the handshake is over.
    let nobody: ClientConfig = config.with_no_client_auth();
    for client in [Client::new(server.address.clone(), nobody), server.client_of(&stranger, &server.authority)] {
        let refused = client.send(get("/"), &TIMES).await;
        assert!(matches!(refused, Err(Failure::Lost(_) | Failure::Unreached(_))), "{refused:?}");
    }
    assert!(server.connections.try_recv().is_err(), "the server took one of them");
}

#[tokio::test]
async fn where_nobody_listens_or_speaks_tls_nothing_is_sent() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = || {
        tls::client_config().unwrap().with_root_certificates(Authority::new("operator").roots()).with_no_client_auth()
    };
    let client = Client::new(Address::new("127.0.0.1", port).unwrap(), config());
    let times = Times { connect: SHORT, ..TIMES };
    // Accepted by the kernel, answered by nobody.
    let silent = client.send(get("/"), &times).await;
    assert!(matches!(silent, Err(Failure::Unreached(_))), "{silent:?}");
    let plain = async {
        let _silent = listener.accept().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (foreign, _stream) = tokio::join!(client.send(get("/"), &TIMES), plain);
    assert!(matches!(foreign, Err(Failure::Foreign(_))), "{foreign:?}");
    drop(listener);
    let refused = client.send(get("/"), &TIMES).await;
    assert!(matches!(refused, Err(Failure::Unreached(_))), "{refused:?}");
}
