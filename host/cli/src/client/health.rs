//! One question without a token: whether a JobManager takes requests.

use super::connection::Connector;
use super::{Broken, Pin, Request, Server, malformed};
use hyper::StatusCode;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_jobmanager::server::Health;
use std::net::SocketAddr;
use std::time::Duration;

/// How long all of it may take: less than what asks (a container's health check, a load balancer) waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the JobManager that listens at `address` and is called `server`; whether it takes requests.
///
/// # Errors
/// `LG1074` if it does not answer within 5 seconds, `LG1075` if it is another one, `LG1076` if that was no answer of a
/// JobManager, `LG1053` if what it should show cannot be read.
pub async fn is_ready(server: Server, address: SocketAddr, pin: &Pin) -> Result<bool> {
    let connector = Connector::new(server, pin)?.at(address);
    let asked = tokio::time::timeout(PATIENCE, ask(&connector)).await;
    let late = || Error::new(code::UNREACHABLE, format!("{address} did not answer within {} s", PATIENCE.as_secs()));
    let another = |error: Error| match error.code() {
        code::SERVER_UNTRUSTED => {
            let cause = format!("what listens at {address} does not show the certificate that the configuration names");
            Error::new(code::SERVER_UNTRUSTED, cause)
                .help("look what has the port; a JobManager shows a new certificate within its `reload-interval`")
        }
        _ => error,
    };
    match asked.map_err(|_| late())?.map_err(|broken| another(broken.into_error()))? {
        StatusCode::NO_CONTENT => Ok(true),
        StatusCode::SERVICE_UNAVAILABLE => Ok(false),
        other => Err(malformed(&format!("{address} answered {other}"))),
    }
}

async fn ask(connector: &Connector) -> Result<StatusCode, Broken> {
    let request = Request::get(Health::READY);
    let (body, progress) = request.body().await.map_err(Broken::Final)?;
    let mut sent = connector.send(&request, None, body).await?;
    Ok(sent.answered(&progress, PATIENCE).await?.status())
}
