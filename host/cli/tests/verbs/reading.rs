//! Verbs that only read: explain, completions, doctor, inspect, diff; and how errors and exit codes look.

use crate::support::Home;
use serde_json::Value;

const MANIFEST: &str = r#"
[job]
tenant = "acme"
name = "late"
version = 1
[source.lines]
connector = "stdin"
format = "lines"
[sink.out]
input = "lines"
connector = "file"
volume = "results"
path = "out/"
"#;

#[test]
fn explain_knows_every_code() {
    let home = Home::new();
    let text = home.run("explain lg0209");
    assert!(text.text().contains("## LG0209: the graph has a cycle") && text.out.contains("**What to do**"));
    let all: Value = home.run("explain --output json").json();
    assert!(all.as_array().unwrap().len() > 100);
    home.run("explain LG9999").refused(2, "LG0001");
}

#[test]
fn help_states_the_exit_codes() {
    let home = Home::new();
    assert!(home.run("--help").text().contains("0  done\n  1  refused"));
    assert_eq!(home.run("nonsense").status, 2);
    assert_eq!(home.run("inspect").status, 2);
    let json: Value = serde_json::from_str(home.run("nonsense --output json").refused(2, "LG0001")).unwrap();
    assert_eq!(json["error"]["cause"], "unrecognized subcommand 'nonsense'");
    let documented = include_str!("../../../../docs/exit-codes.md");
    assert!([0, 1, 2, 3, 4, 130].iter().all(|code| documented.contains(&format!("| {code} |"))));
}

#[test]
fn doctor_shows_every_wall() {
    let home = Home::new();
    let ran = home.run("doctor --output json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let walls = report["walls"].as_array().unwrap();
    let missing = walls.iter().any(|wall| wall["required"] == true && wall["stands"] == false);
    assert_eq!(
        (report["sufficient"].as_bool(), ran.status),
        (Some(!missing), if missing { 3 } else { 0 }),
        "{}",
        ran.err
    );
    for name in ["landlock", "seccomp", "no-new-privileges", "memfd", "pidfd"] {
        assert!(walls.iter().any(|wall| wall["name"] == name && wall["required"] == true), "{name}");
    }
    // What does not stand comes with what to change, and nothing else does.
    assert!(walls.iter().all(|wall| wall["stands"] == wall["change"].is_null()));
    let text = home.run("doctor");
    assert!(walls.iter().all(|wall| text.out.contains(wall["name"].as_str().unwrap())), "{}", text.out);
}

#[test]
fn completions_are_a_script() {
    assert!(Home::new().run("completions bash").text().contains("_lockgate"));
}

#[test]
fn errors_are_text_or_json_without_colours_in_a_pipe() {
    let home = Home::new();
    home.write("lockgate.toml", MANIFEST.replace("connector = \"stdin\"", "conector = \"stdin\"\nsede = 1"));
    let text = home.run("inspect lockgate.toml");
    assert_eq!(text.status, 1);
    assert!(text.err.contains("error[LG0103]: [source.lines] has no key `conector`\n  --> lockgate.toml:7:1\n  help: did you mean `connector`?"));
    assert!(!text.err.contains('\u{1b}'));
    let json = home.run("inspect lockgate.toml --output json");
    let errors: Vec<Value> = json.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((json.status, errors.len(), json.out.as_str()), (1, 3, ""));
    assert!(errors.iter().any(|error| error["error"]["place"] == "lockgate.toml:8:1"));
}

#[test]
fn a_file_is_told_by_its_content() {
    let home = Home::new();
    home.write("any", MANIFEST);
    let shown = home.run("inspect any");
    assert!(shown.text().contains("- writes files below out of volume results"), "{}", shown.out);
    home.write("core.wasm", b"\0asm\x01\0\0\0");
    assert!(home.run("inspect core.wasm").text().contains("core module"));
    home.write("empty-component", b"\0asm\x0d\0\x01\0");
    home.run("inspect empty-component").refused(1, "LG0504");
    home.write("noise", b"\xff\xfe\x00");
    home.run("inspect noise").refused(1, "LG0006");
    home.write("text", "hello");
    home.run("inspect text").refused(1, "LG0006");
    home.write("list.json", "{\"a\": 1, \"a\": 2}");
    home.run("inspect list.json").refused(1, "LG0403");
    home.run("inspect missing").refused(3, "LG0002");
}

#[test]
fn diff_says_what_an_upgrade_touches() {
    let home = Home::new();
    home.write("old.toml", MANIFEST);
    home.write("new.toml", MANIFEST.replace("out/", "other").replace("version = 1", "version = 2"));
    let text = home.run("diff old.toml new.toml");
    assert!(text.text().contains("- newly writes files below other of volume results"));
    let json = home.run("diff old.toml new.toml --output json").json();
    assert_eq!(json["changes"]["touches"][0]["path"], "other");
    assert!(home.run("diff new.toml old.toml").text().contains("does not raise the version"));
    home.key("a.key");
    home.run("diff old.toml a.key").refused(1, "LG0006");
}
