//! `udf/*`: a function node on one batch, from Arrow columns to Arrow columns, as a task slot runs it.

use crate::figure::Report;
use crate::project::{Project, first};
use crate::sample::{Pair, whole};
use crate::{ROWS, Result, native};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use lockgate_core::columns::BatchRef;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::planner::Planner;
use lockgate_dataflow::schema::arrow_schema;
use lockgate_dataflow::{CallContext, Called, Chain, Decoded, Deliver, Failure, Rows, Tracked, Udf, chain};
use lockgate_sandbox::{BatchSeed, CallError, CheckLimits, Engine, EngineOptions, Instance, Program, Settings};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

/// Measures the rows.
///
/// # Errors
/// When the guest fails.
pub fn measure(report: &Report) -> Result<()> {
    if !["udf/numeric", "udf/string", "udf/upper", "udf/json", "udf/empty"].iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let guests = Guests::new()?;
    let prices = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64 * 1.25)));
    guests.compare(report, "udf/numeric", "to_eur", "float64", &prices, |prices| Ok(native::to_eur(prices)))?;
    let texts = Arc::new(texts(12));
    guests.compare(report, "udf/string", "keep", "utf8", &texts, native::keep)?;
    let texts = Arc::new(self::texts(20));
    guests.compare(report, "udf/upper", "upper", "utf8", &texts, native::upper)?;
    let lines = Arc::new(bids());
    guests.compare(report, "udf/json", "json", "utf8", &lines, native::json)?;
    if report.wants("udf/empty") {
        let mut node = guests.node("empty", "int64", Arc::new(Int64Array::from(vec![1])))?;
        Pair { ours: whole(|| node.push()), native: None, records: 1 }.measure("udf/empty", report)?;
    }
    Ok(())
}

/// The compiled component.
struct Guests {
    program: Program,
    project: Project,
}

impl Guests {
    fn new() -> Result<Self> {
        let project = Project::new(&manifest("to_eur", "float64"), None)?;
        let options = EngineOptions { slots: 1, ..EngineOptions::default() };
        let bundle = project.admit()?;
        let name = project.parts.keys().next().ok_or("no component")?;
        let component = bundle.component(name).ok_or("no component")?;
        let program = Engine::new(&options)?.program(&component, &CheckLimits::default())?;
        Ok(Self { program, project })
    }

    fn compare<A: arrow_array::Array + 'static>(
        &self,
        report: &Report,
        name: &'static str,
        function: &str,
        logical: &str,
        column: &Arc<A>,
        native: impl Fn(&A) -> Result<ArrayRef>,
    ) -> Result<()> {
        if !report.wants(name) {
            return Ok(());
        }
        let mut node = self.node(function, logical, column.clone())?;
        // Both must compute the same.
        node.push()?;
        if node.sink.last.as_ref() != Some(&native(column)?) {
            return Err(format!("{name}: the guest computes something else than native code").into());
        }
        let native = || {
            drop(black_box(native(black_box(column))?));
            Ok(())
        };
        Pair { ours: whole(|| node.push()), native: Some(whole(native)), records: ROWS }.measure(name, report)
    }

    /// A chain of a source, the function and a sink.
    fn node(&self, function: &str, logical: &str, column: ArrayRef) -> Result<Node> {
        let manifest = Project::new(&manifest(function, logical), None)?.manifest;
        let described = self.project.parts.iter().map(|(name, part)| (name.clone(), part.describe.clone())).collect();
        let plan = Planner::plan(&manifest, &described, &BTreeMap::new()).map_err(first)?;
        let (mut source, mut index) = (0, 0);
        for (at, node) in plan.nodes.iter().enumerate() {
            match &node.kind {
                NodeKind::Source(_) => source = at,
                NodeKind::Function(function) => index = function.index,
                _ => {}
            }
        }
        let fields = chain::delivered(plan.nodes.get(source).ok_or("no source")?)?;
        let batch = RecordBatch::try_new(arrow_schema(&fields), vec![column])?;
        let settings = Settings { limits: plan.limits, ..Settings::default() };
        let guest = Guest { program: self.program.clone(), settings, index, instance: None };
        Ok(Node { chain: Chain::new(Arc::<Plan>::new(plan))?, source, batch, guest, sink: Sink::default() })
    }
}

/// The filter passes its text through; the others give a new column only.
fn manifest(function: &str, logical: &str) -> String {
    let (argument, keep) = match function {
        "to_eur" => ("price", ""),
        "keep" => ("text", "\"text\""),
        "upper" => ("text", ""),
        "json" => ("line", ""),
        _ => ("value", ""),
    };
    format!(
        r#"
[job]
tenant = "benches"
name = "udf"
version = 1
[component.nexmark]
path = "nexmark.wasm"
[source.rows]
connector = "stdin"
format = "json"
schema = ["{argument}: {logical}"]
[operator.udf]
input = "rows"
function = "nexmark/{function}"
keep = [{keep}]
[sink.nowhere]
input = "udf"
connector = "discard"
"#
    )
}

struct Node {
    chain: Chain,
    source: usize,
    batch: RecordBatch,
    guest: Guest,
    sink: Sink,
}

impl Node {
    fn push(&mut self) -> Result<()> {
        let tracked = Tracked { batch: self.batch.clone(), rows: Rows::From(0) };
        let decoded = Decoded { tracked, bad: Vec::new(), position: Vec::new() };
        Ok(self.chain.push(self.source, decoded, "0", &mut self.guest, &mut self.sink)?)
    }
}

/// One sandboxed instance, as a slot has it.
struct Guest {
    program: Program,
    settings: Settings,
    index: u32,
    instance: Option<Instance>,
}

impl Udf for Guest {
    fn call(&mut self, _: usize, batch: &BatchRef<'_>, context: &CallContext<'_>) -> Result<Called, Failure> {
        let failure = |failed: CallError| Failure {
            divisible: failed.divisible(),
            error: failed.error,
            backtrace: failed.backtrace,
            fuel: failed.fuel,
        };
        let seed = BatchSeed { split: context.split, first_row: context.first_row, part: context.part };
        if self.instance.as_ref().is_some_and(Instance::should_replace) {
            self.instance = None;
        }
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.program.instance(&self.settings, &seed).map_err(failure)?),
        };
        let called = instance.call(self.index, &[*batch], &seed).map_err(failure)?;
        Ok(Called { output: called.output, fuel: called.fuel })
    }
}

/// Keeps the first column of the last batch.
#[derive(Default)]
struct Sink {
    last: Option<ArrayRef>,
}

impl Deliver for Sink {
    fn batch(&mut self, _: usize, batch: &RecordBatch) -> lockgate_core::Result<()> {
        self.last = batch.columns().first().cloned();
        Ok(())
    }
}

/// Texts of `length` letters out of eight.
fn texts(length: usize) -> StringArray {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state >> 32) as u8 % 8)
    };
    StringArray::from_iter_values((0..ROWS).map(|_| (0..length).map(|_| letter()).collect::<String>()))
}

/// Bids of 173 bytes.
fn bids() -> StringArray {
    StringArray::from_iter_values((0..ROWS).map(|row| {
        format!(
            r#"{{"auction":{},"bidder":{},"price":{}.5,"channel":"channel-{}","url":"https://www.nexmark.com/item.htm?query={}","date_time":{},"extra":"{}"}}"#,
            100_000 + row,
            200_000 + row * 7 % 100_000,
            1_000 + row * 31 % 9_000,
            1_000 + row % 1_000,
            10 + row % 80,
            1_700_000_000_000_u64 + row as u64,
            "abcd".repeat(3),
        )
    }))
}
