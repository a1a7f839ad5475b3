//! One raw column → an Arrow array.

use super::check::indexes;
use crate::schema::arrow_type;
use arrow_array::types::*;
use arrow_array::{ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use lockgate_core::columns::Column;
use lockgate_core::error::{Code, Error, Result, code};
use lockgate_core::types::{Field, LogicalType};
use std::sync::Arc;

/// Makes an array of `rows` values of what a guest gave back for `field`.
///
/// # Errors
/// `LG0654` to `LG0664`, one for each way in which a column can be malformed.
pub(super) fn build(field: &Field, rows: usize, column: Column) -> Result<ArrayRef> {
    build_unplaced(field, rows, column).map_err(|error| error.at(format!("column {:?}", field.name)))
}

fn build_unplaced(field: &Field, rows: usize, column: Column) -> Result<ArrayRef> {
    let Column { validity, buffers } = column;
    let nulls = validity.map(|bits| nulls(field, rows, bits)).transpose()?.flatten();
    Ok(match field.data_type {
        LogicalType::Bool => {
            let [data] = take(buffers)?;
            let bits = bits(data, rows, code::BUFFER_LENGTH, "the values")?;
            Arc::new(BooleanArray::new(bits, nulls))
        }
        LogicalType::Int8 => primitive::<Int8Type>(field, buffers, rows, nulls)?,
        LogicalType::Int16 => primitive::<Int16Type>(field, buffers, rows, nulls)?,
        LogicalType::Int32 => primitive::<Int32Type>(field, buffers, rows, nulls)?,
        LogicalType::Int64 => primitive::<Int64Type>(field, buffers, rows, nulls)?,
        LogicalType::UInt8 => primitive::<UInt8Type>(field, buffers, rows, nulls)?,
        LogicalType::UInt16 => primitive::<UInt16Type>(field, buffers, rows, nulls)?,
        LogicalType::UInt32 => primitive::<UInt32Type>(field, buffers, rows, nulls)?,
        LogicalType::UInt64 => primitive::<UInt64Type>(field, buffers, rows, nulls)?,
        LogicalType::Float32 => primitive::<Float32Type>(field, buffers, rows, nulls)?,
        LogicalType::Float64 => primitive::<Float64Type>(field, buffers, rows, nulls)?,
        // Every 32-bit day and every 64-bit microsecond is a date or a time, however far from now.
        LogicalType::Date32 => primitive::<Date32Type>(field, buffers, rows, nulls)?,
        LogicalType::Timestamp { .. } => primitive::<TimestampMicrosecondType>(field, buffers, rows, nulls)?,
        LogicalType::Decimal128 { precision, .. } => {
            let values = values::<i128>(buffers, rows)?;
            check_decimals(&values, precision)?;
            Arc::new(PrimitiveArray::<Decimal128Type>::new(values, nulls).with_data_type(arrow_type(field.data_type)))
        }
        LogicalType::Utf8 => Arc::new(strings(buffers, rows, nulls)?),
        LogicalType::Binary => {
            let (offsets, data) = offsets_and_data(buffers, rows)?;
            Arc::new(BinaryArray::new(offsets, data, nulls))
        }
    })
}

/// A utf8 column of `rows` values.
///
/// # Errors
/// See [`build`].
pub(super) fn strings(buffers: Vec<Vec<u8>>, rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray> {
    let (offsets, data) = offsets_and_data(buffers, rows)?;
    // Arrow validates on construction. A second look only has to say what is wrong.
    StringArray::try_new(offsets.clone(), data.clone(), nulls).map_err(|_| match std::str::from_utf8(&data) {
        Err(error) => {
            Error::new(code::NOT_UTF8, format!("the data is not UTF-8 from its byte {} on", error.valid_up_to()))
        }
        Ok(text) => {
            let split = offsets.iter().position(|offset| !text.is_char_boundary(offset.as_usize())).unwrap_or(0);
            Error::new(code::SPLIT_CHARACTER, format!("offset {split} lies within a character"))
        }
    })
}

/// The buffers of a column whose type has `N`.
fn take<const N: usize>(buffers: Vec<Vec<u8>>) -> Result<[Vec<u8>; N]> {
    let count = buffers.len();
    buffers.try_into().map_err(|_| Error::new(code::OUTPUT_BUFFERS, format!("{count} buffers, the type has {N}")))
}

fn nulls(field: &Field, rows: usize, bytes: Vec<u8>) -> Result<Option<NullBuffer>> {
    let nulls = NullBuffer::new(bits(bytes, rows, code::VALIDITY_LENGTH, "validity")?);
    if nulls.null_count() == 0 {
        return Ok(None);
    }
    if !field.nullable {
        let row = nulls.iter().position(|valid| !valid).unwrap_or(0);
        return Err(Error::new(code::UNEXPECTED_NULL, format!("row {row} is null, the field is not nullable")));
    }
    Ok(Some(nulls))
}

fn bits(bytes: Vec<u8>, rows: usize, wrong: Code, what: &str) -> Result<BooleanBuffer> {
    exact(&bytes, rows.div_ceil(8), wrong, what)?;
    Ok(BooleanBuffer::new(Buffer::from_vec(bytes), 0, rows))
}

fn exact(bytes: &[u8], expected: usize, wrong: Code, what: &str) -> Result<()> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(Error::new(wrong, format!("{what} have {} bytes, not {expected}", bytes.len())))
}

fn primitive<T: ArrowPrimitiveType>(
    field: &Field,
    buffers: Vec<Vec<u8>>,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::new(values(buffers, rows)?, nulls);
    Ok(Arc::new(array.with_data_type(arrow_type(field.data_type))))
}

fn values<T: ArrowNativeType>(buffers: Vec<Vec<u8>>, rows: usize) -> Result<ScalarBuffer<T>> {
    let [data] = take(buffers)?;
    // A row count has 32 bits, so nothing here overflows.
    exact(&data, rows * size_of::<T>(), code::BUFFER_LENGTH, "the values")?;
    Ok(scalars(data))
}

/// The vector as it is, or a copy if it does not lie as `T` needs it (an empty one, an allocator of another mind).
pub(super) fn scalars<T: ArrowNativeType>(bytes: Vec<u8>) -> ScalarBuffer<T> {
    let aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
    let buffer = if aligned { Buffer::from_vec(bytes) } else { Buffer::from_slice_ref(&bytes) };
    ScalarBuffer::from(buffer)
}

/// Refuses a value of more than `precision` digits, in the slots of null rows as well: what computes on the column
/// later may look at those before it looks at validity.
fn check_decimals(values: &[i128], precision: u8) -> Result<()> {
    let bound = 10_u128.pow(u32::from(precision.min(38)));
    match values.iter().position(|value| value.unsigned_abs() >= bound) {
        None => Ok(()),
        Some(row) => {
            Err(Error::new(code::DECIMAL_RANGE, format!("the value of row {row} has more than {precision} digits")))
        }
    }
}

fn offsets_and_data(buffers: Vec<Vec<u8>>, rows: usize) -> Result<(OffsetBuffer<i32>, Buffer)> {
    let [offsets, data] = take(buffers)?;
    exact(&offsets, (rows + 1) * size_of::<i32>(), code::BUFFER_LENGTH, "the offsets")?;
    let offsets = scalars::<i32>(offsets);
    if let Some(first) = offsets.first().filter(|first| **first != 0) {
        return Err(Error::new(code::OFFSETS_START, format!("the first offset is {first}, not 0")));
    }
    if let Some(row) = indexes::first_descent(&offsets) {
        return Err(Error::new(
            code::OFFSETS_ORDER,
            format!("the offset behind row {row} is lower than the one before"),
        ));
    }
    let last = offsets.last().copied().unwrap_or(0);
    if usize::try_from(last) != Ok(data.len()) {
        return Err(Error::new(
            code::OFFSETS_END,
            format!("the last offset is {last}, the data has {} bytes", data.len()),
        ));
    }
    Ok((OffsetBuffer::new(offsets), Buffer::from_vec(data)))
}
