//! An attack as a job of its own, with an honest job of another tenant beside it in the same process, and whether both
//! ended as they must.

use crate::harness::suite::Ended;
use crate::harness::{self, Home, Ran, Run};
use lockgate_core::Code;
use lockgate_core::bundle::Part;
use lockgate_core::error::code;
use lockgate_executor::protocol::LogLine;
use lockgate_taskmanager::job::Prepared;
use std::sync::LazyLock;

/// Rows that an attack gets, in one batch. Among them is a seven.
pub const ROWS: i64 = 10;

/// How an attack must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job is not even begun.
    Refused(Code),
    /// The job fails, at the first batch.
    Fails(Code),
    /// The attack comes to nothing: every row comes out as it must.
    Harmless,
}

impl Verdict {
    /// How an attack ended, for the table. What is refused is never run, so nobody pays; the rest is billed to the job.
    pub fn of(self, group: &'static str, name: &str, result: Result<(), String>) -> Ended {
        let (verdict, billed) = match self {
            Self::Refused(code) => (format!("refused {code}"), "nobody"),
            Self::Fails(code) => (format!("fails {code}"), "its job"),
            Self::Harmless => ("harmless".to_owned(), "its job"),
        };
        Ended { group, name: name.to_owned(), verdict, billed, result }
    }
}

/// Where rows that fail go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    Fail,
    DeadLetter,
}

/// The manifest of a job that calls `function` of the component `guest` on every row of `rows.json`.
pub fn manifest(function: &str, on_error: OnError, job: &str, limits: &str) -> String {
    let (policy, dead) = match on_error {
        OnError::Fail => ("", ""),
        OnError::DeadLetter => (
            "on-error = \"dead\"\non-overrun = \"dead\"",
            "[sink.dead]\nconnector = \"file\"\nvolume = \"out\"\npath = \"dead/\"\nformat = \"json\"",
        ),
    };
    format!(
        r#"
        [job]
        tenant = "mallory"
        name = "attack"
        version = 1
        {job}
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
        format = "parquet"
        {dead}
        [limits]
        {limits}
        "#
    )
}

/// A job that calls `function` of `part`.
///
/// # Errors
/// Whatever refuses it.
pub fn job(part: Part, function: &str, on_error: OnError, limits: &str) -> lockgate_core::Result<Prepared> {
    harness::prepare(&manifest(function, on_error, "", limits), &[("guest", part)])
}

/// What guests say when they got hold of something that they must not have.
const GIVEN: &str = "the host gave";

/// Runs an attack beside the neighbour and compares how it ended.
pub fn attempt(part: Part, function: &str, limits: &str, verdict: Verdict) -> Result<(), String> {
    let prepared = job(part, function, OnError::Fail, limits);
    let ended = match &prepared {
        Err(error) => {
            tame(error.cause())?;
            Verdict::Refused(error.code())
        }
        Ok(prepared) => {
            let (home, ran) = beside(prepared)?;
            ran.logs.iter().try_for_each(|line| tame(&line.text))?;
            match &ran.result {
                Err(error) => {
                    tame(&error.to_string())?;
                    if error.to_string().contains(GIVEN) {
                        return Err(format!("the guest got what it must not have: {error}"));
                    }
                    let nothing = home.rows("good").is_empty();
                    if !nothing {
                        return Err("the job failed and yet has output".into());
                    }
                    Verdict::Fails(error.code())
                }
                Ok(_) => unchanged(&home, "good").map(|()| Verdict::Harmless)?,
            }
        }
    };
    if ended == verdict {
        return Ok(());
    }
    let why = match prepared {
        Err(error) => error.to_string(),
        Ok(prepared) => beside(&prepared)?.1.result.err().map_or_else(String::new, |error| error.to_string()),
    };
    Err(format!("ended as {ended:?}, not as {verdict:?}: {why}"))
}

/// Runs what may end in any way that the host understands: refused for the component or the interface, or failed by
/// what the guest did.
pub fn survive(part: Part, function: &str) -> Result<(), String> {
    let result = match job(part, function, OnError::Fail, "") {
        Ok(prepared) => beside(&prepared)?.1.result.map(drop),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.code().number(), 500..=599 | 601..=699) => tame(&error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a job while the neighbour runs, which must not notice.
pub fn beside(job: &Prepared) -> Result<(Home, Ran), String> {
    let home = Home::with_rows(0..ROWS);
    let ran = beside_in(&home, job, Run::default())?;
    Ok((home, ran))
}

/// Runs a job in a home while the neighbour runs in another, which must not notice. They share the executors that `run`
/// names.
pub fn beside_in(home: &Home, job: &Prepared, run: Run) -> Result<Ran, String> {
    let executors = run.executors.clone();
    let (ran, neighbour) = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let home = Home::with_rows(0..NEIGHBOURS);
            let ran = home.run_as(&NEIGHBOUR, Run { executors, ..Run::default() });
            (home, ran)
        });
        (home.run_as(job, run), neighbour.join().expect("the neighbour's thread"))
    });
    check_neighbour(&neighbour.0, &neighbour.1).map_err(|why| format!("the neighbour {why}"))?;
    Ok(ran)
}

/// Rows of the neighbour's job.
const NEIGHBOURS: i64 = 500;

/// The neighbour's job, ready to run.
static NEIGHBOUR: LazyLock<Prepared> = LazyLock::new(|| {
    let text = manifest("honest", OnError::Fail, "batch-rows = 100", "");
    let text = text.replace("mallory", "neighbour").replace("\"attack\"", "\"honest\"");
    harness::prepare(&text, &[("guest", harness::part("hostile"))]).expect("an honest job")
});

/// The fuel that the neighbour's job takes when it is alone.
static ALONE: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let ran = Home::with_rows(0..NEIGHBOURS).run(&NEIGHBOUR);
    ran.usage().values().fold((0, 0), |sum, usage| (sum.0 + usage.fuel, sum.1 + usage.start_fuel))
});

fn check_neighbour(home: &Home, ran: &Ran) -> Result<(), String> {
    ran.result.as_ref().map_err(|error| format!("failed: {error}"))?;
    let expected: Vec<i64> = (0..NEIGHBOURS).collect();
    let rows: Vec<i64> = home.rows("good").iter().filter_map(|row| row["y"].as_i64()).collect();
    if rows != expected {
        return Err(format!("got {} rows or wrong ones", rows.len()));
    }
    // What the attack burns is billed to its own job: the neighbour pays what it pays alone, to the unit.
    let billed = ran.usage().values().fold((0, 0), |sum, usage| (sum.0 + usage.fuel, sum.1 + usage.start_fuel));
    if billed != *ALONE {
        return Err(format!("was billed {billed:?} and not {:?}", *ALONE));
    }
    Ok(())
}

/// Whether every row has come out of `folder` once, in order, with `y` equal to `x`.
pub fn unchanged(home: &Home, folder: &str) -> Result<(), String> {
    let rows = home.rows(folder);
    let values: Vec<_> = rows.iter().map(|row| (row["x"].as_i64(), row["y"].as_i64())).collect();
    let expected: Vec<_> = (0..ROWS).map(|x| (Some(x), Some(x))).collect();
    if values == expected { Ok(()) } else { Err(format!("the rows are {values:?}")) }
}

/// Whether a guest's text can be shown on a terminal: bounded, and nothing in it moves, hides or forges anything.
pub fn tame(text: &str) -> Result<(), String> {
    let bad = |character: char| {
        character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if let Some(character) = text.chars().find(|character| bad(*character)) {
        return Err(format!("{character:?} got through in {:?}", text.chars().take(100).collect::<String>()));
    }
    if text.len() > 6 << 10 { Err(format!("{} bytes of text got through", text.len())) } else { Ok(()) }
}

/// Runs `function` so that its failures go to the dead letters, and checks these: every row is either among the good or
/// among the dead, the dead with one of `codes` or not decided within the budget, which is kept.
pub fn divide(part: Part, function: &str, limits: &str, codes: &[Code]) -> Result<(), String> {
    let prepared = job(part, function, OnError::DeadLetter, limits).map_err(|error| error.to_string())?;
    let (home, ran) = beside(&prepared)?;
    ran.result.as_ref().map_err(|error| format!("the job failed: {error}"))?;
    let mut seen: Vec<i64> = home.rows("good").iter().filter_map(|row| row["x"].as_i64()).collect();
    seen.dedup();
    for letter in home.rows("dead") {
        let text = |key: &str| letter[key].as_str().unwrap_or_default();
        let input: serde_json::Value = serde_json::from_str(text("input")).map_err(|error| error.to_string())?;
        seen.extend(input["x"].as_i64());
        tame(text("message"))?;
        let found = text("code").parse::<Code>()?;
        let overrun =
            found == code::BISECTION_OVERRUN && codes.iter().any(|code| text("message").contains(&code.to_string()));
        if !codes.contains(&found) && !overrun {
            return Err(format!("row {} is dead with {found}: {}", letter["row"], text("message")));
        }
    }
    seen.sort_unstable();
    if seen != (0..ROWS).collect::<Vec<_>>() {
        return Err(format!("rows were lost or repeated: {seen:?}"));
    }
    // The attacker pays: for the batch, and at most twice as much to divide it.
    let most = 3 * prepared.plan.limits.batch_fuel(ROWS as u32);
    match ran.usage().values().map(|usage| usage.fuel).sum::<u64>() {
        0 => Err("nobody was billed".into()),
        fuel if fuel > most => Err(format!("{fuel} units of fuel were used, at most {most} were to be had")),
        _ => Ok(()),
    }
}

/// Bytes of all lines.
pub fn bytes(lines: &[LogLine]) -> usize {
    lines.iter().map(|line| line.text.len()).sum()
}
