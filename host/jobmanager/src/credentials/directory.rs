//! What credentials are checked against: tokens, members and certificates as they are kept.
//!
//! A token or certificate says who; the member's record says what he is, so that one change of it counts for all his
//! credentials.

use super::token::Hash;
use crate::access::{Action, Role};
use crate::store::{Batch, Expect, Store};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

/// In keys, where the operator's people stand: no tenant can be called so.
pub const OPERATOR: &str = "@operator";

/// The last use of a token is kept to within this many seconds: it is there to find what nobody uses, and must not make
/// every request a write.
pub const LAST_USED_SECONDS: i64 = 3_600;

/// A token, without what would let anybody use it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its public id.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// Where he is a member; none for the operator's people.
    pub tenant: Option<Name>,
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// What it is for, in its maker's words.
    #[serde(default)]
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// From when on it is not taken.
    pub expires: Timestamp,
    /// What it is narrowed to; all that the member may do if none.
    #[serde(default)]
    pub scopes: Option<BTreeSet<Action>>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
    /// When it was last used, to within an hour.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
}

/// A token by which one TaskManager joins. Used, it is gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRecord {
    /// Its public id.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// The one name under which it may be used; any that is free if none.
    #[serde(default)]
    pub name: Option<Name>,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// From when on it is not taken.
    pub expires: Timestamp,
}

/// What a principal is in a tenant, or among the operator's people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Who.
    pub principal: String,
    /// What.
    pub roles: BTreeSet<Role>,
    /// Since when.
    pub created: Timestamp,
}

/// Whose a client certificate is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRecord {
    /// The URI among the subject's alternative names.
    pub uri: String,
    /// The member.
    pub principal: String,
    /// Where he is one.
    pub tenant: Option<Name>,
    /// Since when.
    pub created: Timestamp,
    /// Who said so.
    pub created_by: String,
}

/// Whether this could be a URI among a certificate's names.
pub fn is_uri(text: &str) -> bool {
    text.contains(':') && text.len() <= 2_048 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where credentials are looked up.
pub trait Directory: Send + Sync + 'static {
    /// A token by its id.
    ///
    /// # Errors
    /// If it cannot be read.
    fn token(&self, id: &str) -> impl Future<Output = Result<Option<TokenRecord>>> + Send;

    /// A join token by its id; none if it was used.
    ///
    /// # Errors
    /// If it cannot be read.
    fn join_token(&self, id: &str) -> impl Future<Output = Result<Option<JoinTokenRecord>>> + Send;

    /// What a principal is in a tenant, or among the operator's people; none if he is nothing there.
    ///
    /// # Errors
    /// If it cannot be read.
    fn member(&self, tenant: Option<&Name>, principal: &str) -> impl Future<Output = Result<Option<Member>>> + Send;

    /// Whose certificate this is.
    ///
    /// # Errors
    /// If it cannot be read.
    fn certificate(&self, uri: &str) -> impl Future<Output = Result<Option<CertificateRecord>>> + Send;

    /// Whether any of the operator's people has a token: from then on the set-up token is not taken.
    ///
    /// # Errors
    /// If it cannot be read.
    fn has_operator_token(&self) -> impl Future<Output = Result<bool>> + Send;

    /// Notes that a token was used. What goes wrong is logged and otherwise has no effect.
    fn used(&self, token: &TokenRecord, now: Timestamp) -> impl Future<Output = ()> + Send;
}

impl<D: Directory> Directory for Arc<D> {
    fn token(&self, id: &str) -> impl Future<Output = Result<Option<TokenRecord>>> + Send {
        (**self).token(id)
    }

    fn join_token(&self, id: &str) -> impl Future<Output = Result<Option<JoinTokenRecord>>> + Send {
        (**self).join_token(id)
    }

    fn member(&self, tenant: Option<&Name>, principal: &str) -> impl Future<Output = Result<Option<Member>>> + Send {
        (**self).member(tenant, principal)
    }

    fn certificate(&self, uri: &str) -> impl Future<Output = Result<Option<CertificateRecord>>> + Send {
        (**self).certificate(uri)
    }

    fn has_operator_token(&self) -> impl Future<Output = Result<bool>> + Send {
        (**self).has_operator_token()
    }

    fn used(&self, token: &TokenRecord, now: Timestamp) -> impl Future<Output = ()> + Send {
        (**self).used(token, now)
    }
}

/// Under which key what stands. The record of a token or certificate and its entry in the list of its member are written in
/// one commit.
pub mod keys {
    use super::OPERATOR;
    use crate::store::Key;
    use lockgate_core::Name;

    /// A token's record.
    pub fn token(id: &str) -> Key {
        Key::new(["tokens", id])
    }

    /// The entries of all tokens of a tenant, or of the operator's people.
    pub fn tokens_of(tenant: Option<&Name>) -> Key {
        Key::new(["tokens-of", owner(tenant)])
    }

    /// A token's entry there. Its value is not looked at.
    pub fn token_of(tenant: Option<&Name>, principal: &str, id: &str) -> Key {
        Key::new(["tokens-of", owner(tenant), principal, id])
    }

    /// All join tokens that were not used.
    pub fn join_tokens() -> Key {
        Key::new(["join-tokens"])
    }

    /// A join token's record.
    pub fn join_token(id: &str) -> Key {
        Key::new(["join-tokens", id])
    }

    /// All members of a tenant, or the operator's people.
    pub fn members(tenant: Option<&Name>) -> Key {
        Key::new(["members", owner(tenant)])
    }

    /// A member's record.
    pub fn member(tenant: Option<&Name>, principal: &str) -> Key {
        Key::new(["members", owner(tenant), principal])
    }

    /// Whose a certificate is.
    pub fn certificate(uri: &str) -> Key {
        Key::new(["certificates", uri])
    }

    /// Those of all members of a tenant, or of the operator's people, each once more as a whole.
    pub fn certificates_of(tenant: Option<&Name>) -> Key {
        Key::new(["certificates-of", owner(tenant)])
    }

    /// Those of one member.
    pub fn certificates_of_member(tenant: Option<&Name>, principal: &str) -> Key {
        Key::new(["certificates-of", owner(tenant), principal])
    }

    /// One of them.
    pub fn certificate_of(tenant: Option<&Name>, principal: &str, uri: &str) -> Key {
        Key::new(["certificates-of", owner(tenant), principal, uri])
    }

    fn owner(tenant: Option<&Name>) -> &str {
        tenant.map_or(OPERATOR, Name::as_str)
    }
}

/// The directory in the JobManager's store.
#[derive(Debug)]
pub struct Kept<S>(Arc<S>);

impl<S> Kept<S> {
    /// Looks up in `store`.
    pub fn new(store: Arc<S>) -> Self {
        Self(store)
    }
}

impl<S: Store> Kept<S> {
    async fn read<T: DeserializeOwned>(&self, key: crate::store::Key) -> Result<Option<(T, u64)>> {
        let Some(entry) = self.0.get(&key).await? else { return Ok(None) };
        // The value is not quoted: it holds a hash.
        let value = serde_json::from_slice(&entry.value)
            .map_err(|_| Error::new(code::INTERNAL, "a record of credentials is not understood"))?;
        Ok(Some((value, entry.revision)))
    }
}

impl<S: Store> Directory for Kept<S> {
    async fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        Ok(self.read(keys::token(id)).await?.map(|(record, _)| record))
    }

    async fn join_token(&self, id: &str) -> Result<Option<JoinTokenRecord>> {
        Ok(self.read(keys::join_token(id)).await?.map(|(record, _)| record))
    }

    async fn member(&self, tenant: Option<&Name>, principal: &str) -> Result<Option<Member>> {
        Ok(self.read(keys::member(tenant, principal)).await?.map(|(record, _)| record))
    }

    async fn certificate(&self, uri: &str) -> Result<Option<CertificateRecord>> {
        Ok(self.read(keys::certificate(uri)).await?.map(|(record, _)| record))
    }

    async fn has_operator_token(&self) -> Result<bool> {
        Ok(!self.0.scan(&keys::tokens_of(None), None, 1).await?.is_empty())
    }

    async fn used(&self, token: &TokenRecord, now: Timestamp) {
        if token.last_used.is_some_and(|last| now.seconds() < last.seconds().saturating_add(LAST_USED_SECONDS)) {
            return;
        }
        let key = keys::token(&token.id);
        // Read once more: a revocation in between must not be undone.
        let Ok(Some((mut record, revision))) = self.read::<TokenRecord>(key.clone()).await else { return };
        record.last_used = Some(now);
        let Ok(value) = serde_json::to_vec(&record) else { return };
        let batch = Batch {
            expect: vec![(key.clone(), Expect::Revision(revision))],
            writes: vec![(key, Some(value))],
            events: Vec::new(),
        };
        if let Err(error) = self.0.commit(batch).await {
            tracing::debug!(token = token.id, %error, "the last use of a token was not kept");
        }
    }
}
