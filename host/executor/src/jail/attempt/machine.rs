//! Machines that lack a wall, for tests: a filter makes this process see what one sees there.

use crate::jail::seal::install;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::io::{Error, Result};

/// A machine that lacks something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// A kernel without Landlock.
    WithoutLandlock,
    /// A kernel without filters of system calls.
    WithoutSeccomp,
    /// A container with the usual profile and no capability: no namespaces, nothing mounted, `clone3` not known.
    Container,
}

impl Machine {
    /// Makes this thread and what it executes see that machine, for good. Before any other thread is made.
    ///
    /// # Errors
    /// If a filter cannot be installed.
    pub fn enter(self) -> Result<()> {
        rustix::thread::set_no_new_privs(true)?;
        let programs = self.programs().map_err(|error| Error::other(error.to_string()))?;
        programs.iter().try_for_each(|program| install(program, 0).map_err(|error| Error::other(error.to_string())))
    }

    fn programs(self) -> std::result::Result<Vec<BpfProgram>, BackendError> {
        match self {
            Self::WithoutLandlock => {
                let calls =
                    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
                Ok(vec![refusing(&calls, Vec::new(), libc::ENOSYS)?])
            }
            Self::WithoutSeccomp => Ok(vec![refusing(&[libc::SYS_seccomp], Vec::new(), libc::ENOSYS)?]),
            Self::Container => {
                let calls = [
                    libc::SYS_unshare,
                    libc::SYS_setns,
                    libc::SYS_mount,
                    libc::SYS_umount2,
                    libc::SYS_pivot_root,
                    libc::SYS_bpf,
                    libc::SYS_perf_event_open,
                    libc::SYS_keyctl,
                    libc::SYS_io_uring_setup,
                    libc::SYS_userfaultfd,
                    libc::SYS_ptrace,
                ];
                // As the usual profile has it: clone is allowed if none of these flags is set.
                let kinds = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
                let one = |kind| {
                    let set = SeccompCmpOp::MaskedEq(kind);
                    SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, set, kind)?])
                };
                let clone = kinds.into_iter().map(one).collect::<std::result::Result<_, _>>()?;
                Ok(vec![
                    refusing(&calls, clone, libc::EPERM)?,
                    refusing(&[libc::SYS_clone3], Vec::new(), libc::ENOSYS)?,
                ])
            }
        }
    }
}

/// Refuses `calls`, and `clone` under these rules if there are any.
fn refusing(
    calls: &[libc::c_long],
    clone: Vec<SeccompRule>,
    errno: libc::c_int,
) -> std::result::Result<BpfProgram, BackendError> {
    let mut rules: std::collections::BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    if !clone.is_empty() {
        rules.insert(libc::SYS_clone, clone);
    }
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}
