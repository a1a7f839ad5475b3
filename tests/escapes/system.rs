//! What a compromised executor attempts on the machine: each behind all walls, behind all but one, behind each alone and
//! behind none, as root and as nobody.
//!
//! Behind all walls nothing may get through, and neither with any one of them taken down that is not the only one. Which
//! walls stop an attempt alone is found out here and kept in the threat model (`walls`).

use super::walls::{Table, WALLS, Wall};
use crate::harness::suite::Ended;
use crate::jail::{ABI, Got, SIGNALS_SINCE, SIGSYS, User, WRITE_OR_EXECUTE, play_all, users};
use std::collections::BTreeMap;

/// What is attempted, by group: the attempt's name and what it would give.
pub const ATTEMPTS: &[(&str, &[(&str, &str)])] = &[
    (
        "files",
        &[
            ("open", "the contents of a file of the machine"),
            ("create", "a file of its own, to fill the disk or to leave something"),
            ("stat", "which files there are"),
            ("list", "the names in a folder"),
            ("own-memory", "its own code, writable past the page's protection"),
            ("parent-memory", "the TaskManager's memory as a file"),
            ("parent-root", "files as the TaskManager sees them"),
            ("parent-descriptor", "what the TaskManager has open"),
            ("parent-environment", "secrets in the TaskManager's environment"),
            ("reopen-code", "the memory file of machine code, writable"),
            ("watch-files", "who opens which file"),
            ("file-handle", "a file by its number, past its path"),
        ],
    ),
    (
        "sockets",
        &[
            ("socket", "a socket at all"),
            ("tcp", "a connection to a service of the machine"),
            ("udp", "a datagram to anybody"),
            ("listen", "a port that others can reach"),
            ("unix-path", "a service behind a socket in the file system"),
            ("unix-abstract", "a service behind a socket without a file"),
            ("socket-pair", "a channel that nobody else made"),
            ("netlink", "the kernel's tables of routes and links"),
            ("raw", "packets with forged senders"),
            ("packet", "all packets of a link"),
            ("vsock", "the machine's hypervisor"),
            ("crypto-socket", "the kernel's ciphers, which have had holes"),
            ("send-descriptor", "a descriptor put into the TaskManager"),
            ("take-descriptor", "a descriptor from whoever sends one"),
            ("shut-down", "half of the socket closed"),
            ("socket-option", "more of the kernel's memory for the socket"),
        ],
    ),
    (
        "processes",
        &[
            ("fork", "a process that outlives its limits"),
            ("vfork", "the same by another call"),
            ("clone3", "the same by a third"),
            ("thread", "a thread that nobody counted"),
            ("user-namespace", "a process with every capability over itself"),
            ("pid-namespace", "processes that hide"),
            ("exec", "another program"),
            ("exec-descriptor", "a program that it wrote itself"),
            ("kill", "a signal to the TaskManager"),
            ("kill-thread", "a signal to one of its threads"),
            ("signal-by-descriptor", "a signal by a process descriptor"),
            ("queue-signal", "a signal with forged contents"),
            ("ptrace", "control of the TaskManager"),
            ("read-memory", "the TaskManager's memory"),
            ("write-memory", "changes to the TaskManager's memory"),
            ("process-descriptor", "a handle on the TaskManager"),
            ("take-parents-descriptor", "a copy of a file that the TaskManager has open"),
            ("priority", "less CPU for the TaskManager"),
            ("scheduling", "another scheduling class for the TaskManager"),
            ("processors", "fewer processors for the TaskManager"),
            ("disk-priority", "less disk for the TaskManager"),
            ("parents-limits", "the TaskManager's limits, to read or to lower"),
            ("parents-addresses", "where the TaskManager's memory is"),
            ("compare", "what the TaskManager and others share"),
            ("move-memory", "the TaskManager's pages moved"),
            ("measure-parent", "counters of the TaskManager as a side channel"),
            ("measure-self", "fine counters of its own as a side channel"),
        ],
    ),
    (
        "memory",
        &[
            ("map-writable-code", "memory that is written and executed"),
            ("map-other-code", "executable memory without a file"),
            ("map-code-writable", "a writable copy of the machine code"),
            ("every-protection-of-code", "machine code that can be changed where it runs"),
            ("map-code-shared", "the machine code shared, and so changed for others"),
            ("shared-code", "executable shared memory"),
            ("write-then-execute", "written memory made executable"),
            ("execute-with-keys", "the same by another call"),
            ("execute-in-place", "a mapping made executable after the fact"),
            ("everything-at-once", "the heap, executable"),
            ("change-code", "machine code opened, changed and executed again"),
            ("map-shared", "shared memory, which its own limit does not count"),
            ("map-huge-pages", "the machine's reserved huge pages"),
            ("map-growing", "memory that grows by itself"),
            ("map-readable", "page tables without end for memory that only reads"),
            ("map-too-long", "more memory than its limit, in one piece"),
            ("map-too-much", "more memory than its limit, piece by piece"),
            ("protect-too-long", "the same by opening a reservation"),
            ("protect-too-much", "the same piece by piece"),
            ("grow-too-long", "the same by growing a mapping"),
            ("move-over", "another mapping moved over"),
            ("keep-and-move", "a mapping left behind for whoever touches it"),
            ("lock", "memory that cannot be swapped out"),
            ("lock-everything", "all of it"),
            ("same-pages", "pages merged with another's: a side channel"),
            ("fill-at-once", "memory filled in one long call"),
            ("shuffle-pages", "pages of a mapping in another order"),
            ("resident-pages", "what is in the page cache: a side channel"),
        ],
    ),
    (
        "descriptors",
        &[
            ("duplicate", "more descriptors"),
            ("copy-by-control", "the same by another call"),
            ("replace", "one descriptor in another's place"),
            ("close", "the number of the socket for something else"),
            ("close-all", "the same for all"),
            ("device-control", "a device's or a terminal's controls"),
            ("read-code", "the machine code by a read"),
            ("read-at", "the same at any place"),
            ("read-signal", "the count of a bell that it may only ring"),
            ("write-socket", "the socket by a write"),
            ("write-parts", "the same in parts"),
            ("send-file", "the same from a descriptor"),
            ("send-to-address", "a message to another than the TaskManager"),
            ("pipe", "a pipe, and the kernel's memory behind it"),
            ("memfd", "memory that no limit of its own counts"),
            ("event", "a bell of its own"),
            ("wait-for-many", "a set of descriptors to wait for"),
            ("signal-descriptor", "signals as a file"),
        ],
    ),
    (
        "kernel",
        &[
            ("io-uring", "system calls that a filter does not see"),
            ("other-numbers", "system calls by other numbers"),
            #[cfg(target_arch = "x86_64")]
            ("other-entry", "system calls by another way into the kernel"),
            ("bpf", "programs in the kernel"),
            ("userfaultfd", "page faults held up, which turns small races into wide ones"),
            ("key", "the kernel's key rings"),
            ("module", "the kernel's modules"),
            ("kernel-log", "addresses in the kernel's log"),
            ("another-filter", "filters that slow down or mislead"),
            ("another-ruleset", "rulesets, which are memory of the kernel's"),
            ("dumpable", "itself open to others of its user"),
            ("outlive", "a life without the TaskManager"),
            ("personality", "readable memory executable as it was long ago"),
            #[cfg(target_arch = "x86_64")]
            ("segments", "segments, which have had holes"),
            #[cfg(target_arch = "x86_64")]
            ("hardware", "the machine's ports"),
            ("become-root", "root"),
            ("groups", "other groups"),
            ("change-root", "another root directory"),
            ("file-system", "a file system of its own"),
            ("unshare", "other namespaces"),
            ("join-namespace", "another's namespaces"),
            ("raise-limit", "its own limits, raised"),
            ("shared-segment", "shared memory that outlives it"),
            ("semaphore", "semaphores that outlive it"),
            ("message-queue", "queues that outlive it"),
            ("timer", "a clock that ticks on its own"),
            ("alarm", "the same by another call"),
            ("clock", "the state of the machine's clock"),
            ("machine", "how busy the machine is"),
            ("kernel-version", "the kernel's version"),
        ],
    ),
];

/// Plays everything: how each attempt ended, and which walls stop it alone.
pub fn outcomes() -> (Vec<Ended>, Table) {
    let names: Vec<&str> = ATTEMPTS.iter().flat_map(|(_, group)| group.iter().map(|(name, _)| *name)).collect();
    let played = Played::all(&names);
    let mut ended = Vec::new();
    let mut table = Table::default();
    for (group, attempts) in ATTEMPTS {
        for (at, (name, gain)) in names
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some((at, attempts.iter().find(|(known, _)| known == name)?)))
        {
            let alone: Vec<Wall> = WALLS.iter().map(|wall| played.alone(at, wall)).collect();
            let walls = alone.iter().filter(|stops| **stops == Wall::Stops).count();
            table.add(group, name, gain, alone);
            let result = played.held(at, walls);
            let verdict = if walls == 1 { "by 1 wall".to_owned() } else { format!("by {walls} walls") };
            ended.push(Ended { group, name: (*name).into(), verdict, billed: "nobody", result });
        }
    }
    (ended, table)
}

/// What came of all attempts, by who attempted and what was raised.
struct Played(BTreeMap<(usize, String), Vec<Got>>);

impl Played {
    fn all(names: &[&str]) -> Self {
        let mut raised = vec!["none".to_owned(), "all".to_owned()];
        raised.extend(WALLS.iter().flat_map(|(wall, _)| [(*wall).to_owned(), format!("all,-{wall}")]));
        // One thread for each user: a process that starts others waits most of the time.
        let played = std::thread::scope(|scope| {
            let users: Vec<_> = users()
                .iter()
                .enumerate()
                .map(|(at, user)| {
                    let raised = &raised;
                    scope.spawn(move || -> Vec<_> {
                        raised.iter().map(|walls| ((at, walls.clone()), play_all(*user, walls, names))).collect()
                    })
                })
                .collect();
            users.into_iter().flat_map(|user| user.join().expect("a user's attempts")).collect()
        });
        Self(played)
    }

    fn got(&self, user: usize, walls: &str, at: usize) -> &Got {
        &self.0[&(user, walls.to_owned())][at]
    }

    /// Whether this wall stops the attempt if it stands alone.
    fn alone(&self, at: usize, (wall, _): &(&str, &str)) -> Wall {
        let mut works = false;
        for user in 0..users().len() {
            let (free, walled) = (self.got(user, "none", at), self.got(user, wall, at));
            if *wall == "seccomp" {
                // It says itself that it was the filter.
                let stopped = walled.signal == Some(SIGSYS) || (free.got_through() && !walled.got_through());
                if !stopped && walled.got_through() {
                    return Wall::Not;
                }
                works |= stopped;
                continue;
            }
            if *wall == "namespaces" && !walled.namespaces {
                return Wall::Unknown;
            }
            if free.got_through() {
                works = true;
                if walled.got_through() {
                    return if lesser(wall) { Wall::Unknown } else { Wall::Not };
                }
            }
        }
        if works { Wall::Stops } else { Wall::Unknown }
    }

    /// Whether nothing got through all walls, nor through all but one where more than one stop it.
    fn held(&self, at: usize, walls: usize) -> Result<(), String> {
        let mut raised = vec!["all".to_owned()];
        if walls > 1 {
            raised.extend(WALLS.iter().map(|(wall, _)| format!("all,-{wall}")));
        }
        for (user, who) in users().iter().enumerate() {
            for walls in &raised {
                let got = self.got(user, walls, at);
                stopped(got, *who, walls)?;
            }
        }
        Ok(())
    }
}

/// Whether this machine's wall is an older one, which stops less than the one of the document.
fn lesser(wall: &str) -> bool {
    match wall {
        "landlock" => *ABI < SIGNALS_SINCE,
        "shed" => !*WRITE_OR_EXECUTE,
        _ => false,
    }
}

fn stopped(got: &Got, user: User, walls: &str) -> Result<(), String> {
    if got.said.is_empty() {
        return Err(format!("behind {walls} as {user:?} it was not even tried: {got:?}"));
    }
    if got.got_through() { Err(format!("it got through {walls} as {user:?}: {got:?}")) } else { Ok(()) }
}
