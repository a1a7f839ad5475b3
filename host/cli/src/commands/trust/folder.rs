//! Where trust documents lie: one file each, named by what it is and its version.
//!
//! ```text
//! operator-root.1.json      every version: TaskManagers follow them one by one
//! operator-status.json
//! tenants/acme/policy.1.2.json      epoch and version; earlier ones for TaskManagers that missed a change of keys
//! tenants/acme/root.json
//! tenants/acme/status.json
//! ```

use crate::files;
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::error::code;
use lockgate_core::keys::Role;
use lockgate_core::trust::{Document as _, Documents, OperatorRoot, TenantPolicy, peek};
use lockgate_core::{Error, Name, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder of trust documents.
#[derive(Clone, Debug)]
pub struct TrustFolder(PathBuf);

impl TrustFolder {
    /// The folder at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Every operator root, in the order of their versions.
    pub fn operator_roots(&self) -> Result<Vec<Envelope>> {
        self.numbered(Path::new(""), "operator-root.")
    }

    /// The earliest operator root that is there.
    pub fn first_root(&self) -> Result<Envelope> {
        let first = self.operator_roots()?.into_iter().next();
        first.ok_or_else(|| self.missing("operator root", "lockgate trust operator-root"))
    }

    /// The latest operator root.
    pub fn last_root(&self) -> Result<Envelope> {
        let last = self.operator_roots()?.pop();
        last.ok_or_else(|| self.missing("operator root", "lockgate trust operator-root"))
    }

    /// The operator's status, if it is there.
    pub fn operator_status(&self) -> Result<Option<Envelope>> {
        self.read(Path::new("operator-status.json"))
    }

    /// The tenants that have a policy.
    pub fn tenants(&self) -> Result<Vec<Name>> {
        let names = self.names(Path::new("tenants"))?;
        Ok(names.iter().filter_map(|name| Name::new(name).ok()).collect())
    }

    /// A tenant's policies, in the order of their epochs and versions.
    pub fn policies(&self, tenant: &Name) -> Result<Vec<Envelope>> {
        self.numbered(&Path::new("tenants").join(tenant.as_str()), "policy.")
    }

    /// A tenant's current policy.
    pub fn policy(&self, tenant: &Name) -> Result<Envelope> {
        let last = self.policies(tenant)?.pop();
        last.ok_or_else(|| self.missing(&format!("policy of tenant {tenant}"), "lockgate trust policy"))
    }

    /// A document of a tenant, `root` or `status`, if it is there.
    pub fn of_tenant(&self, tenant: &Name, what: &str) -> Result<Option<Envelope>> {
        self.read(&of_tenant(tenant, &format!("{what}.json")))
    }

    /// Everything that verifying a tenant's bundle takes.
    pub fn documents(&self, tenant: &Name) -> Result<Documents> {
        let need = |what: &str, verb: &str, found: Option<Envelope>| found.ok_or_else(|| self.missing(what, verb));
        let (root, status) = (self.of_tenant(tenant, "root")?, self.of_tenant(tenant, "status")?);
        Ok(Documents {
            operator_roots: self.operator_roots()?,
            operator_status: need("operator status", "lockgate trust operator-status", self.operator_status()?)?,
            policies: self.policies_that_matter(tenant)?,
            tenant_root: need(&format!("root of tenant {tenant}"), "lockgate trust tenant-root", root)?,
            tenant_status: need(&format!("status of tenant {tenant}"), "lockgate trust status", status)?,
        })
    }

    /// The current policy, and before it those by which the tenant changed its root keys in this epoch. What the
    /// current operator root has not signed is void and would only spoil the rest.
    fn policies_that_matter(&self, tenant: &Name) -> Result<Vec<Envelope>> {
        let operator: OperatorRoot = peek(&self.last_root()?)?;
        let current = self.policy(tenant)?;
        let epoch = peek::<TenantPolicy>(&current)?.epoch;
        let mut chosen = Vec::new();
        let mut keys: Option<Role> = None;
        for envelope in self.policies(tenant)? {
            let policy: TenantPolicy = peek(&envelope)?;
            let signed = envelope.verify(TenantPolicy::NAME, TenantPolicy::PAYLOAD_TYPE, &operator.root).is_ok();
            let changes = keys.as_ref().is_some_and(|keys| *keys != policy.root);
            if changes && signed && policy.epoch == epoch && envelope != current {
                chosen.push(envelope);
            }
            keys = Some(policy.root);
        }
        chosen.push(current);
        Ok(chosen)
    }

    /// Writes a document to a file of the folder.
    pub fn write(&self, file: &Path, envelope: &Envelope) -> Result<()> {
        files::replace(&self.0.join(file), &envelope.to_json()?)
    }

    fn read(&self, file: &Path) -> Result<Option<Envelope>> {
        let path = self.0.join(file);
        if !path.try_exists().map_err(|error| files::failed(&path, &error))? {
            return Ok(None);
        }
        let bytes = files::read(&path, MAX_ENVELOPE as u64)?;
        Envelope::parse(&bytes).map(Some).map_err(|error| error.at(path.display().to_string()))
    }

    /// The files `PREFIX1.json`, `PREFIX1.2.json` and so on, in the order of their numbers.
    fn numbered(&self, folder: &Path, prefix: &str) -> Result<Vec<Envelope>> {
        let mut found: Vec<(Vec<u64>, String)> = Vec::new();
        for name in self.names(folder)? {
            let numbers = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".json"));
            let numbers: Option<Vec<u64>> = numbers.and_then(|n| n.split('.').map(|n| n.parse().ok()).collect());
            found.extend(numbers.map(|numbers| (numbers, name)));
        }
        found.sort();
        let read = found.iter().map(|(_, name)| self.read(&folder.join(name)));
        Ok(read.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let path = self.0.join(folder);
        let failed = |error: &std::io::Error| files::failed(&path, error);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(|error| failed(&error))?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn missing(&self, what: &str, verb: &str) -> Error {
        Error::new(code::IO, format!("{} has no {what}", self.0.display())).help(format!("make it with `{verb}`"))
    }
}

/// A file of a tenant, relative to the folder.
pub fn of_tenant(tenant: &Name, file: &str) -> PathBuf {
    Path::new("tenants").join(tenant.as_str()).join(file)
}
