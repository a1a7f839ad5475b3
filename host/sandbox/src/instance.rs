//! A live instance: one store, called batch by batch, thrown away with the first call that fails.

use crate::cancel::Watch;
use crate::contract::{self, BatchIn, CallParams, CallResult, ColumnIn, DescribeParams, DescribeResult};
use crate::failure::MAX_MESSAGE;
use crate::failure::{CallError, Context, Kind, Phase, Stop};
use crate::host::Host;
use crate::program::{BatchSeed, Settings, deadline};
use crate::random::RandomBase;
use crate::usage::Usage;
use lockgate_core::Error;
use lockgate_core::columns::{BatchRef, Output};
use lockgate_core::error::code;
use lockgate_core::text::tame;
use lockgate_core::types::FunctionDescription;
use std::pin::pin;
use std::task::{Poll, Waker};
use wasmtime::Store;
use wasmtime::component::{Func, TypedFunc};

/// An instance of a [`crate::Program`]. Not shared between threads: a slot owns its instances.
pub struct Instance {
    /// None once a call has failed: nothing in that store can be entered again.
    store: Option<Store<Host>>,
    describe: Func,
    call: Func,
    settings: Settings,
    random: RandomBase,
    /// Bytes held when it was made.
    initial: u64,
    usage: Usage,
}

/// What a call gave back.
#[derive(Clone, Debug)]
pub struct Called {
    /// The output: bounded, but not checked yet.
    pub output: Output,
    /// Fuel used.
    pub fuel: u64,
}

impl Instance {
    pub(crate) fn new(store: Store<Host>, describe: Func, call: Func, settings: Settings, fuel: u64) -> Self {
        let initial = store.data().limiter.held;
        let usage = Usage { instances: 1, instance_fuel: fuel, peak_memory: initial, ..Usage::default() };
        let random = settings.seed.base("call");
        Self { store: Some(store), describe, call, settings, random, initial, usage }
    }

    /// Asks the component for its functions, billed as a batch of no rows.
    ///
    /// # Errors
    /// [`CallError`], also if what comes back is malformed (`LG0506`).
    pub fn describe(&mut self) -> Result<Vec<FunctionDescription>, CallError> {
        let describe = self.describe;
        let budget = self.settings.limits.batch_fuel(0);
        let ((functions,), fuel) = self.enter(budget, &BatchSeed::default(), async |store| {
            describe.typed::<DescribeParams, DescribeResult>(&*store)?.call_async(store, ()).await
        })?;
        contract::descriptions(functions).map_err(|error| CallError::new(Kind::GuestError, error, fuel))
    }

    /// Calls function `function` (an index into what `describe` returns) with one batch for each input port.
    ///
    /// The buffers are copied into the guest straight from where they lie, what comes back is copied once.
    ///
    /// # Errors
    /// [`CallError`]; the instance is dead then, unless the guest itself returned the error.
    #[expect(unsafe_code, reason = "parameters are borrowed for the call, so their type is not 'static")]
    pub fn call(&mut self, function: u32, inputs: &[BatchRef<'_>], seed: &BatchSeed<'_>) -> Result<Called, CallError> {
        let rows = inputs.iter().fold(0, |rows: u32, input| rows.saturating_add(input.rows));
        let columns: Vec<Vec<ColumnIn<'_>>> =
            inputs.iter().map(|input| input.columns.iter().map(ColumnIn::new).collect()).collect();
        let batches: Vec<BatchIn<'_>> =
            inputs.iter().zip(&columns).map(|(input, columns)| BatchIn::new(input.rows, columns)).collect();
        let call = self.call;
        let budget = self.settings.limits.batch_fuel(rows);
        let ((result,), fuel) = self.enter(budget, seed, async |store| {
            // SAFETY: `Program::new` has checked that the function has this type; the lifetimes of borrowed
            // parameters are no part of what is checked, which is why the typed function is made for each call.
            let call = unsafe { TypedFunc::<CallParams<'_>, CallResult>::new_unchecked(call) };
            call.call_async(store, (function, &batches)).await
        })?;
        let output = match result {
            Ok(output) => output,
            Err(message) => {
                self.usage.traps += 1;
                let text = format!("the function failed: {}", tame(&message, MAX_MESSAGE));
                return Err(CallError::new(Kind::GuestError, Error::new(code::GUEST_ERROR, text), fuel));
            }
        };
        let limits = &self.settings.limits;
        let too_much = |code, count: u64, what: &str, most: u64| {
            let text = format!("the function gave back {count} {what} for {rows} rows, at most {most} are allowed");
            CallError::new(Kind::Limit, Error::new(code, text), fuel)
        };
        let amplified = if output.rows() > limits.batch_rows(rows) {
            Some(too_much(code::OUTPUT_ROWS, output.rows(), "rows", limits.batch_rows(rows)))
        } else if output.bytes() > limits.batch_bytes(rows) {
            Some(too_much(code::OUTPUT_BYTES, output.bytes(), "bytes", limits.batch_bytes(rows)))
        } else {
            None
        };
        if let Some(error) = amplified {
            self.usage.traps += 1;
            self.store = None;
            return Err(error);
        }
        self.usage.rows += u64::from(rows);
        self.usage.per_record.record(fuel / u64::from(rows.max(1)), u64::from(rows));
        Ok(Called { output: output.into(), fuel })
    }

    /// What this instance used since it was made.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Bytes that it holds in memories and tables; 0 once it is dead.
    pub fn memory(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.data().limiter.held)
    }

    /// Whether a call has failed and the instance cannot be called any more.
    pub fn poisoned(&self) -> bool {
        self.store.is_none()
    }

    /// Whether to make a new instance before the next batch: it is dead, or has grown past the middle between what it
    /// began with and its limit. A guest that leaks is replaced before it fails, one that only needs much is not.
    pub fn should_replace(&self) -> bool {
        let mark = self.initial + self.settings.limits.memory.saturating_sub(self.initial) / 2;
        self.poisoned() || self.memory() > mark
    }

    /// Runs `work` in the store with `budget` fuel; gives its result and the fuel used.
    fn enter<T>(
        &mut self,
        budget: u64,
        seed: &BatchSeed<'_>,
        work: impl AsyncFnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), CallError> {
        let limits = self.settings.limits;
        let Some(mut store) = self.store.take() else {
            let text = "an instance was called after a call of it had failed";
            return Err(CallError::new(Kind::Host, Error::new(code::INTERNAL, text), 0));
        };
        let watch = Watch { cancel: self.settings.cancel.clone(), deadline: deadline(&limits) };
        let host = store.data_mut();
        host.watch = watch.clone();
        host.random = seed.random(&self.random);
        host.limiter.refused = false;
        host.logs.begin(limits.log);
        let result = match store.set_fuel(budget) {
            Ok(()) => drive(work(&mut store), &watch),
            Err(error) => Err(error),
        };
        store.data_mut().logs.end();
        let context = Context::new(Phase::Call, &limits, budget, &store);
        let fuel = context.used;
        self.usage.calls += 1;
        self.usage.fuel = self.usage.fuel.saturating_add(fuel);
        let host = store.data();
        self.usage.peak_memory = self.usage.peak_memory.max(host.limiter.held);
        (self.usage.logged, self.usage.log_dropped) = (host.logs.written, host.logs.dropped);
        match result {
            Ok(value) => {
                self.store = Some(store);
                Ok((value, fuel))
            }
            Err(error) => {
                self.usage.traps += 1;
                Err(context.explain(&error))
            }
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("memory", &self.memory()).field("poisoned", &self.poisoned()).finish()
    }
}

/// Polls `work` on this thread until it is done. It is pending only where the guest's fibre yields, every
/// [`crate::Engine::YIELD_INTERVAL`] units of fuel, so polling again at once is no busy waiting.
///
/// # Errors
/// What `work` fails with, or a [`Stop`].
pub(crate) fn drive<T>(work: impl Future<Output = wasmtime::Result<T>>, watch: &Watch) -> wasmtime::Result<T> {
    let mut work = pin!(work);
    let mut context = std::task::Context::from_waker(Waker::noop());
    loop {
        watch.check().map_err(|stop: Stop| wasmtime::Error::from(stop))?;
        if let Poll::Ready(result) = work.as_mut().poll(&mut context) {
            return result;
        }
    }
}
