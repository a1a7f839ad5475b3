//! Determinism, disjoint splits and resuming of the generator.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use lockgate_core::planner::nexmark_fields;
use lockgate_core::types::LogicalType;
use proptest::prelude::*;

/// A generator reads nothing.
struct Nothing;

impl Input for Nothing {
    fn size(&self) -> Option<u64> {
        panic!("asked for a size");
    }

    fn read(&mut self, _: u64, _: usize) -> Result<Bytes> {
        panic!("asked for bytes");
    }
}

fn settings(table: NexmarkTable, events: Option<u64>, splits: u32) -> plan::Nexmark {
    plan::Nexmark { table, events, rate: None, seed: 7, splits, prepared: 0 }
}

fn all(settings: &plan::Nexmark, split: &str, batch_rows: u32, start: Option<&[u8]>) -> (Vec<Decoded>, RecordBatch) {
    let fields = nexmark_fields(settings.table);
    let mut nexmark = Nexmark::new(settings, &fields, split, batch_rows, start).unwrap();
    let decoded: Vec<Decoded> = std::iter::from_fn(|| nexmark.next(&mut Nothing).unwrap()).collect();
    let batches = decoded.iter().map(|decoded| &decoded.tracked.batch);
    let whole = concat_batches(&arrow_schema(&fields), batches).unwrap();
    (decoded, whole)
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("date_time").unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

#[test]
fn tables_have_the_suites_proportions() {
    for (table, rows) in [(NexmarkTable::Person, 100), (NexmarkTable::Auction, 300), (NexmarkTable::Bid, 4600)] {
        let (_, batch) = all(&settings(table, Some(5000), 1), "0/1", 512, None);
        assert_eq!(batch.num_rows(), rows);
    }
    // A bound within a group: the person, the three auctions and six bids.
    for (table, rows) in [(NexmarkTable::Person, 1), (NexmarkTable::Auction, 3), (NexmarkTable::Bid, 6)] {
        assert_eq!(all(&settings(table, Some(10), 1), "0/1", 512, None).1.num_rows(), rows);
    }
    assert_eq!(all(&settings(NexmarkTable::Bid, Some(0), 1), "0/1", 512, None).0.len(), 0);
}

#[test]
fn ids_count_and_references_are_near() {
    let (_, persons) = all(&settings(NexmarkTable::Person, Some(5000), 1), "0/1", 64, None);
    assert_eq!(ints(&persons, "id"), (1000..1100).collect::<Vec<_>>());
    let (_, auctions) = all(&settings(NexmarkTable::Auction, Some(5000), 1), "0/1", 64, None);
    assert_eq!(ints(&auctions, "id"), (1000..1300).collect::<Vec<_>>());
    let (_, bids) = all(&settings(NexmarkTable::Bid, Some(50_000), 1), "0/1", 8192, None);
    let (bidder, auction) = (ints(&bids, "bidder"), ints(&bids, "auction"));
    assert!(bidder.iter().all(|id| (1000..2010).contains(id)) && auction.iter().all(|id| (1000..4010).contains(id)));
    let hot = auction.iter().filter(|id| *id % 100 == 0).count() * 100 / auction.len();
    assert!((45..56).contains(&hot), "{hot} % of the bids are on hot auctions");
    let price = ints(&bids, "price");
    assert!(price.iter().all(|price| (100..100_000_000).contains(price)));
    let cheap = price.iter().filter(|price| **price < 1000).count() * 100 / price.len();
    assert!((14..20).contains(&cheap), "{cheap} % of the prices are in the first decade");
}

#[test]
fn a_bid_has_about_200_bytes_as_json() {
    let (_, bids) = all(&settings(NexmarkTable::Bid, Some(5000), 1), "0/1", 8192, None);
    let mut json = arrow_json::LineDelimitedWriter::new(Vec::new());
    json.write(&bids).unwrap();
    json.finish().unwrap();
    let mean = json.into_inner().len() / bids.num_rows();
    assert!((195..=220).contains(&mean), "{mean} bytes");
}

#[test]
fn equal_seeds_give_equal_events_and_others_do_not() {
    let one = settings(NexmarkTable::Bid, Some(1000), 1);
    assert_eq!(all(&one, "0/1", 100, None).1, all(&one, "0/1", 333, None).1);
    let other = plan::Nexmark { seed: 8, ..one.clone() };
    assert_ne!(all(&one, "0/1", 100, None).1, all(&other, "0/1", 100, None).1);
}

/// Values that must never change: jobs resume by them.
#[test]
fn the_first_bid_is_what_it_was() {
    let (_, bids) = all(&settings(NexmarkTable::Bid, Some(50), 1), "0/1", 8192, None);
    assert_eq!(times(&bids)[0], 1_436_918_400_000_400);
    assert_eq!((ints(&bids, "auction")[0], ints(&bids, "bidder")[0], ints(&bids, "price")[0]), (1008, 1001, 5_632_357));
}

#[test]
fn a_projection_changes_no_value() {
    let settings = settings(NexmarkTable::Auction, Some(500), 1);
    let (_, whole) = all(&settings, "0/1", 100, None);
    let chosen: Vec<Field> = nexmark_fields(NexmarkTable::Auction).into_iter().skip(3).step_by(2).rev().collect();
    let mut nexmark = Nexmark::new(&settings, &chosen, "0/1", 100, None).unwrap();
    let batch = nexmark.next(&mut Nothing).unwrap().unwrap().tracked.batch;
    assert_eq!(batch.schema(), arrow_schema(&chosen));
    for field in &chosen {
        assert_eq!(batch.column_by_name(&field.name), whole.column_by_name(&field.name), "{}", field.name);
    }
}

#[test]
fn splits_share_the_events() {
    for table in [NexmarkTable::Bid, NexmarkTable::Auction, NexmarkTable::Person] {
        let mut shared = Vec::new();
        let three = settings(table, Some(1234), 3);
        for split in splits(&three) {
            shared.extend(times(&all(&three, &split, 100, None).1));
        }
        shared.sort_unstable();
        // A time belongs to one event only.
        assert_eq!(shared, times(&all(&settings(table, Some(1234), 1), "0/1", 100, None).1));
    }
}

#[test]
fn prepared_batches_go_round() {
    let settings = plan::Nexmark { prepared: 2, ..settings(NexmarkTable::Bid, Some(500), 1) };
    let (decoded, whole) = all(&settings, "0/1", 100, None);
    assert_eq!(decoded.iter().map(|d| d.tracked.batch.num_rows()).collect::<Vec<_>>(), [100, 100, 100, 100, 60]);
    assert_eq!(decoded[2].tracked.rows, Rows::From(200));
    assert_eq!(whole.slice(200, 200), whole.slice(0, 200));
    assert_ne!(whole.slice(0, 100), whole.slice(100, 100));
    assert_eq!(whole.slice(400, 60), whole.slice(0, 60));
    // A start within a batch: the rest of that batch first.
    let event = 7 * 50 + 4 + 20_u64; // record 342
    let (resumed, rest) = all(&settings, "0/1", 100, Some(&event.to_le_bytes()));
    assert_eq!(resumed[0].tracked.rows, Rows::From(342));
    assert_eq!(rest, whole.slice(342, 118));
}

#[test]
fn refuses_strange_columns_splits_and_positions() {
    let settings = settings(NexmarkTable::Person, None, 4);
    let new = |field: Field, split: &str, start: Option<&[u8]>| {
        Nexmark::new(&settings, &[field], split, 100, start).map(|_| ()).unwrap_err().code()
    };
    let id = || Field::new("id", LogicalType::Int64, false);
    assert_eq!(new(Field::new("price", LogicalType::Int64, false), "0/4", None), code::NEXMARK_COLUMN);
    assert_eq!(new(Field::new("id", LogicalType::Utf8, false), "0/4", None), code::NEXMARK_COLUMN);
    for split in ["", "0", "4/4", "0/3", "00/4", "+0/4", "-1/4", "0/4/", "a.parquet"] {
        assert_eq!(new(id(), split, None), code::NEXMARK_SPLIT, "{split}");
    }
    assert_eq!(new(id(), "0/4", Some(b"1234567")), code::NEXMARK_SPLIT);
}

#[test]
fn the_last_events_do_not_overflow() {
    for table in [NexmarkTable::Bid, NexmarkTable::Auction, NexmarkTable::Person] {
        let endless = settings(table, None, 3);
        let mut nexmark =
            Nexmark::new(&endless, &nexmark_fields(table), "2/3", 100, Some(&(u64::MAX - 1000).to_le_bytes())).unwrap();
        let mut rows = 0;
        while let Some(decoded) = nexmark.next(&mut Nothing).unwrap() {
            rows += decoded.tracked.batch.num_rows();
        }
        assert!(rows <= 1000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From the position behind any batch it goes on as if it had never stopped, in batches of any size.
    #[test]
    fn resumes_at_any_position(
        table in prop::sample::select(vec![NexmarkTable::Bid, NexmarkTable::Auction, NexmarkTable::Person]),
        events in 0_u64..800,
        splits in 1_u32..4,
        batch_rows in 1_u32..90,
        stop in 0_usize..20,
        prepared in 0_u32..3,
    ) {
        let settings = plan::Nexmark { prepared, ..settings(table, Some(events), splits) };
        let split = format!("{}/{splits}", splits - 1);
        let (decoded, whole) = all(&settings, &split, batch_rows, None);
        if let Some(stopped) = decoded.get(stop.min(decoded.len().saturating_sub(1))) {
            let (rest, again) = all(&settings, &split, batch_rows, Some(&stopped.position));
            prop_assert_eq!(&whole.slice(whole.num_rows() - again.num_rows(), again.num_rows()), &again);
            if let Some(first) = rest.first() {
                let next = stopped.tracked.rows.at(0) + stopped.tracked.batch.num_rows() as u64;
                prop_assert_eq!(&first.tracked.rows, &Rows::From(next));
            }
        }
        let share = event::share(table);
        let groups = (0..events).filter(|event| (event / GROUP) % u64::from(splits) == u64::from(splits) - 1);
        let expected = groups.filter(|event| (share.first..share.first + share.len).contains(&(event % GROUP)));
        prop_assert_eq!(whole.num_rows(), expected.count());
    }
}
