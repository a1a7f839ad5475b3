//! Attempts on other processes, the parent above all, and to make more.

use super::{Attempt, Stage, across, address, call, call2, call3, call4, call6, number, path};
use std::io::Result;
use std::ptr::null;

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("vfork", |_| child(libc::CLONE_VFORK)),
    ("user-namespace", |_| child(libc::CLONE_NEWUSER)),
    ("pid-namespace", |_| child(libc::CLONE_NEWPID)),
    ("clone3", |_| {
        let mut how = [0u64; 11];
        how[4] = u64::from(libc::SIGCHLD.cast_unsigned());
        made(call2(libc::SYS_clone3, address(how.as_ptr()), 88)?)
    }),
    ("exec-descriptor", |_| exec_descriptor()),
    ("write-memory", |stage| across(stage, libc::SYS_process_vm_writev)),
    ("process-descriptor", |stage| number(process(stage))),
    ("take-parents-descriptor", |stage| number(call3(libc::SYS_pidfd_getfd, process(stage)?, 1, 0))),
    ("signal-by-descriptor", |stage| number(call4(libc::SYS_pidfd_send_signal, process(stage)?, 0, 0, 0))),
    ("queue-signal", |stage| {
        let mut information = [0i32; 32];
        information[2] = libc::SI_QUEUE;
        number(call3(libc::SYS_rt_sigqueueinfo, stage.parent.into(), 0, address(information.as_ptr())))
    }),
    ("priority", |stage| number(call3(libc::SYS_setpriority, libc::PRIO_PROCESS as _, stage.parent.into(), 1))),
    ("scheduling", |stage| {
        let none = [0i32; 4];
        number(call3(libc::SYS_sched_setscheduler, stage.parent.into(), 0, address(none.as_ptr())))
    }),
    ("processors", |stage| {
        let all = [u64::MAX; 16];
        number(call3(libc::SYS_sched_setaffinity, stage.parent.into(), 128, address(all.as_ptr())))
    }),
    ("disk-priority", |stage| {
        const PROCESS: libc::c_long = 1;
        const BEST_EFFORT: libc::c_long = 2 << 13;
        number(call3(libc::SYS_ioprio_set, PROCESS, stage.parent.into(), BEST_EFFORT | 7))
    }),
    ("parents-limits", |stage| {
        let mut limit = [0u64; 2];
        let which = libc::RLIMIT_NOFILE as libc::c_long;
        number(call4(libc::SYS_prlimit64, stage.parent.into(), which, 0, address(limit.as_mut_ptr())))
    }),
    ("parents-addresses", |stage| {
        let mut found = [0u64; 2];
        let (head, length) = (address(&raw mut found[0]), address(&raw mut found[1]));
        number(call3(libc::SYS_get_robust_list, stage.parent.into(), head, length))
    }),
    ("compare", |stage| {
        let parent = stage.parent.into();
        number(call6(libc::SYS_kcmp, [parent, parent, 1, 0, 0, 0]))
    }),
    ("move-memory", |stage| number(call6(libc::SYS_move_pages, [stage.parent.into(), 0, 0, 0, 0, 0]))),
    ("measure-parent", |stage| number(measure(stage.parent.into()))),
    ("measure-self", |_| number(measure(0))),
];

/// A process with these flags, which ends at once.
fn child(flags: i32) -> Result<String> {
    made(call(libc::SYS_clone, (flags | libc::SIGCHLD).into(), 0, 0, 0)?)
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn made(child: libc::c_long) -> Result<String> {
    if child == 0 {
        // SAFETY: ends the new process alone.
        unsafe { libc::_exit(0) }
    }
    Ok("a process was made".into())
}

fn process(stage: &Stage) -> Result<libc::c_long> {
    call2(libc::SYS_pidfd_open, stage.parent.into(), 0)
}

/// Executes a program that was never a file: one that ends with 0.
fn exec_descriptor() -> Result<String> {
    let file = call2(libc::SYS_memfd_create, path(c"x"), 0)?;
    let program = program();
    call3(libc::SYS_write, file, address(program.as_ptr()), program.len() as libc::c_long)?;
    let arguments = [c"x".as_ptr(), null()];
    let (arguments, none) = (address(arguments.as_ptr()), address(&raw const arguments[1]));
    number(call6(libc::SYS_execveat, [file, path(c""), arguments, none, libc::AT_EMPTY_PATH.into(), 0]))
}

/// The smallest program: elf(5)'s header, one segment, and three instructions that end it with 0.
fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    #[cfg(target_arch = "x86_64")]
    let (machine, code) = (62u16, [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    #[cfg(target_arch = "aarch64")]
    let (machine, code) = (183u16, [0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4]);
    let size = 120 + code.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put =
        |value: u64, width: usize| bytes.extend_from_slice(value.to_le_bytes().get(..width).unwrap_or_default());
    for (value, width) in [(2, 2), (machine.into(), 2), (1, 4), (BASE + 120, 8), (64, 8), (0, 8), (0, 4)] {
        put(value, width);
    }
    for half in [64, 56, 1, 0, 0, 0] {
        put(half, 2);
    }
    for (value, width) in [(1, 4), (5, 4), (0, 8), (BASE, 8), (BASE, 8), (size, 8), (size, 8), (4096, 8)] {
        put(value, width);
    }
    bytes.extend(code);
    bytes
}

/// Counts the page faults of a process.
fn measure(process: libc::c_long) -> Result<libc::c_long> {
    // perf_event_open(2): a software event, its size, and nothing else.
    let mut event = [0u64; 16];
    event[0] = 1 | 128 << 32;
    event[1] = 2;
    // Of what happens in the kernel nothing, which an ordinary user may not see.
    event[5] = 1 << 5;
    call6(libc::SYS_perf_event_open, [address(event.as_ptr()), process, -1, -1, 0, 0])
}
