//! Which system calls are allowed, with which arguments, and why. One table, to be read.
//!
//! Whatever is not in it ends the process. A few that libraries try without needing them are refused instead ([`REFUSED`]).
//! The filter sees numbers, not what pointers lead to, so nothing here rests on a path or a structure.

use super::seal::Profile;
use seccompiler::{
    BackendError, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition as Condition, SeccompRule as Rule,
};
use std::os::fd::RawFd;

/// A system call, under which conditions it is allowed (any of these; none means always), and why.
pub(super) struct Line {
    pub(super) call: libc::c_long,
    pub(super) rules: Vec<Rule>,
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever reads the table"))]
    pub(super) why: &'static str,
}

type Made<T> = Result<T, BackendError>;

/// Refused with EPERM rather than by the end of the process: libraries try them and get on without.
pub(super) const REFUSED: &[(libc::c_long, &str)] = &[
    (libc::SYS_openat, "glibc reads whether memory is overcommitted when a heap shrinks"),
    (libc::SYS_prctl, "glibc and Rust name threads and mappings"),
    (libc::SYS_ioctl, "Rust asks whether standard error is a terminal"),
    (libc::SYS_getcwd, "Rust shortens paths in a panic's message"),
    (libc::SYS_readlinkat, "Rust looks for the program's path"),
    (libc::SYS_newfstatat, "glibc's fstat"),
    (libc::SYS_statx, "Rust's metadata"),
    (libc::SYS_sched_getaffinity, "Rust counts processors"),
    (libc::SYS_clone3, "a thread that cannot be made is an error, not an attack"),
    (libc::SYS_process_madvise, "wasmtime tries it before madvise"),
];

/// The lines of a profile.
pub(super) fn table(profile: &Profile) -> Made<Vec<Line>> {
    let mut lines = common(profile.memory())?;
    match profile {
        Profile::Executor { socket, code, wake, signal, .. } => {
            let wake: Made<Vec<Rule>> = wake.clone().map(|fd| rule([descriptor(fd)])).collect();
            let signal: Made<Vec<Rule>> = signal.clone().map(|fd| rule([descriptor(fd)])).collect();
            let wake = wake?;
            // A line without rules allows every argument.
            if !wake.is_empty() {
                lines.push(line(libc::SYS_read, wake, "wait for work on an eventfd"));
            }
            lines.extend([
                line(libc::SYS_write, [signal?, errors()?].concat(), "say on an eventfd that work is done"),
                line(libc::SYS_recvfrom, receive(*socket)?, "the socket for life cycle"),
                line(libc::SYS_sendto, send(*socket)?, "the socket for life cycle"),
                line(libc::SYS_futex, futex()?, "locks and parked threads: to wait and to wake, and no more"),
                line(libc::SYS_sched_yield, vec![], "locks that spin a little first"),
                line(libc::SYS_clock_gettime, vec![], "where the vDSO has to ask the kernel"),
                line(libc::SYS_exit, vec![], "a thread ends"),
            ]);
            extend(&mut lines, libc::SYS_mmap, map_code(*code)?);
            extend(&mut lines, libc::SYS_mprotect, close()?);
        }
        Profile::Compiler { input, output, .. } => lines.extend([
            line(libc::SYS_read, vec![rule([descriptor(*input)])?], "the component"),
            line(libc::SYS_write, [vec![rule([descriptor(*output)])?], errors()?].concat(), "the artefact"),
            line(libc::SYS_futex, futex()?, "locks, though nobody contends for them"),
            line(libc::SYS_clock_gettime, vec![], "where the vDSO has to ask the kernel"),
        ]),
    }
    Ok(lines)
}

/// What every program needs that computes in Rust on glibc.
fn common(memory: u64) -> Made<Vec<Line>> {
    let advice = [libc::MADV_DONTNEED, libc::MADV_FREE, libc::MADV_HUGEPAGE, libc::MADV_NOHUGEPAGE];
    let advice: Made<Vec<Rule>> = advice.into_iter().map(|advice| rule([int(2, advice)])).collect();
    let faults = [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
    let faults: Made<Vec<Rule>> = faults.into_iter().map(|signal| rule([int(0, signal)])).collect();
    let own = std::process::id().cast_signed();
    Ok(vec![
        line(libc::SYS_brk, vec![], "the heap; RLIMIT_DATA bounds it"),
        line(libc::SYS_mmap, map_memory(memory)?, "memory: private, never executable"),
        line(libc::SYS_munmap, vec![], "gives memory back"),
        line(libc::SYS_mprotect, vec![rule([is(2, READ_WRITE), at_most(1, memory)])?], "opens parts of a reservation"),
        line(libc::SYS_mremap, remap(memory)?, "glibc's realloc of large blocks"),
        line(libc::SYS_madvise, advice?, "empties memory and chooses the size of pages"),
        line(libc::SYS_getrandom, vec![], "seeds of hash tables"),
        line(libc::SYS_gettid, vec![], "abort names its thread"),
        line(libc::SYS_getpid, vec![], "abort names its process"),
        line(
            libc::SYS_tgkill,
            vec![rule([int(0, own), int(2, libc::SIGABRT)])?],
            "abort sends SIGABRT to itself, and to nobody else",
        ),
        line(libc::SYS_rt_sigaction, faults?, "lets a fault or abort end as such, not as a breach of this filter"),
        line(libc::SYS_rt_sigprocmask, vec![], "handlers of traps, abort"),
        line(libc::SYS_rt_sigreturn, vec![], "the end of a trap's handler"),
        line(libc::SYS_sigaltstack, vec![], "the stack of a trap's handler"),
        line(libc::SYS_restart_syscall, vec![], "the kernel goes on with an interrupted wait"),
        line(libc::SYS_exit_group, vec![], "the process ends"),
    ])
}

const NOT: u64 = 0;
const READ: u64 = libc::PROT_READ as u64;
const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
const READ_EXECUTE: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;

/// Reservations of any length; readable and writable memory up to a length that `RLIMIT_DATA` counts in full. Nothing
/// readable only: that is counted nowhere, and its page tables alone could fill the machine.
fn map_memory(memory: u64) -> Made<Vec<Rule>> {
    let must = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let may = libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE | libc::MAP_STACK;
    Ok(vec![
        rule([is(2, NOT), only(3, unsigned(must), unsigned(may))])?,
        rule([is(2, READ_WRITE), only(3, unsigned(must), unsigned(may)), at_most(1, memory)])?,
    ])
}

/// Machine code: of one descriptor, as it is there, never writable.
fn map_code(code: RawFd) -> Made<Vec<Rule>> {
    let fixed = unsigned(libc::MAP_PRIVATE | libc::MAP_FIXED);
    Ok(vec![
        rule([is(2, READ), only(3, unsigned(libc::MAP_PRIVATE), unsigned(libc::MAP_FIXED)), int(4, code)])?,
        rule([is(2, READ_EXECUTE), is(3, fixed), int(4, code)])?,
    ])
}

/// Closes memory, of any length: stacks have guard pages, and a pool's memory shrinks from one instance to the next.
/// What is filled and then closed is not counted by `RLIMIT_DATA` any more; the compiler, which needs no such thing, may not.
fn close() -> Made<Vec<Rule>> {
    Ok(vec![rule([is(2, NOT)])?])
}

/// Without a fixed address, and not of length 0, which makes a second mapping of a shared one.
fn remap(memory: u64) -> Made<Vec<Rule>> {
    let not_empty = Condition::new(1, Length::Qword, Is::Ne, 0);
    Ok(vec![rule([not_empty, at_most(1, memory), at_most(2, memory), is(3, unsigned(libc::MREMAP_MAYMOVE))])?])
}

/// Waiting and waking, of this process or of shared memory: not what requeues, inherits priorities or reads robust lists.
fn futex() -> Made<Vec<Rule>> {
    let operations = [libc::FUTEX_WAIT, libc::FUTEX_WAKE, libc::FUTEX_WAIT_BITSET, libc::FUTEX_WAKE_BITSET];
    let may = unsigned(!(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME)) & u64::from(u32::MAX);
    let operation = |operation| Condition::new(1, Length::Dword, Is::MaskedEq(may), unsigned(operation));
    operations.into_iter().map(|each| rule([operation(each)])).collect()
}

/// From a connected socket, without asking for an address.
fn receive(socket: RawFd) -> Made<Vec<Rule>> {
    let may = libc::MSG_DONTWAIT | libc::MSG_TRUNC | libc::MSG_NOSIGNAL;
    Ok(vec![rule([descriptor(socket), flags(3, may), is(4, 0)])?])
}

/// To a connected socket, to no other address.
fn send(socket: RawFd) -> Made<Vec<Rule>> {
    let may = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    Ok(vec![rule([descriptor(socket), flags(3, may), is(4, 0)])?])
}

/// Standard error, which is /dev/null: a panic's message.
fn errors() -> Made<Vec<Rule>> {
    Ok(vec![rule([descriptor(libc::STDERR_FILENO)])?])
}

fn line(call: libc::c_long, rules: Vec<Rule>, why: &'static str) -> Line {
    Line { call, rules, why }
}

/// Further ways in which a call of the table is allowed.
fn extend(lines: &mut [Line], call: libc::c_long, rules: Vec<Rule>) {
    if let Some(line) = lines.iter_mut().find(|line| line.call == call) {
        line.rules.extend(rules);
    }
}

fn rule<const N: usize>(conditions: [Made<Condition>; N]) -> Made<Rule> {
    Rule::new(conditions.into_iter().collect::<Made<Vec<_>>>()?)
}

/// The argument is this value, in all its 64 bits.
fn is(argument: u8, value: u64) -> Made<Condition> {
    Condition::new(argument, Length::Qword, Is::Eq, value)
}

/// All bits of `must` and at most those of `may`.
fn only(argument: u8, must: u64, may: u64) -> Made<Condition> {
    Condition::new(argument, Length::Qword, Is::MaskedEq(!may), must & !may)
}

fn at_most(argument: u8, value: u64) -> Made<Condition> {
    Condition::new(argument, Length::Qword, Is::Le, value)
}

/// The first argument is this descriptor.
fn descriptor(fd: RawFd) -> Made<Condition> {
    int(0, fd)
}

/// An argument that the kernel takes as an `int`, whatever stands in the register's upper half.
fn int(argument: u8, value: libc::c_int) -> Made<Condition> {
    Condition::new(argument, Length::Dword, Is::Eq, unsigned(value))
}

/// At most these flags, in an argument that the kernel takes as an `int`.
fn flags(argument: u8, may: libc::c_int) -> Made<Condition> {
    Condition::new(argument, Length::Dword, Is::MaskedEq(unsigned(!may)), 0)
}

fn unsigned(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_stands_there_once_and_with_its_reason() {
        let executor = Profile::Executor { socket: 3, code: 4, wake: 5..6, signal: 6..7, memory: 1 << 20 };
        for profile in [executor, Profile::Compiler { input: 3, output: 4, memory: 1 << 20 }] {
            let lines = table(&profile).unwrap();
            let mut calls: Vec<_> = lines.iter().map(|line| line.call).collect();
            calls.extend(REFUSED.iter().map(|(call, _)| *call));
            calls.sort_unstable();
            let all = calls.len();
            calls.dedup();
            assert_eq!(calls.len(), all);
            assert!(lines.iter().all(|line| line.why.len() > 5));
            assert!(lines.len() < 30, "two dozen, not {}", lines.len());
        }
    }

    #[test]
    fn no_line_is_without_a_condition_where_an_argument_matters() {
        // A line without rules allows every argument, so that an empty range must leave none.
        let executor = crate::child::profile(6..8, 1 << 20);
        let empty = Profile::Executor { socket: 3, code: 4, wake: 0..0, signal: 0..0, memory: 1 << 20 };
        for profile in [executor, empty, Profile::Compiler { input: 3, output: 4, memory: 1 << 20 }] {
            let lines = table(&profile).unwrap();
            let open: Vec<_> = lines.iter().filter(|line| line.rules.is_empty()).map(|line| line.call).collect();
            let matters = [
                libc::SYS_mmap,
                libc::SYS_mprotect,
                libc::SYS_mremap,
                libc::SYS_madvise,
                libc::SYS_read,
                libc::SYS_write,
                libc::SYS_recvfrom,
                libc::SYS_sendto,
                libc::SYS_futex,
                libc::SYS_tgkill,
                libc::SYS_rt_sigaction,
            ];
            assert_eq!(open.iter().find(|call| matters.contains(call)), None, "{profile:?}");
        }
    }

    #[test]
    fn an_executor_reads_no_descriptor() {
        let lines = table(&crate::child::profile(6..8, 1 << 20)).unwrap();
        assert!(lines.iter().all(|line| line.call != libc::SYS_read));
    }
}
