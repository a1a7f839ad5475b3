//! What an executor says of a plan's nodes, lines and failures is checked where it comes in.

use super::*;
use lockgate_core::limits::Limits;

fn plan() -> Plan {
    Plan { nodes: Vec::new(), limits: Limits::default(), batch_rows: 1, checkpoint_interval: 0, samples: 0 }
}

#[test]
fn counters_of_what_is_not_in_the_plan_are_refused() {
    let (node, function) = (NodeUsage::default(), (0, FunctionUsage::default()));
    assert_eq!(Usage { cpu: u64::MAX, ..Usage::default() }.check(&plan()), Ok(()));
    for other in
        [Usage { nodes: vec![node], ..Usage::default() }, Usage { functions: vec![function], ..Usage::default() }]
    {
        assert_eq!(other.check(&plan()).unwrap_err().code(), code::PROTOCOL_RANGE);
    }
}

#[test]
fn lines_of_nobody_are_refused() {
    let line = LogLine { node: 0, level: "info".into(), text: String::new() };
    assert_eq!(LogLine::checked(Vec::new(), &plan()), Ok(Vec::new()));
    assert_eq!(LogLine::checked(vec![line], &plan()).unwrap_err().code(), code::PROTOCOL_RANGE);
}

#[test]
fn a_failure_neither_steers_nor_floods() {
    let (cause, help) = ("\u{1b}[2J".repeat(9_000), Some("\u{202e}".repeat(9_000)));
    let error = Failed { code: u16::MAX, cause, help }.error();
    assert_eq!(error.code(), code::INTERNAL);
    let texts = [error.cause(), error.help_text().unwrap()];
    assert!(texts.iter().all(|text| text.len() < 5_000 && text.chars().all(|c| c.is_ascii() || c == '…')));
}

#[test]
fn rows_that_failed_are_as_many_as_the_plan_says_and_of_its_nodes() {
    use lockgate_core::plan::{Node, NodeKind};
    let mut plan = Plan { samples: 2, ..plan() };
    let node = |name: &str| name.parse().unwrap();
    plan.nodes.push(Node { name: node("f"), inputs: vec![], kind: NodeKind::Select(vec![]), outputs: vec![] });
    let row = || FailedRow {
        node: node("f"),
        split: "in/\u{1b}[2J".into(),
        row: 7,
        code: 601,
        message: "no".into(),
        input: "x".repeat(1 << 20),
    };
    let checked = FailedRow::checked(vec![row(), row()], &plan).unwrap();
    assert!(checked[0].input.len() <= 2 * 1_024 && !checked[0].split.contains('\u{1b}'), "{checked:?}");
    let stranger = FailedRow { node: node("g"), ..row() };
    let coded = FailedRow { code: u16::MAX, ..row() };
    for wrong in [vec![row(), row(), row()], vec![stranger], vec![coded]] {
        assert_eq!(FailedRow::checked(wrong, &plan).unwrap_err().code(), code::PROTOCOL_RANGE);
    }
    plan.samples = 0;
    assert_eq!(FailedRow::checked(vec![row()], &plan).unwrap_err().code(), code::PROTOCOL_RANGE, "nobody let it");
    assert_eq!(FailedRow::checked(vec![], &plan).unwrap(), []);
}
