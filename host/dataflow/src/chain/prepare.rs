//! From a plan to operators that are ready to run.
//!
//! The planner is trusted, but a plan crosses a process boundary: every index in it is followed once here, so that
//! running needs no check and cannot panic.

use crate::function::{Function, Port};
use crate::schema::arrow_schema;
use crate::select::Select;
use arrow_schema::SchemaRef;
use lockgate_core::error::{Error, Result, code};
use lockgate_core::plan::{Node, NodeKind, OnError, Plan};
use lockgate_core::types::Field;
use std::sync::Arc;

/// A node that is ready to run.
#[derive(Debug)]
pub(super) struct Operator {
    pub kind: Kind,
    /// For each output the nodes that take it, in the plan's order; twice, if a union names an output twice.
    pub consumers: Vec<Vec<usize>>,
}

/// What a node does.
#[derive(Debug)]
pub(super) enum Kind {
    Source {
        /// All columns pass through; the schema is the plan's.
        shape: Arc<Port>,
        on_error: OnError,
    },
    Function(Box<Function>),
    Select(Select),
    Sink(SchemaRef),
}

/// The columns of a source's batches: those of its output that its projection names.
///
/// # Errors
/// `LG0003` if `node` is not a source with one output or its projection is out of range.
pub fn delivered(node: &Node) -> Result<Vec<Field>> {
    let (NodeKind::Source(source), [output]) = (&node.kind, node.outputs.as_slice()) else {
        return wrong("a source does not have one output");
    };
    let Some(projection) = &source.projection else { return Ok(output.fields.clone()) };
    let fields: Option<Vec<Field>> =
        projection.iter().map(|index| output.fields.get(*index as usize).cloned()).collect();
    fields.map_or_else(|| wrong("a projection names a column that is not there"), Ok)
}

/// Checks the plan and makes its operators.
///
/// # Errors
/// `LG0003` if it is not consistent.
pub(super) fn operators(plan: &Arc<Plan>) -> Result<Vec<Operator>> {
    if plan.nodes.len() > Plan::MAX_NODES || !(1..=Plan::MAX_BATCH_ROWS).contains(&plan.batch_rows) {
        return wrong("too many nodes, or batches of no or too many rows");
    }
    let mut operators: Vec<Operator> = Vec::with_capacity(plan.nodes.len());
    for (index, node) in plan.nodes.iter().enumerate() {
        let at = |error: Error| error.at(format!("node {}", node.name));
        let kind = kind(plan, index, node).map_err(at)?;
        for edge in &node.inputs {
            let output = operators.get_mut(edge.node as usize).and_then(|o| o.consumers.get_mut(edge.output as usize));
            let Some(output) = output else {
                return wrong("an input is not an output of an earlier node").map_err(at);
            };
            output.push(index);
        }
        operators.push(Operator { kind, consumers: vec![Vec::new(); node.outputs.len()] });
    }
    Ok(operators)
}

fn kind(plan: &Arc<Plan>, index: usize, node: &Node) -> Result<Kind> {
    Ok(match &node.kind {
        NodeKind::Source(source) => {
            if !node.inputs.is_empty() {
                return wrong("a source has inputs");
            }
            check_policy(plan, source.on_error)?;
            let fields = delivered(node)?;
            let shape = Port::new((0..fields.len()).collect(), Vec::new(), arrow_schema(&fields));
            Kind::Source { shape: Arc::new(shape), on_error: source.on_error }
        }
        NodeKind::Function(function) => {
            check_policy(plan, function.on_error)?;
            check_policy(plan, function.on_overrun)?;
            Kind::Function(Box::new(Function::new(plan, index, function, &input(plan, index, node)?)?))
        }
        NodeKind::Select(columns) => {
            let [output] = node.outputs.as_slice() else { return wrong("a select does not have one output") };
            Kind::Select(Select::new(columns, &input(plan, index, node)?, &output.fields)?)
        }
        NodeKind::Sink(sink) => {
            if !node.outputs.is_empty() {
                return wrong("a sink has outputs");
            }
            if sink.dead_letters {
                if !node.inputs.is_empty() {
                    return wrong("a sink of dead letters has inputs");
                }
            } else if !fits(&input(plan, index, node)?, &sink.fields) {
                return wrong("a sink's columns are not those of its inputs");
            }
            Kind::Sink(arrow_schema(&sink.fields))
        }
    })
}

/// The columns of what a node takes, which are the same for all its inputs: a column may be null if it may be in any.
fn input(plan: &Plan, index: usize, node: &Node) -> Result<Vec<Field>> {
    let mut union: Option<Vec<Field>> = None;
    for edge in &node.inputs {
        let earlier = plan.nodes.get(..index).and_then(|nodes| nodes.get(edge.node as usize));
        let Some(from) = earlier else { return wrong("an input is not an earlier node") };
        let fields = match (&from.kind, from.outputs.get(edge.output as usize)) {
            (NodeKind::Source(_), Some(_)) => delivered(from)?,
            (_, Some(output)) => output.fields.clone(),
            (_, None) => return wrong("an input is not an output of its node"),
        };
        match &mut union {
            None => union = Some(fields),
            Some(union) => {
                let same = |(a, b): (&Field, &Field)| a.data_type == b.data_type;
                if union.len() != fields.len() || !union.iter().zip(&fields).all(same) {
                    return wrong("the inputs of a union differ");
                }
                union.iter_mut().zip(&fields).for_each(|(a, b)| a.nullable |= b.nullable);
            }
        }
    }
    union.map_or_else(|| wrong("a node has no input"), Ok)
}

fn fits(from: &[Field], to: &[Field]) -> bool {
    let fits = |(from, to): (&Field, &Field)| from.data_type == to.data_type && (to.nullable || !from.nullable);
    from.len() == to.len() && from.iter().zip(to).all(fits)
}

fn check_policy(plan: &Plan, policy: OnError) -> Result<()> {
    let OnError::DeadLetter(sink) = policy else { return Ok(()) };
    match plan.nodes.get(sink as usize).map(|node| &node.kind) {
        Some(NodeKind::Sink(sink)) if sink.dead_letters => Ok(()),
        _ => wrong("dead letters go to a node that is no sink of dead letters"),
    }
}

fn wrong<T>(what: &str) -> Result<T> {
    Err(Error::new(code::INTERNAL, format!("the plan is inconsistent: {what}")))
}
