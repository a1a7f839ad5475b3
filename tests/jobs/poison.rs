//! Rows that make a function fail: they alone end as dead letters, wherever they stand and whatever they make it do.

use crate::harness::{self, Home, Run};
use lockgate_core::error::code;
use lockgate_core::{Code, Digest};

/// Where the sevens are among the rows.
const SEVENS: [usize; 6] = [0, 3, 700, 701, 1_499, 1_999];
const ROWS: usize = 2_000;

fn values() -> Vec<i64> {
    (0..ROWS).map(|row| if SEVENS.contains(&row) { 7 } else { 1_000 + row as i64 }).collect()
}

fn manifest(function: &str, policy: &str, dead: &str) -> String {
    format!(
        r#"
        [job]
        tenant = "tests"
        name = "poison"
        version = 1
        batch-rows = 500
        parallelism = {{ min = 1, max = 4 }}
        [component.guest]
        path = "guest.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "*.json"
        schema = ["x: int64"]
        [operator.f]
        input = "rows"
        function = "guest/{function}"
        {policy}
        [sink.good]
        input = "f"
        connector = "file"
        volume = "out"
        path = "good/"
        {dead}
        "#
    )
}

const DEAD: &str = "[sink.dead]\nconnector = \"file\"\nvolume = \"out\"\npath = \"dead/\"";

/// Functions that fail on a seven, and how.
const FUNCTIONS: [(&str, Code, &str); 3] = [
    ("panic-on-seven", code::GUEST_TRAP, "unreachable"),
    ("loop-on-seven", code::OUT_OF_FUEL, "units of fuel"),
    ("fail-on-seven", code::GUEST_ERROR, "no sevens"),
];

#[test]
fn exactly_the_sevens_are_dead() {
    let expected: Vec<i64> = values().into_iter().filter(|x| *x != 7).collect();
    let component = Digest::of(&harness::part("hostile").wasm).to_string();
    for (function, code, message) in FUNCTIONS {
        let text = manifest(function, "on-error = \"dead\"", DEAD);
        let job = harness::prepare(&text, &[("guest", harness::part("hostile"))]).unwrap();
        // The same file three times: three splits, read by one slot and by three.
        for slots in [1, 3] {
            let home = Home::new();
            ["a.json", "b.json", "c.json"].into_iter().for_each(|name| home.write_rows(name, values()));
            let ran = home.run_as(&job, Run { slots, ..Run::default() });
            assert!(ran.report().finished);
            let good = home.rows("good");
            assert_eq!(good.len(), 3 * expected.len(), "{function}");
            for split in good.chunks(expected.len()) {
                let x: Vec<i64> = split.iter().map(|row| row["x"].as_i64().unwrap()).collect();
                let y: Vec<i64> = split.iter().map(|row| row["y"].as_i64().unwrap()).collect();
                assert!(x == expected && y == expected, "{function} in {slots} slots");
            }
            let mut dead: Vec<(String, usize)> = Vec::new();
            for letter in home.rows("dead") {
                let text = |key: &str| letter[key].as_str().unwrap();
                assert_eq!((text("node"), text("component"), text("function")), ("f", component.as_str(), function));
                assert_eq!((text("code"), text("input")), (code.to_string().as_str(), r#"{"x":7}"#));
                assert!(text("message").contains(message), "{}", text("message"));
                assert!(letter["fuel"].as_u64().unwrap() > 0);
                dead.push((text("split").to_owned(), letter["row"].as_u64().unwrap() as usize));
            }
            dead.sort();
            let splits = ["a", "b", "c"].into_iter();
            let sevens: Vec<(String, usize)> =
                splits.flat_map(|split| SEVENS.map(|row| (format!("rows/{split}.json"), row))).collect();
            assert_eq!(dead, sevens, "{function} in {slots} slots");
        }
    }
}

#[test]
fn a_job_without_dead_letters_fails_and_says_where() {
    for (function, code, message) in FUNCTIONS {
        let job = harness::prepare(&manifest(function, "", ""), &[("guest", harness::part("hostile"))]).unwrap();
        let home = Home::with_rows(values());
        let ran = home.run(&job);
        assert_eq!(ran.code(), code, "{function}");
        let cause = ran.result.unwrap_err().to_string();
        assert!(cause.contains(message) && cause.contains("operator f, records 0 to 499 of rows/rows.json"), "{cause}");
        assert!(home.rows("good").is_empty());
    }
}

#[test]
fn what_is_committed_before_a_failure_stays() {
    let text = manifest("panic-on-seven", "", "");
    let mut job = harness::prepare(&text, &[("guest", harness::part("hostile"))]).unwrap();
    // A commit after every batch.
    std::sync::Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    let home = Home::with_rows((0..1_200).map(|row| if row == 1_100 { 7 } else { 1_000 + row }));
    assert_eq!(home.run(&job).code(), code::GUEST_TRAP);
    let x: Vec<i64> = home.rows("good").iter().map(|row| row["x"].as_i64().unwrap()).collect();
    assert_eq!(x, (1_000..2_000).collect::<Vec<_>>());
}
