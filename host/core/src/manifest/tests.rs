//! Reading manifests: the pleasant spellings, the canonical form, and every way to get one wrong.

use super::*;
use crate::error::{Code, code};
use proptest::prelude::*;

const GOOD: &str = r#"
[job]
tenant = "acme"
name = "late-flights"
version = 3
parallelism = "1..8"
checkpoint-interval = "10 s"

[component.delays]
path = "target/wasm32-wasip2/release/delays.wasm"

[source.flights]
connector = "file"
volume = "flights"
path = "2013/*.parquet"
schema = ["dep_delay: float64?", "carrier: utf8", { name = "a: b", type = "timestamp[us, UTC]", nullable = true }]

[operator.score]
input = "flights"
function = "delays/score"
arguments = { departure = "dep_delay" }
config = { weight = 0.30, name = "x", on = true, limit = { parameter = "limit" }, n = 12 }
on-error = "dead"

[operator.short]
input = "score"
select = ["carrier", { column = "dep_delay", name = "delay", type = "int64" }]

[sink.late]
input = "short"
connector = "file"
volume = "results"
path = "late/"

[sink.dead]
connector = "stdout"

[limits]
memory = "64 MiB"
fuel-per-record = "100k"
deadline = "500 ms"
handles = 1_000

[parameters.limit]
type = "decimal"
default = 1.50
min = -1
max = "2"
"#;

fn parse(text: &str) -> Manifest {
    Manifest::parse_toml(text, "lockgate.toml").unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn errors(text: &str) -> Vec<crate::Error> {
    Manifest::parse_toml(text, "lockgate.toml").expect_err("was accepted")
}

#[test]
fn pleasant_spellings_become_the_canonical_form() {
    let manifest = parse(GOOD);
    assert_eq!(manifest.job.parallelism, Parallelism { min: 1, max: 8 });
    assert_eq!(manifest.job.checkpoint_interval_ms, Some(10_000));
    assert_eq!(manifest.limits.memory, Some(64 << 20));
    assert_eq!(manifest.limits.fuel_per_record, Some(100_000));
    assert_eq!(manifest.limits.deadline, Some(500));
    let schema = manifest.source["flights"].schema.as_ref().unwrap();
    assert_eq!(schema[0], Field::new("dep_delay", LogicalType::Float64, true));
    assert_eq!(schema[2], Field::new("a: b", LogicalType::Timestamp { utc: true }, true));
    let config = &manifest.operator["score"].config;
    assert_eq!(config["weight"], Setting::Text("0.30".into()));
    assert_eq!((&config["on"], &config["n"]), (&Setting::Text("true".into()), &Setting::Text("12".into())));
    assert!(matches!(&config["limit"], Setting::Parameter(wanted) if wanted.parameter.as_str() == "limit"));
    let limit = &manifest.parameters["limit"];
    assert_eq!(limit.default.as_deref(), Some("1.50"));
    assert_eq!((limit.min.as_deref(), limit.max.as_deref()), (Some("-1"), Some("2")));
    assert_eq!(manifest.sink["late"].path.as_deref(), Some("late"));
    assert_eq!(manifest.check(), []);
}

#[test]
fn json_is_canonical_and_reads_back() {
    let manifest = parse(GOOD);
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    assert_eq!(serde_json::to_string(&parse(&GOOD.replace("64 MiB", "65536 KiB"))).unwrap(), json);
    let numbers = serde_json::to_value(&manifest).unwrap();
    fn no_floats(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Number(number) => !number.is_f64(),
            serde_json::Value::Array(items) => items.iter().all(no_floats),
            serde_json::Value::Object(entries) => entries.values().all(no_floats),
            _ => true,
        }
    }
    assert!(no_floats(&numbers));
}

#[test]
fn json_refuses_unknown_fields_and_bad_paths() {
    let json = serde_json::to_string(&parse(GOOD)).unwrap();
    for (from, to) in [
        (r#""job":{"#, r#""jop":{},"job":{"#),
        (r#""version":3"#, r#""version":3,"x":1"#),
        (r#""connector":"file""#, r#""connector":"file","on_error":"dead""#),
        (r#"{"parameter":"limit"}"#, r#"{"parameter":"limit","x":1}"#),
        (r#""column":"dep_delay""#, r#""column":"dep_delay","x":1"#),
        (r#""memory":67108864"#, r#""memory":67108864.0"#),
        (r#""memory":67108864"#, r#""memory":"64 MiB""#),
        ("2013/*.parquet", "../2013/*.parquet"),
        (r#""path":"late""#, r#""path":"late/*""#),
        (r#""path":"late""#, r#""path":"/late""#),
        (r#""tenant":"acme""#, r#""tenant":"Acme""#),
    ] {
        assert!(json.contains(from), "{from}");
        let changed = json.replacen(from, to, 1);
        assert!(serde_json::from_str::<Manifest>(&changed).is_err(), "{to} was accepted");
    }
}

#[test]
fn touches_are_what_the_connectors_reach() {
    let touches = parse(GOOD).touches();
    let shown: Vec<String> = touches
        .iter()
        .map(|touch| format!("{:?} {} {:?} {}", touch.kind, touch.name, touch.mode, touch.path))
        .collect();
    assert_eq!(shown, ["Volume flights Read 2013/*.parquet", "Volume results Write late", "Stream stdout Write "]);
}

/// Each replacement in the good manifest gives exactly one error, with this code at this place.
#[test]
fn each_mistake_has_its_code_and_place() {
    let cases: &[(&str, &str, Code, &str)] = &[
        ("name = \"late-flights\"", "name = \"Late\"", code::INVALID_NAME, "lockgate.toml:4:8"),
        ("[source.flights]", "[source.Flights]", code::INVALID_NAME, "lockgate.toml:12:9"),
        ("[job]", "[job", code::MANIFEST_SYNTAX, "lockgate.toml:2:5"),
        ("[sink.dead]\nconnector = \"stdout\"", "[sink.late]", code::DUPLICATE_KEY, "lockgate.toml:35:7"),
        ("version = 3", "version = 3\nversion = 4", code::DUPLICATE_KEY, "lockgate.toml:6:1"),
        ("on-error", "on-eror", code::UNKNOWN_KEY, "lockgate.toml:23:1"),
        ("[limits]", "[limit]", code::UNKNOWN_KEY, "lockgate.toml:38:2"),
        ("deadline = ", "deadline-ms = ", code::UNKNOWN_KEY, "lockgate.toml:41:1"),
        ("connector = \"stdout\"", "", code::MISSING_KEY, "lockgate.toml:35:1"),
        ("version = 3", "", code::MISSING_KEY, "lockgate.toml:2:1"),
        ("version = 3", "version = \"3\"", code::WRONG_KIND, "lockgate.toml:5:11"),
        ("\"500 ms\"", "500", code::WRONG_KIND, "lockgate.toml:41:12"),
        ("\"1..8\"", "\"many\"", code::WRONG_KIND, "lockgate.toml:6:15"),
        ("\"1..8\"", "1.5", code::WRONG_KIND, "lockgate.toml:6:15"),
        ("\"carrier: utf8\"", "\"carrier\"", code::WRONG_KIND, "lockgate.toml:16:34"),
        ("0.30", "[1]", code::WRONG_KIND, "lockgate.toml:22:21"),
        ("[component.delays]\npath", "[component]\ndelays", code::WRONG_KIND, "lockgate.toml:10:10"),
        ("64 MiB", "64 miles", code::INVALID_QUANTITY, "lockgate.toml:39:10"),
        ("2013/*.parquet", "../*.parquet", code::MANIFEST_PATH, "lockgate.toml:15:8"),
        ("late/", "late/*/", code::MANIFEST_PATH, "lockgate.toml:33:8"),
        ("1_000", "-1", code::VALUE_OUT_OF_RANGE, "lockgate.toml:42:11"),
        ("float64?", "float", code::UNKNOWN_TYPE, "lockgate.toml:16:11"),
        ("float64?", "list<item: int8>", code::UNKNOWN_TYPE, "lockgate.toml:16:11"),
        ("float64?", "large_utf8", code::UNSUPPORTED_TYPE, "lockgate.toml:16:11"),
    ];
    for (from, to, code, place) in cases {
        assert!(GOOD.contains(from), "{from}");
        let errors = errors(&GOOD.replacen(from, to, 1));
        let found: Vec<_> = errors.iter().map(|error| (error.code(), error.place().unwrap())).collect();
        assert_eq!(found, [(*code, *place)], "{to}: {errors:?}");
    }
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    let found = errors(&GOOD.replacen("on-error", "on_error", 1));
    assert_eq!(found[0].help_text(), Some("did you mean `on-error`?"));
    assert_eq!(found[0].cause(), "[operator.score] has no key `on_error`");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD.replace("version = 3", "version = true").replace("connector", "conector").replace("64 MiB", "x");
    let codes: Vec<Code> = errors(&text).iter().map(crate::Error::code).collect();
    assert_eq!(codes.iter().filter(|found| **found == code::UNKNOWN_KEY).count(), 3);
    assert_eq!(codes.iter().filter(|found| **found == code::MISSING_KEY).count(), 3);
    assert!(codes.contains(&code::WRONG_KIND) && codes.contains(&code::INVALID_QUANTITY));
}

#[test]
fn places_of_the_planner_are_found_in_the_text() {
    let place = |place| locate(GOOD, "lockgate.toml", place);
    assert_eq!(place("operator score").as_deref(), Some("lockgate.toml:18:11"));
    assert_eq!(place("parameter limit").as_deref(), Some("lockgate.toml:44:13"));
    assert_eq!(place("[job]").as_deref(), Some("lockgate.toml:2:2"));
    assert_eq!((place("the graph"), place("sink nowhere"), place("")), (None, None, None));
}

#[test]
fn a_manifest_is_bounded() {
    let long = format!("{GOOD}# {}", "x".repeat(Manifest::MAX_BYTES));
    assert_eq!(errors(&long)[0].code(), code::MANIFEST_TOO_LARGE);
    let many: String = (0..1_000).map(|n| format!("key{n} = 1\n")).collect();
    assert_eq!(errors(&(many + GOOD)).len(), 50);
    assert_eq!(errors(&"[".repeat(100_000))[0].code(), code::MANIFEST_SYNTAX);
}

/// What holds of a manifest in either form.
#[test]
fn each_bound_has_its_code() {
    let check = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        let errors = parse(&GOOD.replacen(from, to, 1)).check();
        errors.iter().map(crate::Error::code).collect::<Vec<_>>()
    };
    let long = format!("name = \"{}\"", "x".repeat((64 << 10) + 1));
    let many = (0..257).map(|n| format!("k{n} = 1")).collect::<Vec<_>>().join(", ");
    let inputs = format!("inputs = [{}]", "\"flights\", ".repeat(257));
    let columns = format!("select = [{}]", "\"carrier\", ".repeat(1_001));
    for (from, to, code) in [
        ("input = \"flights\"", inputs.as_str(), code::TOO_MANY),
        (
            "select = [\"carrier\", { column = \"dep_delay\", name = \"delay\", type = \"int64\" }]",
            &columns,
            code::TOO_MANY,
        ),
        ("version = 3", "version = 0", code::VALUE_OUT_OF_RANGE),
        ("\"1..8\"", "\"0..8\"", code::VALUE_OUT_OF_RANGE),
        ("\"1..8\"", "{ min = 9, max = 8 }", code::VALUE_OUT_OF_RANGE),
        ("\"1..8\"", "1025", code::VALUE_OUT_OF_RANGE),
        ("\"10 s\"", "\"99 ms\"", code::VALUE_OUT_OF_RANGE),
        ("\"10 s\"", "\"2 d\"", code::VALUE_OUT_OF_RANGE),
        ("version = 3", "version = 3\nbatch-rows = 0", code::VALUE_OUT_OF_RANGE),
        ("version = 3", "version = 3\nbatch-rows = 65_537", code::VALUE_OUT_OF_RANGE),
        ("version = 3", "version = 3\nsample-failed-rows = 11", code::VALUE_OUT_OF_RANGE),
        ("64 MiB", "63 KiB", code::LIMIT_TOO_LOW),
        ("\"500 ms\"", "\"0 s\"", code::LIMIT_TOO_LOW),
        ("name = \"x\"", "\"a=b\" = \"x\"", code::INVALID_SETTING),
        ("name = \"x\"", "\"\" = \"x\"", code::INVALID_SETTING),
        ("name = \"x\"", "name = \"a\\u0000\"", code::INVALID_SETTING),
        ("name = \"x\"", &long, code::INVALID_SETTING),
        ("n = 12", &many, code::INVALID_SETTING),
        ("parameter = \"limit\"", "parameter = \"limt\"", code::UNKNOWN_PARAMETER),
    ] {
        assert_eq!(check(from, to), [code], "{}", &to[..to.len().min(60)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = Manifest::parse_toml(&text, "x");
    }

    /// Bytes of the good manifest are replaced: whatever is still accepted can be written and read again.
    #[test]
    fn no_mutation_makes_it_panic(changes in prop::collection::vec((0..GOOD.len(), "[ -~\n]"), 1..6)) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, with) in &changes {
            bytes[*at] = with.as_bytes()[0];
        }
        if let Ok(manifest) = Manifest::parse_toml(&String::from_utf8(bytes).unwrap(), "x") {
            let json = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        }
    }
}
