//! Figures, lines and failed rows of jobs.

use super::*;
use crate::model::event::Kind;
use lockgate_core::plane::{Fence, OperatorUsage, Report, ReportedException, ReportedLine, ReportedSample};

fn report(job: &Job, lines: usize) -> Report {
    let epoch = job.execution.epoch;
    let line = |index| ReportedLine { operator: Some(name("score")), text: format!("line {index}\u{1b}[31m") };
    let sample = ReportedSample { split: "a".into(), record: 7, message: "no".into(), value: "x".repeat(9_000) };
    let exception = ReportedException {
        code: "LG0601".to_owned(),
        cause: "a row failed".to_owned(),
        operator: Some(name("score")),
        samples: vec![sample; 20],
    };
    let fence = Fence { id: job.id.clone(), epoch, session: "0123456789abcdef".repeat(2) };
    Report { fence, lines: (0..lines).map(line).collect(), dropped: 3, exceptions: vec![exception] }
}

#[tokio::test]
async fn lines_and_failed_rows_are_kept_within_a_rate_and_what_is_left_out_is_said() {
    let (cluster, t1) = Cluster::running("late", 4).await;
    let job = cluster.job("late").await;
    let path = "/plane/v1/tenants/acme/jobs/late/report";
    let send = async |report: Report| send::<serde_json::Value>(cluster.router(), &t1.name, path, Some(&report)).await;
    for _ in 0..10 {
        send(report(&job, 100)).await.unwrap();
    }
    let admin = crate::world::admin("acme");
    let filter = crate::service::Filter { limit: 200, ..Default::default() };
    let (service, acme, late) = (&cluster.world.service, name("acme"), name("late"));
    let events = service.job_events(&admin, &acme, &late, &filter).await.unwrap().items;
    let logs: Vec<_> = events.iter().map(|kept| &kept.record).filter(|event| event.kind == Kind::Log).collect();
    assert!(logs.iter().any(|event| event.text == "line 0[31m"), "{logs:?}");
    assert!(logs.iter().any(|event| event.text.ends_with("lines were left out")));
    let after = cluster.job("late").await;
    assert!(after.next_event < 300, "{} events of one job within a moment", after.next_event);
    assert!(after.next_exception <= 12, "{}", after.next_exception);
    let exceptions = service.job_exceptions(&admin, &acme, &late, &filter).await.unwrap().0.items;
    let exception = &exceptions[0].record;
    assert_eq!((exception.samples.len(), exception.task_manager.as_deref()), (10, Some("t1")));
    assert!(exception.samples[0].value.len() <= 2_000);
    let mut old = report(&job, 1);
    old.fence.epoch -= 1;
    assert_eq!(send(old).await.unwrap_err(), (StatusCode::CONFLICT, "LG1410".to_owned()));
}

#[tokio::test]
async fn figures_are_of_all_taskmanagers_and_leases_and_are_written_from_time_to_time() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let usage = |rows_in| BTreeMap::from([(name("score"), OperatorUsage { rows_in, ..Default::default() })]);
    let (acme, late) = (name("acme"), name("late"));
    t1.heartbeat.tasks[0].operators = usage(10);
    cluster.beat(&mut t1).await.unwrap();
    let rows = async |cluster: &Cluster| {
        let metrics = cluster.world.service.job_metrics(&viewer("acme"), &acme, &late).await.unwrap();
        metrics.operators.get(&name("score")).map(|score| score.rows_in)
    };
    assert_eq!(rows(&cluster).await, None, "not written yet");
    cluster.dispatch.write_reports().await;
    assert_eq!(rows(&cluster).await, Some(10));
    let before = *cluster.world.service.records().revision().borrow();
    cluster.dispatch.write_reports().await;
    assert_eq!(*cluster.world.service.records().revision().borrow(), before, "nothing new was written");
    // Another lease, after a JobManager's restart: what was counted counts on.
    cluster.restart().await;
    let service = &cluster.world.service;
    service.ask(&deployer("acme"), &acme, &late, Ask::Restart, Precondition::Unstated).await.unwrap();
    for _ in 0..4 {
        cluster.step(&mut t1).await;
    }
    t1.heartbeat.tasks[0].operators = usage(4);
    cluster.beat(&mut t1).await.unwrap();
    // Nothing of it is on this one.
    let mut t2 = FakeTaskManager::new("t2", 4);
    t2.heartbeat.tasks = t1.heartbeat.tasks.clone();
    t2.heartbeat.tasks[0].operators = usage(1_000);
    let _ = cluster.beat(&mut t2).await;
    cluster.dispatch.write_reports().await;
    assert_eq!(rows(&cluster).await, Some(14));
}
