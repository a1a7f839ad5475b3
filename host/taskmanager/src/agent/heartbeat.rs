//! The conversation with the JobManager: facts up, orders down, one long poll open at a time and a second one when facts
//! have changed.

use super::Agent;
use super::clock::Moment;
use lockgate_core::error::code;
use lockgate_core::plane::{Heartbeat, MAX_ORDERS, Orders, path};
use lockgate_core::{Error, Result};
use lockgate_http::Times;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The shortest and the longest pause after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// For how long an answer may be held back, before the length of leases is known and at most.
const WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// The shortest lease that an answer may have, and the least time between two heartbeats.
const LEAST: Duration = Duration::from_millis(20);

/// A heartbeat that was sent, and what came of it.
struct Sent {
    sequence: u64,
    at: Moment,
    asked: Option<lockgate_core::plane::AuditHead>,
    orders: Result<Orders>,
}

/// Talks until it is dropped.
pub(super) async fn talk(agent: &Arc<Agent>, mut changed: watch::Receiver<u64>) {
    let mut open: JoinSet<Sent> = JoinSet::new();
    let mut talk = Talk { sequence: 0, wait: WAIT.0, pause: BACK_OFF.0, answered: false, trouble: None };
    let mut due = true;
    loop {
        if due {
            changed.borrow_and_update();
            talk.sequence += 1;
            talk.send(agent, &mut open);
            due = false;
        }
        tokio::select! {
            // At most two are open: what changes meanwhile is said by the next one.
            told = changed.changed(), if open.len() < 2 => {
                if told.is_err() {
                    return;
                }
                due = true;
                tokio::time::sleep(LEAST).await;
            }
            Some(sent) = open.join_next() => {
                let Ok(sent) = sent else { due = true; continue };
                // The answer to one that was followed by another says nothing.
                if sent.sequence == talk.sequence {
                    talk.answered(agent, sent).await;
                    due = true;
                }
            }
        }
    }
}

/// Says once what is so, waiting for no orders: at the end.
pub(super) async fn farewell(agent: &Arc<Agent>) {
    let mut talk =
        Talk { sequence: u64::MAX - 1, wait: Duration::ZERO, pause: BACK_OFF.0, answered: false, trouble: None };
    let mut open = JoinSet::new();
    talk.sequence += 1;
    talk.send(agent, &mut open);
    if let Some(Ok(Sent { orders: Err(error), .. })) = open.join_next().await {
        tracing::warn!(%error, "the JobManager could not be told that this TaskManager goes");
    }
}

struct Talk {
    sequence: u64,
    wait: Duration,
    pause: Duration,
    /// Whether the last heartbeat was answered.
    answered: bool,
    /// Why it was not.
    trouble: Option<Error>,
}

impl Talk {
    fn send(&self, agent: &Arc<Agent>, open: &mut JoinSet<Sent>) {
        let (agent, sequence, wait) = (Arc::clone(agent), self.sequence, self.wait);
        open.spawn(async move {
            let asked = agent.witness.head();
            let heartbeat = agent.heartbeat(sequence, wait, asked);
            let patience = wait + Duration::from_secs(10);
            let times = Times { connect: Duration::from_secs(5), stall: patience, whole: Some(patience) };
            // Before it is sent: a lease counts from here.
            let at = Moment::now();
            let orders = post(&agent, &heartbeat, &times).await;
            Sent { sequence, at, asked, orders }
        });
    }

    async fn answered(&mut self, agent: &Arc<Agent>, sent: Sent) {
        match sent.orders.and_then(|orders| {
            let lease = Duration::from_millis(orders.lease_ms);
            let audit = orders.audit;
            agent.take(orders, sent.at)?;
            Ok((lease, audit))
        }) {
            Ok((lease, audit)) => {
                if !self.answered {
                    tracing::info!(lease = ?lease, "the JobManager answers");
                }
                (self.answered, self.trouble) = (true, None);
                agent.note_answer();
                self.pause = BACK_OFF.0;
                self.wait = (lease / 4).clamp(LEAST, WAIT.1);
                if let Some(audit) = audit {
                    agent.witnessed(&audit, sent.asked);
                }
                tokio::time::sleep(LEAST).await;
            }
            Err(error) => {
                // Once for each trouble, not for each time.
                let is_new = self.trouble.as_ref().is_none_or(|before| before.code() != error.code());
                if error.code() == code::SESSION_REPLACED {
                    if is_new {
                        agent.replaced(&error);
                    }
                } else if is_new {
                    tracing::warn!(%error, "no orders of the JobManager; what runs goes on until its leases are over");
                }
                (self.answered, self.trouble) = (false, Some(error));
                tokio::time::sleep(self.jittered()).await;
                self.pause = (self.pause * 2).min(BACK_OFF.1);
            }
        }
    }

    /// The pause, between half and all of it, lest all TaskManagers come back at once.
    fn jittered(&self) -> Duration {
        let half = self.pause / 2;
        let part = getrandom::u32().unwrap_or_default();
        half + half.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }
}

async fn post(agent: &Agent, heartbeat: &Heartbeat, times: &Times) -> Result<Orders> {
    let orders: Orders = agent.admitter.plane.post(path::HEARTBEAT, heartbeat, MAX_ORDERS, times).await?;
    if Duration::from_millis(orders.lease_ms) < LEAST {
        let cause = format!("a lease of {} ms is none", orders.lease_ms);
        return Err(Error::new(code::PLANE_MESSAGE, cause));
    }
    Ok(orders)
}
