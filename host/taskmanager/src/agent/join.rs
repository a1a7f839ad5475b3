//! Coming to a certificate: once with a join token over the API, from then on over the plane.

use super::client::{self, Plane, problem};
use super::clock::Clock;
use super::identity::{Identity, Request};
use super::state::StateDir;
use super::tls;
use crate::config::{Cluster, own_name};
use lockgate_core::error::code;
use lockgate_core::plane::{Certificate, HEADER, Join, Joined, Renew, Version, path};
use lockgate_core::{Error, Name, Result};
use lockgate_http::{Client, Method, StatusCode, body, header};
use std::io::Read as _;
use std::time::Duration;
use zeroize::Zeroizing;

/// The variable of the environment that may hold the join token.
pub const TOKEN: &str = "LOCKGATE_JOIN_TOKEN";
/// The most bytes of an answer.
const MAX_ANSWER: usize = 256 << 10;
/// The most bytes of a token.
const MAX_TOKEN: u64 = 4 << 10;
/// How long it is until a certificate that was not given is asked for again.
const AGAIN: Duration = Duration::from_secs(30);

/// Who this TaskManager is: as it joined before, or by joining now.
///
/// # Errors
/// `LG1420` if it has not joined and has no token, or joined as somebody else; `LG1421` if its certificate is over and
/// there is no token; `LG1422` if what joining gives is refused; else as the JobManager says.
pub async fn identity(cluster: &Cluster, state: &StateDir, clock: &Clock) -> Result<Identity> {
    let name = match &cluster.name {
        Some(name) => name.clone(),
        None => own_name()?,
    };
    let expired = match Identity::read(state)? {
        None => None,
        Some(identity) if (&identity.name, &identity.domain) != (&name, &cluster.domain) => {
            let cause = format!(
                "{} belongs to TaskManager {} of {}, the configuration says {name} of {}",
                state.path().display(),
                identity.name,
                identity.domain,
                cluster.domain
            );
            let help = "give this one a state folder of its own, or correct `name` and `domain`";
            return Err(Error::new(code::NOT_JOINED, cause).help(help));
        }
        Some(identity) => match identity.check(clock.now()) {
            Ok(()) => return Ok(identity),
            Err(error) if error.code() == code::IDENTITY_EXPIRED => Some(error),
            Err(error) => return Err(error),
        },
    };
    let Some(token) = token(cluster)? else {
        return Err(match expired {
            Some(error) => error.help("it must join again: have a new join token made, and start it with that"),
            None => Error::new(code::NOT_JOINED, format!("TaskManager {name} has not joined and has no join token")),
        });
    };
    let joined = join(cluster, &name, &token, clock).await?;
    joined.write(state)?;
    tracing::info!(name = %joined.name, domain = %joined.domain, expires = %joined.expires()?, "joined; the token is used up");
    Ok(joined)
}

/// The join token, from the file that the configuration names or from the environment.
fn token(cluster: &Cluster) -> Result<Option<Zeroizing<String>>> {
    let text = match &cluster.join_token {
        Some(file) => {
            let failed = |error: std::io::Error| Error::new(code::IO, format!("{}: {error}", file.display()));
            match std::fs::File::open(file) {
                // It is used up: whoever removes the file has done what there is to be done with it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
                Ok(file) => {
                    let mut text = Zeroizing::new(String::new());
                    file.take(MAX_TOKEN).read_to_string(&mut text).map_err(failed)?;
                    text
                }
            }
        }
        None => match std::env::var(TOKEN) {
            Ok(text) => Zeroizing::new(text),
            Err(_) => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::new(code::JOIN_TOKEN, "the join token is empty or has characters that no token has"));
    }
    Ok(Some(Zeroizing::new(token.to_owned())))
}

async fn join(cluster: &Cluster, name: &Name, token: &str, clock: &Clock) -> Result<Identity> {
    let request = Request::new()?;
    let client = Client::new(client::address(&cluster.join.0, cluster.join.1)?, tls::api(&cluster.ca)?);
    let message = Join { name: name.clone(), request: request.pem.clone() };
    let internal = |error: String| Error::new(code::INTERNAL, error);
    let json = serde_json::to_vec(&message).map_err(|error| internal(error.to_string()))?;
    let mut bearer = header::HeaderValue::try_from(&*Zeroizing::new(format!("Bearer {token}")))
        .map_err(|_| Error::new(code::JOIN_TOKEN, "the join token has characters that no token has"))?;
    bearer.set_sensitive(true);
    let asked = lockgate_http::Request::builder()
        .method(Method::POST)
        .uri(path::JOIN)
        .header(HEADER, Version::OURS.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, bearer)
        .body(body::whole(json))
        .map_err(|error| internal(error.to_string()))?;
    let place = client.address().to_string();
    let answer = client.send(asked, &client::TIMES).await.map_err(|failure| client::failed(&place, &failure))?;
    let status = answer.status();
    let (head, bytes) = answer.whole(MAX_ANSWER).await.map_err(|failure| client::failed(&place, &failure))?;
    if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
        return Err(problem(&place, &head, &bytes));
    }
    let joined: Joined = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(code::PLANE_MESSAGE, format!("what joining gave is not understood: {error}")))?;
    Identity::of_joined(&request, name, &cluster.domain, joined, clock.now())
}

/// Asks for the next certificate whenever it is time, for ever, and keeps it before it is used.
pub async fn renew(plane: &Plane, state: &StateDir, clock: &Clock, mut identity: Identity) {
    loop {
        let left = identity.renew_at.seconds().saturating_sub(clock.now().seconds());
        if left > 0 {
            // The time of day decides, so it is looked at from time to time.
            tokio::time::sleep(Duration::from_secs(u64::try_from(left).unwrap_or_default().min(60))).await;
            continue;
        }
        match next(plane, &identity, clock).await.and_then(|next| {
            next.write(state)?;
            plane.renew(&next)?;
            Ok(next)
        }) {
            Ok(next) => {
                let expires = next.expires().map(|time| time.to_string()).unwrap_or_default();
                tracing::info!(expires, "took the next certificate");
                identity = next;
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate could not be renewed; it is asked for again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn next(plane: &Plane, identity: &Identity, clock: &Clock) -> Result<Identity> {
    let request = Request::new()?;
    let message = Renew { request: request.pem.clone() };
    let certificate: Certificate = plane.post(path::CERTIFICATE, &message, MAX_ANSWER, &client::TIMES).await?;
    identity.renewed(&request, certificate, clock.now())
}
