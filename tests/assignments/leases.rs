//! For how long: leases without end, silence, and answers that come when it is too late.
//!
//! This TaskManager lets nothing run for more than four seconds without word of the JobManager, whatever that says.

use super::stage::{Delayed, Harmless, Said, Site};
use super::wire::{Answer, How};
use crate::harness::suite::Ended;
use lockgate_core::Digest;
use lockgate_core::plane::{AuditHead, Status};
use serde_json::Value;

const GROUP: &str = "leases";

pub fn outcomes() -> Vec<Ended> {
    let mut site = Site::start_with("max-lease = \"4 s\"");
    site.jobmanager.change(|state| state.lease_ms = u64::MAX);
    site.case(GROUP, "a lease without end, then silence", Delayed, |site, said| {
        let held = held_at(site, said, "claim")?;
        silence_until_it_ends(site, &held)?;
        // Nothing that was said goes on by itself.
        said.assignment.epoch = held.assignment.epoch + 1;
        site.lie_at("trust", |_, honest| honest.how(How::Silence));
        Ok(())
    });
    site.case(GROUP, "a lease without end, then refusals", Delayed, |site, said| {
        let held = held_at(site, said, "claim")?;
        site.jobmanager.lie(|_, _| busy());
        it_ends(site, &held)?;
        let asked = |site: &Site| site.jobmanager.change(|state| state.asked(held.job(), "claim"));
        let before = asked(site);
        site.jobmanager.beats(3)?;
        if asked(site) > before {
            return Err("it goes on asking for splits".into());
        }
        said.assignment.epoch = held.assignment.epoch + 1;
        site.lie_at("trust", |_, honest| honest.how(How::Silence));
        Ok(())
    });
    site.case(GROUP, "a commit that is answered when the lease is over", Harmless, late_commit);
    let fork = audit(&mut site);
    site.note("audit log", "a log that was cut short, one that was written anew", "noticed LG1423".into(), fork);
    site.ended
}

/// Has the job run up to where it asks `route`, which is not answered with more than that it is to ask again.
pub fn held_at(site: &mut Site, said: &Said, route: &'static str) -> Result<Said, String> {
    let package = said.package.clone();
    let held = site.said(super::documents::clone(&said.tenant), package, said.assignment.epoch);
    site.lie_at(route, |_, _| busy());
    site.say(&held);
    let asked = |state: &super::jobmanager::State| (state.asked(held.job(), route) > 0).then_some(());
    site.jobmanager.wait(&format!("a {route}"), asked)?;
    if site.taskmanager.children() == 0 {
        return Err("nothing runs that could go on".into());
    }
    Ok(held)
}

fn busy() -> Answer {
    Answer::problem(503, "LG1066").header("lockgate-plane", "1.0")
}

/// Says nothing any more, on no connection, until nothing runs.
fn silence_until_it_ends(site: &Site, held: &Said) -> Result<(), String> {
    site.jobmanager.lie(|_, honest| honest.how(How::Silence));
    it_ends(site, held)?;
    site.jobmanager.plane.hang_up();
    Ok(())
}

/// Waits until its lease is over and it has ended, which nobody can be told of by the plane.
fn it_ends(site: &Site, held: &Said) -> Result<(), String> {
    let (job, tenant) = (held.job().to_string(), held.job().tenant.to_string());
    let ended = || {
        let lines = site.taskmanager.lines();
        let over =
            lines.iter().position(|line| line["job"] == *job && line["message"] == "its lease is over: it ends")?;
        let of_it = |line: &Value| line["job"] == *job || line["tenant"] == *tenant;
        let end = |line: &Value| of_it(line) && (line["message"] == "ended" || line["message"] == "failed");
        lines[over..].iter().any(end).then_some(())
    };
    site.jobmanager.poll("the end of what has no lease any more", ended)
}

/// The record has the commit, the TaskManager does not know: whoever opens the run next publishes it, once.
fn late_commit(site: &mut Site, said: &mut Said) -> Result<(), String> {
    let held = held_at(site, said, "commit")?;
    silence_until_it_ends(site, &held)?;
    let visible = site.taskmanager.files("out");
    if let Some(path) = visible.keys().find(|path| path.contains(&held.run) && !path.contains("/.")) {
        return Err(format!("{path} was published though nobody said that it counts"));
    }
    let mut again = held.assignment.clone();
    again.epoch += 1;
    site.jobmanager.change(|state| {
        state.lie = None;
        state.order(again.clone());
    });
    let ended = site.jobmanager.end(&again)?;
    if ended != Status::Finished {
        return Err(format!("the next lease ended as {ended:?}"));
    }
    site.rows_are_right(&held)?;
    said.assignment.epoch = held.assignment.epoch + 2;
    Ok(())
}

/// The end of the audit log as it is told: it must only ever go on.
fn audit(site: &mut Site) -> Result<(), String> {
    let head = |sequence: u64, content: &str| AuditHead { sequence, hash: Digest::of(content.as_bytes()) };
    let noticed = |site: &Site| site.taskmanager.log().iter().filter(|line| line.contains("LG1423")).count();
    let tell = |site: &Site, end: AuditHead| {
        site.jobmanager.change(|state| {
            state.audit = Some(end);
            state.revision += 1;
        });
        site.jobmanager.beats(3)
    };
    tell(site, head(5, "five"))?;
    tell(site, head(9, "nine"))?;
    if noticed(site) > 0 {
        return Err("a log that only goes on was complained of".into());
    }
    tell(site, head(7, "seven"))?;
    site.jobmanager.poll("a complaint of a log cut short", || (noticed(site) == 1).then_some(()))?;
    site.jobmanager.change(|state| state.known.insert(9, Digest::of(b"another nine")));
    tell(site, head(12, "twelve"))?;
    site.jobmanager.poll("a complaint of a log written anew", || (noticed(site) == 2).then_some(()))?;
    let said = site.honest();
    site.run(&said)
}
