//! The generator of the Nexmark suite: bids, auctions and persons of an auction house, out of nothing but a seed.
//!
//! Every event is a function of the seed and its number, so a position is an event number, any event can be made
//! without those before it, and splits need not know of each other. Of each 50 events the first is a person, the next
//! three are auctions and 46 are bids; split `i` of `n` has every `n`-th group of 50, beginning with group `i`.

mod event;
mod text;

use crate::schema::arrow_schema;
use crate::{Decoded, Decoder, Input, Rows, Tracked};
use arrow_array::builder::{Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use event::{Column, GROUP, share};
use lockgate_core::error::{Error, Result, code};
use lockgate_core::plan::{self, NexmarkTable, Plan};
use lockgate_core::types::Field;
use std::ops::Range;
use std::sync::Arc;

/// The names of the splits of a generator: `0/4` to `3/4`.
pub fn splits(settings: &plan::Nexmark) -> impl Iterator<Item = String> + use<> {
    let count = settings.splits;
    (0..count).map(move |index| format!("{index}/{count}"))
}

/// Makes the events of one table in one split. It is a [`Decoder`] that does not look at its input.
#[derive(Debug)]
pub struct Nexmark {
    table: NexmarkTable,
    seed: u64,
    split: Split,
    columns: Vec<Column>,
    schema: SchemaRef,
    batch_rows: u64,
    /// Batches that are handed out again and again, instead of new ones.
    prepared: Vec<RecordBatch>,
    /// The next record of the split and the one behind the last.
    records: Range<u64>,
}

/// A share of all groups of events.
#[derive(Clone, Copy, Debug)]
struct Split {
    index: u64,
    count: u64,
}

impl Nexmark {
    /// A generator of the columns `fields` for the split named `split`; `start` is a position of an earlier one of the
    /// same split, none is the beginning.
    ///
    /// With [`plan::Nexmark::prepared`] batches, record `r` is what otherwise record `r` modulo their rows is.
    ///
    /// # Errors
    /// `LG0690` if the table has no such column, `LG0691` if `split` or `start` is not the generator's.
    pub fn new(
        settings: &plan::Nexmark,
        fields: &[Field],
        split: &str,
        batch_rows: u32,
        start: Option<&[u8]>,
    ) -> Result<Self> {
        let columns = fields.iter().map(|field| event::column(settings.table, field)).collect::<Result<Vec<_>>>()?;
        let split = Split::parse(split, settings.splits)?;
        let first = match start {
            None => 0,
            Some(bytes) => u64::from_le_bytes(bytes.try_into().map_err(|_| {
                Error::new(code::NEXMARK_SPLIT, format!("a position of {} bytes is not an event number", bytes.len()))
            })?),
        };
        let last = split.record_from(settings.table, settings.events.unwrap_or(u64::MAX));
        let mut nexmark = Self {
            table: settings.table,
            seed: settings.seed,
            split,
            columns,
            schema: arrow_schema(fields),
            batch_rows: u64::from(batch_rows.clamp(1, Plan::MAX_BATCH_ROWS)),
            prepared: Vec::new(),
            records: split.record_from(settings.table, first)..last,
        };
        for index in 0..u64::from(settings.prepared) {
            let begin = index * nexmark.batch_rows;
            let batch = nexmark.make(begin..begin + nexmark.batch_rows)?;
            nexmark.prepared.push(batch);
        }
        Ok(nexmark)
    }

    /// Makes the batch of these records.
    fn make(&self, records: Range<u64>) -> Result<RecordBatch> {
        let rows = (records.end - records.start) as usize;
        let events = || records.clone().map(|record| self.split.event(self.table, record));
        let columns = self.columns.iter().map(|column| -> ArrayRef {
            match column {
                Column::Int(make) => {
                    let mut values = Int64Builder::with_capacity(rows);
                    events().for_each(|event| values.append_value(make(self.seed, event)));
                    Arc::new(values.finish())
                }
                Column::Time(make) => {
                    let mut values = TimestampMicrosecondBuilder::with_capacity(rows);
                    events().for_each(|event| values.append_value(make(self.seed, event)));
                    Arc::new(values.finish())
                }
                Column::Text(make) => {
                    let mut values = StringBuilder::with_capacity(rows, rows * 32);
                    let mut text = String::new();
                    for event in events() {
                        text.clear();
                        make(self.seed, event, &mut text);
                        values.append_value(&text);
                    }
                    Arc::new(values.finish())
                }
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options)
            .map_err(|error| Error::new(code::INTERNAL, format!("generated columns do not fit: {error}")))
    }
}

impl Decoder for Nexmark {
    fn next(&mut self, _input: &mut dyn Input) -> Result<Option<Decoded>> {
        let begin = self.records.start;
        let left = self.records.end.saturating_sub(begin);
        if left == 0 {
            return Ok(None);
        }
        let (batch, rows) = if self.prepared.is_empty() {
            let rows = left.min(self.batch_rows);
            (self.make(begin..begin + rows)?, rows)
        } else {
            let (index, offset) = (begin / self.batch_rows, begin % self.batch_rows);
            let rows = left.min(self.batch_rows - offset);
            let index = (index % self.prepared.len() as u64) as usize;
            let whole = self.prepared.get(index).ok_or_else(|| Error::new(code::INTERNAL, "no batch is prepared"))?;
            let batch =
                if rows == self.batch_rows { whole.clone() } else { whole.slice(offset as usize, rows as usize) };
            (batch, rows)
        };
        self.records.start += rows;
        let position = self.split.event(self.table, self.records.start).to_le_bytes().to_vec();
        Ok(Some(Decoded { tracked: Tracked { batch, rows: Rows::From(begin) }, bad: Vec::new(), position }))
    }
}

impl Split {
    /// Reads `index/count`.
    fn parse(name: &str, splits: u32) -> Result<Self> {
        let parsed = name.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        parsed
            .filter(|(index, count)| index < count && *count == splits && format!("{index}/{count}") == name)
            .map(|(index, count): (u32, u32)| Self { index: index.into(), count: count.into() })
            .ok_or_else(|| {
                let shown = crate::columns::truncate(name, 80);
                Error::new(code::NEXMARK_SPLIT, format!("{shown:?} is not one of the generator's {splits} splits"))
            })
    }

    /// The event that is record `record` of a table in this split. Events end at the largest number.
    fn event(self, table: NexmarkTable, record: u64) -> u64 {
        let share = share(table);
        let (turn, place) = (record / share.len, record % share.len);
        let group = turn.saturating_mul(self.count).saturating_add(self.index);
        group.saturating_mul(GROUP).saturating_add(share.first + place)
    }

    /// The first record of a table in this split whose event is not below `event`.
    fn record_from(self, table: NexmarkTable, event: u64) -> u64 {
        let share = share(table);
        let (group, place) = (event / GROUP, event % GROUP);
        // Whole groups of this split before that one.
        let before = group.saturating_sub(self.index).div_ceil(self.count);
        let own = group >= self.index && (group - self.index).is_multiple_of(self.count);
        let within = if own { place.saturating_sub(share.first).min(share.len) } else { 0 };
        before * share.len + within
    }
}

#[cfg(test)]
mod tests;
