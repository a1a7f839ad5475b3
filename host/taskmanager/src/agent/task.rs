//! One assignment, from its admission to its end.

use super::Agent;
use super::admit::{self, Admitted};
use super::client;
use super::record::Record;
use super::table::{self, Outcome, Start};
use super::told::Told;
use crate::job::{self, Events, Kept, RunOptions, Share};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::plane::Assignment;
use lockgate_core::verify::Reliance;
use std::sync::Arc;
use std::time::Duration;

/// How often what runs is looked at again, if no document changes meanwhile.
const REVIEW: Duration = Duration::from_secs(30);
/// How often in a row that may fail for the sake of this machine until what runs ends.
const MAX_BLIND: u32 = 4;
/// How long the end of a job waits at most for its last reports to be taken.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long it is until an admission that the JobManager could not be asked for is tried again, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Runs what is to start, and notes what came of it.
pub(super) async fn run(agent: Arc<Agent>, start: Start) {
    let Assignment { job, id, epoch, release, .. } = start.assignment.clone();
    tracing::info!(%job, epoch, version = release.version, slots = start.assignment.slots, "begins");
    let told = Arc::new(Told::default());
    let outcome = attempt(&agent, &start, &told).await;
    match &outcome {
        Outcome::Finished => tracing::info!(%job, epoch, "finished"),
        Outcome::Ended => tracing::info!(%job, epoch, "ended"),
        Outcome::Refused(error) => {
            tracing::warn!(tenant = %job.tenant, job = %job.name, code = %error.code(), %error, "refused");
        }
        Outcome::Failed(error) => {
            tracing::warn!(tenant = %job.tenant, job = %job.name, code = %error.code(), %error, "failed");
        }
    }
    let fence = agent.fence(&id, epoch);
    // What is not taken by then is lost: it decides nothing, and others wait for these slots.
    let telling = async { while told.once(&agent.admitter.plane, &job, &fence).await {} };
    if tokio::time::timeout(LAST_WORDS, telling).await.is_err() {
        tracing::warn!(%job, epoch, "its last reports are not waited for any longer");
    }
    agent.ended(&job, &id, epoch, outcome);
}

async fn attempt(agent: &Arc<Agent>, start: &Start, told: &Arc<Told>) -> Outcome {
    let admitted = match admitted(agent, start).await {
        Ok(Some(admitted)) => admitted,
        Ok(None) => return Outcome::Ended,
        Err(error) => return Outcome::Refused(error),
    };
    let Assignment { job, id, epoch, .. } = &start.assignment;
    let Admitted { reliance, prepared } = admitted;
    start.figures.of(&prepared.plan);
    told.of(&prepared.plan);
    agent.running(job, id, *epoch);
    let fence = agent.fence(id, *epoch);
    let record = Record::new(Arc::clone(&agent.admitter.plane), job.clone());
    let (figures, lines) = (Arc::clone(&start.figures), Arc::clone(told));
    let events = Events::new(move |event| {
        figures.take(&event);
        lines.take(&event);
    });
    let Assignment { first, slots, parallelism, .. } = start.assignment;
    let share = Share { first, slots, parallelism };
    let (this, stop, kept) = (Arc::clone(agent), start.stop.clone(), fence.clone());
    let (runtime, fuel_per_second) = (agent.runtime.clone(), start.assignment.fuel_per_second);
    // On a thread that may wait for file systems.
    let running = admit::blocking(move || {
        let record = Kept::ByJobManager { client: Arc::new(record), fence: kept };
        let (executors, volumes) = (&this.executors, &this.admitter.volumes);
        let options = RunOptions { executors, volumes, record, share, fuel_per_second, events };
        runtime.block_on(job::run(&prepared, options, &stop))
    });
    tokio::pin!(running);
    // Dropped with this: nobody reviews or tells of a job that has ended.
    let reviewing = review(agent, start, &reliance);
    let telling = told.tell(&agent.admitter.plane, job, &fence);
    tokio::pin!(reviewing, telling);
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = &mut telling => running.await,
        () = &mut reviewing => running.await,
    };
    match ended {
        Ok(_) => Outcome::Finished,
        // Not its own doing: it was told to end, or somebody else has the lease.
        Err(error) if matches!(error.code(), code::FENCED | code::JOB_CANCELLED) => Outcome::Ended,
        Err(error) => {
            told.failed(&error);
            Outcome::Failed(error)
        }
    }
}

/// Admits what is to start, again and again while the JobManager cannot be asked; none if it is not to start any more.
async fn admitted(agent: &Arc<Agent>, start: &Start) -> Result<Option<Admitted>, Error> {
    let mut pause = BACK_OFF.0;
    loop {
        let admitting = agent.admitter.admit(&start.assignment);
        let admitted = tokio::select! {
            () = start.stop.cancelled() => return Ok(None),
            admitted = admitting => admitted,
        };
        match admitted {
            Ok(admitted) => return Ok(Some(admitted)),
            Err(error) if client::may_pass(&error) => {
                tracing::info!(job = %start.assignment.job, %error, "cannot be admitted yet");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = start.stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Looks at what runs whenever documents have changed, and from time to time. Ends when it must end.
async fn review(agent: &Arc<Agent>, start: &Start, reliance: &Reliance) {
    let Assignment { job, id, epoch, .. } = &start.assignment;
    let mut documents = start.documents.clone();
    let (mut gone, mut blind) = (false, 0);
    loop {
        tokio::select! {
            changed = documents.changed(), if !gone => gone = changed.is_err(),
            () = tokio::time::sleep(REVIEW) => {}
        }
        match agent.admitter.review(&job.tenant, reliance).await {
            Ok(()) => blind = 0,
            // The disk of this machine, and not what is signed: it may get better, but not for ever.
            Err(error) if !table::is_signed(&error) && blind < MAX_BLIND => {
                blind += 1;
                tracing::error!(%job, %error, blind, "what runs cannot be looked at again");
            }
            Err(error) => {
                agent.refuse(job, id, *epoch, error);
                return;
            }
        }
    }
}
