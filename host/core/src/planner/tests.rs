//! Plans of good manifests, and the one error that each bad one gets.

mod bounds;

use super::*;
use crate::error::Code;
use crate::plan::{Compression, FormatKind, Source, SourceConnector};
use crate::types::{LogicalType, Port};
use proptest::prelude::*;

const GOOD: &str = r#"
[job]
tenant = "acme"
name = "late"
version = 1

[component.delays]
path = "x.wasm"

[source.flights]
connector = "file"
volume = "flights"
path = "2013/*.csv.gz"
schema = ["carrier: utf8", "dep_delay: float64?", "distance: float64", "tail: binary?", "dep_time: int64"]
format = "parquet"
on-error = "dead"

[operator.score]
input = "flights"
function = "delays/score"
arguments = { delay = "dep_delay" }
config = { weight = { parameter = "weight" } }
on-error = "dead"
on-overrun = "dead"

[operator.short]
input = "score"
select = ["carrier", { column = "score", name = "points", type = "int64" }]

[sink.late]
input = "short"
connector = "file"
volume = "results"
path = "late/"
format = "csv"

[sink.words]
input = "score.late"
connector = "discard"

[sink.dead]
connector = "file"
volume = "results"
path = "dead"

[parameters.weight]
type = "decimal"
default = 0.3
min = 0
max = 1
"#;

fn port(name: &str, fields: &[&str]) -> Port {
    let field = |text: &&str| {
        let (name, logical) = text.split_once(": ").unwrap();
        let nullable = logical.ends_with('?');
        Field::new(name, logical.trim_end_matches('?').parse().unwrap(), nullable)
    };
    Port { name: name.into(), fields: fields.iter().map(field).collect() }
}

fn function(name: &str, input: &[&str], outputs: Vec<Port>) -> FunctionDescription {
    FunctionDescription {
        name: name.into(),
        kind: "transform".into(),
        inputs: vec![port("in", input)],
        outputs,
        attributes: Vec::new(),
    }
}

fn described() -> Vec<FunctionDescription> {
    let strict = FunctionDescription {
        attributes: vec![("nulls".into(), "refused".into())],
        ..function("strict", &["delay: float64"], vec![port("out", &["score: float64"])])
    };
    vec![
        strict,
        function(
            "score",
            &["delay: float64", "distance: float64"],
            vec![port("out", &["score: float64"]), port("late", &["word: utf8"])],
        ),
        function("drop", &["carrier: utf8"], vec![port("out", &[])]),
        FunctionDescription {
            kind: "aggregate".into(),
            ..function("sum", &["distance: float64"], vec![port("out", &["s: int64"])])
        },
        FunctionDescription {
            inputs: vec![port("a", &[]), port("b", &[])],
            ..function("join", &[], vec![port("out", &["s: int64"])])
        },
        function("mute", &["distance: float64"], vec![]),
        function("wide", &["distance: float64"], (0..17).map(|n| port(&format!("o{n}"), &["s: int64"])).collect()),
    ]
}

fn plan_with(text: &str, functions: Vec<FunctionDescription>, values: &[(&str, &str)]) -> Result<Plan, Vec<Error>> {
    let manifest = Manifest::parse_toml(text, "lockgate.toml").unwrap_or_else(|errors| panic!("{errors:#?}"));
    let name = |text: &str| Name::new(text).unwrap();
    let descriptions = BTreeMap::from([(name("delays"), functions)]);
    Planner::plan(&manifest, &descriptions, &values.iter().map(|(key, value)| (name(key), (*value).into())).collect())
}

fn plan(text: &str) -> Plan {
    let plan = plan_with(text, described(), &[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
    check_indexes(&plan);
    plan
}

fn codes(result: Result<Plan, Vec<Error>>) -> Vec<Code> {
    result.expect_err("was accepted").iter().map(Error::code).collect()
}

/// Every index of a plan points to something, and inputs come first.
fn check_indexes(plan: &Plan) {
    for (index, node) in plan.nodes.iter().enumerate() {
        let mut widths: Vec<usize> = Vec::new();
        for edge in &node.inputs {
            assert!((edge.node as usize) < index, "{} comes before its input", node.name);
            assert!((edge.output as usize) < plan.nodes[edge.node as usize].outputs.len());
            widths.push(plan.delivered(*edge).len());
        }
        assert!(widths.iter().all(|width| *width == widths[0] && *width > 0), "{}: {widths:?}", node.name);
        let width = widths.first().copied().unwrap_or(0);
        let dead = |policy: OnError| match policy {
            OnError::Fail => true,
            OnError::DeadLetter(sink) => {
                matches!(&plan.nodes[sink as usize].kind, NodeKind::Sink(sink) if sink.dead_letters)
            }
        };
        match &node.kind {
            NodeKind::Source(source) => {
                let columns = node.outputs[0].fields.len() as u32;
                assert!(source.projection.iter().flatten().all(|column| *column < columns) && dead(source.on_error));
            }
            NodeKind::Function(function) => {
                assert_eq!(function.arguments.len(), function.nullable.len());
                assert_eq!(function.keep.len(), node.outputs.len());
                assert!(
                    function
                        .arguments
                        .iter()
                        .chain(function.keep.iter().flatten())
                        .all(|column| (*column as usize) < width)
                );
                assert!(dead(function.on_error) && dead(function.on_overrun));
                for (keep, output) in function.keep.iter().zip(&node.outputs) {
                    assert!(keep.len() <= output.fields.len());
                }
            }
            NodeKind::Select(columns) => {
                assert_eq!(columns.len(), node.outputs[0].fields.len());
                assert!(columns.iter().all(|column| (column.column as usize) < width));
            }
            NodeKind::Sink(sink) => assert!(
                sink.dead_letters == node.inputs.is_empty() && (sink.dead_letters || sink.fields.len() == width)
            ),
        }
    }
}

fn node<'p>(plan: &'p Plan, name: &str) -> &'p Node {
    plan.nodes.iter().find(|node| node.name.as_str() == name).unwrap()
}

fn shown(fields: &[Field]) -> Vec<String> {
    fields
        .iter()
        .map(|field| format!("{}: {}{}", field.name, field.data_type, if field.nullable { "?" } else { "" }))
        .collect()
}

#[test]
fn resolves_names_types_and_settings() {
    let plan = plan(GOOD);
    let names: Vec<&str> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["flights", "score", "short", "dead", "late", "words"]);
    let NodeKind::Function(score) = &node(&plan, "score").kind else { panic!() };
    assert_eq!((score.index, score.name.as_str()), (1, "score"));
    assert_eq!(score.config["weight"], "0.3");
    assert_eq!((score.on_error, score.on_overrun), (OnError::DeadLetter(3), OnError::DeadLetter(3)));
    let NodeKind::Source(flights) = &node(&plan, "flights").kind else { panic!() };
    assert!(matches!(&flights.connector, SourceConnector::File { path, .. } if path == "2013/*.csv.gz"));
    assert_eq!(flights.format.as_ref().unwrap().kind, FormatKind::Parquet);
    assert_eq!((plan.batch_rows, plan.checkpoint_interval), (8_192, 10_000));
}

#[test]
fn a_nullable_column_in_a_plain_parameter_makes_results_nullable() {
    let plan = plan(GOOD);
    assert_eq!(shown(&node(&plan, "score").outputs[1].fields).last().unwrap(), "word: utf8?");
    let plan = self::plan(&GOOD.replace("dep_delay: float64?", "dep_delay: float64"));
    assert_eq!(shown(&node(&plan, "score").outputs[1].fields).last().unwrap(), "word: utf8");
    // A cast that may fail makes a nullable column by itself.
    assert_eq!(shown(&node(&plan, "short").outputs[0].fields), ["carrier: utf8", "points: int64?"]);
}

#[test]
fn dead_columns_are_not_read() {
    let text = GOOD.replace("input = \"score.late\"", "input = \"short\"");
    let plan = plan(&text);
    let NodeKind::Source(flights) = &node(&plan, "flights").kind else { panic!() };
    assert_eq!(flights.projection, Some(vec![0, 1, 2]));
    assert_eq!(node(&plan, "flights").outputs[0].fields.len(), 5);
    let NodeKind::Function(score) = &node(&plan, "score").kind else { panic!() };
    assert_eq!((score.arguments.as_slice(), &score.keep[0]), (&[1, 2][..], &vec![0]));
    assert_eq!(shown(&node(&plan, "score").outputs[0].fields), ["carrier: utf8", "score: float64?"]);
}

#[test]
fn inputs_of_a_union_keep_one_layout() {
    // `again` adds a reader of column 4 to one input of the union: the other must deliver it too.
    let text = GOOD
        .replace("[source.flights]", "[source.flights]\n# first")
        .replace("input = \"score.late\"", "input = \"again\"")
        + r#"
[source.other]
connector = "file"
volume = "flights"
path = "2014.parquet"
schema = ["carrier: utf8", "dep_delay: float64", "distance: float64?", "tail: binary?", "dep_time: int64"]
[operator.again]
input = "other"
select = ["dep_time"]
"#;
    let plan = plan(&text.replace("input = \"flights\"", "inputs = [\"flights\", \"other\"]"));
    for name in ["flights", "other"] {
        let NodeKind::Source(source) = &node(&plan, name).kind else { panic!() };
        assert_eq!(source.projection, Some(vec![0, 1, 2, 4]), "{name}");
    }
    let NodeKind::Select(again) = &node(&plan, "again").kind else { panic!() };
    assert_eq!(again[0].column, 3);
}

#[test]
fn a_source_that_only_counts_delivers_one_column() {
    let text =
        GOOD.replace("arguments = { delay = \"dep_delay\" }", "keep = []").replace("delays/score", "delays/none");
    let text =
        text.replace("\"carrier\", ", "").replace("[sink.words]\ninput = \"score.late\"\nconnector = \"discard\"", "");
    let none = function("none", &[], vec![port("out", &["score: float64"])]);
    let plan = plan_with(&text, vec![none], &[]).unwrap();
    check_indexes(&plan);
    let NodeKind::Source(flights) = &node(&plan, "flights").kind else { panic!() };
    assert_eq!(flights.projection, Some(vec![0]));
}

#[test]
fn streams_lines_and_nexmark_need_no_schema() {
    let head = "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n";
    let lines = plan(&format!(
        "{head}[source.in]\nconnector = \"stdin\"\nformat = \"lines\"\n[sink.out]\ninput = \"in\"\nconnector = \"stdout\"\nformat = \"lines\"\n"
    ));
    assert_eq!(shown(&lines.nodes[0].outputs[0].fields), ["line: utf8"]);
    let NodeKind::Source(Source { format: Some(format), .. }) = &lines.nodes[0].kind else { panic!() };
    assert_eq!(format.compression, Compression::None);
    for (table, columns) in [("bid", 7), ("auction", 10), ("person", 8)] {
        let plan = plan(&format!(
            "{head}[source.in]\nconnector = \"nexmark\"\ntable = \"{table}\"\n[sink.out]\ninput = \"in\"\nconnector = \"discard\"\n"
        ));
        assert_eq!(plan.nodes[0].outputs[0].fields.len(), columns);
    }
}

#[test]
fn formats_follow_the_path() {
    for (path, wanted) in [
        ("a.csv", Some("csv")),
        ("a/*.csv.gz", Some("csv")),
        ("*.jsonl.zst", Some("json")),
        ("x.parquet", Some("parquet")),
        ("log.txt", Some("lines")),
        ("a", None),
        ("a.gz", None),
        ("a.d/b", None),
    ] {
        assert_eq!(formats::by_ending(path), wanted, "{path}");
    }
}

/// Each replacement in the good manifest gives exactly this error, and every error names its place.
#[test]
fn each_mistake_has_its_code() {
    let extra_source = "[source.more]\nconnector = \"nexmark\"\ntable = \"bid\"\n[source.flights]";
    let cases: &[(&str, &str, &[Code])] = &[
        // the graph
        ("input = \"flights\"", "input = \"flight\"", &[code::UNKNOWN_NODE, code::UNUSED]),
        ("on-overrun = \"dead\"", "on-overrun = \"deed\"", &[code::UNKNOWN_NODE]),
        ("score.late", "score.lat", &[code::UNKNOWN_OUTPUT]),
        ("input = \"short\"\n", "input = \"short.more\"\n", &[code::UNKNOWN_OUTPUT]),
        ("input = \"flights\"\n", "", &[code::MISSING_INPUT, code::UNUSED]),
        ("input = \"flights\"\n", "inputs = []\n", &[code::MISSING_INPUT, code::UNUSED]),
        ("input = \"score\"\n", "input = \"score\"\ninputs = [\"score\"]\n", &[code::AMBIGUOUS_INPUT]),
        ("input = \"score\"\n", "inputs = [\"score\", \"score.out\"]\n", &[code::DUPLICATE_INPUT]),
        ("input = \"score\"\n", "inputs = [\"score\", \"score.late\"]\n", &[code::UNION_MISMATCH]),
        ("input = \"score\"\n", "inputs = [\"score\", \"flights\"]\n", &[code::UNION_MISMATCH]),
        ("input = \"score\"\n", "input = \"words\"\n", &[code::INPUT_IS_SINK]),
        ("input = \"flights\"\n", "inputs = [\"flights\", \"short\"]\n", &[code::CYCLE]),
        ("input = \"score\"\n", "inputs = [\"score\", \"short\"]\n", &[code::CYCLE]),
        ("[source.flights]", extra_source, &[code::UNUSED]),
        ("[component.delays]", "[component.more]\n[component.delays]", &[code::UNUSED, code::NOT_DESCRIBED]),
        ("[sink.words]", "[sink.flights]", &[code::DUPLICATE_NODE]),
        ("[sink.words]", "[sink.fail]", &[code::RESERVED_NAME]),
        // dead letters
        ("on-overrun = \"dead\"", "on-overrun = \"short\"", &[code::NOT_DEAD_LETTER_SINK]),
        ("on-overrun = \"dead\"", "on-overrun = \"words\"", &[code::DEAD_LETTER_SINK_HAS_INPUT]),
        ("[sink.words]", "[sink.dead-too]\nconnector = \"discard\"\n[sink.words]", &[code::UNUSED]),
        ("path = \"dead\"", "path = \"dead\"\nformat = \"lines\"", &[code::FORMAT_COLUMNS]),
        // functions
        ("delays/score", "delay/score", &[code::UNUSED, code::UNKNOWN_COMPONENT]),
        ("delays/score", "score", &[code::UNUSED, code::UNKNOWN_COMPONENT]),
        ("delays/score", "delays/scores", &[code::UNKNOWN_FUNCTION]),
        ("delays/score", "delays/sum", &[code::FUNCTION_KIND]),
        ("delays/score", "delays/join", &[code::FUNCTION_PORTS]),
        ("delays/score", "delays/mute", &[code::FUNCTION_PORTS]),
        ("delays/score", "delays/wide", &[code::TOO_MANY]),
        ("delays/score", "delays/strict", &[code::NULLABLE_ARGUMENT]),
        ("arguments = { delay = \"dep_delay\" }", "", &[code::MISSING_ARGUMENT]),
        ("{ delay = \"dep_delay\" }", "{ delay = \"dep_delay\", x = \"carrier\" }", &[code::UNKNOWN_ARGUMENT]),
        ("{ delay = \"dep_delay\" }", "{ delay = \"dep_dela\" }", &[code::UNKNOWN_COLUMN]),
        ("{ delay = \"dep_delay\" }", "{ delay = \"dep_time\" }", &[code::TYPE_MISMATCH]),
        ("on-overrun", "keep = [\"carier\"]\non-overrun", &[code::UNKNOWN_COLUMN]),
        ("on-overrun", "keep = [\"carrier\", \"carrier\"]\non-overrun", &[code::COLUMN_COLLISION]),
        ("on-overrun", "rename = { score = \"carrier\" }\non-overrun", &[code::COLUMN_COLLISION]),
        ("on-overrun", "rename = { scor = \"x\" }\non-overrun", &[code::UNKNOWN_RESULT]),
        ("on-overrun", "rename = { score = \"\" }\non-overrun", &[code::INVALID_COLUMN]),
        ("on-overrun", "select = [\"carrier\"]\non-overrun", &[code::OPERATOR_KIND]),
        (
            "function = \"delays/score\"\narguments = { delay = \"dep_delay\" }\n",
            "keep = [\"carrier\"]\n",
            &[code::UNUSED, code::OPERATOR_KIND],
        ),
        // select
        ("[\"carrier\",", "[\"carier\",", &[code::UNKNOWN_COLUMN]),
        ("name = \"points\"", "name = \"carrier\"", &[code::COLUMN_COLLISION]),
        ("name = \"points\"", "name = \"\"", &[code::INVALID_COLUMN]),
        ("type = \"int64\" }", "type = \"date32\" }", &[code::CAST_NOT_ALLOWED]),
        ("select = ", "keep = [\"carrier\"]\nselect = ", &[code::OPTION_NOT_APPLICABLE]),
        (
            "select = [\"carrier\", { column = \"score\", name = \"points\", type = \"int64\" }]",
            "select = []",
            &[code::NO_COLUMNS],
        ),
        ("[\"carrier\", ", "[\"carrier\", \"tail\", ", &[code::FORMAT_COLUMNS]),
        // connectors and formats
        ("connector = \"discard\"", "connector = \"kafka\"", &[code::UNKNOWN_CHOICE]),
        (
            "connector = \"file\"\nvolume = \"flights\"",
            "connector = \"s3\"\nvolume = \"flights\"",
            &[code::UNKNOWN_CHOICE],
        ),
        ("format = \"parquet\"", "format = \"orc\"", &[code::UNKNOWN_CHOICE]),
        ("format = \"csv\"", "format = \"csv\"\ncompression = \"xz\"", &[code::UNKNOWN_CHOICE]),
        ("format = \"csv\"", "format = \"csv\"\ndelimiter = \"::\"", &[code::VALUE_OUT_OF_RANGE]),
        ("format = \"csv\"", "format = \"json\"\ndelimiter = \":\"", &[code::OPTION_NOT_APPLICABLE]),
        ("format = \"csv\"", "format = \"lines\"", &[code::FORMAT_COLUMNS]),
        ("format = \"parquet\"", "", &[code::FORMAT_COLUMNS]),
        ("format = \"parquet\"", "format = \"parquet\"\ncompression = \"zstd\"", &[code::OPTION_NOT_APPLICABLE]),
        ("format = \"parquet\"", "format = \"parquet\"\nrate = 3", &[code::OPTION_NOT_APPLICABLE]),
        ("2013/*.csv.gz\"", "2013/x\"\n#", &[]),
        ("volume = \"flights\"", "", &[code::OPTION_MISSING]),
        ("volume = \"results\"\npath = \"late/\"", "volume = \"results\"", &[code::OPTION_MISSING]),
        ("connector = \"discard\"", "connector = \"discard\"\npath = \"x\"", &[code::OPTION_NOT_APPLICABLE]),
        ("connector = \"discard\"", "connector = \"discard\"\nformat = \"json\"", &[code::OPTION_NOT_APPLICABLE]),
        ("connector = \"discard\"", "connector = \"stdout\"\nvolume = \"x\"", &[code::OPTION_NOT_APPLICABLE]),
        ("connector = \"discard\"", "connector = \"stdout\"\nformat = \"parquet\"", &[code::FORMAT_NEEDS_FILE]),
        (
            "connector = \"file\"\nvolume = \"flights\"\npath = \"2013/*.csv.gz\"",
            "connector = \"stdin\"",
            &[code::FORMAT_NEEDS_FILE],
        ),
        ("\"carrier: utf8\", ", "\"carrier: utf8\", \"carrier: int8\", ", &[code::DUPLICATE_COLUMN]),
        ("\"carrier: utf8\", ", "\"a\\tb: utf8\", ", &[code::INVALID_COLUMN]),
        ("schema = ", "# schema = ", &[code::SCHEMA_MISSING]),
        // parameters
        ("default = 0.3\n", "", &[code::MISSING_PARAMETER]),
        ("default = 0.3", "default = 1.0000000000000000001", &[code::INVALID_PARAMETER]),
        ("min = 0", "min = 2", &[code::INVALID_PARAMETER]),
        ("min = 0", "min = \"x\"", &[code::INVALID_PARAMETER]),
        ("min = 0", "max-length = 2", &[code::INVALID_PARAMETER]),
        ("type = \"decimal\"", "type = \"bool\"", &[code::INVALID_PARAMETER]),
        ("type = \"decimal\"", "type = \"float\"", &[code::UNKNOWN_CHOICE]),
        (
            "[parameters.weight]",
            "[parameters.more]\ntype = \"text\"\ndefault = \"x\"\n[parameters.weight]",
            &[code::UNUSED],
        ),
    ];
    for (from, to, wanted) in cases {
        assert!(GOOD.contains(from), "{from}");
        let result = plan_with(&GOOD.replacen(from, to, 1), described(), &[]);
        if wanted.is_empty() {
            result.unwrap_or_else(|errors| panic!("{to}: {errors:#?}"));
            continue;
        }
        let errors = result.expect_err(to);
        assert!(errors.iter().all(|error| error.place().is_some()), "{errors:?}");
        assert_eq!(errors.iter().map(Error::code).collect::<Vec<_>>(), *wanted, "{to}: {errors:?}");
    }
}

#[test]
fn each_bad_description_has_its_code() {
    let bad = |change: fn(&mut FunctionDescription)| {
        let mut functions = described();
        change(&mut functions[1]);
        codes(plan_with(GOOD, functions, &[]))
    };
    assert_eq!(bad(|score| score.name = "strict".into()), [code::FUNCTION_TWICE, code::UNKNOWN_FUNCTION]);
    assert_eq!(
        bad(|score| score.outputs[0].fields.push(Field::new("score", LogicalType::Bool, false)))[0],
        code::DUPLICATE_COLUMN
    );
    assert_eq!(bad(|score| score.inputs[0].fields[0].name = String::new())[0], code::INVALID_COLUMN);
    assert_eq!(bad(|score| score.outputs[1].name = "out".into())[0], code::FUNCTION_PORTS);
    assert_eq!(bad(|score| score.outputs[1].name = "a.b".into())[0], code::FUNCTION_PORTS);
    let many = (0..1_001).map(|n| function(&format!("f{n}"), &[], vec![])).collect();
    assert_eq!(codes(plan_with(GOOD, many, &[]))[0], code::TOO_MANY);
    let manifest = Manifest::parse_toml(GOOD, "x").unwrap();
    let undescribed = Planner::plan(&manifest, &BTreeMap::new(), &BTreeMap::new());
    assert_eq!(codes(undescribed)[0], code::NOT_DESCRIBED);
    // A type that this version does not run is refused before a description exists.
    let nested = r#"{"name":"f","kind":"transform","inputs":[{"name":"in","fields":[{"name":"a","type":"list<item: int8>"}]}],"outputs":[]}"#;
    let error = serde_json::from_str::<FunctionDescription>(nested).unwrap_err().to_string();
    assert!(error.contains("LG0202"), "{error}");
}

#[test]
fn submitted_values_stay_within_their_bounds() {
    let with = |values: &[(&str, &str)]| plan_with(GOOD, described(), values);
    let plan = with(&[("weight", "0.75")]).unwrap();
    let NodeKind::Function(score) = &node(&plan, "score").kind else { panic!() };
    assert_eq!(score.config["weight"], "0.75");
    for bad in ["1.00000000000000000000000001", "-0.1", "x", "", "1e0", "+1"] {
        assert_eq!(codes(with(&[("weight", bad)])), [code::PARAMETER_REFUSED], "{bad}");
    }
    assert_eq!(codes(with(&[("wait", "1")])), [code::UNKNOWN_PARAMETER]);
    let text = |declaration: &str, value: &str| {
        let declared = GOOD.replace("type = \"decimal\"\ndefault = 0.3\nmin = 0\nmax = 1", declaration);
        plan_with(&declared, described(), &[("weight", value)]).map_err(|errors| errors[0].code()).err()
    };
    assert_eq!(text("type = \"text\"\none-of = [\"a\", \"b\"]", "b"), None);
    assert_eq!(text("type = \"text\"\none-of = [\"a\", \"b\"]", "c"), Some(code::PARAMETER_REFUSED));
    assert_eq!(text("type = \"text\"\nmax-length = 3", "abcd"), Some(code::PARAMETER_REFUSED));
    assert_eq!(text("type = \"text\"", &"x".repeat(1_025)), Some(code::PARAMETER_REFUSED));
    assert_eq!(text("type = \"text\"\nmax-length = 65537", "a"), Some(code::INVALID_PARAMETER));
    assert_eq!(text("type = \"text\"\none-of = []", "a"), Some(code::INVALID_PARAMETER));
    assert_eq!(text("type = \"bool\"", "yes"), Some(code::PARAMETER_REFUSED));
    assert_eq!(text("type = \"bool\"", "true"), None);
    assert_eq!(text("type = \"integer\"\nmax = 9", "10"), Some(code::PARAMETER_REFUSED));
    assert_eq!(text("type = \"integer\"", "1.5"), Some(code::PARAMETER_REFUSED));
}

#[test]
fn nexmark_options_have_ranges() {
    for (option, code) in [
        ("table = \"bit\"", code::UNKNOWN_CHOICE),
        ("", code::OPTION_MISSING),
        ("table = \"bid\"\nevents = 0", code::VALUE_OUT_OF_RANGE),
        ("table = \"bid\"\nrate = 0", code::VALUE_OUT_OF_RANGE),
        ("table = \"bid\"\nsplits = 1025", code::VALUE_OUT_OF_RANGE),
        ("table = \"bid\"\nprepared = 4097", code::VALUE_OUT_OF_RANGE),
        ("table = \"bid\"\nschema = []", code::OPTION_NOT_APPLICABLE),
        ("table = \"bid\"\nformat = \"csv\"", code::OPTION_NOT_APPLICABLE),
        ("table = \"bid\"\npath = \"x\"", code::OPTION_NOT_APPLICABLE),
    ] {
        let text = format!(
            "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n[source.in]\nconnector = \"nexmark\"\n{option}\n[sink.out]\ninput = \"in\"\nconnector = \"discard\"\n"
        );
        assert_eq!(codes(plan_with(&text, Vec::new(), &[])), [code], "{option}");
    }
    let head = "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n";
    assert_eq!(codes(plan_with(head, Vec::new(), &[])), [code::EMPTY_GRAPH]);
    let stdin =
        format!("{head}[source.in]\nconnector = \"stdin\"\n[sink.out]\ninput = \"in\"\nconnector = \"discard\"\n");
    assert_eq!(codes(plan_with(&stdin, Vec::new(), &[])), [code::OPTION_MISSING]);
    let lines = stdin.replace("\"stdin\"", "\"stdin\"\nformat = \"lines\"\nschema = [\"a: utf8\"]");
    assert_eq!(codes(plan_with(&lines, Vec::new(), &[])), [code::OPTION_NOT_APPLICABLE]);
}

#[test]
fn messages_say_what_to_do() {
    let help = |from: &str, to: &str| {
        let errors = plan_with(&GOOD.replacen(from, to, 1), described(), &[]).unwrap_err();
        (errors[0].to_string(), errors[0].help_text().unwrap_or_default().to_owned())
    };
    let (cause, advice) = help("\"dep_delay\" }", "\"dep_time\" }");
    assert_eq!(
        cause,
        "LG0218: operator score: column `dep_time` is int64, but parameter `delay` of function score is float64"
    );
    assert_eq!(
        advice,
        "cast it before: `select = [{ column = \"dep_time\", type = \"float64\" }, …]`, or change the function"
    );
    let (cause, _) = help("input = \"flights\"\n", "inputs = [\"flights\", \"short\"]\n");
    assert_eq!(cause, "LG0209: the graph: records would go round in a circle: score → short → score");
    assert_eq!(
        help("arguments = { delay = \"dep_delay\" }", "").1,
        "name one: `arguments = { delay = \"dep_delay\" }`"
    );
    assert_eq!(help("delays/score", "delays/scores").1, "did you mean `score`?");
    assert!(
        help("on-overrun", "rename = { score = \"carrier\" }\non-overrun").1.contains("`rename = { score = \"…\" }`")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Words of the good manifest are swapped for one another: whatever is still a plan has all indexes in range.
    #[test]
    fn mutated_manifests_give_sound_plans_or_errors(swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4)) {
        let words: Vec<&str> = GOOD.split_inclusive([' ', '\n', '"', '.']).collect();
        let mut text = words.clone();
        for (at, with) in &swaps {
            text[at.index(words.len())] = words[with.index(words.len())];
        }
        let Ok(manifest) = Manifest::parse_toml(&text.concat(), "x") else { return Ok(()) };
        let descriptions = BTreeMap::from([(Name::new("delays").unwrap(), described())]);
        match Planner::plan(&manifest, &descriptions, &BTreeMap::new()) {
            Ok(plan) => check_indexes(&plan),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }

    /// Random graphs of selects and functions over two sources: those that are plans are sound, and equal manifests
    /// give equal plans.
    #[test]
    fn random_graphs_give_sound_plans(edges in prop::collection::vec((0..8usize, 0..8usize, 0..3u8), 1..8)) {
        let mut text = String::from("[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n[component.delays]\n");
        for source in ["n0", "n1"] {
            text += &format!("[source.{source}]\nconnector = \"file\"\nvolume = \"v\"\npath = \"x.parquet\"\nschema = [\"carrier: utf8\", \"delay: float64?\", \"distance: float64\"]\n");
        }
        for (at, (first, second, kind)) in edges.iter().enumerate() {
            let (first, second) = (first % (at + 2), second % (at + 2));
            let inputs = if first == second { format!("[\"n{first}\"]") } else { format!("[\"n{first}\", \"n{second}\"]") };
            let what = match kind {
                0 => "function = \"delays/drop\"",
                1 => "function = \"delays/score\"\nkeep = [\"distance\", \"carrier\"]\nrename = { score = \"delay\" }",
                _ => "select = [\"distance\", \"carrier\", \"delay\"]",
            };
            text += &format!("[operator.n{}]\ninputs = {inputs}\n{what}\n", at + 2);
        }
        text += &format!("[operator.last]\ninput = \"n{}\"\nselect = [\"carrier\"]\n[sink.out]\ninput = \"last\"\nconnector = \"discard\"\n", edges.len() + 1);
        let used: Vec<String> = (0..edges.len() + 2).map(|n| format!("[sink.s{n}]\ninput = \"n{n}\"\nconnector = \"discard\"\n")).collect();
        for text in [text.clone(), text + &used.concat()] {
            let result = plan_with(&text, described(), &[]);
            prop_assert_eq!(&result, &plan_with(&text, described(), &[]));
            if let Ok(plan) = result {
                check_indexes(&plan);
            }
        }
    }
}
