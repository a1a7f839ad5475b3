//! What connections may cost, and how they end.

use super::start;
use crate::testing::client::{get, rest};
use crate::testing::{Authority, PATIENCE, Running, soon};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Waits until the server closes, and says what it sent before that.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    bytes
}

#[tokio::test]
async fn whoever_says_nothing_is_shut_out() {
    let (server, _, _) = start("[limits]\nhandshake-timeout = \"200 ms\"\nheader-timeout = \"200 ms\"").await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(closed(&mut silent).await, b"");
    let mut shaken = server.trust().connect(server.address).await.unwrap();
    let _ = closed(&mut shaken).await;
}

#[tokio::test]
async fn a_head_that_drips_is_given_up() {
    let (server, token, _) = start("[limits]\nheader-timeout = \"400 ms\"").await;
    let stream = server.trust().connect(server.address).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let dripping = tokio::spawn(async move {
        let mut drip = tokio::time::interval(std::time::Duration::from_millis(50));
        writing.write_all(b"GET /whoami HTTP/1.1\r\n").await.unwrap();
        while writing.write_all(b"x: y\r\n").await.is_ok() {
            drip.tick().await;
        }
    });
    let answer = closed(&mut reading).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    drop(reading);
    soon("the end of the drip", dripping).await.unwrap();
    // And one that waits for its next request for too long.
    let mut idle = server.trust().connect(server.address).await.unwrap();
    let request = get("/whoami", &token).replace("connection: close\r\n", "");
    idle.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut idle).await.status, 200);
}

/// One that was answered, so that it is counted for sure.
async fn open(server: &Running, token: &str) -> TlsStream<TcpStream> {
    let mut stream = server.trust().connect(server.address).await.unwrap();
    stream.write_all(get("/whoami", token).replace("connection: close\r\n", "").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    soon("an answer", stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn connections_are_counted_in_all_and_by_source() {
    for limit in ["connections = 3", "connections-per-source = 3"] {
        let (server, token, _) = start(&format!("[limits]\n{limit}")).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(open(&server, &token).await);
        }
        let mut fourth = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(closed(&mut fourth).await, b"", "{limit}");
        assert!(server.trust().connect(server.address).await.is_err(), "{limit}");
        // A place is given back when a connection ends.
        let mut ended = held.pop().unwrap();
        ended.write_all(get("/whoami", &token).as_bytes()).await.unwrap();
        rest(&mut ended).await;
        drop(ended);
        let again = async {
            while server.trust().connect(server.address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        soon("a free place", again).await;
    }
}

#[tokio::test]
async fn one_source_leaves_room_for_another() {
    let (server, token, _) = start("[limits]\nconnections-per-source = 1").await;
    let _held = open(&server, &token).await;
    assert!(server.trust().connect(server.address).await.is_err());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    // Not closed but listened to: what it says is no TLS, and that is what it is told.
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_ne!(closed(&mut other).await, b"");
}

#[tokio::test]
async fn a_connection_grows_old_however_busy_it_is() {
    let (server, token, signals) = start("[limits]\nconnection-age = \"300 ms\"").await;
    let (trust, address, request) = (server.trust(), server.address, get("/held", &token));
    let held = tokio::spawn(async move {
        let mut stream = trust.connect(address).await.unwrap();
        stream.write_all(request.replace("connection: close\r\n", "").as_bytes()).await.unwrap();
        rest(&mut stream).await
    });
    soon("the request", signals.entered.notified()).await;
    let mut younger = open(&server, &token).await;
    let _ = closed(&mut younger).await;
    // The older one is over its time too, but what it has begun is answered still.
    signals.go.notify_one();
    let answer = soon("the answer", held).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("done", Some("close")));
}

#[tokio::test]
async fn there_is_no_plain_text() {
    let (server, token, _) = start("").await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(get("/whoami", &token).as_bytes()).await.unwrap();
    let answer = closed(&mut plain).await;
    assert!(!answer.windows(4).any(|part| part == b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn requests_at_once_are_bounded() {
    let (server, token, signals) = start("[limits]\nrequests = 1").await;
    let trust = server.trust();
    let (address, request) = (server.address, get("/held", &token));
    let held = tokio::spawn(async move { trust.ask(address, request.as_bytes()).await });
    soon("the first request", signals.entered.notified()).await;
    let busy = server.get("/whoami", &token).await;
    assert_eq!((busy.status, busy.code(), busy.header("retry-after")), (503, "LG1066", Some("1")), "{busy:?}");
    signals.go.notify_one();
    assert_eq!(soon("the first answer", held).await.unwrap().body, "done");
    assert_eq!(server.get("/whoami", &token).await.status, 200);
}

#[tokio::test]
async fn whoever_does_not_read_is_given_up() {
    let (server, token, signals) = start("[limits]\nwrite-timeout = \"200 ms\"").await;
    let mut stream = server.trust().connect(server.address).await.unwrap();
    stream.write_all(get("/endless", &token).as_bytes()).await.unwrap();
    soon("the end of the answer", signals.dropped.notified()).await;
}

#[tokio::test]
async fn what_has_begun_ends_before_the_server_does() {
    let (mut server, token, signals) = start("").await;
    let _idle = open(&server, &token).await;
    let (trust, address, request) = (server.trust(), server.address, get("/held", &token));
    let held = tokio::spawn(async move { trust.ask(address, request.as_bytes()).await });
    soon("the request", signals.entered.notified()).await;
    server.stop();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    soon("the end of listening", refused).await;
    signals.go.notify_one();
    assert_eq!(soon("the answer", held).await.unwrap().body, "done");
    assert!(server.stopped().await, "something was cut off");
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let (server, token, signals) = start("[limits]\ndrain = \"100 ms\"").await;
    let (trust, address, request) = (server.trust(), server.address, get("/held", &token));
    let held = tokio::spawn(async move { trust.ask(address, request.as_bytes()).await });
    soon("the request", signals.entered.notified()).await;
    assert!(!server.stopped().await);
    assert_eq!(soon("the end", held).await.unwrap().status, 0);
}

#[tokio::test]
async fn only_tls_1_3_unless_the_operator_says_otherwise() {
    let (server, _, _) = start("").await;
    assert!(server.trust().only_1_2().connect(server.address).await.is_err());
    let stream = server.trust().connect(server.address).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "no other protocol is offered");
    let (older, _, _) = start("[tls]\nminimum = \"1.2\"").await;
    older.trust().only_1_2().connect(older.address).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_verified_and_says_who() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "clients");
    let ci = ours.issue("ci", &["spiffe://example.org/ci"]);
    let bob = ours.issue("bob", &["spiffe://example.org/bob", "https://example.org/other"]);
    let two = ours.issue("two", &["spiffe://example.org/ci", "spiffe://example.org/bob"]);
    let nobody = ours.issue("nobody", &["spiffe://example.org/nobody"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let forged = Authority::new(elsewhere.path(), "clients").issue("ci", &["spiffe://example.org/ci"]);
    let text = format!(
        "[tls]\nclient-ca = {:?}\n[[certificate]]\nuri = \"spiffe://example.org/ci\"\ntenant = \"acme\"\nroles = [\"deployer\"]",
        ours.ca()
    );
    let (server, token, _) = start(&text).await;
    server.people.certify("spiffe://example.org/bob", "umbrella", "user:bob");
    let ask = async |files, request: &str| server.trust().with(files).ask(server.address, request.as_bytes()).await;
    let plain = "GET /whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

    let answer = ask(ci.clone(), plain).await;
    assert!(answer.body.starts_with("cert:spiffe://example.org/ci Some(\"acme\") {Deployer}"), "{answer:?}");
    assert_eq!(ask(bob.clone(), plain).await.code(), "LG1103", "no member yet");
    server.people.member_is(Some("umbrella"), "user:bob", Some(&[crate::access::Role::Viewer]));
    assert!(ask(bob, plain).await.body.starts_with("user:bob Some(\"umbrella\") {Viewer}"));
    assert_eq!(ask(nobody, plain).await.code(), "LG1103");
    assert_eq!(ask(two, plain).await.code(), "LG1103", "which of two would be a guess");
    assert_eq!(ask(ci, &get("/whoami", &token)).await.code(), "LG1106", "which of two would be a guess");
    assert_eq!(ask(forged, plain).await.status, 0, "a certificate of another authority");
    assert_eq!(server.get("/whoami", &token).await.status, 200, "without a certificate a token does");
}

#[tokio::test]
async fn without_a_client_authority_a_certificate_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new(folder.path(), "clients").issue("ci", &["spiffe://example.org/ci"]);
    let (server, _, _) = start("").await;
    let plain = "GET /whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = server.trust().with(files).ask(server.address, plain.as_bytes()).await;
    assert_eq!(answer.code(), "LG1100", "{answer:?}");
}
