//! What a store holds: everything that a guest's imports may see or change.

use crate::cancel::Watch;
use crate::limiter::Limiter;
use crate::log::Logs;
use crate::random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::{StoreContextMut, Trap};

/// Fuel for any call of the host, about what crossing costs.
const HOST_CALL: u64 = 500;
/// Bytes that cross for one unit of fuel.
const BYTES_PER_FUEL: u64 = 8;

/// The state behind a guest's imports.
pub(crate) struct Host {
    pub limiter: Limiter,
    pub config: Arc<BTreeMap<String, String>>,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub clock: u64,
    /// Begun anew for every batch.
    pub random: Random,
    /// The same in every instance of a function: it seeds hash tables, whose order must not depend on the instance.
    pub hash_seed: (u64, u64),
    pub logs: Logs,
    pub watch: Watch,
}

/// Bills a call of the host that moves `bytes`.
///
/// # Errors
/// A trap if the fuel is used up, a [`crate::failure::Stop`] if the call is cancelled or late.
pub(crate) fn charge(store: &mut StoreContextMut<'_, Host>, bytes: usize) -> wasmtime::Result<()> {
    store.data().watch.check()?;
    let left = store.get_fuel()?;
    match left.checked_sub(HOST_CALL.saturating_add(bytes as u64 / BYTES_PER_FUEL)) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
