//! Compile, link, limit and call WebAssembly components: the only user of wasmtime.
//!
//! A component goes through [`inspect`] (bounds and imports, before anything expensive), [`Compiler::compile`],
//! [`Engine::load`] into a [`Program`], and becomes [`Instance`]s that are called batch by batch. A call runs on a
//! fibre that the calling thread polls in place: no runtime, no other thread. Whatever breaks a limit or traps throws
//! its whole store away; the caller makes a new instance from the program.
//!
//! What a guest can observe is a function of the component, its configuration and the batch alone: clocks stand
//! still, random numbers come from the batch's position, there are no files, no network and no arguments.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod cancel;
mod check;
mod code;
mod compile;
mod contract;
mod engine;
mod failure;
mod host;
mod instance;
mod limiter;
mod log;
mod program;
mod random;
mod usage;
mod wasi;

pub use cancel::Cancel;
pub use check::{CheckLimits, ComponentInfo, inspect};
pub use code::CodeMemory;
pub use compile::{Compiler, compatibility};
pub use engine::{Engine, EngineOptions};
pub use failure::{CallError, Kind, MAX_MESSAGE};
pub use instance::{Called, Instance};
pub use log::{Level, LogSink, NoLog};
pub use program::{BatchSeed, Program, Seed, Settings};
pub use usage::{Histogram, Usage};

#[cfg(test)]
mod tests;
