//! Settings of the function, from the `config` of its operator in the manifest.
//!
//! They are the same for as long as an instance lives, and asking for one is a call to the host. Ask once:
//!
//! ```
//! use lockgate_sdk::prelude::*;
//! use std::sync::LazyLock;
//!
//! static RATE: LazyLock<f64> = LazyLock::new(|| config::parse("rate").unwrap_or(0.908));
//!
//! #[udf]
//! fn to_eur(price: f64) -> f64 {
//!     price * *RATE
//! }
//! ```
//!
//! Natively a `static` keeps what the first test that reads it has set: to test several settings, hand what depends on
//! them to a function of its own.

use std::str::FromStr;

/// The setting, if there is one of this name.
pub fn get(name: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return crate::guest::config(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::config(name);
}

/// The setting as a `T`; none, with a warning in the log, if it is of another form.
pub fn parse<T: FromStr>(name: &str) -> Option<T> {
    let text = get(name)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        log::warn!("the setting {name:?} is {text:?}, which is no {}", std::any::type_name::<T>());
    }
    parsed
}
