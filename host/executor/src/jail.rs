//! The second wall: a process that can do nothing but compute on what it was given.
//!
//! Tenant code runs in wasmtime, and tenant data goes through decoders. Either may have a hole; so both run in a process
//! that holds no file, socket or key, and that the kernel lets do about two dozen things. The walls overlap on purpose:
//! each of namespaces, Landlock and the filter of system calls would keep files away alone. `docs/adr/0009-jail.md` says
//! what each stops and what is absent.
//!
//! Order matters. On the TaskManager's side [`spawn()`]. In the new process, in this order and with the first four before
//! any thread is made:
//!
//! 1. [`root()`]: an empty root in place of the machine's, where there are namespaces. Needs `/proc` and capabilities.
//! 2. [`shed()`]: descriptors, privileges, priority.
//! 3. [`landlock()`]: no file, no port, no signal, no abstract socket.
//! 4. map the arena and close its descriptor, then [`limit()`].
//! 5. make all threads, then [`no_more_threads`].
//! 6. [`seal()`]: the filter, on all threads. Nothing of the tenant is touched before.

#[cfg(feature = "testing")]
pub mod attempt;
mod cgroup;
mod clone;
mod enter;
mod filter;
mod probe;
mod process;
mod seal;
mod spawn;
mod walls;

pub use cgroup::{Cgroup, Cgroups};
pub use enter::{ResourceLimits, landlock, limit, no_more_threads, root, shed};
pub use probe::{Finding, Report, probe};
pub use process::{Cause, Child, Exit};
pub use seal::{Profile, seal};
pub use spawn::{MAX_DESCRIPTORS, Namespaces, spawn};
pub use walls::{MIN_LANDLOCK_ABI, Policy, Walls};
