//! Connections: accepted one by one, counted by source, given TLS within a time, and ended when it is time to stop.

use crate::Source;
use crate::stream::Taken;
use crate::tls::{self, Secured};
use futures_util::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long accepting rests after the system refused to: it does when it has no file descriptors left, and would at once
/// again.
const REST: Duration = Duration::from_millis(50);

/// What a peer can make a server hold, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one source at once.
    pub connections_per_source: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for a request's head to come, counted from when the connection is free for it; so also the longest that a
    /// connection stays open without a request.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// The longest that a peer may leave written bytes untaken.
    pub write_timeout: Duration,
    /// The longest that a connection is used.
    pub connection_age: Duration,
    /// How long requests may go on when it is time to stop.
    pub drain: Duration,
}

/// The other end of a connection. An extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// The URIs that its verified client certificate vouches for; none without a certificate.
    pub uris: Option<Arc<[String]>>,
    /// The client certificate, verified.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
}

/// What ends when a connection must not go on, whatever it is at.
pub type Cut = Arc<dyn Fn(&Peer) -> BoxFuture<'static, ()> + Send + Sync>;

impl Peer {
    /// What counts as one source.
    pub fn source(&self) -> Source {
        self.address.ip().into()
    }
}

/// A server that listens and does not serve yet.
pub struct Server {
    listeners: Vec<TcpListener>,
    tls: Arc<dyn Secured>,
    limits: Arc<Limits>,
    cut: Option<Cut>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// `LG1054`.
    pub async fn bind(addresses: &[SocketAddr], tls: Arc<dyn Secured>, limits: Limits) -> Result<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| Error::new(code::LISTEN_FAILED, format!("{address}: {error}")))?;
            listeners.push(listener);
        }
        Ok(Self { listeners, tls, limits: Arc::new(limits), cut: None })
    }

    /// Cuts a connection off when what `cut` gives for it ends.
    #[must_use]
    pub fn with_cut(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        self
    }

    /// Where it listens: with the port that the system chose where the configuration says 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Has every request answered by `service`, with its [`Peer`] as an extension, until `stop` says so; then lets requests
    /// end for as long as `drain` allows. Whether all of them did.
    pub async fn run<S, F, B>(self, service: S, stop: watch::Receiver<bool>) -> bool
    where
        S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            service,
            tls: self.tls,
            total: Arc::new(Semaphore::new(self.limits.connections)),
            sources: Arc::default(),
            limits: self.limits,
            cut: self.cut,
            stop,
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, Arc::clone(&shared)));
        }
        let mut drained = true;
        while let Some(ended) = accepting.join_next().await {
            drained &= ended.unwrap_or(false);
        }
        drained
    }
}

struct Shared<S> {
    service: S,
    tls: Arc<dyn Secured>,
    limits: Arc<Limits>,
    cut: Option<Cut>,
    total: Arc<Semaphore>,
    sources: Arc<Sources>,
    stop: watch::Receiver<bool>,
}

/// Accepts until it is time to stop, and then waits for what is open; whether all of it ended in time.
async fn accept<S, F, B>(listener: TcpListener, shared: Arc<Shared<S>>) -> bool
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let mut stop = shared.stop.clone();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(place) = shared.admit(address) {
                    open.spawn(connection(stream, address, place, Arc::clone(&shared)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let ended = tokio::time::timeout(shared.limits.drain, async { while open.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!(connections = open.len(), "connections were cut because they did not end in time");
        open.shutdown().await;
        return false;
    }
    true
}

impl<S> Shared<S> {
    /// A place for a connection from `address`, if it may have one. Without it is closed before anything is read.
    fn admit(&self, address: SocketAddr) -> Option<Place> {
        let source = address.ip().into();
        let Ok(permit) = Arc::clone(&self.total).try_acquire_owned() else {
            tracing::debug!(%source, "a connection was refused: there are as many as `connections` allows");
            return None;
        };
        if !self.sources.enter(source, self.limits.connections_per_source) {
            tracing::debug!(%source, "a connection was refused: its source has `connections-per-source`");
            return None;
        }
        Some(Place { _permit: permit, source, sources: Arc::clone(&self.sources) })
    }
}

/// How many connections each source has. As large as there are connections.
#[derive(Default)]
struct Sources(Mutex<HashMap<Source, usize>>);

impl Sources {
    fn enter(&self, source: Source, most: usize) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, source: Source) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&source);
            }
        }
    }
}

/// A connection's place, given back when it ends, however it does.
struct Place {
    _permit: OwnedSemaphorePermit,
    source: Source,
    sources: Arc<Sources>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sources.leave(self.source);
    }
}

async fn connection<S, F, B>(stream: TcpStream, address: SocketAddr, _place: Place, shared: Arc<Shared<S>>)
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let mut stop = shared.stop.clone();
    let limits = &shared.limits;
    let acceptor = match shared.tls.current() {
        Ok(config) => TlsAcceptor::from(config),
        Err(error) => return tracing::error!(%error, "a connection was refused: there is no certificate to show"),
    };
    let handshake = tokio::time::timeout(limits.handshake_timeout, acceptor.accept(stream));
    let secured = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        secured = handshake => secured,
    };
    let stream = match secured {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(%address, "a TLS handshake took too long"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = Peer {
        address,
        uris: certificate.map(|certificate| tls::uris(certificate).into()),
        certificate: certificate.map(|certificate| Arc::new(certificate.clone().into_owned())),
    };
    let cut = shared.cut.as_ref().map(|cut| cut(&peer));
    let service = shared.service.clone();
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(peer.clone());
        service(request)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(64 << 10))
        .half_close(false)
        .serve_connection(TokioIo::new(Taken::new(stream, limits.write_timeout)), service);
    tokio::pin!(serving);
    let cut = async {
        match cut {
            Some(cut) => cut.await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        () = cut => return tracing::debug!(%address, "a connection was cut off"),
        ended = async {
            tokio::select! {
                biased;
                ended = serving.as_mut() => ended,
                () = until_the_end(&mut stop, limits.connection_age) => {
                    serving.as_mut().graceful_shutdown();
                    serving.as_mut().await
                }
            }
        } => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection ended with an error");
    }
}

async fn until_the_end(stop: &mut watch::Receiver<bool>, age: Duration) {
    let _ = tokio::time::timeout(age, stop.wait_for(|stop| *stop)).await;
}
