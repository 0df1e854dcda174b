//! Threads.
//!
//! Threads of the kernel and of the program are the same: each has a kernel stack, and runs
//! program code where it went there ([`enter_program`]). A CPU has a queue of threads that
//! could run, by priority, and a thread of its own for when there are none.
//!
//! # Switching
//!
//! All of it happens with interrupts off, from [`switch`]: a thread that gives its CPU up
//! saves its registers on its stack, and then says that it has ([`Thread::on_cpu`]). A CPU
//! that takes a thread waits for that, for the thread may have been woken while it was still
//! on its way to sleep. What was left to do for the thread before (it may have ended) is
//! done by the one that runs next ([`arrived`]).
//!
//! What the kernel does not use of the register state is the program's, and is saved and
//! restored for threads that have a program only.
//!
//! # Sleeping
//!
//! A thread sleeps on the address of a word ([`park`]), in a table of buckets by address.
//! The word is compared under the lock of the bucket, so that a wake-up that follows a
//! change of the word is not lost.
//!
//! Locks: a bucket before a queue.

mod park;
mod program;
mod queue;
mod switch;
mod thread;

pub use park::{park, park_at, unpark};
pub use program::{enter_program, fs_base, set_fs_base};
pub(crate) use program::{fault_address, note_fault};
pub use thread::{Thread, ThreadRef};

use crate::cpu::{self, Interrupts};
use crate::memory::stack::Stack;
use crate::memory::tables::NoMemory;
use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::Ordering;

pub(crate) use queue::Queue;

/// Of a thread: more is sooner. Handlers of interrupts.
pub const INTERRUPT: u8 = 3;
/// The kernel's own threads.
pub const KERNEL: u8 = 2;
/// The program's threads.
pub const NORMAL: u8 = 1;
/// When a CPU has nothing else.
pub(crate) const IDLE: u8 = 0;

/// Makes the calling CPU one that runs threads. What runs now becomes its idle thread, with
/// the stack that ends at `top`.
pub(crate) fn set_up(index: usize, top: u64) {
    let idle = Thread::new(Stack::first(top), "idle", IDLE, None);
    idle.on_cpu.store(1, Ordering::Relaxed);
    cpu::data::set_up(index, idle);
}

/// Starts a thread.
///
/// # Errors
/// There is no memory for its stack.
pub fn try_spawn(
    main: Box<dyn FnOnce() + Send>,
    name: &str,
    priority: u8,
) -> Result<ThreadRef, NoMemory> {
    let thread = Thread::new(Stack::new()?, name, priority, Some(main));
    switch::prepare(&thread);
    wake(thread.clone());
    Ok(thread)
}

/// Starts a thread.
///
/// # Panics
/// If there is no memory for its stack.
pub fn spawn(main: Box<dyn FnOnce() + Send>, name: &str, priority: u8) -> ThreadRef {
    try_spawn(main, name, priority).expect("memory for the stack of a thread")
}

/// The thread that runs this.
pub fn current() -> ThreadRef {
    let _off = Interrupts::off();
    let thread = cpu::current().thread.load(Ordering::Relaxed);
    // SAFETY: the CPU holds a count of the thread that it runs, which is this one.
    unsafe {
        ThreadRef::increment_strong_count(thread);
        ThreadRef::from_raw(thread)
    }
}

/// Runs `f` with the thread that runs this, without a count of its own.
pub fn with_current<R>(f: impl FnOnce(&Thread) -> R) -> R {
    let thread = {
        let _off = Interrupts::off();
        cpu::current().thread.load(Ordering::Relaxed)
    };
    // SAFETY: the thread exists for as long as it runs, and this runs on it.
    f(unsafe { &*thread })
}

/// Lets another thread of the same or a higher priority run, if there is one.
pub fn yield_now() {
    let _off = Interrupts::off();
    let cpu = cpu::current();
    cpu.wants_switch.store(false, Ordering::Relaxed);
    let this = current();
    if this.priority == IDLE {
        return;
    }
    // Behind the others, so that what is taken next may be this one again.
    cpu.queue.lock().push(this);
    next();
}

/// Ends the thread that runs this.
pub fn exit() -> ! {
    Interrupts::off_for_good();
    next();
    unreachable!("a thread that has ended runs")
}

/// Gives the CPU to whoever is first, or to the idle thread. Interrupts are off. The caller
/// has put the thread that runs where somebody will find it, or it never runs again.
fn next() {
    let cpu = cpu::current();
    let next = cpu.queue.lock().pop();
    // SAFETY: the CPU holds a count of its idle thread for good.
    let next = next.unwrap_or_else(|| unsafe {
        ThreadRef::increment_strong_count(cpu.idle);
        ThreadRef::from_raw(cpu.idle)
    });
    if ptr::eq(&*next, cpu.thread.load(Ordering::Relaxed)) {
        return;
    }
    switch::to(next);
}

/// Makes a thread run as soon as it can. It is on no queue and in no bucket.
pub(crate) fn wake(thread: ThreadRef) {
    let _off = Interrupts::off();
    let cpu = cpu::current();
    let priority = thread.priority;
    cpu.queue.lock().push(thread);
    if with_current(|this| this.priority < priority) {
        cpu.wants_switch.store(true, Ordering::Relaxed);
    }
}

/// Whether an interrupt should not return before another thread has run. Not on the idle
/// thread, which looks for itself.
pub(crate) fn wants_switch() -> bool {
    cpu::current().wants_switch.load(Ordering::Relaxed)
        && with_current(|this| this.priority != IDLE)
}

/// What a CPU does when it has nothing else. Never returns.
pub(crate) fn idle() -> ! {
    loop {
        Interrupts::off_for_good();
        let cpu = cpu::current();
        cpu.wants_switch.store(false, Ordering::Relaxed);
        if cpu.queue.lock().is_empty() {
            cpu::wait_for_interrupt();
        } else {
            next();
        }
    }
}

/// Whether the thread has a program, whose exceptions are the program's to handle.
pub(crate) fn in_program() -> bool {
    with_current(Thread::has_program)
}
