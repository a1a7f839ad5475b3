//! The limits of a function: what a manifest may ask for, what a policy allows, what the sandbox enforces.
//!
//! One flat table, because each limit has the same life: a default that is safe, a value in the signed manifest, a
//! ceiling in the tenant's signed policy, and a place in the sandbox that cuts off.

use crate::error::{Error, Result, code};
use crate::human;
use serde::{Deserialize, Serialize};

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Millis,
    /// Fuel: about one a WebAssembly instruction.
    Fuel,
    /// Things.
    Count,
}

impl Unit {
    /// `value` as people read it: `64 MiB`, `10 s`, `100 k`.
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => human::bytes(value),
            Self::Millis => human::millis(value),
            Self::Fuel | Self::Count => human::count(value),
        }
    }
}

/// One row of the table of limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Its key in a signed document.
    pub key: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The least value with which a function could run at all.
    pub least: u64,
}

impl Limit {
    /// Its key in `lockgate.toml`, where a duration brings its unit along: `deadline = "10 s"`.
    pub fn toml_key(&self) -> &'static str {
        self.key.strip_suffix("-ms").unwrap_or(self.key)
    }
}

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident = $key:literal: $default:expr, $unit:ident, $least:expr;)*) => {
        /// Every limit, in the order of the documentation.
        pub const LIMITS: &[Limit] = &[$(Limit { key: $key, unit: Unit::$unit, least: $least },)*];

        /// The limits of one instance of a component. All are enforced, all are reported.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Limits { $($(#[$doc])* #[serde(rename = $key)] pub $field: u64,)* }

        /// Limits of which any may be left open: a manifest's `[limits]`, a policy's ceilings.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct PartialLimits { $(
            $(#[$doc])*
            #[serde(rename = $key, default, skip_serializing_if = "Option::is_none")]
            pub $field: Option<u64>,
        )* }

        impl PartialLimits {
            /// Every key with its value if it is set, in the order of the documentation.
            pub fn entries(&self) -> Vec<(&'static str, Option<u64>)> {
                vec![$(($key, self.$field),)*]
            }

            /// Sets the limit `key`; says whether there is one.
            pub fn set(&mut self, key: &str, value: u64) -> bool {
                match key {
                    $($key => self.$field = Some(value),)*
                    _ => return false,
                }
                true
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// Every key with its value, in the order of the documentation.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$(($key, self.$field),)*]
            }

            /// The defaults, overridden by what `asked` sets.
            pub fn with(asked: &PartialLimits) -> Self {
                let defaults = Self::default();
                Self { $($field: asked.$field.unwrap_or(defaults.$field),)* }
            }

            /// Refuses limits above `ceiling`; what it leaves open is capped at the default.
            ///
            /// # Errors
            /// `LG0221`, naming the limit and both values.
            pub fn within(self, ceiling: &PartialLimits) -> Result<Self> {
                let top = Self::with(ceiling);
                $(if self.$field > top.$field {
                    return Err(Error::new(
                        code::LIMIT_ABOVE_CEILING,
                        format!(
                            "limit {} is {}, the tenant's policy allows {}",
                            $key,
                            Unit::$unit.show(self.$field),
                            Unit::$unit.show(top.$field),
                        ),
                    ));
                })*
                Ok(self)
            }
        }
    };
}

limits! {
    /// Bytes of all linear memories and tables of an instance together (a table element counts 8 bytes).
    memory = "memory": 64 << 20, Bytes, 64 << 10;
    /// Fuel for a batch, whatever its size.
    fuel_per_batch = "fuel-per-batch": 10_000_000, Fuel, 0;
    /// Fuel for a batch, for each of its rows.
    fuel_per_record = "fuel-per-record": 100_000, Fuel, 1;
    /// Fuel for making an instance: start functions and initialisers.
    fuel_per_instance = "fuel-per-instance": 1_000_000_000, Fuel, 1;
    /// Milliseconds of wall-clock time for a batch.
    deadline = "deadline-ms": 10_000, Millis, 1;
    /// Bytes that the host copies out of the guest in a call.
    transfer = "transfer": 128 << 20, Bytes, 1;
    /// Resource handles that an instance holds at once.
    handles = "handles": 1_000, Count, 0;
    /// Bytes of log and standard output and error for a batch; more is dropped and counted.
    log = "log": 64 << 10, Bytes, 0;
    /// Output rows for each input row, as a mean over the batch.
    output_rows = "output-rows-per-row": 1_000, Count, 1;
    /// Output bytes for each input row, as a mean over the batch, beside 1 MiB for the batch.
    output_bytes = "output-bytes-per-row": 64 << 10, Bytes, 1;
    /// Bytes of WebAssembly stack.
    stack = "stack": 512 << 10, Bytes, 16 << 10;
}

impl Limits {
    /// Fuel for a batch of `rows`.
    pub const fn batch_fuel(&self, rows: u32) -> u64 {
        self.fuel_per_batch.saturating_add(self.fuel_per_record.saturating_mul(rows as u64))
    }

    /// The most output rows for a batch of `rows`.
    pub const fn batch_rows(&self, rows: u32) -> u64 {
        self.output_rows.saturating_mul(rows as u64)
    }

    /// The most output bytes for a batch of `rows`.
    pub const fn batch_bytes(&self, rows: u32) -> u64 {
        (1_u64 << 20).saturating_add(self.output_bytes.saturating_mul(rows as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_its_ceiling_is_refused() {
        let ask = |memory| Limits::with(&PartialLimits { memory: Some(memory), ..Default::default() });
        let ceiling = PartialLimits { memory: Some(128 << 20), ..Default::default() };
        assert_eq!(ask(128 << 20).within(&ceiling).unwrap().memory, 128 << 20);
        assert_eq!(ask((128 << 20) + 1).within(&ceiling).unwrap_err().code(), code::LIMIT_ABOVE_CEILING);
        // What a policy does not mention may not be raised.
        assert!(ask((64 << 20) + 1).within(&PartialLimits::default()).is_err());
    }

    #[test]
    fn budgets_do_not_overflow() {
        let limits =
            Limits { fuel_per_record: u64::MAX, output_bytes: u64::MAX, output_rows: u64::MAX, ..Default::default() };
        assert_eq!(limits.batch_fuel(u32::MAX), u64::MAX);
        assert_eq!(limits.batch_rows(2), u64::MAX);
        assert_eq!(limits.batch_bytes(2), u64::MAX);
    }
}
