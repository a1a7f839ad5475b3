//! Arrow → raw: the argument columns of a batch as a guest gets them.
//!
//! A batch is often a slice of a larger one, while a guest's offsets start at 0 and its bits at the first byte.
//! Fixed-width values are borrowed where they lie; offsets and bits that start elsewhere are moved into scratch buffers,
//! which live as long as the [`Lowering`].

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ToByteSlice};
use arrow_schema::{DataType, TimeUnit};
use lockgate_core::columns::{BatchRef, ColumnRef};
use lockgate_core::error::{Error, Result, code};

/// Lowers batches, one after the other.
#[derive(Default, Debug)]
pub struct Lowering {
    scratch: Vec<Scratch>,
}

/// What cannot be borrowed of one column.
#[derive(Default, Debug)]
struct Scratch {
    validity: Vec<u8>,
    bits: Vec<u8>,
    offsets: Vec<i32>,
}

impl Lowering {
    /// Gives `call` these columns, of `rows` rows each, as raw ones.
    ///
    /// # Errors
    /// `LG0003` if a column has a type that no logical type stands for.
    pub fn lower<R>(&mut self, columns: &[&ArrayRef], rows: u32, call: impl FnOnce(&BatchRef<'_>) -> R) -> Result<R> {
        if self.scratch.len() < columns.len() {
            self.scratch.resize_with(columns.len(), Scratch::default);
        }
        let mut lowered = Vec::with_capacity(columns.len());
        for (column, scratch) in columns.iter().zip(&mut self.scratch) {
            let Scratch { validity, bits, offsets } = scratch;
            lowered.push((lower_validity(column.nulls(), validity), lower_buffers(column.as_ref(), bits, offsets)?));
        }
        let columns: Vec<ColumnRef<'_>> = lowered
            .iter()
            .map(|(validity, (buffers, count))| ColumnRef {
                validity: *validity,
                buffers: buffers.get(..*count).unwrap_or_default(),
            })
            .collect();
        Ok(call(&BatchRef { rows, columns: &columns }))
    }
}

/// A column's buffers and how many of them there are.
type Buffers<'a> = ([&'a [u8]; 2], usize);

fn lower_validity<'a>(nulls: Option<&'a NullBuffer>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
    Some(lower_bits(nulls.inner(), scratch))
}

fn lower_buffers<'a>(column: &'a dyn Array, bits: &'a mut Vec<u8>, offsets: &'a mut Vec<i32>) -> Result<Buffers<'a>> {
    macro_rules! fixed {
        ($($pattern:pat => $primitive:ty),* $(,)?) => {
            match column.data_type() {
                DataType::Boolean => ([lower_bits(column.as_boolean().values(), bits), &[]], 1),
                DataType::Utf8 => {
                    let array = column.as_string::<i32>();
                    (lower_bytes(array.offsets(), array.value_data(), offsets), 2)
                }
                DataType::Binary => {
                    let array = column.as_binary::<i32>();
                    (lower_bytes(array.offsets(), array.value_data(), offsets), 2)
                }
                $($pattern => ([column.as_primitive::<$primitive>().values().to_byte_slice(), &[]], 1),)*
                other => {
                    return Err(Error::new(code::INTERNAL, format!("a column of type {other} cannot go to a function")));
                }
            }
        };
    }
    Ok(fixed! {
        DataType::Int8 => Int8Type,
        DataType::Int16 => Int16Type,
        DataType::Int32 => Int32Type,
        DataType::Int64 => Int64Type,
        DataType::UInt8 => UInt8Type,
        DataType::UInt16 => UInt16Type,
        DataType::UInt32 => UInt32Type,
        DataType::UInt64 => UInt64Type,
        DataType::Float32 => Float32Type,
        DataType::Float64 => Float64Type,
        DataType::Date32 => Date32Type,
        DataType::Timestamp(TimeUnit::Microsecond, _) => TimestampMicrosecondType,
        DataType::Decimal128(_, _) => Decimal128Type,
    })
}

/// The bits from the first byte's first bit on. What lies behind the last one is zero, so that a guest's result cannot
/// depend on rows that it was not given.
fn lower_bits<'a>(bits: &'a BooleanBuffer, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let (start, shift, bytes) = (bits.offset() / 8, bits.offset() % 8, bits.len().div_ceil(8));
    let source = bits.values().get(start..).unwrap_or_default();
    let tail = !(u8::MAX << (bits.len() % 8)); // of the last byte, if it is not full
    let exact = source.get(..bytes).unwrap_or_default();
    let clean = tail == 0 || exact.last().is_none_or(|last| last & !tail == 0);
    if shift == 0 && clean {
        return exact;
    }
    scratch.clear();
    if shift == 0 {
        scratch.extend_from_slice(exact);
    } else {
        let next = source.iter().skip(1).copied().chain([0]);
        scratch.extend(source.iter().zip(next).take(bytes).map(|(low, high)| (low >> shift) | (high << (8 - shift))));
    }
    if tail != 0
        && let Some(last) = scratch.last_mut()
    {
        *last &= tail;
    }
    scratch
}

/// Offsets from 0 and exactly the data that they span.
fn lower_bytes<'a>(offsets: &'a OffsetBuffer<i32>, data: &'a [u8], scratch: &'a mut Vec<i32>) -> [&'a [u8]; 2] {
    let (first, last) = (offsets.first(), offsets.last());
    let data = data.get(first as usize..last as usize).unwrap_or_default();
    if first == 0 {
        return [offsets.to_byte_slice(), data];
    }
    scratch.clear();
    scratch.extend(offsets.iter().map(|offset| offset - first));
    [scratch.to_byte_slice(), data]
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use lockgate_core::columns::Column;
    use lockgate_core::types::LogicalType;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Lowers, and copies what a guest would see.
    fn raw(lowering: &mut Lowering, columns: &[ArrayRef]) -> Vec<Column> {
        let rows = columns.first().map_or(0, |column| column.len()) as u32;
        let columns: Vec<&ArrayRef> = columns.iter().collect();
        lowering
            .lower(&columns, rows, |batch| {
                assert_eq!(batch.rows, rows);
                let copy = |column: &ColumnRef<'_>| Column {
                    validity: column.validity.map(<[u8]>::to_vec),
                    buffers: column.buffers.iter().map(|buffer| buffer.to_vec()).collect(),
                };
                batch.columns.iter().map(copy).collect()
            })
            .unwrap()
    }

    #[test]
    fn lowers_whole_arrays_as_they_lie() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("ü")]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, -1, 2]));
        let columns = raw(&mut Lowering::default(), &[text, number]);
        assert_eq!(columns[0].validity, Some(vec![0b101]));
        assert_eq!(columns[0].buffers, [[0, 2, 2, 4].map(i32::to_le_bytes).concat(), "abü".as_bytes().to_vec()]);
        assert_eq!(columns[1].validity, None);
        assert_eq!(columns[1].buffers, [[1_i64, -1, 2].map(i64::to_le_bytes).concat()]);
    }

    #[test]
    fn borrows_fixed_width_slices() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]).slice(1, 2));
        let lies = array.as_primitive::<Float64Type>().values().as_ptr().cast::<u8>();
        let seen = Lowering::default().lower(&[&array], 2, |batch| batch.columns[0].buffers[0].as_ptr()).unwrap();
        assert_eq!(seen, lies);
    }

    #[test]
    fn hides_the_rows_behind_the_last() {
        let all: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true), Some(true)]));
        let columns = raw(&mut Lowering::default(), &[all.slice(0, 3)]);
        assert_eq!((columns[0].validity.clone(), columns[0].buffers.clone()), (Some(vec![0b101]), vec![vec![0b101]]));
    }

    #[test]
    fn refuses_a_type_without_a_logical_one() {
        let array: ArrayRef = Arc::new(arrow_array::LargeStringArray::from(vec!["x"]));
        let error = Lowering::default().lower(&[&array], 1, |_| ()).unwrap_err();
        assert_eq!(error.code(), code::INTERNAL);
    }

    fn arrays(values: &[Option<i64>]) -> Vec<(LogicalType, ArrayRef)> {
        let text = || values.iter().map(|value| value.map(|value| "é".repeat(value.unsigned_abs() as usize % 5)));
        let bytes: Vec<Option<Vec<u8>>> = text().map(|text| text.map(String::into_bytes)).collect();
        let decimals: Decimal128Array = values.iter().map(|value| value.map(i128::from)).collect();
        vec![
            (LogicalType::Int64, Arc::new(Int64Array::from(values.to_vec()))),
            (LogicalType::Bool, Arc::new(values.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())),
            (LogicalType::Utf8, Arc::new(text().collect::<StringArray>())),
            (LogicalType::Binary, Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())),
            (
                LogicalType::Timestamp { utc: true },
                Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC")),
            ),
            (
                LogicalType::Decimal128 { precision: 38, scale: 2 },
                Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
            ),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any slice of any array comes back equal through raw columns, with scratch buffers that were used before.
        #[test]
        fn slices_survive_the_way_there_and_back(
            values in prop::collection::vec(prop::option::weighted(0.8, -1000_i64..1000), 0..70),
            from in 0_usize..70,
            length in 0_usize..70,
        ) {
            let mut lowering = Lowering::default();
            let from = from.min(values.len());
            let length = length.min(values.len() - from);
            for (logical, array) in arrays(&values) {
                let slice = array.slice(from, length);
                let column = raw(&mut lowering, std::slice::from_ref(&slice)).remove(0);
                let field = lockgate_core::types::Field::new("c", logical, true);
                let back = super::super::array::build(&field, length, column).unwrap();
                prop_assert_eq!(&back, &slice);
            }
        }
    }
}
