//! Forms of functions and of graphs.

use super::*;

#[test]
fn one_to_one_keeps_columns_without_a_copy() {
    let mut chain = chain(
        vec![
            source("in", OnError::Fail),
            function("f", vec![from(0)], 1, OnError::Fail, OnError::Fail),
            sink("out", vec![from(1)], vec![int("n"), label(), int("m")]),
        ],
        8,
    );
    let mut sinks = Sinks::default();
    let decoded = decoded(0, &[1, 2, 3]);
    let lies = decoded.tracked.batch.column(0).as_primitive::<Int64Type>().values().as_ptr();
    chain.push(0, decoded, "a", &mut Fake::with(1, tenfold), &mut sinks).unwrap();
    assert_eq!(sinks.ints(2, "m"), [10, 20, 30]);
    assert_eq!(sinks.texts(2, "label"), ["#1", "#2", "#3"]);
    assert_eq!(sinks.0[&2][0].column(0).as_primitive::<Int64Type>().values().as_ptr(), lies);
    let counted = |rows_in, rows_out| Counters { rows_in, rows_out, batches: 1, ..Counters::default() };
    assert_eq!(chain.counters(), [counted(3, 3), counted(3, 3), counted(3, 0)]);
}

/// Filter, flat-map, then a function that refuses rows: its dead letters name the records that they came from.
#[test]
fn records_are_known_through_filter_and_flat_map() {
    let nodes = vec![
        source("in", OnError::Fail),
        function("filter", vec![from(0)], 1, OnError::Fail, OnError::Fail),
        renew("renew", from(1)),
        function("repeat", vec![from(2)], 1, OnError::Fail, OnError::Fail),
        renew("again", from(3)),
        function("refuse", vec![from(4)], 1, OnError::DeadLetter(7), OnError::Fail),
        sink("out", vec![from(5)], vec![int("n"), label(), int("m")]),
        dead("dead"),
    ];
    // Refuses every second row that it sees; the others go through as they are.
    let refuse = |values: &[i64]| {
        let rows = 0..values.len() as u32;
        let failed: Vec<(u32, &str)> = rows.clone().filter(|row| row % 2 == 1).map(|row| (row, "odd")).collect();
        let (origin, kept): (Vec<u32>, Vec<i64>) = rows.zip(values).filter(|(row, _)| row % 2 == 0).unzip();
        Ok(Called { output: Output { ports: vec![port(&kept, Some(&origin))], failed: failures(&failed) }, fuel: 9 })
    };
    let mut fake = Fake::with(1, evens).and(3, repeated).and(5, refuse);
    let (mut chain, mut sinks) = (chain(nodes, 100), Sinks::default());
    chain.push(0, decoded(40, &[1, 2, 3, 0, 4]), "s", &mut fake, &mut sinks).unwrap();
    // 2 2 4 4 4 4, of records 41 41 44 44 44 44.
    assert_eq!(sinks.ints(6, "m"), [2, 4, 4]);
    assert_eq!(sinks.texts(6, "label"), ["#2", "#4", "#4"]);
    assert_eq!(sinks.records(7), [41, 44, 44]);
    assert_eq!(sinks.texts(7, "node"), ["refuse"; 3]);
    assert_eq!(sinks.texts(7, "component"), ["parts"; 3]);
    assert_eq!(sinks.texts(7, "function"), ["do_refuse"; 3]);
    assert_eq!(sinks.texts(7, "split"), ["in/s"; 3]);
    assert_eq!(sinks.texts(7, "code"), ["LG0650"; 3]);
    assert_eq!(sinks.texts(7, "message"), ["odd"; 3]);
    assert_eq!(sinks.texts(7, "backtrace"), ["(null)"; 3]);
    assert_eq!(sinks.texts(7, "input"), [r#"{"n":2}"#, r#"{"n":4}"#, r#"{"n":4}"#]);
    let refuse = chain.counters()[5];
    assert_eq!((refuse.rows_in, refuse.rows_out, refuse.failed, refuse.dead_lettered), (6, 3, 3, 3));
    assert_eq!((chain.counters()[7].rows_in, chain.counters()[7].batches), (3, 1));
}

#[test]
fn what_has_grown_is_cut() {
    let nodes = vec![
        source("in", OnError::Fail),
        function("repeat", vec![from(0)], 1, OnError::Fail, OnError::Fail),
        renew("renew", from(1)),
        function("f", vec![from(2)], 1, OnError::Fail, OnError::Fail),
        sink("out", vec![from(3)], vec![int("n"), label(), int("m")]),
    ];
    let mut fake = Fake::with(1, repeated).and(3, tenfold);
    let mut sinks = Sinks::default();
    chain(nodes, 4).push(0, decoded(5, &[7, 1, 2]), "s", &mut fake, &mut sinks).unwrap();
    assert_eq!(sinks.ints(4, "m"), [70, 70, 70, 70, 70, 70, 70, 10, 20, 20]);
    assert_eq!(sinks.texts(4, "label")[6..], ["#7", "#1", "#2", "#2"]);
    let calls: Vec<_> =
        fake.calls.iter().filter(|call| call.node == 3).map(|c| (c.first_row, c.part, c.rows)).collect();
    assert_eq!(calls, [(5, 0, 4), (5, 1, 4), (7, 0, 2)]);
}

#[test]
fn a_batch_of_a_source_is_cut_too() {
    let nodes = vec![
        source("in", OnError::Fail),
        function("f", vec![from(0)], 1, OnError::Fail, OnError::Fail),
        sink("out", vec![from(1)], vec![int("n"), label(), int("m")]),
    ];
    let mut fake = Fake::with(1, tenfold);
    let mut sinks = Sinks::default();
    chain(nodes, 2).push(0, decoded(5, &[1, 2, 3]), "s", &mut fake, &mut sinks).unwrap();
    assert_eq!(sinks.ints(2, "m"), [10, 20, 30]);
    assert_eq!(fake.calls.iter().map(|call| (call.first_row, call.rows)).collect::<Vec<_>>(), [(5, 2), (7, 1)]);
}

/// A diamond: both branches meet again in a union. No two calls of one function look alike.
#[test]
fn fan_out_and_union() {
    let nodes = vec![
        source("in", OnError::Fail),
        source("other", OnError::Fail),
        function("repeat", vec![from(0)], 1, OnError::Fail, OnError::Fail),
        renew("renew", from(2)),
        function("f", vec![from(0), from(3), from(1)], 1, OnError::Fail, OnError::Fail),
        sink("out", vec![from(4)], vec![int("n"), label(), int("m")]),
        sink("raw", vec![from(0), from(1)], input()),
    ];
    let mut fake = Fake::with(2, repeated).and(4, tenfold);
    let (mut chain, mut sinks) = (chain(nodes, 3), Sinks::default());
    chain.push(0, decoded(0, &[2, 3]), "s", &mut fake, &mut sinks).unwrap();
    chain.push(1, decoded(0, &[9]), "s", &mut fake, &mut sinks).unwrap();
    chain.push(0, decoded(2, &[1]), "s", &mut fake, &mut sinks).unwrap();
    let mut seen = sinks.ints(5, "m");
    seen.sort_unstable();
    assert_eq!(seen, [10, 10, 20, 20, 20, 30, 30, 30, 30, 90]);
    assert_eq!(sinks.ints(6, "n"), [2, 3, 9, 1]);
    let mut alike = fake.calls.clone();
    alike.iter_mut().for_each(|call| call.rows = 0);
    alike.sort_unstable();
    alike.dedup();
    assert_eq!(alike.len(), fake.calls.len(), "{:?}", fake.calls);
}

#[test]
fn ports_go_to_their_own_consumers() {
    let fields = vec![int("n"), label(), int("m")];
    let nodes = vec![
        source("in", OnError::Fail),
        function("f", vec![from(0)], 3, OnError::Fail, OnError::Fail),
        sink("main", vec![from(1)], fields.clone()),
        sink("side", vec![Edge { node: 1, output: 1 }], fields),
    ];
    let both = |values: &[i64]| {
        let (origin, small): (Vec<u32>, Vec<i64>) = (0..).zip(values).filter(|(_, value)| **value < 5).unzip();
        let ports = vec![port(values, None), port(&small, Some(&origin)), port(&[], Some(&[]))];
        Ok(Called { output: Output { ports, failed: None }, fuel: 1 })
    };
    let (mut chain, mut sinks) = (chain(nodes, 8), Sinks::default());
    chain.push(0, decoded(0, &[4, 5, 1]), "s", &mut Fake::with(1, both), &mut sinks).unwrap();
    assert_eq!(sinks.ints(2, "m"), [4, 5, 1]);
    assert_eq!(sinks.ints(3, "m"), [4, 1]);
    assert_eq!(sinks.texts(3, "label"), ["#4", "#1"]);
    // What no one takes is counted all the same.
    assert_eq!(chain.counters()[1].rows_out, 5);
}

#[test]
fn nothing_is_called_without_rows() {
    let nodes = vec![
        source("in", OnError::Fail),
        function("filter", vec![from(0)], 1, OnError::Fail, OnError::Fail),
        renew("renew", from(1)),
        function("f", vec![from(2)], 1, OnError::Fail, OnError::Fail),
        sink("out", vec![from(3)], vec![int("n"), label(), int("m")]),
    ];
    let mut fake = Fake::with(1, evens).and(3, tenfold);
    let (mut chain, mut sinks) = (chain(nodes, 8), Sinks::default());
    chain.push(0, decoded(0, &[]), "s", &mut fake, &mut sinks).unwrap();
    assert!(fake.calls.is_empty());
    chain.push(0, decoded(0, &[1, 3]), "s", &mut fake, &mut sinks).unwrap();
    assert_eq!(fake.calls.len(), 1);
    assert!(sinks.0.is_empty());
}

#[test]
fn a_select_casts_and_says_where_it_failed() {
    let columns = vec![SelectColumn { column: 0, cast: Some(LogicalType::Int8) }];
    let small = |nullable| Field::new("small", LogicalType::Int8, nullable);
    let nodes = |nullable| {
        let outputs = vec![out("out", vec![small(nullable)])];
        vec![
            source("in", OnError::Fail),
            Node { name: name("narrow"), inputs: vec![from(0)], kind: NodeKind::Select(columns.clone()), outputs },
            sink("out", vec![from(1)], vec![small(nullable)]),
        ]
    };
    let mut sinks = Sinks::default();
    chain(nodes(true), 8).push(0, decoded(0, &[1, 1000]), "s", &mut Fake::default(), &mut sinks).unwrap();
    assert_eq!(sinks.0[&2][0].column(0).null_count(), 1);
    let failed = chain(nodes(false), 8).push(0, decoded(0, &[1, 1000]), "s", &mut Fake::default(), &mut sinks);
    let text = failed.unwrap_err().to_string();
    assert!(text.starts_with("LG0680: operator narrow, in/s, column \"small\": \"1000\" does not fit"), "{text}");
}

#[test]
fn records_that_could_not_be_decoded_are_dead_letters() {
    let bad = |row| BadRecord { row, error: Error::new(code::IO, "not a number"), input: "a,b".into() };
    let nodes = |policy| vec![source("in", policy), sink("out", vec![from(0)], input()), dead("dead")];
    let mut some = decoded(1, &[5]);
    some.bad = vec![bad(0), bad(2)];
    let (mut tolerant, mut sinks) = (chain(nodes(OnError::DeadLetter(2)), 8), Sinks::default());
    tolerant.push(0, some.clone(), "s", &mut Fake::default(), &mut sinks).unwrap();
    assert_eq!((sinks.ints(1, "n"), sinks.records(2)), (vec![5], vec![0, 2]));
    assert_eq!(sinks.texts(2, "component"), ["(null)"; 2]);
    assert_eq!(sinks.texts(2, "message"), ["not a number"; 2]);
    assert_eq!(sinks.texts(2, "input"), ["a,b"; 2]);
    let counters = Counters { rows_in: 3, rows_out: 1, failed: 2, dead_lettered: 2, batches: 1 };
    assert_eq!(tolerant.counters()[0], counters);
    let error = chain(nodes(OnError::Fail), 8).push(0, some, "s", &mut Fake::default(), &mut sinks).unwrap_err();
    assert_eq!(error.to_string(), "LG0002: source in, record 0 of in/s: not a number");
}

/// More letters than a batch of them has.
#[test]
fn dead_letters_come_in_batches() {
    let nodes = vec![source("in", OnError::DeadLetter(2)), sink("out", vec![from(0)], input()), dead("dead")];
    let mut some = decoded(0, &[]);
    let bad = |row| BadRecord { row, error: Error::new(code::IO, "x"), input: String::new() };
    some.bad = (0..2500).map(bad).collect();
    let mut sinks = Sinks::default();
    chain(nodes, 8).push(0, some, "s", &mut Fake::default(), &mut sinks).unwrap();
    assert_eq!(sinks.0[&2].iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1024, 1024, 452]);
    assert_eq!(sinks.records(2), (0..2500).collect::<Vec<_>>());
}

#[test]
fn a_decoder_that_breaks_its_word_fails_the_job() {
    let nodes = vec![source("in", OnError::Fail), sink("out", vec![from(0)], input())];
    let mut wrong = decoded(0, &[1]);
    wrong.tracked.batch = wrong.tracked.batch.project(&[1, 0]).unwrap();
    let error = chain(nodes, 8).push(0, wrong, "s", &mut Fake::default(), &mut Sinks::default()).unwrap_err();
    assert_eq!(error.code(), code::INTERNAL);
}
