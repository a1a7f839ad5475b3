//! A case: one call that must be refused, with this status and this code, and must leave everything as it was.

use super::client::Answer;
use super::site::Site;
use crate::harness::suite::Ended;
use std::time::{Duration, Instant};

/// How long what a refused call left may take to go: a broken upload's file goes when the server has seen its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cases as they end.
#[derive(Default)]
pub struct Cases {
    pub ended: Vec<Ended>,
    /// The codes of refusals that the audit log must have.
    pub denied: Vec<(String, &'static str)>,
    /// What is wrong apart from any case.
    pub complaints: Vec<String>,
}

/// What must come of a call: its status and its code; no answer at all is 0 and nothing.
pub type Expected = (u16, &'static str);

/// A connection that ends without an answer.
pub const CLOSED: Expected = (0, "");

/// Codes of requests that say nothing anybody could be denied: malformed, or too large to be read. The audit log leaves them
/// to the log of requests, as it does connections that end.
const UNSAID: &[&str] = &["", "LG0101", "LG0104", "LG1001", "LG1002", "LG1003", "LG1006", "LG1007", "LG1010", "LG1061"];

impl Cases {
    /// Runs one case.
    pub fn run(
        &mut self,
        site: &Site,
        (group, who): (&'static str, &'static str),
        name: &str,
        (status, code): Expected,
        call: impl FnOnce(&Site) -> Answer,
    ) {
        let before = site.state();
        let answer = call(site);
        let mut result = Ok(());
        if (answer.status, &*answer.code()) != (status, code) {
            result = Err(format!("{} {} instead of {status} {code}: {answer:?}", answer.status, answer.code()));
        }
        if let Err(left) = unchanged(site, &before) {
            result = Err(left);
        }
        if !UNSAID.contains(&code) {
            self.denied.push((name.to_owned(), code));
        }
        let verdict = if status == 0 { "no answer".to_owned() } else { format!("{status} {code}") };
        self.ended.push(Ended { group, name: name.to_owned(), verdict, billed: who, result });
    }

    /// What must be so besides: `complaint` if it is not.
    pub fn check(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(complaint());
        }
    }
}

/// Whether everything is as it was, once what is still going on has ended.
fn unchanged(site: &Site, before: &[String]) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let after = site.state();
        if after == before {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let new: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
            return Err(format!("something is left: {new:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
