//! An issuer's keys: fetched when first needed, and again when a token names one that is not known, so that a provider can
//! rotate them at any time.
//!
//! Anybody can make up key ids, so that how often is bounded: once in [`Keys::PATIENCE`] at most, whatever the tokens say,
//! and one fetch at a time. Keys that a provider withdrew are forgotten after [`Keys::FRESH`]. When a provider cannot be
//! reached, keys that are known go on for [`Keys::STALE`].

use crate::http_client::{Client, Target};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::Deserialize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The most keys of one issuer.
const MAX_KEYS: usize = 64;

/// One issuer's keys.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    discovery: Target,
    client: Client,
    patience: Duration,
    known: RwLock<Known>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Arc<[Jwk]>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Each key is read by itself: one of a kind that is not known must not hide the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// The least time between two fetches.
    pub const PATIENCE: Duration = Duration::from_secs(10);
    /// How long keys are taken before they are fetched again.
    pub const FRESH: Duration = Duration::from_secs(600);
    /// How long they are taken if that does not succeed.
    pub const STALE: Duration = Duration::from_secs(4 * 3_600);

    /// The keys of `issuer`, asked with `client`.
    ///
    /// # Errors
    /// `LG1050` if the issuer is no URL.
    pub fn new(issuer: &str, client: Client) -> Result<Self> {
        let discovery = Target::parse(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        let (known, fetching) = (RwLock::default(), tokio::sync::Mutex::new(()));
        Ok(Self { issuer: issuer.to_owned(), discovery, client, patience: Self::PATIENCE, known, fetching })
    }

    /// With another least time between two fetches.
    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The key that a token names, or the only one that could be meant; none if there is none for this algorithm.
    ///
    /// # Errors
    /// `LG1107` if no keys are known and none can be had.
    pub async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<DecodingKey>> {
        let (keys, age) = self.now();
        let found = choose(&keys, id, algorithm);
        if found.is_some() && age.is_some_and(|age| age < Self::FRESH) {
            return Ok(found);
        }
        if let Err(error) = self.fetch(age).await {
            tracing::warn!(issuer = self.issuer, %error, "the keys of an identity provider could not be fetched");
        }
        let (keys, age) = self.now();
        if age.is_none_or(|age| age >= Self::STALE) {
            return Err(Error::new(code::IDENTITY_PROVIDER, "the identity provider of this token does not answer"));
        }
        Ok(choose(&keys, id, algorithm))
    }

    fn now(&self) -> (Arc<[Jwk]>, Option<Duration>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&known.keys), known.fetched.map(|at| at.elapsed()))
    }

    /// Fetches the keys, unless that was tried just now or somebody else did while this waited.
    async fn fetch(&self, seen: Option<Duration>) -> Result<(), String> {
        let begun = Instant::now();
        let _one = self.fetching.lock().await;
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let newer =
                known.fetched.is_some_and(|at| seen.is_none_or(|age| at > begun.checked_sub(age).unwrap_or(at)));
            if newer || known.tried.is_some_and(|at| at.elapsed() < self.patience) {
                return Ok(());
            }
            known.tried = Some(Instant::now());
        }
        let answer = self.client.get(&self.discovery).await?;
        let discovery: Discovery = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        if discovery.issuer != self.issuer {
            return Err(format!("the discovery document is of {:?}", discovery.issuer));
        }
        let place = Target::parse(&discovery.jwks_uri).map_err(|error| error.to_string())?;
        let answer = self.client.get(&place).await?;
        let set: KeySet = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value(key).ok());
        let keys: Arc<[Jwk]> = keys.filter(for_signatures).collect();
        tracing::info!(issuer = self.issuer, keys = keys.len(), "fetched the keys of an identity provider");
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.keys = keys;
        known.fetched = Some(Instant::now());
        Ok(())
    }
}

fn for_signatures(key: &Jwk) -> bool {
    key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
}

/// A token without a key id is taken only if one key alone could have signed it.
fn choose(keys: &[Jwk], id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let mut fitting = keys.iter().filter(|key| fits(key, algorithm));
    let key = match id {
        Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id))?,
        None => {
            let only = fitting.next()?;
            if fitting.next().is_some() {
                return None;
            }
            only
        }
    };
    DecodingKey::from_jwk(key).ok()
}

/// Whether a key is of the algorithm's kind, and of no other if it says of which it is.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    if key.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return false;
    }
    match (&key.algorithm, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    }
}
