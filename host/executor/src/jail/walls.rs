//! What walls there are, which of them stand, and what an operator says about those that do not.

use serde::{Deserialize, Serialize};

/// The oldest Landlock ABI that counts as a wall: 3, of Linux 6.2, the first under which no content of a file can be
/// read, written, executed, created, removed, linked or cut. What later ones add (TCP ports, ioctl on devices, signals
/// and abstract sockets) the filter forbids too, and namespaces where they are.
pub const MIN_LANDLOCK_ABI: u32 = 3;

/// What happens where Landlock or seccomp is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// No tenant's code or data is touched.
    #[default]
    Required,
    /// It goes on with the walls that stand; the operator has said so, and it is logged and audited.
    BestEffort,
}

/// The walls that stand around one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Walls {
    /// Mount, network, pid, ipc and uts namespaces of its own.
    pub namespaces: bool,
    /// An empty, read-only root directory.
    pub empty_root: bool,
    /// No privilege can be gained, and none is left.
    pub no_privileges: bool,
    /// The ABI of Landlock that holds; 0 for none.
    pub landlock: u32,
    /// System calls are filtered.
    pub seccomp: bool,
    /// A control group of its own bounds memory and weighs CPU.
    pub cgroup: bool,
}

impl Walls {
    /// Whether all stand that [`Policy::Required`] asks for.
    pub fn sufficient(&self) -> bool {
        self.no_privileges && self.seccomp && self.landlock >= MIN_LANDLOCK_ABI
    }
}
