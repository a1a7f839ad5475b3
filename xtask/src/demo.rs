//! `cargo xtask demo`: what Lockgate is for, on real input, and what it refuses.
//!
//! A script of calls of the `lockgate` command, as a user would type them, each with how it must end. Whatever ends
//! otherwise fails the demo, so that it cannot drift from what the command does.

mod cluster;
mod report;
mod stage;

use crate::process::{cargo, run as run_command};
use crate::{Result, bench, guests, unknown_argument, workspace};
use stage::Stage;
use std::path::PathBuf;

/// `cargo xtask demo --help`.
pub const HELP: &str = "\
Usage: cargo xtask demo [--release]

Builds `lockgate` and the example guests, runs the example jobs over examples/data (336,776 flights and some text), and
then shows nine refusals, five of them by a cluster that is started for it, where a TaskManager is killed in the middle of a job as
well, and ended after. Everything it writes, keys included, goes to target/demo, made anew each time.

Options:
  --release   builds `lockgate` in release, which takes twice as long; guests always are
";

/// The exit code of whatever was checked and refused.
const REFUSED: i32 = 1;

/// The exit code for what there is not, or not for this caller.
const NOT_FOUND: i32 = 7;

/// One step. `{demo}` in an argument stands for the folder that the demo writes to, `{server}` for the JobManager's URL,
/// `{port}` and `{plane}` for its ports.
enum Step {
    /// What the following steps show.
    Say(&'static str),
    /// Calls that must succeed; what they say is shown only if they do not.
    Prepare(&'static [&'static str]),
    /// A call that must succeed, with what it says.
    Run(&'static str),
    /// A job that must read, write and dead-letter as many records as this. It becomes a row of the table.
    Job { call: &'static str, rows: [u64; 3] },
    /// The first lines that a call writes to standard output.
    Show(&'static str),
    /// The first lines of the first file in this folder.
    Sample(&'static str),
    /// The table of all jobs so far.
    Table,
    /// A call that must succeed and say all of this.
    Tells { call: &'static str, words: &'static [&'static str] },
    /// A call that must be refused with this exit code and error code.
    Refused { call: &'static str, code: &'static str, exit: i32 },
    /// Starts a cluster in one command and waits until it is ready. `{port}` and `{plane}` stand for free ports.
    Standalone(&'static str),
    /// Starts a further TaskManager with this configuration in a file, and waits until it is ready.
    TaskManager { config: &'static str, text: &'static str },
    /// Kills the process with this among its arguments once a job runs that a call submits and waits for; the call must
    /// succeed all the same.
    Killed { call: &'static str, job: &'static str, process: &'static str },
    /// Two folders of results that must hold the same rows, byte for byte, in whichever order.
    Same { one: &'static str, other: &'static str },
    /// Links each file of a folder into another one so many times.
    Multiply { from: &'static str, to: &'static str, times: u32 },
    /// A request to the JobManager without a credential, which must be refused with this code.
    Anonymous { path: &'static str, code: &'static str },
    /// Copies a file.
    Copy { from: &'static str, to: &'static str },
    /// Copies a text with something in it replaced.
    Edit { from: &'static str, to: &'static str, replace: (&'static str, &'static str) },
    /// Copies a bundle with one bit of its first component flipped.
    Flip { from: &'static str, to: &'static str },
    /// Two calls at once: the first must be refused with this code, the second must succeed while or after it is.
    Beside { refused: &'static str, code: &'static str, neighbour: &'static str },
}

const SCRIPT: &[Step] = &[
    Step::Say("Score all flights that left New York in 2013 and keep those that were really late"),
    Step::Job {
        call: "run examples/flights --volume flights=examples/data/flights --volume results={demo}/results",
        rows: [336_776, 15_461, 2],
    },
    Step::Show("run examples/show --volume files={demo}/results/late"),
    Step::Sample("{demo}/results/late-dead"),
    Step::Say("Clean up names"),
    Step::Job {
        call: "run examples/cleanup --volume data=examples/data --volume results={demo}/results",
        rows: [200, 200, 0],
    },
    Step::Sample("{demo}/results/names"),
    Step::Say("Parse JSON to columns; what cannot be parsed goes to the dead letters"),
    Step::Job {
        call: "run examples/json --volume data=examples/data --volume results={demo}/results",
        rows: [400, 378, 22],
    },
    Step::Show("run examples/show --volume files={demo}/results/events"),
    Step::Sample("{demo}/results/events-dead"),
    Step::Say("Split prose into words"),
    Step::Job {
        call: "run examples/words --volume data=examples/data --volume results={demo}/results",
        rows: [20, 253, 0],
    },
    Step::Sample("{demo}/results/words"),
    Step::Say("What that took"),
    Step::Table,
    Step::Say("As in production: an operator grants, a tenant signs, and the bundle runs because the documents say so"),
    Step::Prepare(&[
        "keys generate {demo}/operator.key",
        "keys generate {demo}/operator-status.key",
        "keys generate {demo}/tenant.key",
        "keys generate {demo}/tenant-status.key",
        "keys generate {demo}/signer.key",
        "trust operator-root --dir {demo}/trust --domain demo.example --root {demo}/operator.key --status {demo}/operator-status.key --key {demo}/operator.key",
        "trust policy examples --dir {demo}/trust --root {demo}/tenant.key --grant read:volume:flights/2013 --grant write:volume:results --max-parallelism 4 --key {demo}/operator.key",
        "trust tenant-root examples --dir {demo}/trust --signer {demo}/signer.key --status {demo}/tenant-status.key --key {demo}/tenant.key",
        "build examples/flights --volume flights=examples/data/flights --audience demo.example --out {demo}/flights.lgb",
    ]),
    Step::Copy { from: "{demo}/flights.lgb", to: "{demo}/strange.lgb" },
    Step::Prepare(&[
        "sign {demo}/flights.lgb --key {demo}/signer.key",
        "trust status examples --dir {demo}/trust --current {demo}/flights.lgb --key {demo}/tenant-status.key",
        "trust operator-status --dir {demo}/trust --key {demo}/operator-status.key",
    ]),
    Step::Run(
        "run {demo}/flights.lgb --trust {demo}/trust --domain demo.example --volume flights=examples/data/flights --volume results={demo}/production",
    ),
    Step::Say("Refusal 1: a bit of a component was flipped after signing"),
    Step::Flip { from: "{demo}/flights.lgb", to: "{demo}/flipped.lgb" },
    Step::Refused {
        call: "run {demo}/flipped.lgb --trust {demo}/trust --domain demo.example",
        code: "LG0306",
        exit: REFUSED,
    },
    Step::Say("Refusal 2: the same bundle, but a stranger signed it"),
    Step::Prepare(&["keys generate {demo}/stranger.key", "sign {demo}/strange.lgb --key {demo}/stranger.key"]),
    Step::Refused {
        call: "run {demo}/strange.lgb --trust {demo}/trust --domain demo.example",
        code: "LG0408",
        exit: REFUSED,
    },
    Step::Say("Refusal 3: an endless loop is cut off by its fuel while a neighbour finishes"),
    Step::Beside {
        refused: "run tests/guests/hostile/endless.toml --volume data=examples/data",
        code: "LG0601",
        neighbour: "run examples/flights --volume flights=examples/data/flights --volume results={demo}/neighbour",
    },
    Step::Say("Refusal 4: a guest asks for an import that it was not granted"),
    Step::Refused { call: "check tests/guests/exfiltrate", code: "LG0503", exit: REFUSED },
    Step::Say("The same as a cluster: a JobManager and a TaskManager in one command, an operator and two tenants"),
    Step::Multiply { from: "examples/data/flights/2013", to: "{demo}/flights/2013", times: 1 },
    Step::Standalone(
        "standalone --data {demo}/cluster --listen 127.0.0.1:{port} --plane 127.0.0.1:{plane} --trust {demo}/trust --domain demo.example --slots 2 --volume flights={demo}/flights --volume results={demo}/cluster-results",
    ),
    Step::Prepare(&[
        "tenant create examples",
        "member set user:ana --role tenant-admin --tenant examples",
        "token create --principal user:ana --tenant examples --to {demo}/ana.token",
        "tenant create visitors",
        "member set user:bob --role tenant-admin --tenant visitors",
        "token create --principal user:bob --tenant visitors --to {demo}/bob.token",
        "quota set slots=2 --tenant examples",
        "trust upload {demo}/trust",
        "login {server} --ca {demo}/cluster/jobmanager/tls/ca.pem --token-file {demo}/bob.token --name visitors",
        "login {server} --ca {demo}/cluster/jobmanager/tls/ca.pem --token-file {demo}/ana.token --name examples",
        "trust upload {demo}/trust",
    ]),
    Step::Say("Refusal 5: an anonymous request"),
    Step::Anonymous { path: "/api/v1/tenants/examples/jobs", code: "LG1100" },
    Step::Say("Refusal 6: the bundle with the flipped bit is uploaded"),
    Step::Refused { call: "bundle upload {demo}/flipped.lgb", code: "LG0306", exit: REFUSED },
    Step::Say("Refusal 7: the job would run on 4 slots, the tenant may have 2"),
    Step::Refused { call: "submit {demo}/flights.lgb --detached", code: "LG1112", exit: REFUSED },
    Step::Say("On 2 slots it is taken, and the TaskManager runs it after verifying it once more itself"),
    Step::Run("submit {demo}/flights.lgb --parallelism 2 --until ended"),
    Step::Show("run examples/show --volume files={demo}/cluster-results/late"),
    Step::Same { one: "{demo}/production/late", other: "{demo}/cluster-results/late" },
    Step::Say("Refusal 8: with another tenant's token there is no such job"),
    Step::Tells { call: "info late-flights", words: &["FINISHED"] },
    Step::Refused { call: "info late-flights --context visitors --tenant examples", code: "LG1102", exit: NOT_FOUND },
    Step::Say("Refusal 9: after an upgrade to version 2, version 1 is stale"),
    Step::Edit {
        from: "examples/flights/lockgate.toml",
        to: "{demo}/flights-2.toml",
        replace: ("version = 1", "version = 2"),
    },
    Step::Edit {
        from: "{demo}/flights-2.toml",
        to: "{demo}/flights-2.toml",
        replace: ("path = \"late/\"", "path = \"late-2/\""),
    },
    Step::Prepare(&[
        "build {demo}/flights-2.toml --no-compile --volume flights=examples/data/flights --audience demo.example --replaces {demo}/flights.lgb --out {demo}/flights-2.lgb",
        "sign {demo}/flights-2.lgb --key {demo}/signer.key",
        "trust status examples --dir {demo}/trust --current {demo}/flights-2.lgb --key {demo}/tenant-status.key",
        "trust upload {demo}/trust",
    ]),
    Step::Say("A second TaskManager joins, and there is more to read: the flights forty times over"),
    Step::Prepare(&["taskmanager token create --name second --to {demo}/second.token --context standalone"]),
    Step::TaskManager {
        config: "second.toml",
        text: "name = \"second\"\nslots = 2\nstate = \"second\"\ncache = \"second/cache\"\n\n[jobmanager]\njoin = \"{server}\"\nca = \"cluster/jobmanager/tls/ca.pem\"\nplane = [\"localhost:{plane}\"]\njoin-token-file = \"second.token\"\n\n[trust]\ndomain = \"demo.example\"\noperator-root = \"trust/operator-root.1.json\"\n\n[volumes]\nflights = \"flights\"\nresults = \"cluster-results\"\n",
    },
    Step::Tells { call: "taskmanager list --context standalone", words: &["standalone", "second"] },
    Step::Multiply { from: "examples/data/flights/2013", to: "{demo}/flights/2013", times: 40 },
    Step::Prepare(&["quota set slots=4 --tenant examples --context standalone"]),
    Step::Say("The job runs on both in version 2; in the middle of it the first TaskManager is killed"),
    Step::Killed {
        call: "submit {demo}/flights-2.lgb --parallelism 4 --yes --restart --until ended",
        job: "late-flights",
        process: "cluster/taskmanager.toml",
    },
    Step::Refused { call: "submit {demo}/flights.lgb --detached --yes --restart", code: "LG0418", exit: REFUSED },
    Step::Prepare(&[
        "run {demo}/flights-2.lgb --trust {demo}/trust --domain demo.example --volume flights={demo}/flights --volume results={demo}/oracle",
    ]),
    Step::Same { one: "{demo}/oracle/late-2", other: "{demo}/cluster-results/late-2" },
];

/// Runs the demo.
///
/// # Errors
/// For an argument that is not known, and when a step does not end as it must.
pub fn run(arguments: &[String]) -> Result {
    let mut release = false;
    for argument in arguments {
        match argument.as_str() {
            "--release" => release = true,
            other => return Err(unknown_argument("demo", other)),
        }
    }
    eprintln!("building lockgate and the guests; the first time takes several minutes");
    let lockgate = if release { bench::build_lockgate()? } else { build_lockgate()? };
    guests::build()?;
    let folder = workspace::target().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    for name in ["results", "production", "neighbour", "cluster-results", "oracle", "flights"] {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut stage = Stage::new(lockgate, folder);
    SCRIPT.iter().try_for_each(|step| stage.play(step))?;
    println!("\nEverything ended as it must. What was written is in {}.", workspace::shown(stage.folder()));
    if !release {
        println!("This was a development build of `lockgate`; for figures see docs/performance.md.");
    }
    Ok(())
}

/// Builds the `lockgate` command as `cargo xtask test` does, so that each finds what the other compiled.
fn build_lockgate() -> Result<PathBuf> {
    // `--examples` (there are none) brings the development dependencies' features along.
    run_command(&mut cargo(["build", "--workspace", "--bin", "lockgate", "--examples"]))?;
    Ok(workspace::target().join("debug").join("lockgate").with_extension(std::env::consts::EXE_EXTENSION))
}
