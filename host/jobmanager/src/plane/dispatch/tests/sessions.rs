//! Two processes that dial in as one TaskManager, with copies of one certificate.

use super::*;
use crate::reconcile::Phase;
use lockgate_core::plane::{Claim, Claimed, Fence};

/// Another process of the same name, which has just started.
fn copy(of: &FakeTaskManager, digit: char) -> FakeTaskManager {
    let mut copy = of.clone();
    copy.heartbeat.session = digit.to_string().repeat(32);
    (copy.heartbeat.sequence, copy.heartbeat.revision, copy.heartbeat.tasks) = (0, 0, Vec::new());
    copy
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Refused>) -> String {
    answer.unwrap_err().1
}

async fn recorded(cluster: &Cluster) -> usize {
    let (lines, _) = cluster.world.service.records().audit(0, 10_000).await.unwrap();
    lines.iter().filter(|line| line.contains("task-manager-twice")).count()
}

#[tokio::test]
async fn the_older_of_two_processes_of_one_name_is_refused_and_recorded() {
    let (mut cluster, mut older) = Cluster::running("late", 4).await;
    cluster.open(&older, &["a"]).await;
    let first = cluster.job("late").await.execution.epoch;
    let mut newer = copy(&older, 'b');
    assert_eq!(refused(cluster.beat(&mut newer).await), "LG1066", "nobody has looked at what it says yet");
    assert_eq!(recorded(&cluster).await, 0, "a start is no reason to suspect anybody");
    for _ in 0..3 {
        assert_eq!(refused(cluster.beat(&mut older).await), "LG1436");
    }
    assert_eq!(recorded(&cluster).await, 1);
    // Nor has it a part in the lease any more, though the record still says that it is good.
    assert_eq!(cluster.job("late").await.execution.holds.unwrap().phase, Phase::Live);
    assert_eq!(refused(cluster.claim(&older, first).await), "LG1410");
    // The other one never has one in it.
    assert_eq!(refused(cluster.claim(&newer, first).await), "LG1410");
    for _ in 0..6 {
        cluster.world.pass(2);
        cluster.step(&mut newer).await;
        let ran = newer.heartbeat.tasks.iter().find(|task| task.slots > 0 && task.epoch <= first);
        assert_eq!(ran, None, "two processes run under one epoch");
    }
    let job = cluster.job("late").await;
    assert_eq!(job.state(), State::Running);
    assert!(job.execution.epoch > first);
    assert_eq!(job.execution.failure.unwrap().code, "LG1304");
    cluster.open(&newer, &["a"]).await;
    assert_eq!(cluster.claim(&newer, job.execution.epoch).await.unwrap().split.unwrap().1.name, "a");
    assert_eq!(refused(cluster.claim(&older, job.execution.epoch).await), "LG1410");
}

#[tokio::test]
async fn which_process_is_the_older_one_is_known_after_a_restart_of_the_jobmanager() {
    let (mut cluster, mut older) = Cluster::running("late", 4).await;
    let mut newer = copy(&older, 'b');
    cluster.step(&mut newer).await;
    cluster.restart().await;
    assert_eq!(refused(cluster.beat(&mut older).await), "LG1436");
    cluster.step(&mut newer).await;
    // One that starts anew meanwhile is no older one.
    cluster.restart().await;
    let mut newest = copy(&older, 'c');
    cluster.step(&mut newest).await;
    for former in [&mut older, &mut newer] {
        assert_eq!(refused(cluster.beat(former).await), "LG1436");
    }
}

#[tokio::test]
async fn a_heartbeat_that_is_held_back_is_let_go_of_when_another_process_takes_the_place() {
    let (cluster, mut older) = Cluster::running("late", 4).await;
    older.heartbeat.wait_ms = u64::MAX;
    older.heartbeat.revision = cluster.beat(&mut older.clone()).await.unwrap().revision;
    older.heartbeat.sequence += 2;
    let mut held = Box::pin(send::<Orders>(cluster.router(), &older.name, path::HEARTBEAT, Some(&older.heartbeat)));
    let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(held.as_mut().poll(cx).is_pending()));
    assert!(pending.await);
    let _ = cluster.beat(&mut copy(&older, 'b')).await;
    assert_eq!(refused(held.await), "LG1436", "its leases were made longer");
}

impl Cluster {
    async fn claim(&self, of: &FakeTaskManager, epoch: u64) -> Result<Claimed, Refused> {
        let fence = Fence { id: self.job("late").await.id, epoch, session: of.heartbeat.session.clone() };
        let claim = Claim { fence, slot: 0, number: 1 };
        send(self.router(), &of.name, "/plane/v1/tenants/acme/jobs/late/claim", Some(&claim)).await
    }
}
