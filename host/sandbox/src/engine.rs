//! The one configuration of wasmtime, for compiling and for running alike, and the engine that runs.

use crate::check::CheckLimits;
use crate::code::{CodeMemory, Custom};
use crate::compile::Compiler;
use crate::failure::MAX_MESSAGE;
use crate::limiter::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use crate::program::Program;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::text::tame;
use lockgate_core::verify::{ComponentRef, Verified};
use lockgate_core::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::hash::{Hash as _, Hasher};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::{
    Config, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, RegallocAlgorithm, Strategy,
};

/// What an engine makes room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// Instances alive at once: slots times the function nodes of a job. Address space is set aside for each.
    pub slots: u32,
    /// The most bytes that one linear memory may have, at most 4 GiB. Settings with a higher limit are refused.
    pub memory_ceiling: u64,
    /// Bytes of WebAssembly stack of every call. Settings with a higher limit are refused; a lower one is not enforced,
    /// since wasmtime has one value for all stores of an engine: make the engine with the job's limit.
    pub stack: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { slots: 16, memory_ceiling: 1 << 30, stack: Limits::default().stack }
    }
}

/// Makes programs of compiled components. Cheap to clone; one for a process.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    options: Arc<EngineOptions>,
}

/// Stack kept for the host's functions behind a guest's deepest call, in bytes.
const HOST_STACK: usize = 512 << 10;
/// Frames of a backtrace.
const BACKTRACE_FRAMES: usize = 16;
/// Elements of a table: the largest that were seen (Python, SpiderMonkey) have about 60,000.
const TABLE_ELEMENTS: usize = 200_000;

impl Engine {
    /// Fuel after which a call yields to look at its deadline and whether it is cancelled: well under a millisecond.
    pub const YIELD_INTERVAL: u64 = 1_000_000;

    /// An engine with room for what `options` says.
    ///
    /// # Errors
    /// `LG0510` if the machine does not have what it needs (address space, above all).
    pub fn new(options: &EngineOptions) -> Result<Self> {
        Self::with(options, &engine_config(options))
    }

    /// An engine whose artefacts are mapped, not copied: [`Engine::load_mapped`]. `code` lives until the engine and all
    /// that was made with it are gone, so that it may own the mappings.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn mapped(options: &EngineOptions, code: Arc<dyn CodeMemory>) -> Result<Self> {
        let mut config = engine_config(options);
        config.with_custom_code_memory(Some(Arc::new(Custom(code))));
        Self::with(options, &config)
    }

    fn with(options: &EngineOptions, config: &Config) -> Result<Self> {
        let inner = wasmtime::Engine::new(config).map_err(|error| {
            Error::new(code::SANDBOX_UNAVAILABLE, format!("the sandbox cannot be set up: {error:#}"))
        })?;
        Ok(Self { inner, options: Arc::new(*options) })
    }

    /// A digest of everything that a compiled artefact depends on beside the component: wasmtime's version, settings
    /// and the processor's features. Artefacts are exchangeable between engines of the same digest.
    pub fn compatibility(&self) -> [u8; 32] {
        compatibility(&self.inner)
    }

    /// Makes a program of a compiled artefact: links its imports and checks the types of its exports.
    ///
    /// # Safety
    /// `artefact` is, unchanged, what [`Compiler::compile`] of a host with the same [`Engine::compatibility`] made: it holds
    /// machine code that is run as it is.
    ///
    /// # Errors
    /// `LG0508` if it does not fit this engine, `LG0504` and `LG0505` for the component's interfaces.
    #[expect(unsafe_code, reason = "compiled artefacts are machine code")]
    pub unsafe fn load(&self, artefact: &[u8]) -> Result<Program> {
        // SAFETY: the caller vouches for the bytes.
        let component = unsafe { Component::deserialize(&self.inner, artefact) }.map_err(refused)?;
        Program::new(self, &component)
    }

    /// As [`Engine::load`], of an engine made by [`Engine::mapped`], without a copy.
    ///
    /// # Safety
    /// As for [`Engine::load`]; and `artefact` begins on a page, can be read and is never written to until the engine
    /// and all that was made with it are gone.
    ///
    /// # Errors
    /// As [`Engine::load`].
    #[expect(unsafe_code, reason = "compiled artefacts are machine code")]
    pub unsafe fn load_mapped(&self, artefact: NonNull<[u8]>) -> Result<Program> {
        // SAFETY: the caller vouches for the bytes, and that they stay.
        let component = unsafe { Component::deserialize_raw(&self.inner, artefact) }.map_err(refused)?;
        Program::new(self, &component)
    }

    /// Compiles a component of a verified bundle in this very process and makes a program of it: to measure calls without
    /// all that stands around them.
    ///
    /// # Errors
    /// As [`Compiler::compile`] and [`Engine::load`].
    #[expect(unsafe_code, reason = "the artefact was made by this very program")]
    pub fn program(&self, component: &Verified<ComponentRef<'_>>, limits: &CheckLimits) -> Result<Program> {
        let (_, artefact) = Compiler::new(true)?.compile(component.bytes, limits)?;
        // SAFETY: this process has just made it, with settings that differ in nothing that compiled code depends on.
        unsafe { self.load(&artefact) }
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Refuses limits that this engine has no room for.
    pub(crate) fn admits(&self, limits: &Limits) -> Result<()> {
        let above = |what, asked, most| {
            let text = format!("limit {what} is {asked}, the executor was set up for {most}");
            Err(Error::new(code::LIMIT_ABOVE_EXECUTOR, text))
        };
        if limits.memory > self.options.memory_ceiling {
            above("memory", limits.memory, self.options.memory_ceiling)
        } else if limits.stack > self.options.stack {
            above("stack", limits.stack, self.options.stack)
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

fn refused(error: wasmtime::Error) -> Error {
    let text = tame(&format!("{error:#}"), MAX_MESSAGE);
    Error::new(code::ARTEFACT_REFUSED, format!("the compiled artefact cannot be loaded: {text}"))
}

/// See [`Engine::compatibility`].
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Sha256::new_with_prefix(b"lockgate artefact 1"));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// What compiled code depends on, for compiling and for running alike.
pub(crate) fn code_config() -> Config {
    let mut config = Config::new();
    // Cranelift with its default register allocator: what wasmtime's security promises cover.
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    // Not canonicalised: a NaN's bits are a function of artefact and processor, and loops over floats would pay.
    config.cranelift_nan_canonicalization(false).relaxed_simd_deterministic(true);
    // Every feature is attack surface. Guests of Rust, C and JavaScript (StarlingMonkey) and Python need MVP, bulk
    // memory, multi-value, SIMD, reference types and extended constants: these stay.
    config
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .shared_memory(false);
    // Fuel alone meters, cuts off and bills. Concurrency support would make an empty call three times dearer.
    config.consume_fuel(true).operator_cost(operator_cost()).epoch_interruption(false).concurrency_support(false);
    // The jail allows no memfd, which images for copy-on-write need.
    config.memory_init_cow(false);
    // Backtraces name functions. Where in them is not worth a map that is hashed, copied and loaded with every artefact.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES)).generate_address_map(false);
    config
}

/// The configuration, but for the stack's and the pool's sizes the same everywhere.
fn engine_config(options: &EngineOptions) -> Config {
    let mut config = code_config();
    let stack = usize::try_from(options.stack).unwrap_or(usize::MAX).max(64 << 10);
    config.max_wasm_stack(stack).async_stack_size(stack.saturating_add(HOST_STACK)).async_stack_zeroing(true);

    let slots = options.slots.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(MAX_INSTANCES))
        .total_memories(slots.saturating_mul(MAX_MEMORIES))
        .total_tables(slots.saturating_mul(MAX_TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(8)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(8 << 20)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(options.memory_ceiling.min(1 << 32)).unwrap_or(usize::MAX));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// One unit an instruction and a byte of bulk memory operations, as wasmtime has it, and what growing costs the host:
/// pages must be faulted in and zeroed.
fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    cost.MemoryGrow = 255;
    cost.TableGrow = 255;
    cost.variable.memory_grow_per_page = 255;
    cost
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never used: the whole digest is taken.
    fn finish(&self) -> u64 {
        0
    }
}
