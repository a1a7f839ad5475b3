//! What the functions of `examples/nexmark` compute, written natively over Arrow columns as one would in an engine.

use crate::Result;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_select::filter::filter;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

const EUR: f64 = 0.908;

/// `to_eur`.
pub fn to_eur(prices: &Float64Array) -> ArrayRef {
    Arc::new(prices.unary::<_, arrow_array::types::Float64Type>(|price| price * EUR))
}

/// `keep`.
///
/// # Errors
/// None in practice.
pub fn keep(texts: &StringArray) -> Result<ArrayRef> {
    let wanted = |text: &str| text.bytes().map(|byte| i64::from(byte == b'a')).sum::<i64>() >= 2;
    Ok(filter(texts, &BooleanArray::from_unary(texts, wanted))?)
}

/// `upper`.
///
/// # Errors
/// None in practice.
pub fn upper(texts: &StringArray) -> Result<ArrayRef> {
    rows(texts, |text, out| {
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        if let Some(written) = out.get_mut(start..) {
            written.make_ascii_uppercase();
        }
        Ok(())
    })
}

#[derive(Serialize, Deserialize)]
struct Bid<'a> {
    auction: i64,
    bidder: i64,
    price: f64,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    date_time: i64,
    #[serde(borrow)]
    extra: Cow<'a, str>,
}

/// `json`.
///
/// # Errors
/// When a line is no bid.
pub fn json(lines: &StringArray) -> Result<ArrayRef> {
    rows(lines, |line, out| {
        let mut bid: Bid<'_> = serde_json::from_str(line)?;
        bid.price *= EUR;
        Ok(serde_json::to_writer(out, &bid)?)
    })
}

/// A row of text for each, written into one buffer.
fn rows(texts: &StringArray, write: impl Fn(&str, &mut Vec<u8>) -> Result<()>) -> Result<ArrayRef> {
    let mut data = Vec::with_capacity(texts.value_data().len());
    let mut offsets = Vec::with_capacity(texts.len() + 1);
    offsets.push(0);
    for text in texts.iter().flatten() {
        write(text, &mut data)?;
        offsets.push(i32::try_from(data.len())?);
    }
    Ok(Arc::new(StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(data), None)?))
}
