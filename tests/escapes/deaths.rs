//! Honest executors that die: killed from outside, or by another job of their tenant. No record is lost or repeated, and no
//! other tenant notices.

use super::taskmanager::{compromised, job};
use crate::harness::{Home, Run};
use crate::hostile::attack::beside_in;
use lockgate_core::Name;
use lockgate_core::error::code;
use lockgate_executor::{Executors, testing};
use lockgate_taskmanager::job::{Event, Prepared};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

const ROWS: i64 = 400;

/// An honest job of many batches, each of which is committed.
fn honest() -> Prepared {
    let mut job = job("honest", "batch-rows = 20", "");
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    job
}

/// Kills the tenant's executor, or the one that its job got for itself after the first death.
fn kill(executors: &Executors, alone: bool) {
    let (tenant, job) = (Name::new("mallory").expect("a name"), honest().identity.name);
    let executor = if alone { executors.alone(&tenant, &job) } else { executors.of(&tenant) };
    let executor = executor.expect("an executor");
    let pid = Pid::from_raw(executor.pid().cast_signed()).expect("a pid");
    kill_process(pid, Signal::KILL).expect("a signal");
}

fn once(home: &Home) {
    let mut rows: Vec<_> = home.rows("good").iter().map(|row| (row["x"].as_i64(), row["y"].as_i64())).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..ROWS).map(|x| (Some(x), Some(x))).collect::<Vec<_>>());
}

#[test]
fn an_executor_killed_in_the_middle_costs_no_record() {
    let executors = Arc::new(testing::executors(1));
    let home = Home::with_rows(0..ROWS);
    let (commits, restarts) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (killer, restarted) = (Arc::clone(&executors), Arc::clone(&restarts));
    let watch = move |event: &Event, _: &_| match event {
        Event::Committed { .. } => match commits.fetch_add(1, Ordering::Relaxed) {
            3 => kill(&killer, false),
            9 => kill(&killer, true),
            _ => {}
        },
        Event::Restarted { error } => {
            assert_eq!(error.code(), code::EXECUTOR_CRASHED, "{error}");
            restarted.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    };
    let run = Run { executors: Some(executors), watch: Some(Box::new(watch)), ..Run::default() };
    let ran = beside_in(&home, &honest(), run).expect("the neighbour notices nothing");
    assert!(ran.report().finished);
    assert_eq!(restarts.load(Ordering::Relaxed), 2);
    once(&home);
}

#[test]
fn executors_that_die_again_and_again_without_a_commit_fail_the_job() {
    let home = Home::with_rows(0..ROWS);
    let ran = home.run_as(&job("abort", "", ""), Run { executors: Some(compromised(1)), ..Run::default() });
    let error = ran.result.expect_err("it cannot be done");
    assert_eq!(error.code(), code::EXECUTOR_CRASHED);
    assert!(error.cause().contains("executors have died"), "{error}");
    assert!(home.rows("good").is_empty());
}

#[test]
fn a_job_goes_on_when_another_of_its_tenant_takes_their_executor_down() {
    let executors = compromised(2);
    let (begun, begin) = sync_channel(1);
    let restarts = Arc::new(Mutex::new(Vec::new()));
    let restarted = Arc::clone(&restarts);
    let (good, bad) = (Home::with_rows(0..ROWS), Home::with_rows(0..10));
    let (honest, crash) = (honest(), job("abort", "", ""));
    let ran = std::thread::scope(|scope| {
        let shared = Arc::clone(&executors);
        let good = &good;
        let honest = scope.spawn(move || {
            let watch = move |event: &Event, _: &_| match event {
                Event::Committed { .. } => drop(begun.try_send(())),
                Event::Restarted { error } => restarted.lock().unwrap().push(error.code()),
                _ => {}
            };
            good.run_as(&honest, Run { executors: Some(shared), watch: Some(Box::new(watch)), ..Run::default() })
        });
        begin.recv().expect("a commit");
        // Once is enough.
        let watch = |event: &Event, stop: &lockgate_taskmanager::job::Stop| {
            if matches!(event, Event::Restarted { .. }) {
                stop.cancel();
            }
        };
        let run = Run { executors: Some(executors), watch: Some(Box::new(watch)), ..Run::default() };
        assert!(bad.run_as(&crash, run).result.is_err());
        honest.join().expect("the honest job")
    });
    assert!(ran.report().finished);
    assert!(!restarts.lock().unwrap().is_empty(), "the executor was not shared, or the job was done before");
    once(&good);
}

#[test]
fn executors_that_die_again_and_again_fail_the_job_though_it_commits() {
    let executors = Arc::new(testing::executors(1));
    let (home, restarts) = (Home::with_rows(0..ROWS), Arc::new(AtomicUsize::new(0)));
    let (killer, restarted) = (Arc::clone(&executors), Arc::clone(&restarts));
    let watch = move |event: &Event, _: &_| match event {
        Event::Committed { .. } => kill(&killer, restarted.load(Ordering::Relaxed) > 0),
        Event::Restarted { .. } => drop(restarted.fetch_add(1, Ordering::Relaxed)),
        _ => {}
    };
    let ran =
        home.run_as(&honest(), Run { executors: Some(executors), watch: Some(Box::new(watch)), ..Run::default() });
    assert_eq!(ran.code(), code::EXECUTOR_CRASHED);
    assert_eq!(restarts.load(Ordering::Relaxed), 9, "the tenth is the last");
}
