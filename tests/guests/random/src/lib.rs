//! A component that gives out whatever chance and time it is given, for tests of what these depend on.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;
use std::time::{Instant, SystemTime};

/// What a row drew.
#[derive(Row)]
pub struct Drawn {
    /// The row's own value.
    of: i64,
    /// A random UUID (RFC 9562, version 4).
    uuid: String,
    /// Nanoseconds since 1970, by the wall clock.
    time: i64,
    /// Nanoseconds that this took, by the monotonic clock.
    passed: i64,
}

/// Draws.
#[udf]
fn draw(x: i64) -> Result<Drawn, Error> {
    let before = Instant::now();
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(format_args!("no random bytes: {error}")))?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    (*version, *variant) = (*version & 0x0f | 0x40, *variant & 0x3f | 0x80);
    let uuid = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let time = SystemTime::UNIX_EPOCH.elapsed().map_err(Error::new)?;
    Ok(Drawn { of: x, uuid, time: time.as_nanos() as i64, passed: before.elapsed().as_nanos() as i64 })
}

lockgate_sdk::export!(draw);
