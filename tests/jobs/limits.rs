//! Every limit of a manifest, exceeded by a whole job.

use crate::harness::{self, Home, Ran, Run};
use lockgate_core::error::code::{self, *};
use lockgate_taskmanager::job::{Event, Prepared};
use std::sync::Arc;

/// Runs `function` of the hostile guest on 1,000 rows within `limits`.
fn run(function: &str, limits: &str) -> Ran {
    Home::with_rows(0..1_000).run(&job(function, limits))
}

fn job(function: &str, limits: &str) -> Prepared {
    let text = format!(
        r#"
        [job]
        tenant = "tests"
        name = "limits"
        version = 1
        [component.guest]
        path = "guest.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "rows.json"
        schema = ["x: int64"]
        [operator.f]
        input = "rows"
        function = "guest/{function}"
        [sink.good]
        input = "f"
        connector = "file"
        volume = "out"
        path = "good/"
        [limits]
        {limits}
        "#
    );
    harness::prepare(&text, &[("guest", harness::part("hostile"))]).unwrap()
}

#[test]
fn every_limit_cuts_off() {
    let much = "fuel-per-batch = \"1G\"";
    for (function, limits, code) in [
        ("honest", "fuel-per-batch = 0\nfuel-per-record = 1".to_owned(), OUT_OF_FUEL),
        ("honest", "fuel-per-instance = 1".to_owned(), OUT_OF_FUEL),
        ("grow", format!("{much}\nmemory = \"8 MiB\""), MEMORY_LIMIT),
        ("loop", "fuel-per-batch = \"1000G\"\ndeadline = \"1 ms\"".to_owned(), DEADLINE_PASSED),
        ("honest", "transfer = 7999".to_owned(), TRANSFER_LIMIT),
        ("print-flood", format!("{much}\nhandles = 0"), HANDLE_LIMIT),
        (
            "amplify-rows",
            format!("{much}\noutput-rows-per-row = 4999\ntransfer = \"1 GiB\"\nmemory = \"512 MiB\""),
            code::OUTPUT_ROWS,
        ),
        ("amplify-bytes", format!("{much}\noutput-bytes-per-row = 1"), code::OUTPUT_BYTES),
        ("recursion", "stack = \"32 KiB\"".to_owned(), STACK_OVERFLOW),
    ] {
        let ran = run(function, &limits);
        assert_eq!(ran.code(), code, "{function} with {limits}: {:?}", ran.result.err().map(|error| error.to_string()));
    }
}

#[test]
fn the_limit_of_logs_cuts_off_what_is_shown_and_nothing_else() {
    let much = "fuel-per-batch = \"1G\"";
    let logged = |log: u64| {
        let ran = run("log-flood", &format!("{much}\nlog = {log}"));
        let dropped: u64 = ran.usage().values().map(|usage| usage.log_dropped).sum();
        (ran.logs.iter().map(|line| line.text.len() as u64).sum::<u64>(), dropped)
    };
    // 10,000 lines of 1 KiB, each of which takes a byte more of the quota.
    let all = 10_000 * 1_025;
    assert_eq!(logged(0), (0, all));
    let (shown, dropped) = logged(2_050);
    assert_eq!((shown, dropped), (2_048, all - 2_050));
}

#[test]
fn within_its_limits_a_job_runs() {
    let ran = run(
        "honest",
        "transfer = \"64 KiB\"\nhandles = 64\nmemory = \"2 MiB\"\nlog = 0\noutput-rows-per-row = 1\noutput-bytes-per-row = 1",
    );
    assert!(ran.report().finished);
}

#[test]
fn a_guest_that_would_loop_for_days_is_cancelled() {
    let mut job = job("loop-on-seven", "fuel-per-batch = 1_000_000_000_000_000\ndeadline = \"1 h\"");
    Arc::make_mut(&mut job.plan).batch_rows = 4;
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    let home = Home::with_rows(0..8);
    let cancel = |event: &Event, stop: &lockgate_taskmanager::job::Stop| {
        // The first batch is done; the second one does not end by itself.
        if matches!(event, Event::Committed { .. }) {
            let stop = stop.clone();
            std::thread::spawn(move || {
                (0..1_000).for_each(|_| std::thread::yield_now());
                stop.cancel();
            });
        }
    };
    let ran = home.run_as(&job, Run { watch: Some(Box::new(cancel)), ..Run::default() });
    assert!([CALL_CANCELLED, JOB_CANCELLED].contains(&ran.code()), "{:?}", ran.result);
    // What was committed before stays.
    assert_eq!(home.rows("good").len(), 4);
}
