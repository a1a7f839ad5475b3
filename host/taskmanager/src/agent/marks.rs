//! What was seen of each tenant's trust documents: one file of marks a tenant, one of the operator's, and a list of the tenants, so
//! that a file that is gone is an error and not a new beginning.

use super::state::StateDir;
use crate::marks_file::MarksFile;
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::{Error, Name, Result, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FOLDER: &str = "marks";
const TENANTS: &str = "tenants";
/// What was seen of the operator's documents, with whichever tenant's they came: nobody goes back behind it.
const OPERATOR: &str = "operator";
/// How long another thread may have a tenant's marks.
const PATIENCE: Duration = Duration::from_secs(30);

/// The marks of all tenants.
#[derive(Debug)]
pub struct TenantMarks {
    state: StateDir,
    tenants: Mutex<BTreeSet<Name>>,
}

/// One tenant's marks, for this thread alone while it has them. Meant for as long as a verification takes.
pub struct Open<'a> {
    all: &'a TenantMarks,
    tenant: Name,
    file: MarksFile,
    /// What was accepted so far.
    pub marks: Marks,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    tenants: BTreeSet<Name>,
}

impl TenantMarks {
    /// The marks in the state folder.
    ///
    /// # Errors
    /// `LG083n` if the list of tenants cannot be read.
    pub fn open(state: &StateDir) -> Result<Self> {
        state.folder(FOLDER)?;
        let known = state.read::<Known>(TENANTS)?.unwrap_or_default();
        Ok(Self { state: state.clone(), tenants: Mutex::new(known.tenants) })
    }

    /// For which tenants there are marks.
    pub fn tenants(&self) -> BTreeSet<Name> {
        self.lock().clone()
    }

    /// A tenant's marks; new ones, with the time `now`, if the tenant was never seen.
    ///
    /// # Errors
    /// `LG1424` if they are gone, `LG083n` and `LG0427` if they are damaged, `LG0831` if another thread has them for long.
    pub fn of(&self, tenant: &Name, now: Timestamp) -> Result<Open<'_>> {
        let (path, known) = (self.path(tenant), self.lock().contains(tenant));
        let file = MarksFile::open(&path, PATIENCE)?;
        let mut marks = read(&file, &path, known, now)?;
        marks.join_operator(&self.operator(now)?.1);
        Ok(Open { all: self, tenant: tenant.clone(), file, marks })
    }

    /// The operator's marks, for this thread alone.
    fn operator(&self, now: Timestamp) -> Result<(MarksFile, Marks)> {
        let (path, known) = (self.state.path().join(OPERATOR), !self.lock().is_empty());
        let file = MarksFile::open(&path, PATIENCE)?;
        let marks = read(&file, &path, known, now)?;
        Ok((file, marks))
    }

    fn path(&self, tenant: &Name) -> PathBuf {
        self.state.path().join(FOLDER).join(tenant.as_str())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Name>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The marks in a file; new ones if it was not `known` to be there.
fn read(file: &MarksFile, path: &Path, known: bool, now: Timestamp) -> Result<Marks> {
    match file.read()? {
        Some(bytes) => Marks::decode(&bytes),
        None if known => Err(Error::new(code::MARKS_MISSING, format!("{} is gone", path.display()))),
        None => Ok(Marks::provision(now)),
    }
}

impl Open<'_> {
    /// Takes new marks, which are on the disk when this returns.
    ///
    /// # Errors
    /// `LG0830` and `LG0836` if they cannot be kept.
    pub fn keep(&mut self, marks: Marks) -> Result<()> {
        if marks == self.marks && self.all.lock().contains(&self.tenant) {
            return Ok(());
        }
        let (mut file, mut operator) = self.all.operator(marks.seen())?;
        let before = operator.clone();
        operator.join_operator(&marks);
        // Before the list of tenants: from then on it is missed if it is gone.
        if operator != before || self.all.lock().is_empty() {
            file.replace(&operator.encode()?)?;
        }
        self.file.replace(&marks.encode()?)?;
        self.marks = marks;
        // After the file: what is listed and has none would never be let in again.
        let mut tenants = self.all.lock();
        if tenants.insert(self.tenant.clone()) {
            let known = Known { tenants: tenants.clone() };
            if let Err(error) = self.all.state.write(TENANTS, &known) {
                tenants.remove(&self.tenant);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_are_gone_are_missed() {
        let place = tempfile::tempdir().unwrap();
        let (state, _held) = StateDir::open(&place.path().join("state")).unwrap();
        let (tenant, now) = (Name::new("acme").unwrap(), Timestamp::from_seconds(1_000));
        let all = TenantMarks::open(&state).unwrap();
        // One who was only looked at is still unknown.
        drop(all.of(&tenant, now).unwrap());
        let mut open = all.of(&tenant, now).unwrap();
        let marks = open.marks.clone();
        open.keep(marks).unwrap();
        drop(open);
        assert_eq!(TenantMarks::open(&state).unwrap().of(&tenant, now.plus(9)).unwrap().marks.seen(), now);
        std::fs::remove_file(state.path().join("marks/acme")).unwrap();
        for all in [all, TenantMarks::open(&state).unwrap()] {
            assert_eq!(all.of(&tenant, now).err().unwrap().code(), code::MARKS_MISSING);
            all.of(&Name::new("other").unwrap(), now).unwrap();
        }
    }

    #[test]
    fn what_one_tenant_brought_of_the_operator_holds_for_all() {
        use lockgate_core::bundle::ReadLimits;
        use lockgate_core::limits::PartialLimits;
        use lockgate_core::trust::development::{self, Allowed, Keys};
        use lockgate_core::verify::{Admission, Request, learn};
        let place = tempfile::tempdir().unwrap();
        let (state, _held) = StateDir::open(&place.path().join("state")).unwrap();
        let now = Timestamp::from_seconds(1_000_000);
        let allowed = Allowed { grants: Vec::new(), ceilings: PartialLimits::default(), max_parallelism: 1 };
        let see = |tenant: &str, version: u64| {
            let (keys, tenant) = (Keys::from_seed(&[1; 32]), Name::new(tenant).unwrap());
            let (pinned, documents) = development::chain(&keys, &tenant, &allowed, [].into(), now, version).unwrap();
            let all = TenantMarks::open(&state).unwrap();
            let mut open = all.of(&tenant, now)?;
            let (marks, domain) = (open.marks.clone(), development::domain().unwrap());
            let (admission, read) = (Admission::Start, ReadLimits::default());
            let (pinned, documents, domain) = (&pinned, &documents, &domain);
            let request = Request { pinned, documents, domain, tenant: &tenant, marks: &marks, now, admission, read };
            open.keep(learn(&request)?)
        };
        see("acme", 2).unwrap();
        assert_eq!(see("other", 1).unwrap_err().code(), code::ROLLBACK);
        see("other", 3).unwrap();
        assert_eq!(see("acme", 2).unwrap_err().code(), code::ROLLBACK);
        std::fs::remove_file(state.path().join(OPERATOR)).unwrap();
        assert_eq!(see("acme", 4).unwrap_err().code(), code::MARKS_MISSING);
    }
}
