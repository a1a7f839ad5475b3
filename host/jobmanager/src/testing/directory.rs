//! Members, tokens and certificates in memory, to be changed while a server looks at them.

use crate::access::{Action, Role};
use crate::credentials::{CertificateRecord, Directory, JoinTokenRecord, Member, TokenRecord, token};
use lockgate_core::{Name, Result, Timestamp};
use std::collections::HashMap;
use std::sync::Mutex;

type MemberKey = (Option<Name>, String);

#[derive(Default, Debug)]
pub struct People {
    tokens: Mutex<HashMap<String, TokenRecord>>,
    members: Mutex<HashMap<MemberKey, Member>>,
    certificates: Mutex<HashMap<String, CertificateRecord>>,
}

impl People {
    /// A member of a tenant, or of the operator's people, with a token that is good for long.
    pub fn add(&self, tenant: Option<&str>, principal: &str, roles: &[Role]) -> String {
        self.member_is(tenant, principal, Some(roles));
        self.token_for(tenant, principal, None)
    }

    /// A further token, perhaps narrowed.
    pub fn token_for(&self, tenant: Option<&str>, principal: &str, scopes: Option<&[Action]>) -> String {
        let (id, text, hash) = token::issue(token::PREFIX).unwrap();
        let record = TokenRecord {
            id: id.clone(),
            principal: principal.into(),
            tenant: tenant.map(|tenant| Name::new(tenant).unwrap()),
            hash,
            label: String::new(),
            created: Timestamp::from_seconds(0),
            created_by: "setup".into(),
            expires: Timestamp::MAX,
            scopes: scopes.map(|scopes| scopes.iter().copied().collect()),
            revoked: None,
            last_used: None,
        };
        self.tokens.lock().unwrap().insert(id, record);
        text.expose().clone()
    }

    /// Changes the record of a token, given as its holder has it.
    pub fn change(&self, text: &str, change: impl FnOnce(&mut TokenRecord)) {
        change(self.tokens.lock().unwrap().get_mut(text.split('_').nth(1).unwrap()).unwrap());
    }

    /// What a principal is from now on; nothing at all if none.
    pub fn member_is(&self, tenant: Option<&str>, principal: &str, roles: Option<&[Role]>) {
        let key = (tenant.map(|tenant| Name::new(tenant).unwrap()), principal.to_owned());
        let mut members = self.members.lock().unwrap();
        members.remove(&key);
        if let Some(roles) = roles {
            let (principal, roles) = (principal.into(), roles.iter().copied().collect());
            members.insert(key, Member { principal, roles, created: Timestamp::from_seconds(0) });
        }
    }

    /// Whose a certificate is.
    pub fn certify(&self, uri: &str, tenant: &str, principal: &str) {
        let record = CertificateRecord {
            uri: uri.into(),
            principal: principal.into(),
            tenant: Some(Name::new(tenant).unwrap()),
            created: Timestamp::from_seconds(0),
            created_by: "setup".into(),
        };
        self.certificates.lock().unwrap().insert(uri.into(), record);
    }
}

impl Directory for People {
    async fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        Ok(self.tokens.lock().unwrap().get(id).cloned())
    }

    async fn join_token(&self, _: &str) -> Result<Option<JoinTokenRecord>> {
        Ok(None)
    }

    async fn member(&self, tenant: Option<&Name>, principal: &str) -> Result<Option<Member>> {
        Ok(self.members.lock().unwrap().get(&(tenant.cloned(), principal.to_owned())).cloned())
    }

    async fn certificate(&self, uri: &str) -> Result<Option<CertificateRecord>> {
        Ok(self.certificates.lock().unwrap().get(uri).cloned())
    }

    async fn has_operator_token(&self) -> Result<bool> {
        Ok(self.tokens.lock().unwrap().values().any(|token| token.tenant.is_none()))
    }

    async fn used(&self, token: &TokenRecord, now: Timestamp) {
        if let Some(record) = self.tokens.lock().unwrap().get_mut(&token.id) {
            record.last_used = Some(now);
        }
    }
}
