//! The API as its own description has it: schemathesis makes calls of the served OpenAPI document, fitting and unfitting
//! ones, as every role in turn. No answer is a server's error, and each is one that the description knows.
//!
//! It comes from PyPI, at one version, into the target folder. Where it cannot be had this fails: a check that was skipped
//! would look like one that passed.

use super::site::Site;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Calls of each operation for each role in every run of the tests, and the variable that asks for another number.
const EXAMPLES: u32 = 5;
const VARIABLE: &str = "LOCKGATE_API_EXAMPLES";

/// What is held of an answer: no error of the server, and status, media type, headers and body as described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

const SETTINGS: &str = r#"
[fair-use]
principal-requests-per-second = 1000000
failures = 1000000
[quota]
jobs = 100000
tokens = 100000
requests-per-second = 1000000
"#;

const BUNDLE: &str = "application/vnd.lockgate.bundle.v1+tar";

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; this test needs Python 3.10 or newer"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{errors}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}

/// The program, installed when it is first needed.
fn schemathesis() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/schemathesis");
    let (mark, program) = (folder.join("installed"), folder.join("bin/schemathesis"));
    if !std::fs::read_to_string(&mark).is_ok_and(|installed| installed == SCHEMATHESIS) {
        std::fs::create_dir_all(&folder).expect("a folder");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(folder.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            SCHEMATHESIS,
        ]));
        std::fs::write(&mark, SCHEMATHESIS).expect("a mark");
    }
    program
}

/// The description as it is served, but that the stream of events must be asked for with an end.
fn description(site: &Site) -> Value {
    let mut document = site.get("operator", "/api/v1/openapi.json").json();
    let paths = document["paths"].as_object_mut().expect("paths");
    assert!(paths.len() > 30, "{} paths", paths.len());
    let stream = &mut paths["/api/v1/tenants/{tenant}/jobs/{job}/events/stream"]["get"]["parameters"];
    let seconds = stream.as_array_mut().expect("parameters").iter_mut().find(|one| one["name"] == "seconds");
    let seconds = seconds.expect("how long the stream lasts");
    (seconds["required"], seconds["schema"]) = (json!(true), json!({ "type": "integer", "minimum": 1, "maximum": 1 }));
    for operation in paths.values_mut().flat_map(|item| item.as_object_mut().expect("operations").values_mut()) {
        // Names that lead somewhere, so that not every call ends at a tenant that is not there.
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let known = [("tenant", "acme"), ("job", "late"), ("principal", "user:viewer"), ("code", "LG1101")];
            if let Some((_, known)) = known.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["examples"] = json!({ "known": { "value": known } });
            }
        }
        // A type of bundles that schemathesis can make bytes of.
        let content = operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut());
        if let Some((content, bundle)) = content.and_then(|all| all.remove(BUNDLE).map(|bundle| (all, bundle))) {
            content.insert("application/octet-stream".into(), bundle);
        }
    }
    document
}

#[test]
fn the_api_answers_as_it_is_described() {
    let program = schemathesis();
    let site = Site::start(SETTINGS);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, description(&site).to_string()).expect("the description");
    let examples = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(EXAMPLES);
    let roles = ["acme auditor", "acme viewer", "acme deployer", "acme admin", "operator"];
    let failed: Vec<String> = std::thread::scope(|scope| {
        let run = |who| {
            scope.spawn({
                let (program, file, site) = (&program, &file, &site);
                move || call(program, site, who, file, examples)
            })
        };
        let running: Vec<_> = roles.map(run).into_iter().collect();
        running.into_iter().filter_map(|thread| thread.join().expect("a run").err()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    site.end();
}

/// Makes the calls as one role; what was found, if anything.
fn call(program: &Path, site: &Site, who: &str, description: &Path, examples: u32) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let token = site.token(who);
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args(["run", "--url", &site.url(), "--checks", CHECKS, "--no-color"]);
    command.arg("--tls-verify").arg(site.ca()).args(["--header", &format!("Authorization: Bearer {token}")]);
    // What is always the same, where there is the time for more.
    let phases = if examples > EXAMPLES { "examples,coverage,fuzzing" } else { "examples,fuzzing" };
    command.args(["--max-examples", &examples.to_string(), "--phases", phases, "--seed", "20261122"]);
    command.args(["--workers", "1", "--no-shrink", "--continue-on-failure", "--generation-database", "none"]);
    command.args(["--suppress-health-check", "all", "--warnings", "off"]).arg(description);
    let output = command.output().expect("schemathesis");
    let text = String::from_utf8_lossy(&output.stdout).replace(token, "…");
    let summary = text.lines().find(|line| line.contains("generated,")).unwrap_or("nothing was generated").trim();
    println!("{who}: {summary}");
    // Two of every operation are the least that says anything.
    let count = summary.split(' ').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
    if output.status.success() && count > 100 {
        return Ok(());
    }
    Err(format!("as {who}:\n{text}{}", String::from_utf8_lossy(&output.stderr)))
}
