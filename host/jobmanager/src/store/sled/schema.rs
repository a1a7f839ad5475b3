//! The version of what is stored, and how an older store becomes one of this version.
//!
//! A step makes version n + 1 of version n: it gives the rows to write, which are written together with the new number, so
//! that a store is of one version or of the next whatever dies in between. What does not fit in memory at once takes
//! several steps.

use super::disk::{Disk, Rows, io_failed};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};

/// The version that this program reads and writes.
pub(super) const VERSION: u32 = 1;

/// What leads from one version to the next.
pub(super) type Step = fn(&Disk) -> Result<Rows>;

/// The steps from version 1 on.
pub(super) const STEPS: &[Step] = &[];

const NAME: &str = "schema";

/// Brings the store to the version behind the last of `steps`; a new store begins there.
///
/// # Errors
/// `LG1211` if it is of a newer version, otherwise those of the steps and of the disk.
pub(super) fn migrate(disk: &Disk, steps: &[Step]) -> Result<()> {
    let newest = VERSION.saturating_add(u32::try_from(steps.len().saturating_sub(STEPS.len())).unwrap_or_default());
    let refuse = |what: String| {
        let cause = format!("the store is of {what}, this program knows version {newest} and older ones");
        Error::new(code::STORE_FOREIGN, cause)
    };
    let Some(found) = disk.meta(NAME)? else {
        return write(disk, Rows::default(), newest);
    };
    let found = found.try_into().map(u32::from_be_bytes).map_err(|_| refuse("no known version".into()))?;
    if found == 0 || found > newest {
        return Err(refuse(format!("version {found}")));
    }
    for (version, step) in (1..newest).zip(steps).skip_while(|(version, _)| *version < found) {
        tracing::info!(from = version, to = version + 1, "the store is migrated");
        write(disk, step(disk)?, version + 1)?;
    }
    Ok(())
}

fn write(disk: &Disk, mut rows: Rows, version: u32) -> Result<()> {
    rows.set_meta(NAME, version.to_be_bytes());
    disk.write(rows).map_err(|error| io_failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), 1 << 20, false).unwrap();
        (folder, disk)
    }

    fn noted(name: &str) -> Rows {
        let mut rows = Rows::default();
        rows.set_meta(name, "done");
        rows
    }

    const TWO: &[Step] = &[
        |_| Ok(noted("first")),
        |disk| {
            assert_eq!(disk.meta("first")?.as_deref(), Some(&b"done"[..]), "steps are taken in their order");
            Ok(noted("second"))
        },
    ];

    #[test]
    fn an_older_store_is_brought_up_once() {
        let (_folder, disk) = disk();
        migrate(&disk, &[]).unwrap();
        assert_eq!(disk.meta(NAME).unwrap().unwrap(), 1_u32.to_be_bytes());
        migrate(&disk, TWO).unwrap();
        assert_eq!(disk.meta(NAME).unwrap().unwrap(), 3_u32.to_be_bytes());
        assert!(disk.meta("second").unwrap().is_some());
        let never: &[Step] = &[|_| panic!("taken twice"), |_| panic!("taken twice")];
        migrate(&disk, never).unwrap();
    }

    #[test]
    fn a_step_that_fails_is_taken_again() {
        let (_folder, disk) = disk();
        migrate(&disk, &[]).unwrap();
        let failing: &[Step] = &[|_| Ok(noted("first")), |_| Err(Error::new(code::STORE_FAILED, "no"))];
        assert_eq!(migrate(&disk, failing).unwrap_err().code(), code::STORE_FAILED);
        assert_eq!(disk.meta(NAME).unwrap().unwrap(), 2_u32.to_be_bytes(), "the step before it is kept");
        migrate(&disk, TWO).unwrap();
        assert!(disk.meta("second").unwrap().is_some());
    }

    #[test]
    fn a_newer_store_is_left_alone() {
        let (_folder, disk) = disk();
        for version in [&7_u32.to_be_bytes()[..], b"nonsense", &0_u32.to_be_bytes()] {
            let mut rows = Rows::default();
            rows.set_meta(NAME, version);
            disk.write(rows).unwrap();
            assert_eq!(migrate(&disk, TWO).unwrap_err().code(), code::STORE_FOREIGN);
            assert!(disk.meta("first").unwrap().is_none());
        }
    }
}
