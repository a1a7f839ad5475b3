//! Progress while a job runs, and the table at its end.
//!
//! Both go to standard error: standard output may be the job's own. On a terminal a line is drawn over; elsewhere
//! nothing is shown until the end.

use crate::output::{Output, plain, table};
use indicatif::{ProgressBar, ProgressStyle};
use lockgate_core::human;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_executor::protocol::{FunctionUsage, LogLine, NodeUsage, Usage};
use lockgate_taskmanager::job::{Event, Events, Report};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shows how a job gets on.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    bar: ProgressBar,
    quiet: bool,
    started: Instant,
    names: Vec<String>,
    sources: Vec<usize>,
    slots: Mutex<BTreeMap<u32, Usage>>,
}

impl Progress {
    /// For a job of this plan; `quiet` shows nothing.
    pub fn new(plan: &Plan, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        let sources = plan.nodes.iter().enumerate().filter(|(_, node)| matches!(node.kind, NodeKind::Source(_)));
        Self(Arc::new(Inner {
            bar,
            quiet,
            started: Instant::now(),
            names: plan.nodes.iter().map(|node| node.name.to_string()).collect(),
            sources: sources.map(|(at, _)| at).collect(),
            slots: Mutex::default(),
        }))
    }

    /// Takes a job's events.
    pub fn events(&self) -> Events {
        let this = self.clone();
        Events::new(move |event| this.take(event))
    }

    /// A line for people.
    pub fn note(&self, text: &str) {
        self.0.line(text);
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.0.bar.finish_and_clear();
    }

    /// How long it took so far.
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn take(&self, event: Event) {
        match event {
            Event::Started { slots, splits, bytes, resumed } => {
                let goes_on = if resumed { "goes on from the last commit: " } else { "" };
                let bytes = bytes.filter(|bytes| *bytes > 0).map(|bytes| format!(", {}", human::about_bytes(bytes)));
                let (bytes, s) = (bytes.unwrap_or_default(), if slots == 1 { "" } else { "s" });
                let of = if splits == 1 { "split" } else { "splits" };
                self.0.line(&format!("{goes_on}{splits} {of}{bytes} in {slots} slot{s}"));
            }
            Event::Usage { slot, usage, .. } | Event::Committed { slot, usage, .. } => self.0.show(slot, usage),
            Event::WallsMissing { walls } => {
                let (landlock, seccomp) = (walls.landlock, if walls.seccomp { "yes" } else { "no" });
                let why = "jail = \"best-effort\" lets this job run without walls that are missing here";
                self.0.line(&format!("{why} (Landlock ABI {landlock}, seccomp {seccomp}); see `lockgate doctor`"));
            }
            Event::Restarted { error } => self.0.line(&format!("the executor died and is started again: {error}")),
            Event::Log { lines, .. } => lines.iter().for_each(|line| self.0.log(line)),
            // Whoever runs a job here has its dead letters here.
            Event::Failed { .. } => {}
        }
    }
}

impl Inner {
    fn show(&self, slot: u32, usage: Usage) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(slot, usage);
        let sum = |of: fn(&NodeUsage) -> u64, nodes: &[usize]| -> u64 {
            added(slots.values().flat_map(|usage| nodes.iter().filter_map(|at| usage.nodes.get(*at))).map(of))
        };
        let all: Vec<usize> = (0..self.names.len()).collect();
        let rows = sum(|node| node.rows_in, &self.sources);
        let failed = sum(|node| node.failed, &all);
        let fuel = added(slots.values().flat_map(|usage| &usage.functions).map(|(_, function)| function.fuel));
        let rate = rows as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!(
            "{} records, {}/s, {} fuel, {} failed",
            human::grouped(rows),
            human::about_count(rate as u64),
            human::about_count(fuel),
            human::grouped(failed)
        ));
        self.bar.tick();
    }

    fn log(&self, line: &LogLine) {
        let node = self.names.get(line.node as usize).map_or("", String::as_str);
        self.line(&format!("[{node}] {} {}", plain(&line.level), plain(&line.text)));
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| anstream::eprintln!("{text}"));
        }
    }
}

/// Writes how a job went: to standard error if standard output is the job's own.
pub fn report(output: &Output, plan: &Plan, report: &Report, elapsed: Duration, stdout_taken: bool) {
    let node = |at: usize| {
        report.slots.iter().filter_map(|slot| slot.nodes.get(at)).fold(NodeUsage::default(), |sum, more| NodeUsage {
            rows_in: sum.rows_in.saturating_add(more.rows_in),
            rows_out: sum.rows_out.saturating_add(more.rows_out),
            failed: sum.failed.saturating_add(more.failed),
            dead: sum.dead.saturating_add(more.dead),
            batches: sum.batches.saturating_add(more.batches),
        })
    };
    let function = |at: usize| {
        let each = report.slots.iter().flat_map(|slot| &slot.functions).filter(|(of, _)| *of as usize == at);
        each.map(|(_, usage)| usage).fold(None, |sum: Option<FunctionUsage>, more| {
            let sum = sum.unwrap_or_default();
            Some(FunctionUsage {
                calls: sum.calls.saturating_add(more.calls),
                traps: sum.traps.saturating_add(more.traps),
                instances: sum.instances.saturating_add(more.instances),
                fuel: sum.fuel.saturating_add(more.fuel),
                start_fuel: sum.start_fuel.saturating_add(more.start_fuel),
                // Slots share the work evenly enough that the greater of their quantiles is an honest one for all.
                fuel_p50: sum.fuel_p50.max(more.fuel_p50),
                fuel_p99: sum.fuel_p99.max(more.fuel_p99),
                fuel_max: sum.fuel_max.max(more.fuel_max),
                memory: sum.memory.max(more.memory),
                log_dropped: sum.log_dropped.saturating_add(more.log_dropped),
            })
        })
    };
    let nodes: Vec<(&str, &NodeKind, NodeUsage, Option<FunctionUsage>)> =
        plan.nodes.iter().enumerate().map(|(at, of)| (of.name.as_str(), &of.kind, node(at), function(at))).collect();
    let read =
        added(nodes.iter().filter(|(_, kind, ..)| matches!(kind, NodeKind::Source(_))).map(|(.., n, _)| n.rows_in));
    let seconds = elapsed.as_secs_f64();
    let value = json!({
        "finished": report.finished,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "records": read,
        "bytes-read": added(report.slots.iter().map(|slot| slot.bytes_read)),
        "cpu-seconds": report.slots.iter().map(|slot| slot.cpu as f64 / 1e9).sum::<f64>(),
        "nodes": nodes.iter().map(|(name, kind, node, function)| json!({
            "name": name, "kind": kind_of(kind), "rows-in": node.rows_in, "rows-out": node.rows_out,
            "failed": node.failed, "dead-lettered": node.dead, "batches": node.batches,
            "function": function.as_ref().map(function_json),
        })).collect::<Vec<_>>(),
    });
    let text = || {
        let header = ["node", "", "rows in", "rows out", "failed", "dead letters", "fuel/record p50", "p99", "memory"];
        let rows = nodes.iter().map(|(name, kind, node, function)| {
            let of = |show: &dyn Fn(&FunctionUsage) -> String| function.as_ref().map(show).unwrap_or_default();
            vec![
                (*name).to_owned(),
                kind_of(kind).to_owned(),
                human::grouped(node.rows_in),
                if matches!(kind, NodeKind::Sink(_)) { String::new() } else { human::grouped(node.rows_out) },
                human::grouped(node.failed),
                human::grouped(node.dead),
                of(&|usage| human::grouped(usage.fuel_p50)),
                of(&|usage| human::grouped(usage.fuel_p99)),
                of(&|usage| human::about_bytes(usage.memory)),
            ]
        });
        let state = if report.finished { "finished" } else { "stopped; the next run goes on from the last commit" };
        let rate = read as f64 / seconds.max(0.001);
        let line = format!(
            "{} record{} in {seconds:.2} s, {}/s: {state}\n",
            human::grouped(read),
            if read == 1 { "" } else { "s" },
            human::about_count(rate as u64)
        );
        table(Some(&header), rows) + &line
    };
    if stdout_taken { output.aside(&value, text) } else { output.result(&value, text) }
}

/// The sum of counters. They come from executors, which may say whatever they like.
fn added(counters: impl Iterator<Item = u64>) -> u64 {
    counters.fold(0, u64::saturating_add)
}

fn function_json(usage: &FunctionUsage) -> serde_json::Value {
    json!({
        "calls": usage.calls, "traps": usage.traps, "instances": usage.instances,
        "fuel": usage.fuel, "start-fuel": usage.start_fuel,
        "fuel-per-record": { "p50": usage.fuel_p50, "p99": usage.fuel_p99, "max": usage.fuel_max },
        "memory": usage.memory, "log-dropped": usage.log_dropped,
    })
}

fn kind_of(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Source(_) => "source",
        NodeKind::Function(_) => "function",
        NodeKind::Select(_) => "select",
        NodeKind::Sink(_) => "sink",
    }
}
