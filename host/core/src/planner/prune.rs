//! Projection pushdown: columns that nothing downstream uses are dropped where they would arise.
//!
//! Outputs that meet in a union must keep one layout, so they share a class, and liveness is a property of a column of
//! a class. Each column becomes live at most once: the work is bounded by nodes times columns, whatever the graph.

use crate::plan::{Edge, NodeKind, Plan};
use std::collections::BTreeSet;

/// Drops the dead columns of `plan`. Sinks keep what they write; results of functions stay, since the guest gives them
/// anyway. A schema never becomes empty, because a batch without columns has no good form.
pub(super) fn prune(plan: &mut Plan) {
    let mut classes = Classes::of(plan);
    let mut queue: Vec<(usize, u32)> = Vec::new();
    for node in &plan.nodes {
        let read: Vec<u32> = match &node.kind {
            NodeKind::Sink(sink) => indexes(sink.fields.len()).collect(),
            NodeKind::Function(function) => function.arguments.clone(),
            NodeKind::Source(_) | NodeKind::Select(_) => Vec::new(),
        };
        if let Some(class) = node.inputs.first().and_then(|edge| classes.of_edge(*edge)) {
            queue.extend(read.into_iter().map(|column| (class, column)));
        }
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        for (output, port) in node.outputs.iter().enumerate() {
            let Some(class) = classes.of_output(index, output) else { continue };
            let kept = match &node.kind {
                NodeKind::Function(function) => function.keep.get(output).map_or(0, Vec::len),
                _ => port.fields.len(),
            };
            queue.extend(indexes(port.fields.len()).skip(kept).map(|column| (class, column)));
        }
    }
    loop {
        while let Some((class, column)) = queue.pop() {
            if classes.enliven(class, column) {
                queue.extend(classes.behind(plan, class, column));
            }
        }
        queue.extend(classes.empty().map(|class| (class, 0)));
        if queue.is_empty() {
            break;
        }
    }
    rewrite(plan, &classes);
}

/// Classes of outputs, numbered densely.
struct Classes {
    /// For each node the class of each of its outputs.
    outputs: Vec<Vec<usize>>,
    /// For each class its outputs as (node, output).
    members: Vec<Vec<(usize, usize)>>,
    /// For each class its live columns.
    live: Vec<BTreeSet<u32>>,
}

impl Classes {
    fn of(plan: &Plan) -> Self {
        let mut outputs: Vec<Vec<usize>> = Vec::new();
        let mut members: Vec<Vec<(usize, usize)>> = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            outputs.push((0..node.outputs.len()).map(|output| members.len() + output).collect());
            members.extend((0..node.outputs.len()).map(|output| vec![(index, output)]));
        }
        let mut classes = Self { outputs, live: vec![BTreeSet::new(); members.len()], members };
        for node in &plan.nodes {
            for edge in node.inputs.iter().skip(1) {
                let ends = node.inputs.first().and_then(|first| classes.of_edge(*first)).zip(classes.of_edge(*edge));
                if let Some((into, from)) = ends.filter(|(into, from)| into != from) {
                    classes.merge(into, from);
                }
            }
        }
        classes
    }

    fn merge(&mut self, into: usize, from: usize) {
        let moved = self.members.get_mut(from).map(std::mem::take).unwrap_or_default();
        for (node, output) in &moved {
            if let Some(class) = self.outputs.get_mut(*node).and_then(|outputs| outputs.get_mut(*output)) {
                *class = into;
            }
        }
        if let Some(members) = self.members.get_mut(into) {
            members.extend(moved);
        }
    }

    fn of_output(&self, node: usize, output: usize) -> Option<usize> {
        self.outputs.get(node)?.get(output).copied()
    }

    fn of_edge(&self, edge: Edge) -> Option<usize> {
        self.of_output(edge.node as usize, edge.output as usize)
    }

    /// Marks a column; says whether it was dead.
    fn enliven(&mut self, class: usize, column: u32) -> bool {
        self.live.get_mut(class).is_some_and(|live| live.insert(column))
    }

    /// The columns of the inputs of a class's members that its column is made of.
    fn behind(&self, plan: &Plan, class: usize, column: u32) -> Vec<(usize, u32)> {
        let members = self.members.get(class).into_iter().flatten();
        let behind = members.filter_map(|(index, output)| {
            let node = plan.nodes.get(*index)?;
            let from = match &node.kind {
                NodeKind::Function(function) => *function.keep.get(*output)?.get(column as usize)?,
                NodeKind::Select(columns) => columns.get(column as usize)?.column,
                NodeKind::Source(_) | NodeKind::Sink(_) => return None,
            };
            Some((self.of_edge(*node.inputs.first()?)?, from))
        });
        behind.collect()
    }

    /// Classes without a live column.
    fn empty(&self) -> impl Iterator<Item = usize> {
        let pairs = self.members.iter().zip(&self.live).enumerate();
        pairs.filter(|(_, (members, live))| !members.is_empty() && live.is_empty()).map(|(class, _)| class)
    }

    /// The live columns of a node's input, in order.
    fn input(&self, edges: &[Edge]) -> Vec<u32> {
        let class = edges.first().and_then(|edge| self.of_edge(*edge));
        class.and_then(|class| self.live.get(class)).into_iter().flatten().copied().collect()
    }
}

fn rewrite(plan: &mut Plan, classes: &Classes) {
    for (index, node) in plan.nodes.iter_mut().enumerate() {
        let input = classes.input(&node.inputs);
        // The index of an input column among those that are left.
        let moved = |column: u32| input.binary_search(&column).ok().and_then(|at| u32::try_from(at).ok());
        let live = |output: usize| {
            let class = classes.of_output(index, output);
            class.and_then(|class| classes.live.get(class)).cloned().unwrap_or_default()
        };
        match &mut node.kind {
            NodeKind::Source(source) => {
                // The node's own fields stay those of the data: a decoder must know the columns that it skips.
                let (live, all) = (live(0), node.outputs.first().map_or(0, |output| output.fields.len()));
                source.projection = (live.len() < all).then(|| live.into_iter().collect());
                continue;
            }
            NodeKind::Function(function) => {
                function.arguments = function.arguments.iter().filter_map(|column| moved(*column)).collect();
                for (output, keep) in function.keep.iter_mut().enumerate() {
                    let live = live(output);
                    let kept = indexes(keep.len()).zip(&*keep).filter(|(at, _)| live.contains(at));
                    *keep = kept.filter_map(|(_, column)| moved(*column)).collect();
                }
            }
            NodeKind::Select(columns) => {
                let live = live(0);
                let mut at = 0..;
                columns.retain_mut(|column| {
                    let used = at.next().is_some_and(|at| live.contains(&at));
                    if used && let Some(moved) = moved(column.column) {
                        column.column = moved;
                    }
                    used
                });
            }
            NodeKind::Sink(_) => {}
        }
        for (output, port) in node.outputs.iter_mut().enumerate() {
            let live = live(output);
            let mut at = 0..;
            port.fields.retain(|_| at.next().is_some_and(|at| live.contains(&at)));
        }
    }
}

fn indexes(length: usize) -> std::ops::Range<u32> {
    0..u32::try_from(length).unwrap_or(u32::MAX)
}
