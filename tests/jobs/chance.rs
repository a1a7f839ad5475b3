//! Chance and time as a guest sees them: functions of the job and the record, not of the run.

use crate::harness::{self, Home, Rows, Run};
use lockgate_taskmanager::job::{Event, Prepared};
use std::collections::BTreeSet;
use std::sync::Arc;

const ROWS: i64 = 600;
const FILES: [&str; 4] = ["a.json", "b.json", "c.json", "d.json"];

fn job() -> Prepared {
    let text = r#"
        [job]
        tenant = "tests"
        name = "chance"
        version = 1
        batch-rows = 50
        parallelism = { min = 1, max = 4 }
        [component.random]
        path = "random.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "*.json"
        schema = ["x: int64"]
        [operator.draw]
        input = "rows"
        function = "random/draw"
        [sink.drawn]
        input = "draw"
        connector = "file"
        volume = "out"
        path = "drawn/"
    "#;
    let mut job = harness::prepare(text, &[("random", harness::part("random"))]).unwrap();
    // A commit after every batch, so that a run can be stopped anywhere.
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    job
}

fn home() -> Home {
    let home = Home::new();
    for (at, name) in (0..).zip(FILES) {
        home.write_rows(name, at * ROWS..(at + 1) * ROWS);
    }
    home
}

/// The rows in the order of `x`, without the time, which is that of the first start.
fn drawn(home: &Home) -> Rows {
    let mut rows = home.rows("drawn");
    let times: BTreeSet<i64> = rows.iter().map(|row| row["time"].as_i64().unwrap()).collect();
    assert_eq!(times.len(), 1, "the time moved within a run");
    rows.iter().for_each(|row| assert_eq!(row["passed"], 0));
    rows.iter_mut().for_each(|row| drop(row.remove("time")));
    rows.sort_by_key(|row| row["x"].as_i64());
    rows
}

#[test]
fn chance_depends_on_the_record_alone() {
    let job = job();
    let one = home();
    assert!(one.run(&job).report().finished);
    let expected = drawn(&one);
    assert_eq!(expected.len(), FILES.len() * ROWS as usize);
    expected.iter().for_each(|row| assert_eq!(row["of"], row["x"]));

    // No two rows, and so no two batches, draw the same.
    let different: BTreeSet<&str> = expected.iter().map(|row| row["uuid"].as_str().unwrap()).collect();
    assert_eq!(different.len(), expected.len());

    let four = home();
    assert!(four.run_as(&job, Run { slots: 4, ..Run::default() }).report().finished);
    assert_eq!(drawn(&four), expected);

    // Drained after a few commits, again and again; the time is still that of the first start.
    let resumed = home();
    let mut runs = 0;
    loop {
        let drain = |event: &Event, stop: &lockgate_taskmanager::job::Stop| {
            if let Event::Committed { epoch, .. } = event
                && epoch % 5 == 0
            {
                stop.drain();
            }
        };
        let ran = resumed.run_as(&job, Run { slots: 2, watch: Some(Box::new(drain)), ..Run::default() });
        runs += 1;
        if ran.report().finished {
            break;
        }
    }
    assert!(runs > 2, "the run was drained {} times", runs - 1);
    assert_eq!(drawn(&resumed), expected);
}
