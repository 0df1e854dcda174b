//! Who the program is and what it may use: numbers of process and users, limits, names of
//! the system, CPUs.

use super::copy::{self, Result};
use super::files::table::LIMIT;
use super::task::Task;
use super::{PID, exec};
use crate::{cpu, memory, time};
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

const INFINITY: u64 = u64::MAX;

/// The soft limit of open files; the only one that may be changed.
static OPEN_FILES: AtomicU64 = AtomicU64::new(LIMIT as u64);

/// A call about these; `None` if it is about something else.
pub fn call(task: &Task, number: u32, args: &Args) -> Option<Result<i64>> {
    let done = match number {
        __NR_getpid | __NR_getpgrp => Ok(PID.into()),
        __NR_gettid => Ok(task.id.into()),
        __NR_getppid => Ok(0),
        __NR_getpgid | __NR_getsid if matches!(args[0] as u32, 0 | PID) => Ok(PID.into()),
        __NR_getpgid | __NR_getsid => Err(Errno::ESRCH),
        __NR_setsid => Err(Errno::EPERM),
        __NR_setpgid => Ok(0),
        __NR_getuid | __NR_geteuid | __NR_getgid | __NR_getegid => Ok(0),
        __NR_getresuid | __NR_getresgid => {
            let all = args[..3].iter().try_for_each(|at| copy::put(&0_u32, *at));
            all.map(|()| 0)
        }
        // There is nobody whose permissions could be asked for.
        __NR_setuid | __NR_setgid | __NR_setreuid | __NR_setregid | __NR_setresuid
        | __NR_setresgid | __NR_setgroups | __NR_setfsuid | __NR_setfsgid => Ok(0),
        __NR_getgroups => Ok(0),
        __NR_capget => capget(args),
        __NR_capset => Ok(0),
        __NR_uname => uname(args[0]),
        __NR_sysinfo => sysinfo(args[0]),
        __NR_getrlimit => limit(args[0]).and_then(|limit| copy::put(&limit, args[1]).map(|()| 0)),
        __NR_setrlimit => set_limit(args[0], args[1]).map(|()| 0),
        __NR_prlimit64 => prlimit(args),
        __NR_getrusage => getrusage(args[1]),
        __NR_getpriority => Ok(20),
        __NR_setpriority
        | __NR_sched_setparam
        | __NR_sched_setscheduler
        | __NR_sched_setaffinity
        | __NR_ioprio_set => Ok(0),
        __NR_sched_getscheduler | __NR_ioprio_get => Ok(0),
        __NR_sched_getparam => copy::put(&0_u32, args[1]).map(|()| 0),
        __NR_sched_get_priority_max | __NR_sched_get_priority_min => Ok(0),
        __NR_sched_getaffinity => affinity(args),
        __NR_getcpu => getcpu(args),
        __NR_personality => Ok(0),
        __NR_prctl => prctl(task, args),
        __NR_getrandom => random(args),
        __NR_membarrier => membarrier(args),
        _ => return None,
    };
    Some(done)
}

fn capget(args: &Args) -> Result<i64> {
    // All capabilities, as the superuser's: `_LINUX_CAPABILITY_VERSION_3` has two sets.
    if args[1] != 0 {
        copy::put(&[u32::MAX, u32::MAX, 0, u32::MAX, u32::MAX, 0], args[1])?;
    }
    Ok(0)
}

/// The version of Linux whose calls these are, in `struct utsname`.
const NAMES: [&str; 6] = [
    "Linux",
    "rumprun",
    "6.1.0",
    concat!("rumprun ", env!("CARGO_PKG_VERSION")),
    "x86_64",
    "",
];

fn uname(to: u64) -> Result<i64> {
    const FIELD: usize = 65;
    let mut bytes = [0; 6 * FIELD];
    let host = super::host_name();
    for (index, (field, name)) in bytes.chunks_exact_mut(FIELD).zip(NAMES).enumerate() {
        let name = if index == 1 { host } else { name };
        let length = name.len().min(FIELD - 1);
        field[..length].copy_from_slice(&name.as_bytes()[..length]);
    }
    copy::copyout(&bytes, to)?;
    Ok(0)
}

fn sysinfo(to: u64) -> Result<i64> {
    let count = memory::frames::count();
    let page = memory::PAGE as u64;
    let (total, free) = (count.total as u64, count.free as u64);
    // uptime, three loads, totalram, freeram, sharedram, bufferram, totalswap, freeswap,
    // procs with padding, totalhigh, freehigh, mem_unit.
    let mut words = [0_u64; 14];
    words[0] = time::monotonic_ns() / 1_000_000_000;
    words[4] = total * page;
    words[5] = free * page;
    words[10] = super::tasks().len() as u64 & 0xffff;
    words[13] = 1;
    copy::put(&words, to)?;
    Ok(0)
}

/// Soft and hard.
fn limit(resource: u64) -> Result<[u64; 2]> {
    Ok(match resource as u32 {
        RLIMIT_NOFILE => [OPEN_FILES.load(Ordering::Relaxed), LIMIT as u64],
        RLIMIT_STACK => [exec::STACK, exec::STACK],
        RLIMIT_CORE => [0, 0],
        resource if resource < RLIM_NLIMITS => [INFINITY; 2],
        _ => return Err(Errno::EINVAL),
    })
}

fn set_limit(resource: u64, from: u64) -> Result<()> {
    let [soft, hard]: [u64; 2] = copy::get(from)?;
    let [_, most] = limit(resource)?;
    if soft > hard {
        return Err(Errno::EINVAL);
    }
    if hard > most && resource as u32 == RLIMIT_NOFILE {
        return Err(Errno::EPERM);
    }
    if resource as u32 == RLIMIT_NOFILE {
        OPEN_FILES.store(soft, Ordering::Relaxed);
    }
    Ok(())
}

fn prlimit(args: &Args) -> Result<i64> {
    if !matches!(args[0] as u32, 0 | PID) {
        return Err(Errno::ESRCH);
    }
    let old = limit(args[1])?;
    if args[2] != 0 {
        set_limit(args[1], args[2])?;
    }
    if args[3] != 0 {
        copy::put(&old, args[3])?;
    }
    Ok(0)
}

fn getrusage(to: u64) -> Result<i64> {
    let count = memory::frames::count();
    let now = time::monotonic_ns();
    let mut words = [0_u64; 18];
    words[0] = now / 1_000_000_000;
    words[1] = now % 1_000_000_000 / 1000;
    // In KiB.
    words[4] = (count.total - count.free) as u64 * (memory::PAGE as u64 / 1024);
    copy::put(&words, to)?;
    Ok(0)
}

fn affinity(args: &Args) -> Result<i64> {
    let cpus = cpu::data::count();
    if !args[1].is_multiple_of(8) || args[1] * 8 < cpus as u64 {
        return Err(Errno::EINVAL);
    }
    let words = cpus.div_ceil(64);
    for word in 0..words {
        let here = (cpus - 64 * word).min(64);
        let set = u64::MAX >> (64 - here);
        copy::put(&set, args[2] + 8 * word as u64)?;
    }
    Ok(8 * words as i64)
}

fn getcpu(args: &Args) -> Result<i64> {
    if args[0] != 0 {
        copy::put(&(cpu::current().index as u32), args[0])?;
    }
    if args[1] != 0 {
        copy::put(&0_u32, args[1])?;
    }
    Ok(0)
}

fn prctl(task: &Task, args: &Args) -> Result<i64> {
    /// `<linux/prctl.h>`.
    const PR_SET_PDEATHSIG: u64 = 1;
    const PR_GET_DUMPABLE: u64 = 3;
    const PR_SET_DUMPABLE: u64 = 4;
    const PR_SET_NAME: u64 = 15;
    const PR_GET_NAME: u64 = 16;
    const PR_SET_TIMERSLACK: u64 = 29;
    const PR_SET_NO_NEW_PRIVS: u64 = 38;
    const PR_SET_THP_DISABLE: u64 = 41;
    match args[0] {
        PR_SET_NAME => {
            let mut bytes = [0; 16];
            // The string may be shorter than its room, and end where nothing is mapped.
            for (at, byte) in bytes.iter_mut().enumerate().take(15) {
                *byte = copy::get(args[1] + at as u64)?;
                if *byte == 0 {
                    break;
                }
            }
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(15);
            let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
            *task.name.lock() = name;
            Ok(0)
        }
        PR_GET_NAME => {
            let name = task.name.lock().clone();
            let mut bytes = [0; 16];
            let length = name.len().min(15);
            bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
            copy::copyout(&bytes, args[1])?;
            Ok(0)
        }
        PR_GET_DUMPABLE => Ok(0),
        PR_SET_DUMPABLE | PR_SET_PDEATHSIG | PR_SET_TIMERSLACK | PR_SET_NO_NEW_PRIVS
        | PR_SET_THP_DISABLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn random(args: &Args) -> Result<i64> {
    const MOST: u64 = 0x1ff_ffff;
    let length = args[1].min(MOST);
    let mut bytes = [0; 256];
    let mut done = 0;
    while done < length {
        let now = (length - done).min(256) as usize;
        crate::random::fill(&mut bytes[..now]);
        copy::copyout(&bytes[..now], args[0] + done)?;
        done += now as u64;
    }
    Ok(length as i64)
}

/// membarrier(2): what there is of it is only told, and asked for by nobody then.
fn membarrier(args: &Args) -> Result<i64> {
    match args[0] {
        0 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
