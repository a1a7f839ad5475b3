//! What can happen, to whom, and how it is undone.

use super::run::{MANAGERS, World, name};
use crate::harness::cluster::freeze;
use crate::harness::random::Random;
use crate::harness::relay::Network;
use crate::harness::service::Service;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose process. TaskManagers go by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    TaskManager(usize),
    /// All executors of that TaskManager.
    Executor(usize),
    JobManager,
}

/// What of a network does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// What a TaskManager says.
    Up,
    /// What it is told.
    Down,
    Both,
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
    /// The disk with a TaskManager's state is full, and the TaskManager killed, so that it has to write.
    FullDisk(usize),
    /// A TaskManager and the JobManager do not reach each other.
    Cut(usize, Direction),
    /// So many bytes a second between them.
    Slow(usize, u64),
}

impl Fault {
    /// A name for a job.
    pub fn name(&self) -> String {
        let text: String = format!("{self:?}").to_lowercase();
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// The processes that it is about: TaskManagers by number, and the JobManager behind them.
    fn about(&self) -> Vec<usize> {
        match *self {
            Self::Kill(target) | Self::Freeze(target) => match target {
                Target::TaskManager(at) | Target::Executor(at) => vec![at],
                Target::JobManager => vec![MANAGERS],
            },
            Self::FullDisk(at) | Self::Cut(at, _) | Self::Slow(at, _) => vec![at],
            Self::Roll => (0..=MANAGERS).collect(),
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
    match random.below(11) {
        0..3 => Fault::Kill(target),
        3..6 => Fault::Freeze(target),
        6 => Fault::Roll,
        7 => Fault::FullDisk(0),
        8 | 9 => Fault::Cut(manager, [Direction::Up, Direction::Down, Direction::Both][random.below(3) as usize]),
        _ => Fault::Slow(manager, 8_192 + random.below(65_536)),
    }
}

/// What must be undone.
pub enum Undo {
    Nothing,
    Thaw(Target, Vec<OwnedFd>),
    Heal(usize),
    Room(usize, PathBuf),
}

impl World {
    /// Lets it happen.
    pub fn inflict(&mut self, fault: Fault) -> Undo {
        match fault {
            Fault::Kill(Target::TaskManager(at)) => {
                self.cluster.taskmanager(&name(at)).kill();
                self.cluster.start_taskmanager(&name(at));
            }
            Fault::Kill(Target::Executor(at)) => {
                for executor in executors(self.cluster.taskmanager(&name(at))) {
                    send(&executor, Signal::KILL);
                }
            }
            Fault::Kill(Target::JobManager) => self.cluster.restart_jobmanager(""),
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
            Fault::FullDisk(at) => {
                let Some(disk) = &self.disk else { return Undo::Nothing };
                let ballast = disk.fill();
                self.cluster.taskmanager(&name(at)).kill();
                self.cluster.start_taskmanager(&name(at));
                return Undo::Room(at, ballast);
            }
            Fault::Cut(at, direction) => {
                let up_blocked = direction != Direction::Down;
                let down_blocked = direction != Direction::Up;
                self.relays[at].set(Network { up_blocked, down_blocked, rate: 0 });
                return Undo::Heal(at);
            }
            Fault::Slow(at, rate) => {
                self.relays[at].set(Network { rate, ..Network::default() });
                return Undo::Heal(at);
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
            Undo::Heal(at) => self.relays[at].set(Network::default()),
            Undo::Room(at, ballast) => {
                std::fs::remove_file(ballast).expect("the ballast");
                // One that cannot keep its state ends, and whoever runs it starts it again.
                if !self.cluster.taskmanager(&name(at)).runs() {
                    self.cluster.start_taskmanager(&name(at));
                }
            }
        }
    }

    fn roll(&mut self) {
        for at in 0..MANAGERS {
            let status = self.cluster.taskmanager(&name(at)).stop();
            assert!(status.success(), "{}: {status}\n{}", name(at), self.cluster.logs());
            self.cluster.start_taskmanager(&name(at));
            self.cluster.taskmanager(&name(at)).await_message("the JobManager answers");
        }
        let status = self.cluster.jobmanager().stop();
        assert!(status.success(), "the JobManager: {status}\n{}", self.cluster.logs());
        self.cluster.restart_jobmanager("");
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

/// A small file system of its own for a TaskManager's state. It is gone when this is dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Makes it; none without the right to.
    pub fn make(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=32m,mode=0700", "lockgate-tests"]).arg(at);
        let made = rustix::process::geteuid().is_root() && mount.status().is_ok_and(|status| status.success());
        if made {
            return Some(Self { at: at.to_owned() });
        }
        std::fs::remove_dir(at).expect("the folder");
        None
    }

    /// Takes all room; the file that has it.
    fn fill(&self) -> PathBuf {
        let path = self.at.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file");
        for length in [1 << 20, 4_096, 1] {
            let zeros = vec![0; length];
            while file.write_all(&zeros).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there is ended by its own guard.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
