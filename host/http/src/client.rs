//! Exchanges with one server, over connections that are kept for the next.

use crate::answer::Answer;
use crate::body::{Body, Sent, Watched};
use crate::connection::Connection;
use crate::{Address, Failure};
use hyper::Request;
use hyper::header::{self, HeaderValue};
use rustls::ClientConfig;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The most connections that wait for a next exchange.
const MAX_KEPT: usize = 4;
/// How long one waits. Less than the time after which a server closes it, lest a request meets the closing.
const KEPT: Duration = Duration::from_secs(10);
/// How long one may take to become ready. It is at once, unless the server answered before it had taken the request.
const READY: Duration = Duration::from_millis(100);

/// Asks one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    to: Address,
    /// Where it is, if its name does not say it.
    at: Option<SocketAddr>,
    tls: TlsConnector,
    kept: Kept,
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// Without progress: nothing is taken of what is sent, and nothing comes of the answer.
    pub stall: Duration,
    /// Of the exchange as a whole, until the end of the answer; none if it may go on for ever.
    pub whole: Option<Duration>,
}

/// Connections that wait for a next exchange, and since when each does.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<(Connection, Instant)>>>);

impl Kept {
    pub fn put(&self, connection: Connection) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(kept, since)| !kept.closed() && since.elapsed() < KEPT);
        if all.len() < MAX_KEPT && !connection.closed() {
            all.push((connection, Instant::now()));
        }
    }

    fn take(&self) -> Option<Connection> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(kept, since)| !kept.closed() && since.elapsed() < KEPT);
        all.pop().map(|(connection, _)| connection)
    }
}

/// When an exchange, and each wait within it, has to have come to its end.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    stall: Duration,
    end: Option<Instant>,
}

impl Patience {
    /// From now on.
    pub fn of(times: &Times) -> Self {
        Self { stall: times.stall, end: times.whole.and_then(|whole| Instant::now().checked_add(whole)) }
    }

    /// What comes of `waited`, as long as `watched` goes on; none if it does not in time.
    pub async fn wait<T>(&self, watched: Option<&Watched>, waited: impl Future<Output = T>) -> Option<T> {
        let taken = || watched.map_or(0, Watched::taken);
        tokio::pin!(waited);
        loop {
            let before = taken();
            let stalled = Instant::now().checked_add(self.stall);
            let until = [stalled, self.end].into_iter().flatten().min();
            let Some(until) = until else { return Some(waited.await) };
            if let Ok(done) = tokio::time::timeout_at(until, &mut waited).await {
                return Some(done);
            }
            if taken() == before || self.end.is_some_and(|end| end <= Instant::now()) {
                return None;
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Client {
    /// Asks the server at `to`. What to trust, and which certificate to bring, is in `config`, best begun with
    /// [`crate::tls::client_config`]; its protocol is set here.
    pub fn new(to: Address, mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { to, at: None, tls: TlsConnector::from(Arc::new(config)), kept: Kept::default() }
    }

    /// The same server at this address, whatever its name says.
    #[must_use]
    pub fn at(self, address: SocketAddr) -> Self {
        Self { at: Some(address), kept: Kept::default(), ..self }
    }

    /// The server.
    pub fn address(&self) -> &Address {
        &self.to
    }

    /// Sends `request`, whose URI is a path with its query, and waits for the head of the answer. It is sent once; over a
    /// new connection if one that was kept turns out to have ended before anything of it was sent.
    ///
    /// # Errors
    /// As [`Failure`] says; no status of the answer is one.
    pub async fn send(&self, request: Request<Body>, times: &Times) -> Result<Answer, Failure> {
        let patience = Patience::of(times);
        let watched = Arc::new(Watched::default());
        let mut request = request.map(|body| Sent::new(body, &watched));
        let host = HeaderValue::try_from(self.to.authority()).map_err(|error| Failure::Unreached(error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        loop {
            let connecting = Patience { stall: times.connect, end: patience.end };
            let connected = connecting.wait(None, self.connection()).await;
            let (mut connection, fresh) =
                connected.ok_or_else(|| Failure::Unreached(format!("{} does not answer", self.to)))??;
            let answered = patience.wait(Some(&watched), connection.send(request)).await;
            match answered {
                None => return Err(Failure::Lost("no answer came in time".into())),
                Some(Ok(response)) => {
                    return Ok(Answer::new(response, connection, self.kept.clone(), patience));
                }
                Some(Err((error, None))) => return Err(Failure::of(&error, &watched)),
                Some(Err((error, Some(_)))) if fresh => return Err(Failure::Unreached(error.to_string())),
                Some(Err((_, Some(unsent)))) => request = unsent,
            }
        }
    }

    /// Comes back once no connection is kept that the server has not closed.
    #[cfg(test)]
    pub(crate) async fn until_none_is_kept(&self) {
        while let Some(mut kept) = self.kept.take() {
            if kept.ready().await {
                self.kept.put(kept);
                tokio::task::yield_now().await;
            }
        }
    }

    /// A connection that can carry a request, and whether it is new.
    async fn connection(&self) -> Result<(Connection, bool), Failure> {
        while let Some(mut kept) = self.kept.take() {
            if tokio::time::timeout(READY, kept.ready()).await == Ok(true) {
                return Ok((kept, false));
            }
        }
        Ok((Connection::open(&self.to, self.at, &self.tls).await?, true))
    }
}
