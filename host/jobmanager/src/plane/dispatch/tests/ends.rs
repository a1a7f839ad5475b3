//! When a job has finished: by the record of its run, whatever its tasks say.

use super::*;
use lockgate_core::plane::{
    Claim, Claimed, Commit, Committed, Fence, Open, Opened, Position, Progress, Split, SplitProgress,
};

impl Cluster {
    /// What a TaskManager asks of the record of job `late` under its present lease.
    async fn ask<T: DeserializeOwned>(
        &self,
        of: &FakeTaskManager,
        what: &str,
        message: impl Fn(Fence) -> serde_json::Value,
    ) -> T {
        let job = self.job("late").await;
        let session = of.heartbeat.session.clone();
        let fence = Fence { id: job.id, epoch: job.execution.epoch, session };
        let path = format!("/plane/v1/tenants/acme/jobs/late/{what}");
        send(self.router(), &of.name, &path, Some(&message(fence))).await.unwrap()
    }

    /// Opens the run of job `late` with these splits.
    pub async fn open(&self, of: &FakeTaskManager, splits: &[&str]) -> Opened {
        let split = |text: &&str| Split { name: (*text).to_owned(), size: Some(1), fingerprint: "f".to_owned() };
        let splits = BTreeMap::from([(name("flights"), splits.iter().map(split).collect::<Vec<_>>())]);
        self.ask(of, "open", |fence| serde_json::to_value(Open { fence, splits: splits.clone() }).unwrap()).await
    }

    /// Has slot 0 read the next split to its end, by this claim and this commit; which.
    async fn read_one(&self, of: &FakeTaskManager, number: u64, sequence: u64) -> Option<String> {
        let claim = |fence| serde_json::to_value(Claim { fence, slot: 0, number }).unwrap();
        let (source, split) = self.ask::<Claimed>(of, "claim", claim).await.split?;
        let progress = Progress { fingerprint: split.fingerprint, position: Position::Finished };
        let splits = vec![SplitProgress { source, split: split.name.clone(), progress }];
        let commit = |fence| {
            let commit = Commit { fence, slot: 0, sequence, splits: splits.clone(), outputs: Vec::new() };
            serde_json::to_value(commit).unwrap()
        };
        self.ask::<Committed>(of, "commit", commit).await;
        Some(split.name)
    }
}

#[tokio::test]
async fn a_job_has_finished_by_its_record_and_not_by_what_its_tasks_say() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let first = cluster.job("late").await.execution.epoch;
    cluster.open(&t1, &["a", "b"]).await;
    assert_eq!(cluster.read_one(&t1, 1, 1).await.as_deref(), Some("a"));
    t1.say(&Status::Finished);
    cluster.step(&mut t1).await;
    let failure = cluster.job("late").await.execution.failure.expect("its tasks were believed");
    assert_eq!((failure.code.as_str(), failure.permanent), ("LG1435", false));
    assert!(failure.cause.ends_with("one split is not read to its end"), "{}", failure.cause);
    // It goes on where its record says, and is over when that says so.
    for _ in 0..4 {
        cluster.world.pass(2);
        cluster.step(&mut t1).await;
    }
    assert_eq!(cluster.state("late").await, State::Running);
    assert!(cluster.job("late").await.execution.epoch > first);
    assert_eq!(cluster.open(&t1, &["a", "b"]).await.left, 1);
    assert_eq!(cluster.read_one(&t1, 1, 2).await.as_deref(), Some("b"));
    t1.say(&Status::Finished);
    cluster.step(&mut t1).await;
    cluster.step(&mut t1).await;
    assert_eq!(cluster.state("late").await, State::Finished);
}

#[tokio::test]
async fn tasks_that_never_opened_the_run_have_not_finished_it() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    t1.say(&Status::Finished);
    cluster.step(&mut t1).await;
    let failure = cluster.job("late").await.execution.failure.expect("its tasks were believed");
    assert_eq!(failure.code, "LG1435");
    assert!(failure.cause.ends_with("nobody has opened its run"), "{}", failure.cause);
}

#[tokio::test]
async fn a_job_that_drains_ends_with_what_is_left() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    cluster.open(&t1, &["a", "b"]).await;
    let (acme, late, any) = (name("acme"), name("late"), Precondition::Unstated);
    cluster.world.service.ask(&deployer("acme"), &acme, &late, Ask::Stop, any).await.unwrap();
    cluster.step(&mut t1).await;
    assert!(t1.heartbeat.tasks[0].draining);
    t1.say(&Status::Finished);
    cluster.step(&mut t1).await;
    cluster.step(&mut t1).await;
    let job = cluster.job("late").await;
    assert_eq!((job.state(), job.execution.failure), (State::Finished, None));
}
