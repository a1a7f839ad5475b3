//! Attempts on the kernel's other facilities: those that widen rights, and those that have had holes.

use super::{Attempt, CWD, address, call1, call2, call3, call4, call6, number, path};
use std::ffi::CString;
use std::io::{Error, Result};

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("bpf", |_| {
        // bpf(2): an array of one entry.
        let map = [2u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        number(call3(libc::SYS_bpf, 0, address(map.as_ptr()), 72))
    }),
    ("userfaultfd", |_| number(call1(libc::SYS_userfaultfd, 1))),
    ("key", |_| {
        const OF_THE_PROCESS: libc::c_long = -2;
        let value = [1u8];
        let (kind, name) = (path(c"user"), path(c"lockgate"));
        number(call6(libc::SYS_add_key, [kind, name, address(value.as_ptr()), 1, OF_THE_PROCESS, 0]))
    }),
    ("module", |_| {
        // There is none of that name: only who may remove one is told so.
        told(call2(libc::SYS_delete_module, path(c"lockgate_no_module"), libc::O_NONBLOCK.into()), libc::ENOENT)
    }),
    ("kernel-log", |_| {
        const SIZE: libc::c_long = 10;
        const READ_ALL: libc::c_long = 3;
        let mut text = [0u8; 64];
        call3(libc::SYS_syslog, SIZE, 0, 0)?;
        number(call3(libc::SYS_syslog, READ_ALL, address(text.as_mut_ptr()), 64))
    }),
    ("another-filter", |_| {
        // Allows everything: BPF_RET | BPF_K.
        let allow = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
        let program = libc::sock_fprog { len: 1, filter: allow.as_ptr().cast_mut() };
        let _ = call6(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS.into(), 1, 0, 0, 0, 0]);
        let mode = libc::SECCOMP_SET_MODE_FILTER.into();
        number(call3(libc::SYS_seccomp, mode, 0, address(&raw const program)))
    }),
    ("another-ruleset", |_| {
        let every_file = [1u64];
        number(call3(libc::SYS_landlock_create_ruleset, address(every_file.as_ptr()), 8, 0))
    }),
    ("dumpable", |_| number(call6(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0, 0]))),
    ("outlive", |_| number(call6(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), 0, 0, 0, 0, 0]))),
    ("personality", |_| number(call1(libc::SYS_personality, libc::READ_IMPLIES_EXEC.into()))),
    #[cfg(target_arch = "x86_64")]
    ("segments", |_| {
        // modify_ldt(2): an entry that is not there.
        let entry = [0u32, 0, 0, 0b10_1000];
        number(call3(libc::SYS_modify_ldt, 1, address(entry.as_ptr()), 16))
    }),
    #[cfg(target_arch = "x86_64")]
    ("hardware", |_| number(call3(libc::SYS_ioperm, 0x80, 1, 1))),
    ("become-root", |_| become_root()),
    ("groups", |_| number(call2(libc::SYS_setgroups, 0, 0))),
    ("change-root", |_| number(call1(libc::SYS_chroot, path(c"/")))),
    ("file-system", |_| number(call2(libc::SYS_fsopen, path(c"tmpfs"), 0))),
    ("join-namespace", |_| {
        let open = (libc::O_RDONLY | libc::O_CLOEXEC).into();
        let namespace = call4(libc::SYS_openat, CWD, path(c"/proc/self/ns/uts"), open, 0)?;
        number(call2(libc::SYS_setns, namespace, 0))
    }),
    ("shared-segment", |_| {
        let segment = call3(libc::SYS_shmget, libc::IPC_PRIVATE.into(), 4096, 0o600)?;
        number(call3(libc::SYS_shmctl, segment, libc::IPC_RMID.into(), 0))
    }),
    ("semaphore", |_| {
        let set = call3(libc::SYS_semget, libc::IPC_PRIVATE.into(), 1, 0o600)?;
        number(call4(libc::SYS_semctl, set, 0, libc::IPC_RMID.into(), 0))
    }),
    ("message-queue", |_| {
        let text = CString::new(format!("lockgate-escape-{}", std::process::id())).map_err(Error::other)?;
        let name = address(text.as_ptr());
        call4(libc::SYS_mq_open, name, (libc::O_CREAT | libc::O_RDWR).into(), 0o600, 0)?;
        number(call1(libc::SYS_mq_unlink, name))
    }),
    ("timer", |_| {
        // A signal that nobody gets: sigevent(3).
        let mut event = [0i32; 16];
        event[3] = libc::SIGEV_NONE;
        let mut timer = 0i32;
        let clock = libc::CLOCK_MONOTONIC.into();
        number(call3(libc::SYS_timer_create, clock, address(event.as_ptr()), address(&raw mut timer)))
    }),
    ("alarm", |_| {
        let never = [0u64; 4];
        number(call3(libc::SYS_setitimer, libc::ITIMER_REAL.into(), address(never.as_ptr()), 0))
    }),
    ("clock", |_| {
        // Its state alone: adjtimex(2) without a mode.
        let mut state = [0u64; 32];
        number(call1(libc::SYS_adjtimex, address(state.as_mut_ptr())))
    }),
    ("machine", |_| {
        let mut state = [0u64; 64];
        number(call1(libc::SYS_sysinfo, address(state.as_mut_ptr())))
    }),
    ("kernel-version", |_| {
        let mut names = [0u8; 512];
        number(call1(libc::SYS_uname, address(names.as_mut_ptr())))
    }),
];

/// Becomes user 0. In a user namespace that may be all there is: root is who has a capability.
fn become_root() -> Result<String> {
    call3(libc::SYS_setresuid, 0, 0, 0)?;
    // capget(2): version 3, this thread; then effective, permitted and inheritable, twice.
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    call2(libc::SYS_capget, address(header.as_ptr()), address(sets.as_mut_ptr()))?;
    if sets == [0; 6] { Err(std::io::ErrorKind::PermissionDenied.into()) } else { Ok("it has capabilities".into()) }
}

/// With this error, it was looked for; with another, it was not allowed.
fn told(result: Result<libc::c_long>, looked: i32) -> Result<String> {
    match result {
        Err(error) if error.raw_os_error() == Some(looked) => Ok("the kernel looked for it".into()),
        result => number(result),
    }
}
