//! What a manifest must satisfy by itself, whichever form it was read from and before any component is known.

use super::{Manifest, Parallelism, Setting};
use crate::error::{Code, Error, code};
use crate::limits::{LIMITS, Limits};
use crate::plan::Plan;
use crate::{human, suggest};
use std::ops::RangeInclusive;

/// Milliseconds between commits: from what a disk can bear to what a restart should have to repeat.
const CHECKPOINT_INTERVAL: RangeInclusive<u64> = 100..=86_400_000;
/// The most slots of a job.
const MAX_PARALLELISM: u32 = 1_024;
/// The most settings of a function, the longest name and the longest value.
const SETTINGS: (usize, usize, usize) = (256, 255, 64 << 10);

impl Manifest {
    /// Everything that is wrong with the manifest by itself; the planner asks this first.
    pub fn check(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        self.check_job(&mut errors);
        self.check_limits(&mut errors);
        self.check_settings(&mut errors);
        self.check_lists(&mut errors);
        errors.extend(self.restart_strategy().err());
        errors
    }

    /// Lists of columns and inputs no longer than what they could name: each entry costs a search.
    fn check_lists(&self, errors: &mut Vec<Error>) {
        let mut check = |place: String, key: &str, length: usize, most: usize| {
            if length > most {
                let cause = format!("`{key}` has {} entries, more than {}", length, human::grouped(most as u64));
                errors.push(Error::new(code::TOO_MANY, cause).at(place));
            }
        };
        let length = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
        for (name, operator) in &self.operator {
            let columns = [
                ("arguments", operator.arguments.len()),
                ("keep", length(&operator.keep)),
                ("rename", operator.rename.len()),
                ("select", operator.select.as_ref().map_or(0, Vec::len)),
            ];
            for (key, length) in columns {
                check(format!("operator {name}"), key, length, Plan::MAX_COLUMNS);
            }
            check(format!("operator {name}"), "inputs", length(&operator.inputs), Plan::MAX_NODES);
        }
        for (name, sink) in &self.sink {
            check(format!("sink {name}"), "inputs", length(&sink.inputs), Plan::MAX_NODES);
        }
        for (name, source) in &self.source {
            let columns = source.schema.as_ref().map_or(0, Vec::len);
            check(format!("source {name}"), "schema", columns, Plan::MAX_COLUMNS);
        }
    }

    fn check_job(&self, errors: &mut Vec<Error>) {
        let mut refuse = |cause: String, help: &str| {
            errors.push(Error::new(code::VALUE_OUT_OF_RANGE, cause).help(help).at("[job]"));
        };
        if self.job.version == 0 {
            refuse("version 0 is not a version".into(), "begin with `version = 1`");
        }
        let Parallelism { min, max } = self.job.parallelism;
        if min == 0 || max < min || max > MAX_PARALLELISM {
            refuse(
                format!("parallelism {min}..{max} is not a range within 1..{MAX_PARALLELISM}"),
                "write `parallelism = \"1..8\"`",
            );
        }
        if let Some(interval) = self.job.checkpoint_interval_ms.filter(|ms| !CHECKPOINT_INTERVAL.contains(ms)) {
            let cause = format!("a checkpoint interval of {} is not within 100 ms and 1 d", human::millis(interval));
            refuse(cause, "write `checkpoint-interval = \"10 s\"`");
        }
        if let Some(rows) = self.job.batch_rows.filter(|rows| !(1..=Plan::MAX_BATCH_ROWS).contains(rows)) {
            let top = human::grouped(Plan::MAX_BATCH_ROWS.into());
            refuse(
                format!("batches of {} rows are not within 1 and {top}", human::grouped(rows.into())),
                "8,192 is a good size",
            );
        }
        if let Some(rows) = self.job.sample_failed_rows.filter(|rows| *rows > Plan::MAX_SAMPLES) {
            let cause = format!("{rows} rows that failed are to be shown at once, at most {} are", Plan::MAX_SAMPLES);
            refuse(cause, "write `sample-failed-rows = 3`, or leave it out: then no row leaves the TaskManager");
        }
    }

    fn check_limits(&self, errors: &mut Vec<Error>) {
        for (limit, (_, value)) in LIMITS.iter().zip(Limits::with(&self.limits).entries()) {
            if value < limit.least {
                let (value, least) = (limit.unit.show(value), limit.unit.show(limit.least));
                let cause = format!("limit {} is {value}, which is below {least}", limit.toml_key());
                errors.push(Error::new(code::LIMIT_TOO_LOW, cause).at("[limits]"));
            }
        }
    }

    fn check_settings(&self, errors: &mut Vec<Error>) {
        let (most, longest_name, longest_value) = SETTINGS;
        for (node, operator) in &self.operator {
            let mut refuse = |code: Code, cause: String, help: String| {
                errors.push(Error::new(code, cause).help(help).at(format!("operator {node}")));
            };
            if operator.config.len() > most {
                refuse(
                    code::INVALID_SETTING,
                    format!("{} settings are more than {most}", operator.config.len()),
                    "merge some".into(),
                );
            }
            for (name, setting) in &operator.config {
                let shown: String = name.chars().take(80).collect();
                if name.is_empty() || name.len() > longest_name || name.contains(|c: char| c == '=' || c.is_control()) {
                    let help = "use 1 to 255 bytes without `=` and control characters".into();
                    refuse(code::INVALID_SETTING, format!("setting {shown:?} has a name that is not allowed"), help);
                }
                match setting {
                    Setting::Text(text) if text.len() > longest_value || text.contains('\0') => {
                        let help = "use at most 64 KiB without NUL".into();
                        refuse(
                            code::INVALID_SETTING,
                            format!("setting {shown:?} has a value that is not allowed"),
                            help,
                        );
                    }
                    Setting::Parameter(wanted) if !self.parameters.contains_key(&wanted.parameter) => {
                        let help = suggest::help(&wanted.parameter, self.parameters.keys().map(|name| name.as_str()));
                        let cause = format!(
                            "setting {shown:?} refers to parameter {}, which is not declared",
                            wanted.parameter
                        );
                        refuse(code::UNKNOWN_PARAMETER, cause, help);
                    }
                    _ => {}
                }
            }
        }
    }
}
