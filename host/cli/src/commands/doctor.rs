//! `lockgate doctor`: which walls this machine can raise around executors, and what to change for the rest.

use super::Outcome;
use crate::output::{Output, table};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_executor::jail::{Finding, Report, probe};
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every wall is tried, as the user who runs this: run it as the one that the TaskManager runs as, in \
                        its container. Exit code 3 says that one is missing without which a TaskManager does not start."
)]
pub struct Doctor {}

impl Doctor {
    #[expect(clippy::unused_self, reason = "as every verb is run")]
    pub fn run(&self, output: &Output) -> Outcome {
        let report = probe()?;
        output.result(&json!({ "sufficient": report.sufficient(), "walls": report.walls }), || text(&report));
        let missing: Vec<&str> =
            report.walls.iter().filter(|wall| wall.required && !wall.stands).map(|wall| wall.name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let cause = format!("this machine cannot raise every wall that is required: {}", missing.join(", "));
        Err(Error::new(code::WALLS_MISSING, cause)
            .help("change what the table says, or set jail = \"best-effort\"")
            .into())
    }
}

fn text(report: &Report) -> String {
    let row = |wall: &Finding| {
        let needed = if wall.required { "required" } else { "adds to it" };
        let state = if wall.stands { "yes" } else { "no" };
        vec![wall.name.to_owned(), state.to_owned(), needed.to_owned(), wall.found.clone()]
    };
    let mut text = table(Some(&["wall", "stands", "", "found"]), report.walls.iter().map(row));
    let changes: Vec<_> = report.walls.iter().filter_map(|wall| Some((wall.name, wall.change.as_deref()?))).collect();
    if !changes.is_empty() {
        text.push_str("\nto change:\n");
        text.extend(grouped(&changes).map(|(names, change)| format!("  {names}: {change}\n")));
    }
    text
}

/// One entry for those that follow each other and want the same.
fn grouped<'a>(changes: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, &'a str)> {
    changes.chunk_by(|(_, one), (_, next)| one == next).filter_map(|alike| {
        let names: Vec<&str> = alike.iter().map(|(name, _)| *name).collect();
        Some((names.join(", "), alike.first()?.1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(name: &'static str, required: bool, change: Option<&str>) -> Finding {
        let found = if change.is_some() { "Operation not permitted" } else { "works" };
        Finding { name, required, stands: change.is_none(), found: found.into(), change: change.map(String::from) }
    }

    #[test]
    fn the_table_says_what_stands_and_what_to_change() {
        let walls = vec![
            wall("landlock", true, None),
            wall("pid-namespace", false, Some("allow clone")),
            wall("uts-namespace", false, Some("allow clone")),
            wall("control-group", false, Some("delegate")),
        ];
        let text = text(&Report { walls });
        assert_eq!(
            text,
            "wall           stands              found\n\
             landlock       yes     required    works\n\
             pid-namespace  no      adds to it  Operation not permitted\n\
             uts-namespace  no      adds to it  Operation not permitted\n\
             control-group  no      adds to it  Operation not permitted\n\
             \n\
             to change:\n  pid-namespace, uts-namespace: allow clone\n  control-group: delegate\n"
        );
    }
}
