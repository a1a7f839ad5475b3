//! Looks after the executors of a TaskManager: kills one whose slot does not get on, or that has more memory than it may,
//! and ends those that nobody has used for long.
//!
//! A slot says that it gets on by changing a word in shared memory, which costs it nothing. A hostile one can change the
//! word for ever: it then holds a slot of its own tenant, which is what its tenant pays for.

use super::{Executor, OVERHEAD, Pool, Process, Slots, lock};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// Ticks between looks at memory.
const MEMORY: u64 = 5;
/// What a slot may take longer than its deadline.
const GRACE: Duration = Duration::from_millis(100);
/// What a slot that was told to stop may take longer than its deadline.
const STOP: Duration = Duration::from_secs(2);
/// How long an executor may be idle.
const IDLE: Duration = Duration::from_secs(300);

/// The thread. It ends with this value.
pub(super) struct Watchdog(#[expect(dead_code, reason = "the thread ends when it is dropped")] Sender<()>);

/// What is known of a slot that runs.
pub(super) struct Watch {
    deadline: Duration,
    owes: Arc<AtomicBool>,
    seen: Option<u32>,
    since: Instant,
    /// When it was told to stop.
    stopped: Option<Instant>,
    /// When it has to have ended, whatever it does until then.
    until: Option<Instant>,
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// `LG0910` if no thread can be had.
    pub(super) fn start(pool: &Arc<Pool>) -> Result<Self> {
        let (end, ended) = channel::<()>();
        let pool: Weak<Pool> = Arc::downgrade(pool);
        let watch = move || {
            let mut tick = 0_u64;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                let Some(pool) = pool.upgrade() else { return };
                tick += 1;
                look(&pool, tick.is_multiple_of(MEMORY));
            }
        };
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(watch)
            .map_err(|error| Error::new(code::EXECUTOR_START, format!("no thread for the watchdog: {error}")))?;
        Ok(Self(end))
    }
}

impl Watch {
    pub(super) fn new(deadline: Duration, owes: Arc<AtomicBool>) -> Self {
        Self { deadline, owes, seen: None, since: Instant::now(), stopped: None, until: None }
    }

    /// The run as a whole may take this long.
    pub(super) fn within(mut self, whole: Option<Duration>) -> Self {
        self.until = whole.and_then(|whole| self.since.checked_add(whole));
        self
    }

    /// The slot has been told to stop.
    pub(super) fn stopped(&mut self) {
        self.stopped.get_or_insert_with(Instant::now);
    }

    /// How long the slot has not got on, not stopped, or been over its time, if that is too long.
    fn overrun(&mut self, progress: u32, now: Instant) -> Option<Duration> {
        if self.seen != Some(progress) || self.owes.load(Ordering::Relaxed) {
            (self.seen, self.since) = (Some(progress), now);
        }
        let silent = now.saturating_duration_since(self.since);
        // A slot that stops has something to tell still; what it says meanwhile is no reason to wait longer.
        let stopping = self.stopped.map(|stopped| now.saturating_duration_since(stopped));
        let stopping = stopping.filter(|stopping| *stopping > self.deadline.saturating_add(STOP));
        let late = self.until.and_then(|until| now.checked_duration_since(until));
        stopping.or(late).or((silent > self.deadline.saturating_add(GRACE)).then_some(silent))
    }
}

fn look(pool: &Pool, memory: bool) {
    let mut watched = lock(&pool.watched);
    watched.retain(|process| process.strong_count() > 0);
    let processes: Vec<Arc<Process>> = watched.iter().filter_map(Weak::upgrade).collect();
    drop(watched);
    let now = Instant::now();
    for process in &processes {
        let overrun = overrun(&mut lock(&process.slots), now);
        if let Some(silent) = overrun {
            let cause = format!("a task slot has not got on for {} ms", silent.as_millis());
            process.kill(Error::new(code::EXECUTOR_OVERRAN, cause));
        }
        if memory && let Some(bytes) = resident(process.pid).filter(|bytes| *bytes > process.memory + OVERHEAD) {
            let (has, may) = (bytes >> 20, process.memory >> 20);
            let cause = format!("the executor has {has} MiB of memory, it may have {may} MiB");
            process.kill(Error::new(code::EXECUTOR_MEMORY, cause));
        }
    }
    drop(processes);
    end_idle(pool, now);
}

/// Ends the executors that nobody has used for long, and forgets those that have died.
fn end_idle(pool: &Pool, now: Instant) {
    let mut ended = Vec::new();
    lock(&pool.homes).retain(|_, entry| {
        // One that is being started is in use.
        let Ok(mut executor) = entry.try_lock() else { return true };
        let over =
            |executor: &Executor| Arc::strong_count(&executor.0) == 1 && (executor.0.ended() || idle(&executor.0, now));
        if executor.as_ref().is_some_and(over) {
            ended.extend(executor.take());
        }
        // Whoever has just taken the entry is about to fill it.
        executor.is_some() || Arc::strong_count(entry) > 1
    });
    if !ended.is_empty() {
        // A process may take its time to end, and others are to be watched meanwhile. Without a thread it ends here.
        let _ = thread::Builder::new().name("reaper".into()).spawn(move || drop(ended));
    }
}

fn overrun(slots: &mut Slots, now: Instant) -> Option<Duration> {
    slots.slots.iter_mut().find_map(|slot| slot.watch.as_mut()?.overrun(slot.controls.look(), now))
}

fn idle(executor: &Process, now: Instant) -> bool {
    let slots = lock(&executor.slots);
    slots.slots.iter().all(|slot| slot.link.is_some()) && now.saturating_duration_since(slots.idle) > IDLE
}

/// Bytes that a process has for itself: anonymous memory, what of it was swapped out, and page tables
/// (proc_pid_status(5)).
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let more = ["VmSwap:", "VmPTE:"].into_iter().filter_map(kilobytes).sum::<u64>();
    Some((kilobytes("RssAnon:")? + more) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_does_not_get_on_is_noticed_once_it_is_its_turn() {
        let owes = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(1), Arc::clone(&owes));
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(watch.overrun(7, at(1_000)), None);
        assert_eq!(watch.overrun(7, at(2_100)), None, "not longer than its deadline and the grace");
        assert!(watch.overrun(7, at(2_101)).is_some());
        assert_eq!(watch.overrun(8, at(3_000)), None, "it got on");
        owes.store(true, Ordering::Relaxed);
        assert_eq!(watch.overrun(8, at(9_000)), None, "it waits for the TaskManager");
        owes.store(false, Ordering::Relaxed);
        assert_eq!(watch.overrun(8, at(10_000)), None);
        assert!(watch.overrun(8, at(10_101)).is_some());
    }

    #[test]
    fn a_slot_that_does_not_stop_is_noticed_however_busy_it_is() {
        let mut watch = Watch::new(Duration::from_secs(1), Arc::new(AtomicBool::new(true)));
        watch.stopped();
        let at = |ms: u64| Instant::now() + Duration::from_millis(ms);
        assert_eq!(watch.overrun(1, at(2_900)), None);
        assert!(watch.overrun(2, at(3_100)).is_some());
    }

    #[test]
    fn a_run_of_bounded_length_is_over_however_well_it_gets_on() {
        let owes = Arc::new(AtomicBool::new(true));
        let mut watch = Watch::new(Duration::from_secs(1), owes).within(Some(Duration::from_secs(5)));
        let start = watch.since;
        assert_eq!(watch.overrun(1, start + Duration::from_millis(4_999)), None);
        assert!(watch.overrun(2, start + Duration::from_millis(5_001)).is_some());
    }

    #[test]
    fn what_this_process_has_is_found() {
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
        assert_eq!(resident(u32::MAX), None);
    }
}
