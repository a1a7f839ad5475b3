//! Statements that say one thing and bind another.

use super::*;
use crate::error::Code;
use crate::testing::{DAY, draft, name, now, release};

fn statement() -> Statement {
    draft(3).package(None).unwrap().unverified_statement().unwrap()
}

fn refusal(change: impl FnOnce(&mut Statement)) -> Code {
    let mut statement = statement();
    change(&mut statement);
    Statement::parse(&statement.to_json().unwrap()).unwrap_err().code()
}

#[test]
fn reads_what_it_writes() {
    assert_eq!(Statement::parse(&statement().to_json().unwrap()).unwrap(), statement());
}

#[test]
fn contradictions_are_refused() {
    let touch = |path: &str| Touch {
        kind: ResourceKind::Volume,
        name: name("flights"),
        mode: Mode::Read,
        path: path.to_owned(),
    };
    type Change<'a> = Box<dyn FnOnce(&mut Statement) + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        ("another type", Box::new(|s| s.statement_type = "https://in-toto.io/Statement/v0.1".into())),
        ("another predicate", Box::new(|s| s.predicate_type.push('x'))),
        ("a subject too few", Box::new(|s| drop(s.subject.pop()))),
        ("a subject too many", Box::new(|s| s.subject.push(Subject { name: "x.wasm".into(), ..s.subject[0].clone() }))),
        ("a subject twice", Box::new(|s| s.subject.push(s.subject[0].clone()))),
        ("a subject's digest", Box::new(|s| s.subject[0].digest.sha256 = "0".repeat(64))),
        ("a component that is not in the manifest", Box::new(|s| s.predicate.manifest.component.clear())),
        (
            "a component's path",
            Box::new(|s| {
                s.predicate.manifest.component.values_mut().for_each(|component| component.path = Some("x".into()));
            }),
        ),
        (
            "unsorted imports",
            Box::new(|s| {
                s.predicate.components.values_mut().for_each(|component| component.imports.reverse());
            }),
        ),
        ("a function with a pipeline", Box::new(|s| s.predicate.kind = Kind::Function)),
        ("version 0", Box::new(|s| s.predicate.manifest.job.version = 0)),
        ("a parallelism of nothing", Box::new(|s| s.predicate.manifest.job.parallelism.min = 0)),
        ("an expiry before its beginning", Box::new(|s| s.predicate.expires = s.predicate.not_before)),
        ("a grace too long", Box::new(|s| s.predicate.grace_seconds = MAX_GRACE + 1)),
        ("a fallback forward", Box::new(|s| s.predicate.fallback = vec![release(3, "x")])),
        ("a replaced version ahead", Box::new(|s| s.predicate.replaces = Some(release(3, "x")))),
        ("an addition that is not touched", Box::new(|s| s.predicate.adds = vec![touch("2014/*")])),
        ("additions left out", Box::new(|s| s.predicate.adds.clear())),
        ("unsorted additions", Box::new(|s| s.predicate.adds.reverse())),
        ("too many fallbacks", Box::new(|s| s.predicate.fallback = vec![release(1, "x"); MAX_LIST + 1])),
    ];
    for (what, change) in changes {
        assert_eq!(refusal(change), code::MALFORMED_STATEMENT, "{what}");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in
        ["../x", "2013/../2012", "/etc", "2013/./x", "2013//x", "a\\b", "a\nb", "..", "2013/..", "2013/{a,..}/x"]
    {
        let mut draft = draft(1);
        draft.manifest.source.get_mut("flights").unwrap().path = Some(path.to_owned());
        assert_eq!(draft.package(None).unwrap_err().code(), code::MALFORMED_STATEMENT, "{path:?}");
    }
}

#[test]
fn a_manifest_touches_its_volumes_and_streams() {
    let shown: Vec<String> = crate::testing::manifest(1).touches().iter().map(show).collect();
    assert_eq!(
        shown,
        [r#"reading "2013/*.parquet" of volume flights"#, r#"writing "late" of volume results"#, "writing stdout"]
    );
    let mut quiet = crate::testing::manifest(1);
    quiet.sink.values_mut().for_each(|sink| (sink.connector, sink.volume) = ("discard".into(), None));
    quiet.source.values_mut().for_each(|source| (source.connector, source.volume) = ("nexmark".into(), None));
    assert!(quiet.touches().is_empty());
}

#[test]
fn unknown_fields_duplicates_and_floats_are_refused() {
    let text = String::from_utf8(statement().to_json().unwrap()).unwrap();
    for (from, to, expected) in [
        ("{", r#"{"x":1,"#, code::MALFORMED_DOCUMENT),
        (r#""kind":"job""#, r#""kind":"job","x":1"#, code::MALFORMED_DOCUMENT),
        (r#""tenant":"#, r#""root":true,"tenant":"#, code::MALFORMED_DOCUMENT),
        (r#""weight":"0.3""#, r#""weight":0.3"#, code::MALFORMED_JSON),
        (r#""kind":"job""#, r#""kind":"function","kind":"job""#, code::MALFORMED_JSON),
        (r#""version":3"#, r#""version":3.0"#, code::MALFORMED_JSON),
        (r#""version":3"#, r#""version":-3"#, code::MALFORMED_DOCUMENT),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        let changed = text.replacen(from, to, 1);
        assert_eq!(Statement::parse(changed.as_bytes()).unwrap_err().code(), expected, "{to}");
    }
}

#[test]
fn an_upgrade_lists_what_it_adds() {
    let before = draft(1).package(None).unwrap();
    let mut next = draft(2);
    next.manifest.source.get_mut("flights").unwrap().path = Some("2013/12/*".into());
    let predicate = next.clone().package(Some(&before)).unwrap().unverified_statement().unwrap().predicate;
    assert_eq!(predicate.replaces, Some(before.release().unwrap()));
    assert_eq!(predicate.adds.iter().map(show).collect::<Vec<_>>(), [r#"reading "2013/12/*" of volume flights"#]);
    next.manifest.job.name = name("other");
    assert_eq!(next.package(Some(&before)).unwrap_err().code(), code::MALFORMED_STATEMENT);
}

#[test]
fn what_a_job_touches_is_bounded() {
    let with = |count: usize| {
        let mut draft = draft(1);
        let sink = draft.manifest.sink[&name("late")].clone();
        draft.manifest.sink = (0..count)
            .map(|at| {
                (name(&format!("sink-{at}")), crate::manifest::Sink { path: Some(format!("{at}")), ..sink.clone() })
            })
            .collect();
        draft.package(None)
    };
    // The source is touched as well.
    assert!(with(MAX_TOUCHES - 1).is_ok());
    assert_eq!(with(MAX_TOUCHES).unwrap_err().code(), code::MALFORMED_STATEMENT);
}

#[test]
fn functions_have_no_pipeline() {
    let mut draft = draft(1);
    draft.kind = Kind::Function;
    draft.manifest.source.clear();
    draft.manifest.operator.clear();
    draft.manifest.sink.clear();
    draft.expires = now().plus(DAY);
    let predicate = draft.package(None).unwrap().unverified_statement().unwrap().predicate;
    assert!(predicate.adds.is_empty() && predicate.kind == Kind::Function);
}
