//! One connection, which carries one exchange at a time.

use crate::body::Sent;
use crate::{Address, Failure};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The most that an answer's head may have, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// A connection. It ends when it is dropped, whatever is under way on it.
pub(crate) struct Connection {
    sender: SendRequest<Sent>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to `to`, which is at `at` if its name does not say where.
    pub async fn open(to: &Address, at: Option<SocketAddr>, tls: &TlsConnector) -> Result<Self, Failure> {
        let unreached = |error: std::io::Error| Failure::Unreached(error.to_string());
        let connecting = async {
            match at {
                Some(address) => TcpStream::connect(address).await,
                None => TcpStream::connect((to.host.as_str(), to.port)).await,
            }
        };
        let stream = connecting.await.map_err(unreached)?;
        // A request is written as a whole: nothing is gained by waiting for more of it.
        stream.set_nodelay(true).map_err(unreached)?;
        let stream = tls.connect(to.name.clone(), stream).await.map_err(|error| Failure::of_handshake(&error))?;
        let handshake = Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| Failure::Unreached(error.to_string()))?;
        // How the connection ends shows in what it carries.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Waits until it can carry a request; false if it has ended.
    pub async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Whether it has ended.
    pub fn closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends `request`. What could not be sent at all comes back with the error.
    pub async fn send(
        &mut self,
        request: Request<Sent>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<Sent>>)> {
        self.sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message();
            (error.into_error(), unsent)
        })
    }
}
