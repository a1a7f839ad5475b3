//! The built-in operator `select`: chooses, renames and casts columns.
//!
//! It is all that runs without a component. What computes or filters is a function.

use crate::civil::{write_date, write_timestamp};
use crate::schema::{arrow_schema, arrow_type};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_cast::display::array_value_to_string;
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use lockgate_core::error::{Error, Result, code};
use lockgate_core::plan::SelectColumn;
use lockgate_core::types::Field;
use std::sync::Arc;

/// A `select` that is ready to run.
#[derive(Debug)]
pub struct Select {
    columns: Vec<(usize, Option<DataType>)>,
    schema: SchemaRef,
}

impl Select {
    /// A `select` of `columns` from batches with the fields `input`, which gives batches with the fields `output`.
    ///
    /// # Errors
    /// `LG0003` if indexes, types or nullability do not agree: the planner has checked them.
    pub fn new(columns: &[SelectColumn], input: &[Field], output: &[Field]) -> Result<Self> {
        let wrong = |what: String| Error::new(code::INTERNAL, format!("the plan is inconsistent: {what}"));
        if columns.len() != output.len() {
            return Err(wrong(format!("{} columns selected into {}", columns.len(), output.len())));
        }
        let mut prepared = Vec::with_capacity(columns.len());
        for (column, target) in columns.iter().zip(output) {
            let index = column.column as usize;
            let source =
                input.get(index).ok_or_else(|| wrong(format!("select reads column {index} of {}", input.len())))?;
            let (from, to) = (arrow_type(source.data_type), arrow_type(target.data_type));
            if column.cast.unwrap_or(source.data_type) != target.data_type || !can_cast_types(&from, &to) {
                return Err(wrong(format!("{from} cannot become {to} in column {:?}", target.name)));
            }
            // With a cast the values decide: see `run`.
            if column.cast.is_none() && source.nullable && !target.nullable {
                return Err(wrong(format!("column {:?} loses that it may be null", target.name)));
            }
            prepared.push((index, (from != to).then_some(to)));
        }
        Ok(Self { columns: prepared, schema: arrow_schema(output) })
    }

    /// The columns of `batch` that this selects.
    ///
    /// # Errors
    /// `LG0680` if a value does not fit where no null may stand for it.
    pub fn run(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((index, cast), field) in self.columns.iter().zip(self.schema.fields()) {
            let source = batch
                .columns()
                .get(*index)
                .ok_or_else(|| Error::new(code::INTERNAL, format!("a batch has no column {index}")))?;
            let column = match cast {
                None => source.clone(),
                Some(to) => cast_column(source, to).map_err(|error| error.at(format!("column {:?}", field.name())))?,
            };
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(misfit(source, &column).at(format!("column {:?}", field.name())));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::new(code::INTERNAL, format!("a selected batch does not fit: {error}")))
    }
}

fn cast_column(source: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if let (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(TimeUnit::Microsecond, _)) =
        (source.data_type(), to)
    {
        // Read as UTC a time stays the number that it is. Arrow would go through a calendar that ends in 262143.
        let times = source.as_primitive::<TimestampMicrosecondType>().clone();
        return Ok(Arc::new(times.with_data_type(to.clone())));
    }
    if *to == DataType::Utf8
        && let Some(texts) = time_texts(source)
    {
        return Ok(Arc::new(texts));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let (computable, offset) = (with_offset(source), offset_type(to));
    let cast = cast_with_options(&computable, &offset, &options).map_err(|error| {
        Error::new(code::CAST_FAILED, format!("{} cannot become {to}: {error}", source.data_type()))
    })?;
    if offset == *to {
        return Ok(cast);
    }
    Ok(Arc::new(cast.as_primitive::<TimestampMicrosecondType>().clone().with_data_type(to.clone())))
}

/// Dates and times as the text formats write them: Arrow has no text outside of its calendar, this gives the number.
fn time_texts(source: &ArrayRef) -> Option<StringArray> {
    let text = |number: i64, write: &dyn Fn(&mut Vec<u8>, i64) -> bool| {
        let mut text = Vec::with_capacity(32);
        let written = write(&mut text, number);
        String::from_utf8(text).ok().filter(|_| written).unwrap_or_else(|| number.to_string())
    };
    Some(match source.data_type() {
        DataType::Date32 => {
            let days = source.as_primitive::<Date32Type>().iter();
            days.map(|days| days.map(|days| text(days.into(), &write_date))).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = source.as_primitive::<TimestampMicrosecondType>().iter();
            let write = |out: &mut Vec<u8>, micros| write_timestamp(out, micros, zone.is_some());
            micros.map(|micros| micros.map(|micros| text(micros, &write))).collect()
        }
        _ => return None,
    })
}

/// Instants with "+00:00" for "UTC", the same numbers: Arrow knows names of zones only with a database of them.
pub(crate) fn with_offset(column: &ArrayRef) -> ArrayRef {
    let offset = offset_type(column.data_type());
    if offset == *column.data_type() {
        return column.clone();
    }
    Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_data_type(offset))
}

fn offset_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
        }
        other => other.clone(),
    }
}

fn misfit(source: &ArrayRef, column: &ArrayRef) -> Error {
    let row = (0..column.len()).find(|row| column.is_null(*row)).unwrap_or(0);
    let value = if source.is_null(row) {
        "null".to_owned()
    } else {
        let text = array_value_to_string(&with_offset(source), row).unwrap_or_default();
        format!("{:?}", crate::columns::truncate(&text, 80))
    };
    Error::new(
        code::CAST_FAILED,
        format!("{value} does not fit {}, and the column is not nullable", column.data_type()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::{Int8Type, Int64Type};
    use arrow_array::{Date32Array, Int64Array, TimestampMicrosecondArray};
    use lockgate_core::planner::{Cast, cast};
    use lockgate_core::types::LogicalType;
    use proptest::prelude::*;

    fn input() -> Vec<Field> {
        vec![Field::new("n", LogicalType::Int64, false), Field::new("t", LogicalType::Utf8, true)]
    }

    fn batch() -> RecordBatch {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 300])), Arc::new(StringArray::from(vec![Some("12"), Some("x")]))];
        RecordBatch::try_new(arrow_schema(&input()), columns).unwrap()
    }

    fn select(column: u32, cast: Option<LogicalType>, field: Field) -> Result<RecordBatch> {
        Select::new(&[SelectColumn { column, cast }], &input(), &[field])?.run(&batch())
    }

    #[test]
    fn chooses_and_renames() {
        let selected = select(1, None, Field::new("text", LogicalType::Utf8, true)).unwrap();
        assert_eq!(selected.schema().field(0).name(), "text");
        assert_eq!(selected.column(0).as_string::<i32>().value(0), "12");
        let twice: Vec<_> = [0, 0].map(|column| SelectColumn { column, cast: None }).into();
        let fields = ["a", "b"].map(|name| Field::new(name, LogicalType::Int64, true));
        assert_eq!(Select::new(&twice, &input(), &fields).unwrap().run(&batch()).unwrap().num_columns(), 2);
    }

    #[test]
    fn casts_what_fits_and_makes_null_of_the_rest() {
        let field = |nullable| Field::new("c", LogicalType::Int8, nullable);
        let cast = Some(LogicalType::Int8);
        let narrowed = select(0, cast, field(true)).unwrap();
        assert_eq!(narrowed.column(0).as_primitive::<Int8Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
        let parsed = select(1, Some(LogicalType::Int64), Field::new("c", LogicalType::Int64, true)).unwrap();
        assert_eq!(parsed.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(12), None]);
        let error = select(0, cast, field(false)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LG0680: column \"c\": \"300\" does not fit Int8, and the column is not nullable"
        );
    }

    #[test]
    fn refuses_an_inconsistent_plan() {
        let text = Field::new("t", LogicalType::Utf8, false);
        for (column, cast, field) in [
            (2, None, Field::new("n", LogicalType::Int64, true)),
            (0, None, Field::new("n", LogicalType::Int32, true)),
            (0, Some(LogicalType::Int8), Field::new("n", LogicalType::Int32, true)),
            (0, Some(LogicalType::Decimal128 { precision: 3, scale: 0 }), text.clone()),
            (1, None, text),
        ] {
            assert_eq!(select(column, cast, field).unwrap_err().code(), code::INTERNAL);
        }
        assert_eq!(Select::new(&[], &input(), &input()).unwrap_err().code(), code::INTERNAL);
    }

    #[test]
    fn instants_are_read_and_written_with_their_zone() {
        let (utc, text) = (LogicalType::Timestamp { utc: true }, LogicalType::Utf8);
        let input = [Field::new("t", text, false)];
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["2013-01-01T05:00:00.25+01:00"]));
        let batch = RecordBatch::try_new(arrow_schema(&input), vec![texts]).unwrap();
        let instants = [Field::new("t", utc, true)];
        let read = Select::new(&[SelectColumn { column: 0, cast: Some(utc) }], &input, &instants).unwrap();
        let batch = read.run(&batch).unwrap();
        assert_eq!(batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0), 1_357_012_800_250_000);
        let texts = [Field::new("t", text, true)];
        let write = Select::new(&[SelectColumn { column: 0, cast: Some(text) }], &instants, &texts).unwrap();
        let batch = write.run(&batch).unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().value(0), "2013-01-01T04:00:00.250Z");
    }

    /// What the planner lets through runs, and what it says always fits does.
    #[test]
    fn casts_as_the_planner_promises() {
        let types: Vec<LogicalType> = [
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float32",
            "float64",
            "utf8",
            "binary",
            "date32",
            "timestamp[us]",
            "timestamp[us, UTC]",
            "decimal128(38, 0)",
            "decimal128(12, 2)",
            "decimal128(3, 3)",
        ]
        .map(|text| text.parse().unwrap())
        .into();
        let samples: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 100, -1, 255, i64::from(i32::MAX), -70_000]));
        for from in &types {
            // From text where there is no way from numbers.
            let plain = match arrow_type(*from) {
                data_type @ (DataType::Binary | DataType::Date32) => {
                    let between = if data_type == DataType::Binary { DataType::Utf8 } else { DataType::Int32 };
                    cast_column(&cast_column(&samples, &between).unwrap(), &data_type).unwrap()
                }
                data_type => cast_column(&samples, &data_type).unwrap(),
            };
            let input = [Field::new("c", *from, true)];
            let batch = RecordBatch::try_new(arrow_schema(&input), vec![plain.clone()]).unwrap();
            for to in &types {
                let Some(how) = cast(*from, *to) else { continue };
                let column = SelectColumn { column: 0, cast: Some(*to) };
                let output = [Field::new("c", *to, true)];
                let result = Select::new(&[column], &input, &output).unwrap().run(&batch).unwrap();
                let lost = result.column(0).null_count() - plain.null_count();
                assert!(lost == 0 || how == Cast::Partial, "{from} to {to} loses {lost} of {plain:?}");
            }
        }
    }

    #[test]
    fn a_zone_changes_no_number() {
        let input = [Field::new("t", LogicalType::Timestamp { utc: false }, false)];
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, 0, i64::MAX]));
        let batch = RecordBatch::try_new(arrow_schema(&input), vec![times]).unwrap();
        let output = [Field::new("t", LogicalType::Timestamp { utc: true }, false)];
        let column = SelectColumn { column: 0, cast: Some(LogicalType::Timestamp { utc: true }) };
        let cast = Select::new(&[column], &input, &output).unwrap().run(&batch).unwrap();
        assert_eq!(cast.column(0).as_primitive::<TimestampMicrosecondType>().values()[..], [i64::MIN, 0, i64::MAX]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Guests may return any day and any microsecond; no cast of them panics.
        #[test]
        fn casts_of_extreme_values_do_not_panic(
            day in prop_oneof![any::<i32>(), Just(i32::MAX), Just(i32::MIN)],
            time in prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN)],
        ) {
            let (utc, local) = (LogicalType::Timestamp { utc: true }, LogicalType::Timestamp { utc: false });
            let decimal = LogicalType::Decimal128 { precision: 38, scale: 30 };
            let sources: [(LogicalType, ArrayRef, &[LogicalType]); 3] = [
                (
                    LogicalType::Date32,
                    Arc::new(Date32Array::from(vec![day])),
                    &[LogicalType::Utf8, LogicalType::Int32, utc, local],
                ),
                (
                    local,
                    Arc::new(TimestampMicrosecondArray::from(vec![time])),
                    &[LogicalType::Utf8, LogicalType::Int64, LogicalType::Date32, utc],
                ),
                (
                    LogicalType::Int64,
                    Arc::new(Int64Array::from(vec![time])),
                    &[LogicalType::Utf8, LogicalType::UInt8, LogicalType::Bool, LogicalType::Float32, decimal, utc],
                ),
            ];
            for (from, values, targets) in sources {
                let input = [Field::new("c", from, false)];
                let batch = RecordBatch::try_new(arrow_schema(&input), vec![values]).unwrap();
                for to in targets {
                    let output = [Field::new("c", *to, true)];
                    let column = SelectColumn { column: 0, cast: Some(*to) };
                    let cast = Select::new(&[column], &input, &output).unwrap().run(&batch);
                    prop_assert!(cast.is_ok_and(|batch| batch.num_rows() == 1), "{from} {to}");
                }
            }
        }
    }
}
