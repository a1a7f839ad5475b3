//! Hostile data, read by honest jobs: bombs, files that lie, text without end, files that change while they are read. Each
//! must end as its table says, be billed to the tenant whose data it is, and leave a neighbour's job alone.
//!
//! Like the hostile guests, all run in a process of their own, whose memory is measured.

mod compressed;
mod expansion;
mod files;
mod footers;
mod text;

use crate::harness::suite::{self, Ended, Left};
use crate::harness::{self, Home, Run};
use crate::hostile::attack::{beside_in, tame};
use lockgate_core::Code;
use lockgate_core::error::code;
use lockgate_taskmanager::job::Prepared;
use std::sync::Arc;

#[test]
fn suite() {
    suite::alone("inputs::suite", inside);
}

/// What a hostile input may cost the process that reads it, in resident bytes beyond what it had.
const MEMORY: u64 = 384 << 20;

fn inside() -> String {
    // What is made once in a process is made before anything is counted.
    let warm = Input::json("warm-up", b"{\"x\":1}\n".to_vec(), Verdict::Rows(1));
    warm.attempt().expect("an honest file");
    let before = Left::now();
    let mut ended = Vec::new();
    type Group = (&'static str, fn() -> Vec<Input>);
    let groups: [Group; 4] = [
        ("compressed", compressed::inputs),
        ("text", text::inputs),
        ("footers", footers::inputs),
        ("expansion", expansion::inputs),
    ];
    for (group, inputs) in groups {
        ended.extend(inputs().into_iter().map(|input| input.run(group)));
    }
    ended.extend(files::outcomes());
    ended.extend(before.compare(256 << 20));
    suite::tables("inputs", "contained", &ended)
}

/// How an input must end.
#[derive(Clone, Copy)]
enum Verdict {
    /// The job fails with this code and has no output.
    Fails(Code),
    /// These many records are dead letters with this code, and these many rows come out.
    Dead(Code, usize, usize),
    /// Every record is honest in the end: these many rows come out.
    Rows(usize),
}

impl Verdict {
    fn shown(self) -> String {
        match self {
            Self::Fails(code) => format!("fails {code}"),
            Self::Dead(code, dead, good) => format!("{dead} dead {code}, {good} good"),
            Self::Rows(good) => format!("{good} good"),
        }
    }
}

/// A file that an honest job reads.
struct Input {
    name: &'static str,
    /// Its name in the volume.
    file: &'static str,
    bytes: Vec<u8>,
    /// What its source says of it.
    source: &'static str,
    /// Which column is kept: `y` in a file, any other in a sink that only counts.
    keeps: &'static str,
    verdict: Verdict,
}

/// What every source declares, unless it says otherwise.
const X: &str = "schema = [\"x: int64\"]";

impl Input {
    fn json(name: &'static str, bytes: Vec<u8>, verdict: Verdict) -> Self {
        Self { name, file: "rows.json", bytes, source: X, keeps: "y", verdict }
    }

    /// Runs it and says how it ended.
    fn run(&self, group: &'static str) -> Ended {
        Left::forget_peak();
        let before = Left::now();
        let result = self.attempt().and_then(|()| {
            let grown = Left::now().peak.saturating_sub(before.memory);
            if grown > MEMORY { Err(format!("it took {} MiB of memory", grown >> 20)) } else { Ok(()) }
        });
        Ended { group, name: self.name.into(), verdict: self.verdict.shown(), billed: "its job", result }
    }

    fn attempt(&self) -> Result<(), String> {
        let home = Home::new();
        home.write(self.file, &self.bytes);
        attempt(&home, self.file, self.source, self.keeps, self.verdict, Run::default())
    }
}

/// A job that reads `path` as `source` says and gives every row to an honest function.
fn job(path: &str, source: &str, keeps: &str) -> lockgate_core::Result<Prepared> {
    let (connector, format) = match keeps {
        "y" => ("file", "volume = \"out\"\npath = \"good/\"\nformat = \"json\""),
        _ => ("discard", ""),
    };
    let text = format!(
        r#"
        [job]
        tenant = "mallory"
        name = "reader"
        version = 1
        [component.guest]
        path = "guest.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "{path}"
        on-error = "dead"
        {source}
        [operator.f]
        input = "rows"
        function = "guest/honest"
        [operator.y]
        input = "f"
        select = ["{keeps}"]
        [sink.good]
        input = "y"
        connector = "{connector}"
        {format}
        [sink.dead]
        connector = "file"
        volume = "out"
        path = "dead/"
        format = "json"
        "#
    );
    harness::prepare(&text, &[("guest", harness::part("hostile"))])
}

/// Runs the job over what lies in `home`, beside the neighbour.
fn attempt(home: &Home, path: &str, source: &str, keeps: &str, verdict: Verdict, run: Run) -> Result<(), String> {
    let job = job(path, source, keeps).map_err(|error| error.to_string())?;
    let ran = beside_in(home, &job, run)?;
    let (good, dead) = (home.rows("good"), home.rows("dead"));
    let (expected, letters) = match (verdict, &ran.result) {
        (Verdict::Fails(code), Err(error)) => {
            tame(&error.to_string())?;
            let clean = good.is_empty() && dead.is_empty();
            return match error.code() == code {
                true if clean => Ok(()),
                true => Err("the job failed and yet has output".into()),
                false => Err(error.to_string()),
            };
        }
        (_, Err(error)) => return Err(error.to_string()),
        (Verdict::Fails(_), Ok(_)) => return Err(format!("{} good rows, {} dead", good.len(), dead.len())),
        (Verdict::Dead(code, dead, good), Ok(_)) => (good, Some((code, dead))),
        (Verdict::Rows(good), Ok(_)) => (good, None),
    };
    let count = match (keeps, job.plan.nodes.iter().position(|node| node.name.as_str() == "good")) {
        ("y", _) | (_, None) => good.len(),
        (_, Some(sink)) => ran.report().slots.iter().map(|slot| slot.nodes[sink].rows_in as usize).sum(),
    };
    if count != expected || dead.len() != letters.map_or(0, |(_, dead)| dead) {
        let codes: Vec<_> = dead.iter().take(3).map(|letter| (&letter["code"], &letter["message"])).collect();
        return Err(format!("{count} good rows, {} dead: {codes:?}", dead.len()));
    }
    for letter in &dead {
        let text = |key: &str| letter[key].as_str().unwrap_or_default();
        tame(text("message"))?;
        let found: Code = text("code").parse()?;
        if letters.is_none_or(|(code, _)| code != found) {
            return Err(format!("a record is dead with {found}: {}", text("message")));
        }
    }
    // What reading costs is billed to whoever reads.
    let report = ran.report();
    let cpu: u64 = report.slots.iter().map(|slot| slot.cpu).sum();
    if cpu == 0 { Err("nobody was billed".into()) } else { Ok(()) }
}

/// Runs an honest job whose file changes on the way: it must fail for that, and commit nothing of what came after.
fn interrupted(home: &Home, run: Run) -> Result<(), String> {
    let mut job = job("rows.json", X, "y").map_err(|error| error.to_string())?;
    // A commit after every batch.
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    let ran = beside_in(home, &job, run)?;
    let rows = home.rows("good");
    match ran.result {
        Err(error) if error.code() != code::INPUT_CHANGED => Err(error.to_string()),
        Err(_) if rows.iter().all(|row| row["y"] == 1) && home.rows("dead").is_empty() => Ok(()),
        Err(_) => Err("rows of the changed file came out".into()),
        Ok(_) => Err(format!("the change was not noticed: {} rows", rows.len())),
    }
}

/// `{"x":…}` in lines.
fn rows(count: usize) -> Vec<u8> {
    (0..count).flat_map(|x| format!("{{\"x\":{x}}}\n").into_bytes()).collect()
}

/// The code of what is no record at all, which most of the text is.
const BAD: Code = code::BAD_RECORD;
