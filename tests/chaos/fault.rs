//! What can happen, to whom, and how it is undone.

use super::run::{MANAGERS, World, name};
use crate::harness::cluster::{JM, JOBMANAGER, freeze};
use crate::harness::network::Direction;
use crate::harness::random::Random;
use crate::harness::service::Service;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;

/// Whose process. TaskManagers go by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    TaskManager(usize),
    /// All executors of that TaskManager.
    Executor(usize),
    JobManager,
}

/// Which disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The one with the first TaskManager's state.
    State,
    /// The one with the JobManager's data.
    Data,
    /// The volume that the job writes to.
    Output,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL; whoever was killed is started again.
    Kill(Target),
    /// SIGSTOP, and SIGCONT later.
    Freeze(Target),
    /// Every TaskManager and the JobManager are ended and started again as an operator does it, one after the other.
    Roll,
    /// A disk is full. A TaskManager whose disk it is is killed, so that it has to write.
    Full(Place),
    /// A TaskManager and the JobManager do not reach each other: what they say gets lost.
    Cut(usize, Direction),
    /// What a TaskManager says is refused on its way.
    Refused(usize),
    /// So many bytes a second between them.
    Slow(usize, u64),
    /// A clock is set so many seconds ahead, or behind, and right again later.
    Clock(Target, i64),
    /// The same, and whose clock it is is killed and started again under each of its times.
    ClockOverRestart(Target, i64),
}

impl Fault {
    /// A name for a job.
    pub fn name(&self) -> String {
        let text: String = format!("{self:?}").to_lowercase();
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// Whether only root can have it happen.
    pub fn wants_root(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Cut(..) | Self::Refused(_) | Self::Slow(..))
    }

    /// Whether it wants clocks that can be set.
    pub fn wants_clocks(&self) -> bool {
        matches!(self, Self::Clock(..) | Self::ClockOverRestart(..))
    }

    /// The processes that it is about: TaskManagers by number, and the JobManager behind them.
    fn about(&self) -> Vec<usize> {
        match *self {
            Self::Kill(target) | Self::Freeze(target) | Self::Clock(target, _) | Self::ClockOverRestart(target, _) => {
                match target {
                    Target::TaskManager(at) | Target::Executor(at) => vec![at],
                    Target::JobManager => vec![MANAGERS],
                }
            }
            Self::Full(Place::State) => vec![0],
            Self::Full(Place::Data) => vec![MANAGERS],
            Self::Cut(at, _) | Self::Refused(at) | Self::Slow(at, _) => vec![at],
            Self::Roll | Self::Full(Place::Output) => (0..=MANAGERS).collect(),
        }
    }

    /// Whether both can happen at once.
    pub fn goes_with(&self, other: &Self) -> bool {
        let about = other.about();
        self.about().iter().all(|at| !about.contains(at))
    }
}

/// Draws a fault.
pub fn draw(random: &mut Random) -> Fault {
    let manager = usize::try_from(random.below(MANAGERS as u64)).expect("a small number");
    let target = match random.below(3) {
        0 => Target::TaskManager(manager),
        1 => Target::Executor(manager),
        _ => Target::JobManager,
    };
    let directions = [Direction::Up, Direction::Down, Direction::Both];
    match random.below(18) {
        0..3 => Fault::Kill(target),
        3..6 => Fault::Freeze(target),
        6 => Fault::Roll,
        7 => Fault::Full(Place::State),
        8 => Fault::Full(Place::Data),
        9 => Fault::Full(Place::Output),
        10..13 => Fault::Cut(manager, directions[random.below(3) as usize]),
        13 => Fault::Refused(manager),
        14 => Fault::Slow(manager, 8_192 + random.below(65_536)),
        kind => {
            let of = if random.below(2) == 0 { Target::TaskManager(manager) } else { Target::JobManager };
            // Within the lives of certificates (a day) and of documents (a week), but back by days.
            let ahead = 60 + i64::try_from(random.below(20 * 3_600)).expect("a small number");
            let seconds = if random.below(2) == 0 { ahead } else { -3 * ahead };
            if kind == 15 { Fault::ClockOverRestart(of, seconds) } else { Fault::Clock(of, seconds) }
        }
    }
}

/// What must be undone.
pub enum Undo {
    Nothing,
    Thaw(Target, Vec<OwnedFd>),
    Heal(usize),
    Room(Place),
    /// Whose clock, how far it is off, and whether it is to be right with the next start only.
    SetRight(Target, i64, bool),
}

impl World {
    /// Lets it happen.
    pub fn inflict(&mut self, fault: Fault) -> Undo {
        match fault {
            Fault::Kill(Target::Executor(at)) => {
                for executor in executors(self.cluster.taskmanager(&name(at))) {
                    send(&executor, Signal::KILL);
                }
            }
            Fault::Kill(target) => self.start_anew(target),
            Fault::Freeze(target) => {
                let stopped = match target {
                    Target::TaskManager(at) => {
                        freeze(self.cluster.taskmanager(&name(at)), true);
                        Vec::new()
                    }
                    Target::Executor(at) => executors(self.cluster.taskmanager(&name(at))),
                    Target::JobManager => {
                        freeze(self.cluster.jobmanager(), true);
                        Vec::new()
                    }
                };
                stopped.iter().for_each(|executor| send(executor, Signal::STOP));
                return Undo::Thaw(target, stopped);
            }
            Fault::Roll => self.roll(),
            Fault::Full(place) => {
                self.disks[&place].fill();
                if place == Place::State {
                    self.start_anew(Target::TaskManager(0));
                }
                return Undo::Room(place);
            }
            Fault::Cut(at, direction) => {
                self.cluster.network().cut(self.cluster.host(&name(at)), JOBMANAGER, direction);
                return Undo::Heal(at);
            }
            Fault::Refused(at) => {
                self.cluster.network().refuse(self.cluster.host(&name(at)), JOBMANAGER);
                return Undo::Heal(at);
            }
            Fault::Slow(at, rate) => {
                let how = self.cluster.network().slow(self.cluster.host(&name(at)), rate);
                println!("{}: {} is slow by {how}", self.job, name(at));
                return Undo::Heal(at);
            }
            Fault::Clock(target, seconds) => {
                self.cluster.clock(&called(target)).set(seconds);
                return Undo::SetRight(target, seconds, false);
            }
            Fault::ClockOverRestart(target, seconds) => {
                self.cluster.clock(&called(target)).set(seconds);
                self.start_anew(target);
                return Undo::SetRight(target, seconds, true);
            }
        }
        Undo::Nothing
    }

    /// Takes it back.
    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Thaw(Target::TaskManager(at), _) => freeze(self.cluster.taskmanager(&name(at)), false),
            Undo::Thaw(Target::JobManager, _) => freeze(self.cluster.jobmanager(), false),
            Undo::Thaw(Target::Executor(_), stopped) => {
                stopped.iter().for_each(|executor| send(executor, Signal::CONT));
            }
            Undo::Heal(at) => self.cluster.network().heal(self.cluster.host(&name(at)), JOBMANAGER),
            Undo::Room(place) => {
                self.disks[&place].clear();
                // One that cannot keep its state ends, and whoever runs it starts it again.
                if !self.cluster.taskmanager(&name(0)).runs() {
                    self.cluster.start_taskmanager(&name(0));
                }
                if !self.cluster.jobmanager().runs() {
                    self.cluster.restart_jobmanager("");
                }
            }
            Undo::SetRight(target, seconds, restart) => {
                if let Target::TaskManager(at) = target {
                    self.await_seen(at, seconds);
                }
                self.cluster.clock(&called(target)).set(0);
                if restart {
                    self.start_anew(target);
                }
            }
        }
    }

    /// Kills a process and starts it again.
    fn start_anew(&mut self, target: Target) {
        match target {
            Target::TaskManager(at) | Target::Executor(at) => {
                self.cluster.taskmanager(&name(at)).kill();
                self.cluster.start_taskmanager(&name(at));
            }
            Target::JobManager => self.cluster.restart_jobmanager(""),
        }
    }

    fn roll(&mut self) {
        for at in 0..MANAGERS {
            self.stop(&name(at));
            self.cluster.start_taskmanager(&name(at));
            self.cluster.taskmanager(&name(at)).await_message("the JobManager answers");
        }
        let status = self.cluster.jobmanager().stop();
        assert!(status.success(), "the JobManager: {status}\n{}", self.cluster.logs());
        self.cluster.restart_jobmanager("");
    }
}

/// What the process is called.
fn called(target: Target) -> String {
    match target {
        Target::TaskManager(at) | Target::Executor(at) => name(at),
        Target::JobManager => JM.to_owned(),
    }
}

/// A handle on every process below a TaskManager, so that no signal reaches another one with its number.
fn executors(taskmanager: &Service) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    let mut parents = vec![taskmanager.id().to_string()];
    while let Some(parent) = parents.pop() {
        for thread in std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                let pid = child.parse().ok().and_then(Pid::from_raw);
                found.extend(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
                parents.push(child.to_owned());
            }
        }
    }
    found
}

/// Sends a signal to a process that may be gone.
fn send(process: &OwnedFd, signal: Signal) {
    let _ = pidfd_send_signal(process, signal);
}
