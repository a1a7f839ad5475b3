//! One question without a token: whether a JobManager takes requests.

use super::{Pin, malformed};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::{Address, Client, Failure, Request, StatusCode, Times};
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
pub async fn is_ready(server: Address, address: SocketAddr, pin: &Pin) -> Result<bool> {
    let client = Client::new(server, pin.config()?).at(address);
    let request = Request::get(Health::READY).body(lockgate_http::body::empty());
    let request = request.map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
    let times = Times { connect: PATIENCE, stall: PATIENCE, whole: Some(PATIENCE) };
    let answer = client.send(request, &times).await.map_err(|failure| match failure {
        Failure::Untrusted(_) => {
            let cause = format!("what listens at {address} does not show the certificate that the configuration names");
            Error::new(code::SERVER_UNTRUSTED, cause)
                .help("look what has the port; a JobManager shows a new certificate within its `reload-interval`")
        }
        Failure::Unreached(_) | Failure::Lost(_) => Error::new(code::UNREACHABLE, format!("{address}: {failure}")),
        _ => malformed(&format!("{address}: {failure}")),
    })?;
    match answer.status() {
        StatusCode::NO_CONTENT => Ok(true),
        StatusCode::SERVICE_UNAVAILABLE => Ok(false),
        other => Err(malformed(&format!("{address} answered {other}"))),
    }
}
