//! The program: Linux's system calls, and what a process is for them.
//!
//! | module | is |
//! |---|---|
//! | [`mod@line`] | the image's command line |
//! | [`elf`], [`exec`] | programs, and starting one |
//! | [`cpio`], [`tree`], [`files`], [`told`] | the file system in memory, open files, proc(5) |
//! | `disk`, [`dirent`] | a disk at its root, by the rump kernel |
//! | [`areas`] | mmap(2) and its like |
//! | [`task`], [`threads`], [`futex`] | threads, and how they wait |
//! | [`signal`], [`state`] | signals, and the registers that a handler must not lose |
//! | [`clock`], [`timer`], [`identity`] | time; signals at a time; numbers, limits and names |
//! | [`host`], `kernel` | the surrounding system of `rump-linux`, which has the sockets; the rump kernel below it |
//! | `upcall` | the kernel's calls of what the program gave the kernel |
//! | [`copy`], [`lock`] | access to the program's memory; a lock that sleeps |
//!
//! There is one process, whose number is [`PID`], with any number of threads. It cannot
//! fork: another process would need an address space of its own.
//!
//! # A system call
//! [`call`] asks those who know calls of one kind, one after the other. What is about
//! descriptors goes to [`rump_linux::Process`], which answers for sockets, pipes, epoll and
//! the like and comes back by [`host`] for files. What nobody knows is `ENOSYS`, and is told
//! on the console, once for each number.
// Linux's own names, in patterns.
#![allow(non_upper_case_globals)]

pub mod areas;
pub mod clock;
pub mod copy;
pub mod cpio;
pub mod dirent;
#[cfg(feature = "image")]
mod disk;
pub mod elf;
pub mod exec;
pub mod files;
pub mod futex;
pub mod host;
pub mod identity;
mod kernel;
pub mod line;
pub mod lock;
pub mod signal;
mod start;
pub mod state;
pub mod task;
pub mod threads;
pub mod timer;
pub mod told;
pub mod tree;
#[cfg(feature = "image")]
mod upcall;

pub use start::start;
pub(crate) use start::{given, host_name, line, process, program_name, set_stack_area, stack_area};
pub(crate) use threads::tasks;

use crate::trap::Frame;
use crate::{cpu, exit, say, sched, time, trap};
use copy::Result;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use rump_linux::Errno;
use rump_linux::raw::general::*;
use signal::Told;
use task::Task;

/// The number of the process.
pub const PID: u32 = 1;

/// A system call of the program: number and arguments are in the frame, and the result goes
/// into its rax. Runs on the kernel stack of the thread, with interrupts on.
pub fn call(frame: &mut Frame) {
    let Some(task) = Task::current() else {
        // No program was started on this thread.
        frame.rax = failed(Errno::ENOSYS);
        return;
    };
    let number = frame.number();
    let args = frame.arguments();
    match number as u32 {
        __NR_rt_sigreturn => {
            if signal::return_from(&task, frame).is_err() {
                end_by(SIGSEGV, Some((frame, frame.rsp)));
            }
            signal::deliver(&task, frame, None);
            return;
        }
        __NR_exit => {
            drop(task);
            threads::exit();
        }
        __NR_exit_group => end(args[0] as u8),
        _ => {}
    }
    let result = match number as u32 {
        __NR_clone | __NR_clone3 => threads::clone(&task, frame, number as u32, &args),
        __NR_arch_prctl => arch_prctl(&args),
        __NR_sigaltstack => signal::set_stack(&task, &args, frame.rsp),
        number => answer(&task, number, &args),
    };
    frame.rax = match result {
        Ok(result) => result as u64,
        Err(errno) => failed(errno),
    };
    if task.has_signal() || task.saved_mask.lock().is_some() {
        let again = (result == Err(Errno::EINTR) && starts_again(number as u32)).then_some(number);
        signal::deliver(&task, frame, again);
    }
}

fn failed(errno: Errno) -> u64 {
    -i64::from(errno.0) as u64
}

/// The result of a call that changes nothing in the frame.
fn answer(task: &alloc::sync::Arc<Task>, number: u32, args: &[u64; 6]) -> Result<i64> {
    match number {
        __NR_futex => return futex::futex(task, args),
        __NR_sched_yield => {
            sched::yield_now();
            return Ok(0);
        }
        __NR_set_tid_address => {
            task.clear_on_exit.store(args[0], Ordering::Relaxed);
            return Ok(task.id.into());
        }
        // Nobody dies with a lock in its hands but at the end of all.
        __NR_set_robust_list => return Ok(0),
        __NR_rseq => return Err(Errno::ENOSYS),
        _ => {}
    }
    let process = process();
    clock::call(task, number, args)
        .or_else(|| timer::call(number, args))
        .or_else(|| areas::call(&process.files, number, args))
        .or_else(|| signal::call(task, number, args))
        .or_else(|| identity::call(task, number, args))
        .unwrap_or_else(|| {
            threads::attach(task);
            match process.descriptors.call(number, *args) {
                result @ 0.. => Ok(result),
                error => Err(Errno(error.unsigned_abs() as u32)),
            }
        })
}

/// Calls that a signal interrupts for no longer than its handler runs, if it says so
/// (signal(7), "Interruption of system calls").
fn starts_again(number: u32) -> bool {
    matches!(
        number,
        __NR_read
            | __NR_readv
            | __NR_write
            | __NR_writev
            | __NR_accept
            | __NR_accept4
            | __NR_connect
            | __NR_recvfrom
            | __NR_recvmsg
            | __NR_sendto
            | __NR_sendmsg
            | __NR_futex
    )
}

fn arch_prctl(args: &[u64; 6]) -> Result<i64> {
    /// `<asm/prctl.h>`.
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    match args[0] {
        SET_FS if args[1] < 1 << 47 => {
            sched::set_fs_base(args[1]);
            Ok(0)
        }
        SET_FS => Err(Errno::EPERM),
        GET_FS => {
            copy::put(&sched::fs_base(), args[1])?;
            Ok(0)
        }
        // GS is the machine's, and shadow stacks are not on.
        _ => Err(Errno::EINVAL),
    }
}

/// A call that nobody knows.
fn unknown(number: u32) -> Errno {
    static TOLD: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
    let bit = 1 << (number % 64);
    let word = TOLD.get(number as usize / 64);
    if word.is_none_or(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0) {
        say!("rumprun: system call {number} is not there (ENOSYS)");
    }
    Errno::ENOSYS
}

/// The program did what the CPU refused: the frame's vector says what. `address` is that of a
/// page fault. Returns to the frame. Runs as [`call`] does.
pub fn fault(frame: &mut Frame, address: u64) {
    let writes = frame.error & 2 != 0;
    if frame.vector == 14 && crate::memory::space::is_mapped(address, 1, writes) {
        // The access is allowed: it is the page that could not come.
        // Neither has the kernel any, to write to a disk; and a lock may be held.
        start::leave_disk();
        let (total, _) = crate::host::memory();
        say!(
            "rumprun: no memory left for the program: the machine has {} MiB",
            total >> 20
        );
        end_by(SIGKILL, None);
    }
    let (signal, code) = match frame.vector {
        0 => (SIGFPE, FPE_INTDIV as i32),
        1 | 3 => (SIGTRAP, TRAP_BRKPT as i32),
        6 => (SIGILL, ILL_ILLOPN as i32),
        14 if frame.error & 1 == 0 => (SIGSEGV, SEGV_MAPERR as i32),
        14 => (SIGSEGV, SEGV_ACCERR as i32),
        16 | 19 => (SIGFPE, FPE_FLTINV as i32),
        17 => (SIGBUS, BUS_ADRALN as i32),
        _ => (SIGSEGV, SI_KERNEL as i32),
    };
    let about = match frame.vector {
        14 => address,
        0 | 6 | 16 | 19 => frame.rip,
        _ => 0,
    };
    let Some(task) = Task::current() else {
        end_by(signal, Some((frame, about)));
    };
    let told = Told {
        signal,
        code,
        about,
    };
    signal::fault(&task, frame, told);
    if task.has_signal() {
        signal::deliver(&task, frame, None);
    }
}

/// How long the end of the program waits for what was sent to arrive, how often it looks, and
/// how long the last segments, which nobody waits for, take to leave; in nanoseconds.
const PATIENCE: u64 = 20_000_000_000;
const LOOK: u64 = 2_000_000;
const LAST: u64 = 5_000_000;

/// The program ends with a status; its connections do, too, but not before what was sent has
/// arrived.
pub(crate) fn end(status: u8) -> ! {
    let descriptors = &process().descriptors;
    let until = time::monotonic_ns() + PATIENCE;
    while descriptors.end() > 0 && time::monotonic_ns() < until {
        rest(LOOK);
    }
    rest(LAST);
    start::unmount();
    exit::exit(status)
}

/// Lets others run for so long.
fn rest(ns: u64) {
    static NOBODY: AtomicU32 = AtomicU32::new(0);
    let until = time::monotonic_ns() + ns;
    while sched::park(&NOBODY, 0, Some(until)) {}
}

/// The program ends by a signal; if it was a fault, with these registers and about an address.
pub(crate) fn end_by(signal: u32, fault: Option<(&Frame, u64)>) -> ! {
    cpu::Interrupts::enable();
    let name = signal::name(signal);
    match fault {
        None => say!("rumprun: the program was ended by {name}"),
        Some((frame, address)) => {
            let vector = frame.vector;
            let what = if vector < 32 {
                trap::name(vector)
            } else {
                "no stack for a handler"
            };
            let about = match vector {
                14 => alloc::format!(" at {address:#x}{}", crate::memory::describe(address)),
                _ => alloc::string::String::new(),
            };
            say!("rumprun: the program was ended by {name}: {what}{about}");
            say!("{frame:?}");
            crate::console::backtrace(frame.rip, frame.rbp);
        }
    }
    start::unmount();
    // As a shell tells it.
    exit::exit((128 + signal) as u8)
}
