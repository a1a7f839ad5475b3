//! Calls that fail as a whole.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn nodes(on_error: OnError, on_overrun: OnError) -> Vec<Node> {
    vec![
        source("in", OnError::Fail),
        function("f", vec![from(0)], 1, on_error, on_overrun),
        sink("out", vec![from(1)], vec![int("n"), label(), int("m")]),
        dead("dead"),
        dead("undecided"),
    ]
}

const LETTERS: OnError = OnError::DeadLetter(3);
const UNDECIDED: OnError = OnError::DeadLetter(4);

/// Runs records from 100 on through `body`.
fn run(values: &[i64], body: fn(&[i64]) -> Result<Called, Failure>) -> (Sinks, Fake, Chain) {
    let mut chain = chain(nodes(LETTERS, UNDECIDED), 8192);
    let (mut fake, mut sinks) = (Fake::with(1, body), Sinks::default());
    chain.push(0, decoded(100, values), "s", &mut fake, &mut sinks).unwrap();
    (sinks, fake, chain)
}

#[track_caller]
fn exactly_once(values: &[i64], sinks: &Sinks) {
    let good: Vec<i64> = values.iter().copied().filter(|value| *value >= 0).collect();
    let poison: Vec<u64> = (100..).zip(values).filter(|(_, value)| **value < 0).map(|(row, _)| row).collect();
    assert_eq!(sinks.ints(2, "n"), good);
    assert_eq!(sinks.ints(2, "m"), good.iter().map(|value| value * 10).collect::<Vec<_>>());
    assert_eq!(sinks.texts(2, "label"), good.iter().map(|value| format!("#{value}")).collect::<Vec<_>>());
    assert_eq!(sinks.records(3), poison);
}

#[test]
fn finds_none_one_two_and_all() {
    for poison in [&[][..], &[0], &[199], &[57], &[3, 150], &[98, 99]] {
        let values: Vec<i64> = (0..200).map(|row| if poison.contains(&row) { -1 } else { row }).collect();
        let (sinks, fake, _) = run(&values, tenfold);
        exactly_once(&values, &sinks);
        assert_eq!(fake.calls.len() > 1, !poison.is_empty());
    }
    let values = [-1; 200];
    exactly_once(&values, &run(&values, tenfold).0);
}

#[test]
fn a_letter_tells_of_the_trap() {
    let (sinks, _, chain) = run(&[1, 2, -7, 3], tenfold);
    assert_eq!(sinks.texts(3, "code"), ["LG0003"]);
    assert_eq!(sinks.texts(3, "message"), ["unreachable executed"]);
    assert_eq!(sinks.texts(3, "backtrace"), ["0: parse"]);
    assert_eq!(sinks.texts(3, "input"), [r#"{"n":-7}"#]);
    let fuel = sinks.0[&3][0].column_by_name("fuel").unwrap().as_primitive::<UInt64Type>().value(0);
    assert_eq!(fuel, 1);
    let counters = Counters { rows_in: 4, rows_out: 3, failed: 1, dead_lettered: 1, batches: 1 };
    assert_eq!(chain.counters()[1], counters);
}

/// What comes after a divided batch gets it whole again.
#[test]
fn parts_are_put_together() {
    let mut values: Vec<i64> = (0..200).collect();
    values[120] = -1;
    let (sinks, fake, _) = run(&values, tenfold);
    assert_eq!(sinks.0[&2].iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [199]);
    // Halves down to what is cheaper row by row: 40 rows are allowed four times a call's base.
    let sizes: Vec<u32> = fake.calls.iter().map(|call| call.rows).collect();
    let expected: Vec<u32> = [200, 100, 100, 50, 25].into_iter().chain([1; 25]).chain([25, 50]).collect();
    assert_eq!(sizes, expected);
    let alike: BTreeSet<_> = fake.calls.iter().map(|call| (call.first_row, call.part)).collect();
    assert_eq!(alike.len(), fake.calls.len());
}

#[test]
fn malformed_output_is_divided_as_a_trap_is() {
    let crooked = |values: &[i64]| {
        let mut called = tenfold(&values.iter().map(|value| value.abs()).collect::<Vec<_>>())?;
        if values.contains(&-1) {
            called.output.ports[0].columns[0].buffers[0].pop();
        }
        Ok(called)
    };
    let (sinks, _, _) = run(&[1, -1, 2], crooked);
    assert_eq!(sinks.ints(2, "n"), [1, 2]);
    assert_eq!((sinks.records(3), sinks.texts(3, "code")), (vec![101], vec!["LG0658".to_owned()]));
    assert_eq!(sinks.texts(3, "message"), ["output port 0, column \"m\": the values have 7 bytes, not 8"]);
}

#[test]
fn rows_may_be_refused_within_parts() {
    // -1 is poison, -2 is refused.
    let body = |values: &[i64]| {
        if values.contains(&-1) {
            return Err(trap(1));
        }
        let failed: Vec<_> = (0..).zip(values).filter(|(_, value)| **value == -2).map(|(row, _)| (row, "no")).collect();
        let (origin, kept): (Vec<u32>, Vec<i64>) = (0..).zip(values).filter(|(_, value)| **value != -2).unzip();
        Ok(Called { output: Output { ports: vec![port(&kept, Some(&origin))], failed: failures(&failed) }, fuel: 1 })
    };
    let values: Vec<i64> = [0, -2, 1, -1, -2, 2].into_iter().chain(3..60).collect();
    let (sinks, _, _) = run(&values, body);
    assert_eq!(sinks.ints(2, "n"), (0..60).collect::<Vec<_>>());
    assert_eq!(sinks.records(3), [101, 103, 104]);
}

#[test]
fn what_is_not_the_batchs_fault_fails_the_job() {
    let cancelled = |values: &[i64]| match values.len() {
        4 => Err(trap(1)),
        _ => Err(Failure { divisible: false, ..trap(1) }),
    };
    let mut chain = chain(nodes(LETTERS, UNDECIDED), 8);
    let failed = chain.push(0, decoded(7, &[1, 2, 3, 4]), "s", &mut Fake::with(1, cancelled), &mut Sinks::default());
    assert_eq!(failed.unwrap_err().to_string(), "LG0003: operator f, records 7 to 7 of in/s: unreachable executed");
}

#[test]
fn without_a_sink_for_dead_letters_the_job_fails_at_once() {
    let mut fake = Fake::with(1, tenfold);
    let mut strict = chain(nodes(OnError::Fail, OnError::Fail), 8);
    let error = strict.push(0, decoded(7, &[1, -2, 3]), "s", &mut fake, &mut Sinks::default()).unwrap_err();
    assert_eq!(error.to_string(), "LG0003: operator f, records 7 to 9 of in/s: unreachable executed");
    assert_eq!(fake.calls.len(), 1);

    let refuse = |values: &[i64]| {
        let kept = port(&values[1..], Some(&(1..values.len() as u32).collect::<Vec<_>>()));
        Ok(Called { output: Output { ports: vec![kept], failed: failures(&[(0, "no such plane")]) }, fuel: 1 })
    };
    let mut strict = chain(nodes(OnError::Fail, OnError::Fail), 8);
    let error =
        strict.push(0, decoded(7, &[1, 2]), "s", &mut Fake::with(1, refuse), &mut Sinks::default()).unwrap_err();
    assert_eq!(error.to_string(), "LG0650: operator f, record 7 of in/s: no such plane");
}

/// A function that uses up its fuel whenever it meets a negative row.
fn endless(values: &[i64]) -> Result<Called, Failure> {
    let fuel = limits().batch_fuel(values.len() as u32);
    tenfold(values).map_err(|failure| Failure { fuel, ..failure })
}

#[test]
fn one_endless_row_is_within_the_budget() {
    for rows in (1_usize..50).chain([64, 81, 200, 1000]) {
        for poison in [0, rows / 2, rows - 1] {
            let mut values: Vec<i64> = (0..rows as i64).collect();
            values[poison] = -1;
            let (sinks, fake, _) = run(&values, endless);
            exactly_once(&values, &sinks);
            assert!(fake.fuel <= 3 * limits().batch_fuel(rows as u32), "with the first call, {rows} rows");
        }
    }
}

#[test]
fn beyond_the_budget_the_rest_is_not_decided() {
    let values: Vec<i64> = (0..100).map(|value| if value % 10 == 3 { -1 } else { value }).collect();
    let (sinks, fake, tolerant) = run(&values, endless);
    assert!(fake.fuel <= 3 * limits().batch_fuel(100), "{}", fake.fuel);
    let rest = sinks.records(4);
    // From the first undecided row to the batch's end, good ones among them.
    let first = rest[0];
    assert!(first > 103 && rest == (first..200).collect::<Vec<_>>(), "{rest:?}");
    exactly_once(&values[..(first - 100) as usize], &sinks);
    assert_eq!(sinks.texts(4, "code")[0], "LG0651");
    assert!(sinks.texts(4, "message")[0].ends_with("LG0003: unreachable executed"));
    let counters = tolerant.counters()[1];
    assert_eq!(counters.failed, counters.dead_lettered);
    assert_eq!(counters.rows_out + counters.failed, 100);

    let mut strict = chain(nodes(LETTERS, OnError::Fail), 8192);
    let failed = strict.push(0, decoded(100, &values), "s", &mut Fake::with(1, endless), &mut Sinks::default());
    let error = failed.unwrap_err();
    assert_eq!(error.code(), code::BISECTION_OVERRUN);
    assert_eq!(error.place(), Some(format!("operator f, records {first} to 199 of in/s").as_str()));
}

/// The parts of a batch may together give back no more than the batch may.
#[test]
fn output_counts_for_the_budget() {
    let large = |values: &[i64]| {
        if values.contains(&-1) {
            return Err(trap(1));
        }
        // 792 KB for each row, while a batch may have 1 MiB and 64 KiB a row.
        let rows = 0..values.len() as u32;
        let origin: Vec<u32> = rows.flat_map(|row| std::iter::repeat_n(row, 66_000)).collect();
        gives(values, &vec![1; origin.len()], Some(&origin))
    };
    let (sinks, _, _) = run(&[0, -1, 2, 3], large);
    assert_eq!(sinks.ints(2, "m").len(), 66_000);
    assert_eq!((sinks.records(3), sinks.records(4)), (vec![101], vec![102, 103]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever rows are poison, whatever they cost: every row is delivered once and in order or is one dead letter.
    #[test]
    fn every_row_has_one_fate(
        rows in 1_usize..300,
        poison in prop::collection::btree_set(0_usize..300, 0..40),
        costly: bool,
        batch_rows in 1_u32..400,
    ) {
        let values: Vec<i64> = (0..rows).map(|row| if poison.contains(&row) { -1 } else { row as i64 }).collect();
        let mut fake = Fake::with(1, if costly { endless } else { tenfold });
        let mut sinks = Sinks::default();
        let mut chain = chain(nodes(LETTERS, UNDECIDED), batch_rows);
        chain.push(0, decoded(100, &values), "s", &mut fake, &mut sinks).unwrap();
        let delivered = sinks.ints(2, "n");
        prop_assert!(delivered.is_sorted_by(|a, b| a < b));
        let (dead, undecided) = (sinks.records(3), sinks.records(4));
        prop_assert!(dead.iter().all(|row| poison.contains(&((row - 100) as usize))));
        prop_assert!(undecided.is_empty() || (costly && poison.len() > 1));
        let good = delivered.iter().map(|value| *value as u64 + 100);
        let mut fates: Vec<u64> = good.chain(dead).chain(undecided).collect();
        fates.sort_unstable();
        prop_assert_eq!(fates, (100..100 + rows as u64).collect::<Vec<_>>());
        // The first call on each batch, and fewer than two for each row.
        let batches = rows.div_ceil(batch_rows as usize);
        prop_assert!(fake.calls.len() < 2 * rows + batches);
        let alike: BTreeSet<_> = fake.calls.iter().map(|call| (call.first_row, call.part)).collect();
        prop_assert_eq!(alike.len(), fake.calls.len());
    }
}
