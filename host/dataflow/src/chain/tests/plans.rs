//! Plans that are not consistent: each is refused, none panics.

use super::*;

fn good() -> Plan {
    let nodes = vec![
        source("in", OnError::DeadLetter(4)),
        function("f", vec![from(0)], 2, OnError::DeadLetter(4), OnError::Fail),
        renew("renew", from(1)),
        sink("out", vec![from(1), Edge { node: 1, output: 1 }], vec![int("n"), label(), int("m")]),
        dead("dead"),
        sink("second", vec![from(2), from(0)], input()),
    ];
    Plan { nodes, limits: limits(), batch_rows: 8, checkpoint_interval: 1000, samples: 0 }
}

fn function_of(plan: &mut Plan) -> &mut Function {
    let NodeKind::Function(function) = &mut plan.nodes[1].kind else { panic!("node 1 is a function") };
    function
}

fn source_of(plan: &mut Plan) -> &mut Source {
    let NodeKind::Source(source) = &mut plan.nodes[0].kind else { panic!("node 0 is a source") };
    source
}

fn sink_of(plan: &mut Plan) -> &mut Sink {
    let NodeKind::Sink(sink) = &mut plan.nodes[5].kind else { panic!("node 5 is a sink") };
    sink
}

#[test]
fn takes_the_good_one() {
    Chain::new(Arc::new(good())).unwrap();
}

#[test]
fn refuses_the_others() {
    type Change = fn(&mut Plan);
    let changes: &[(&str, Change)] = &[
        ("no rows", |plan| plan.batch_rows = 0),
        ("many rows", |plan| plan.batch_rows = Plan::MAX_BATCH_ROWS + 1),
        ("many nodes", |plan| plan.nodes = vec![dead("dead"); Plan::MAX_NODES + 1]),
        ("itself", |plan| plan.nodes[1].inputs[0].node = 1),
        ("a later node", |plan| plan.nodes[1].inputs[0].node = 2),
        ("no node", |plan| plan.nodes[1].inputs[0].node = u32::MAX),
        ("no output", |plan| plan.nodes[2].inputs[0].output = 2),
        ("no input", |plan| plan.nodes[1].inputs.clear()),
        ("no input of a select", |plan| plan.nodes[2].inputs.clear()),
        ("a source with inputs", |plan| plan.nodes[0].inputs = vec![from(0)]),
        ("a source without outputs", |plan| plan.nodes[0].outputs.clear()),
        ("a sink with outputs", |plan| plan.nodes[3].outputs = vec![out("out", input())]),
        ("a sink of letters with inputs", |plan| plan.nodes[4].inputs = vec![from(0)]),
        ("a sink behind a sink", |plan| plan.nodes[5].inputs[1] = from(4)),
        ("a sink's columns", |plan| drop(sink_of(plan).fields.remove(0))),
        ("a sink's nullability", |plan| sink_of(plan).fields[1].nullable = false),
        ("a union", |plan| plan.nodes[5].inputs[1] = from(1)),
        ("a projection", |plan| source_of(plan).projection = Some(vec![2])),
        ("projected away", |plan| source_of(plan).projection = Some(vec![0])),
        ("letters to no node", |plan| source_of(plan).on_error = OnError::DeadLetter(6)),
        ("letters to a common sink", |plan| function_of(plan).on_error = OnError::DeadLetter(3)),
        ("letters to a function", |plan| function_of(plan).on_overrun = OnError::DeadLetter(1)),
        ("an argument", |plan| function_of(plan).arguments[0] = 2),
        ("nullability", |plan| function_of(plan).nullable.clear()),
        ("a kept column", |plan| function_of(plan).keep[0][1] = 2),
        ("a kept column's type", |plan| function_of(plan).keep[0][1] = 0),
        ("kept columns of no port", |plan| function_of(plan).keep.truncate(1)),
        ("too many kept", |plan| function_of(plan).keep[1] = vec![0, 1, 0, 1]),
        ("no ports", |plan| {
            function_of(plan).keep.clear();
            plan.nodes[1].outputs.clear();
        }),
        ("a select's outputs", |plan| plan.nodes[2].outputs.push(out("more", input()))),
        ("a select's columns", |plan| {
            plan.nodes[2].kind = NodeKind::Select(vec![SelectColumn { column: 9, cast: None }]);
        }),
    ];
    for (what, change) in changes {
        let mut plan = good();
        change(&mut plan);
        match Chain::new(Arc::new(plan)) {
            Err(error) => assert_eq!(error.code(), code::INTERNAL, "{what}"),
            Ok(_) => panic!("{what}"),
        }
    }
}

#[test]
fn only_sources_are_pushed_to() {
    for node in [1, 2, 3, 6, usize::MAX] {
        let mut chain = Chain::new(Arc::new(good())).unwrap();
        let pushed = chain.push(node, decoded(0, &[1]), "s", &mut Fake::default(), &mut Sinks::default());
        assert_eq!(pushed.unwrap_err().code(), code::INTERNAL);
    }
}

/// Indexes behind a source are those of what it delivers, not of all that its data has.
#[test]
fn a_projection_moves_indexes() {
    let mut plan = good();
    plan.nodes[0].outputs[0].fields = vec![label(), Field::new("x", LogicalType::Bool, true), int("n")];
    source_of(&mut plan).projection = Some(vec![2, 0]);
    let plan = Arc::new(plan);
    assert_eq!(delivered(&plan.nodes[0]).unwrap(), input());
    Chain::new(plan).unwrap();
}
