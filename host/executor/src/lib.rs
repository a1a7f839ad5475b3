//! The executor: task slots that run one tenant's code on one tenant's data, and the one narrow interface between them
//! and the TaskManager.
//!
//! Two worlds meet here, so the crate has two halves. The *executor's* half (a process of its own in a [`jail`], with a
//! thread a slot) decodes, calls guests and encodes; all that it holds is one tenant's. The *TaskManager's* half
//! ([`Executors`], [`SlotHandle`]) starts it, moves bytes that it does not parse and believes nothing that it is told.
//! Between them go fixed frames and byte regions ([`protocol`]): no pointer, no Rust object and no type of wasmtime or
//! Arrow.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod arena;
mod assignment;
mod child;
mod code;
mod compiler;
mod handle;
mod hidden;
pub mod jail;
mod link;
mod memory;
mod port;
mod process;
pub mod protocol;
mod shared;
mod slot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use assignment::{Assignment, ComponentGrant, Task};
pub use bytes::Bytes;
pub use child::MAX_SLOTS;
pub use code::CodeRange;
pub use compiler::{Budget, Compiler, ComponentInfo};
pub use handle::SlotHandle;
pub use hidden::child;
pub use lockgate_dataflow::Input;
pub use process::{Executor, ExecutorOptions, Executors, Running};
