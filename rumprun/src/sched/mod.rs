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
//! done by the one that runs next (`switch::arrived`).
//!
//! What the kernel does not use of the register state is the program's, and is saved and
//! restored for threads that have a program only.
//!
//! # Which thread runs where
//!
//! A thread that is woken goes to the CPU that it ran on, or to one that has nothing to do.
//! A CPU whose queue is empty takes a thread of another's. Threads of one priority take
//! turns ([`SLICE_NS`]); one of a higher priority interrupts those of lower ones at once, but
//! has to let one of them run when its turn is over: it may wait for a spin lock of theirs.
//! A CPU that has nothing to do halts, until a timer or another CPU interrupts it.
//!
//! # Sleeping
//!
//! A thread sleeps on the address of a word ([`park`]), in a table of buckets by address.
//! The word is compared under the lock of the bucket, so that a wake-up that follows a
//! change of the word is not lost.
//!
//! The kernel's clocks may sleep longer than they want while there is nothing to do
//! ([`clock`]).
//!
//! Locks: a bucket before timers, both before nothing else; queues, and the table of clocks, by
//! themselves.

pub(crate) mod clock;
mod park;
mod program;
mod queue;
mod switch;
mod thread;
mod timer;

pub use park::{park, park_at, sleep_until, unpark, unpark_thread};
pub use program::{enter_program, fs_base, set_fs_base};
pub(crate) use program::{fault_address, note_fault};
pub use thread::{Thread, ThreadRef};

use crate::cpu::{self, Cpu, Interrupts, apic};
use crate::memory::stack::Stack;
use crate::memory::tables::NoMemory;
use crate::sync::Lock;
use crate::time;
use alloc::boxed::Box;
use core::arch::asm;
use core::mem::offset_of;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering, fence};
use queue::Queue;
use timer::Timers;

/// Of a thread: more is sooner. Handlers of interrupts.
pub const INTERRUPT: u8 = 3;
/// The kernel's own threads.
pub const KERNEL: u8 = 2;
/// The program's threads.
pub const NORMAL: u8 = 1;
/// When a CPU has nothing else.
pub(crate) const IDLE: u8 = 0;

/// How long a thread runs while others of its priority wait.
const SLICE_NS: u64 = 10_000_000;

/// What a CPU knows of threads.
#[derive(Debug)]
pub(crate) struct PerCpu {
    /// The thread that it runs, with a count of it.
    thread: AtomicPtr<Thread>,
    /// The priority of that thread, for others to see.
    priority: AtomicU8,
    /// While threads are switched: the one before, with the CPU's count of it.
    before: AtomicPtr<Thread>,
    /// Runs when there is no other, with a count of it for good.
    idle: *const Thread,
    /// Threads that could run here.
    queue: Lock<Queue>,
    /// How many there are, for others to see.
    waiting: AtomicU64,
    /// It halts, or is about to: who gives it something to do interrupts it.
    halted: AtomicBool,
    /// Another thread should run here soon.
    wants_switch: AtomicBool,
    /// When the thread's turn ends, 0 if nobody else waits. Of this CPU.
    slice_end: AtomicU64,
    /// The turn of a thread of the kernel has ended: whoever comes last is next. Of this CPU.
    turn_over: AtomicBool,
    /// Threads that sleep until some time, and for when the timer is set.
    timers: Lock<Timers>,
}

// SAFETY: `idle` is never written after it was made, and threads can be shared.
unsafe impl Sync for PerCpu {}
// SAFETY: as above.
unsafe impl Send for PerCpu {}

impl PerCpu {
    pub(crate) fn new(idle: ThreadRef) -> Self {
        Self {
            thread: AtomicPtr::new(ThreadRef::into_raw(idle.clone()).cast_mut()),
            priority: AtomicU8::new(IDLE),
            before: AtomicPtr::new(null_mut()),
            idle: ThreadRef::into_raw(idle),
            queue: Lock::new(Queue::new()),
            waiting: AtomicU64::new(0),
            halted: AtomicBool::new(false),
            wants_switch: AtomicBool::new(false),
            slice_end: AtomicU64::new(0),
            turn_over: AtomicBool::new(false),
            timers: Lock::new(Timers::new()),
        }
    }

    fn push(&self, thread: ThreadRef) {
        let mut queue = self.queue.lock();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        queue.push(thread);
    }

    fn pop(&self, lowest: bool) -> Option<ThreadRef> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let thread = if lowest {
            queue.pop_lowest()?
        } else {
            queue.pop()?
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(thread)
    }
}

/// Makes the calling CPU one that runs threads. What runs now becomes its idle thread, with
/// the stack that ends at `top`.
pub(crate) fn set_up(index: usize, top: u64) {
    let idle = Thread::new(Stack::first(top), "idle", IDLE, None);
    idle.on_cpu.store(1, Ordering::Relaxed);
    cpu::data::set_up(index, idle);
}

/// Starts a thread.
///
/// What `main` owns is dropped where `main` drops it: a thread that ends by [`exit`], or goes
/// to a program for good, leaves it.
///
/// # Errors
/// There is no memory for its stack.
pub fn try_spawn(
    main: impl FnOnce() + Send + 'static,
    name: &str,
    priority: u8,
) -> Result<ThreadRef, NoMemory> {
    // The box stays the thread's, so that it goes with it also if `main` does not return.
    let mut main = Some(main);
    let main = Box::new(move || {
        if let Some(main) = main.take() {
            main();
        }
    });
    let thread = Thread::new(Stack::new()?, name, priority, Some(main));
    switch::prepare(&thread);
    wake(thread.clone());
    Ok(thread)
}

/// Starts a thread.
///
/// # Panics
/// If there is no memory for its stack.
pub fn spawn(main: impl FnOnce() + Send + 'static, name: &str, priority: u8) -> ThreadRef {
    try_spawn(main, name, priority).expect("memory for the stack of a thread")
}

/// The thread that runs this.
pub fn current() -> ThreadRef {
    let thread = running();
    // SAFETY: the CPU holds a count of the thread that it runs, which is this one.
    unsafe {
        ThreadRef::increment_strong_count(thread);
        ThreadRef::from_raw(thread)
    }
}

/// Runs `f` with the thread that runs this, without a count of its own.
#[inline]
pub fn with_current<R>(f: impl FnOnce(&Thread) -> R) -> R {
    // SAFETY: the thread exists for as long as it runs, and this runs on it.
    f(unsafe { &*running() })
}

/// The thread that runs this. Read in one instruction, so that it is right wherever the
/// thread is a moment before and after.
#[inline]
fn running() -> *const Thread {
    const THREAD: usize = offset_of!(Cpu, sched) + offset_of!(PerCpu, thread);
    let thread;
    // SAFETY: GS is the data of the CPU, which has the pointer there.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) thread, const THREAD,
             options(nostack, preserves_flags, readonly));
    }
    thread
}

/// Lets another thread of the same or a higher priority run, if there is one.
pub fn yield_now() {
    let _off = Interrupts::off();
    let cpu = cpu::current();
    cpu.sched.wants_switch.store(false, Ordering::Relaxed);
    if cpu.sched.priority.load(Ordering::Relaxed) == IDLE
        || cpu.sched.waiting.load(Ordering::Relaxed) == 0
    {
        return;
    }
    // Behind the others, so that what is taken next may be this one again.
    cpu.sched.push(current());
    next(cpu);
}

/// Ends the thread that runs this.
pub fn exit() -> ! {
    Interrupts::off_for_good();
    next(cpu::current());
    unreachable!("a thread that has ended runs")
}

/// Gives the CPU to whoever is first here, or waits elsewhere, or to the idle thread.
/// Interrupts are off. The caller has put the thread that runs where somebody will find it,
/// or it never runs again.
fn next(cpu: &Cpu) {
    let lowest = cpu.sched.turn_over.swap(false, Ordering::Relaxed);
    let thread = cpu.sched.pop(lowest).or_else(|| steal(cpu));
    // SAFETY: the CPU holds a count of its idle thread for good.
    let thread = thread.unwrap_or_else(|| unsafe {
        ThreadRef::increment_strong_count(cpu.sched.idle);
        ThreadRef::from_raw(cpu.sched.idle)
    });
    cpu.sched.wants_switch.store(false, Ordering::Relaxed);
    cpu.sched.slice_end.store(0, Ordering::Relaxed);
    if cpu.sched.waiting.load(Ordering::Relaxed) > 0 {
        begin_slice(cpu);
    }
    if ptr::eq(&*thread, cpu.sched.thread.load(Ordering::Relaxed)) {
        return;
    }
    switch::to(cpu, thread);
}

/// A thread of another CPU's queue.
fn steal(cpu: &Cpu) -> Option<ThreadRef> {
    cpu::data::all()
        .filter(|other| other.index != cpu.index)
        .find_map(|other| other.sched.pop(false))
}

/// Somebody else waits for this CPU: the thread that runs has its turn, and no more.
fn begin_slice(cpu: &Cpu) {
    if cpu.sched.slice_end.load(Ordering::Relaxed) == 0 {
        let end = time::monotonic_ns() + SLICE_NS;
        cpu.sched.slice_end.store(end, Ordering::Relaxed);
        cpu.sched.timers.lock().set(end);
    }
}

/// Makes a thread run as soon as it can. It is on no queue and in no bucket.
pub(crate) fn wake(thread: ThreadRef) {
    let _off = Interrupts::off();
    let this = cpu::current();
    let priority = thread.priority;
    let cpu = place(this, &thread);
    cpu.sched.push(thread);
    // What is in the queue is there before it is asked who halts: see `idle`.
    fence(Ordering::SeqCst);
    let running = cpu.sched.priority.load(Ordering::Relaxed);
    if running < priority {
        cpu.sched.wants_switch.store(true, Ordering::Relaxed);
    }
    if cpu.index != this.index {
        apic::send(cpu.apic, apic::LOOK);
    } else if running != IDLE {
        begin_slice(cpu);
    }
}

/// The CPU that a thread goes to.
fn place(this: &'static Cpu, thread: &Thread) -> &'static Cpu {
    let idle = |cpu: &&Cpu| {
        cpu.sched.priority.load(Ordering::Relaxed) == IDLE
            && cpu.sched.waiting.load(Ordering::Relaxed) == 0
    };
    let last = thread.last_cpu.load(Ordering::Relaxed);
    let last = cpu::data::all().nth(last).unwrap_or(this);
    if idle(&last) {
        return last;
    }
    cpu::data::all().find(idle).unwrap_or(last)
}

/// A CPU was told that there is something in its queue. Interrupts are off.
pub(crate) fn look() {
    let cpu = cpu::current();
    let is_idle = cpu.sched.priority.load(Ordering::Relaxed) == IDLE;
    if !is_idle && cpu.sched.waiting.load(Ordering::Relaxed) > 0 {
        begin_slice(cpu);
    }
}

/// The timer of this CPU. Interrupts are off.
pub(crate) fn tick() {
    let cpu = cpu::current();
    let now = time::monotonic_ns();
    let slice_end = cpu.sched.slice_end.load(Ordering::Relaxed);
    if slice_end != 0 && slice_end <= now {
        cpu.sched.slice_end.store(0, Ordering::Relaxed);
        // Of those that are the lowest, it lets all others go first.
        let lowest = cpu.sched.priority.load(Ordering::Relaxed) <= NORMAL;
        cpu.sched.turn_over.store(!lowest, Ordering::Relaxed);
        cpu.sched.wants_switch.store(true, Ordering::Relaxed);
    }
    // The lock is given back for each: that of a bucket comes before it.
    let expired = || cpu.sched.timers.lock().expired(now);
    while let Some(sleeper) = expired() {
        park::time_out(&sleeper);
    }
    let clocks = clock::tick(now);
    let slice_end = cpu.sched.slice_end.load(Ordering::Relaxed);
    cpu.sched.timers.lock().set_next(slice_end, clocks);
}

/// Whether an interrupt should not return before another thread has run. Not on the idle
/// thread, which looks for itself.
pub(crate) fn wants_switch() -> bool {
    let sched = &cpu::current().sched;
    sched.wants_switch.load(Ordering::Relaxed) && sched.priority.load(Ordering::Relaxed) != IDLE
}

/// Runs what was woken and comes first, where interrupts are on. Called at the end of what
/// wakes others.
fn give_way() {
    let wants = {
        let _off = Interrupts::off();
        wants_switch()
    };
    if wants && Interrupts::on() {
        yield_now();
    }
}

/// What a CPU does when it has nothing else. Never returns.
pub(crate) fn idle() -> ! {
    loop {
        Interrupts::off_for_good();
        let cpu = cpu::current();
        cpu.sched.halted.store(true, Ordering::Relaxed);
        // It says that it halts before it looks for the last time; who pushes looks after it
        // has pushed. One of the two sees the other.
        fence(Ordering::SeqCst);
        let something = cpu::data::all().any(|cpu| cpu.sched.waiting.load(Ordering::Relaxed) > 0);
        if !something {
            cpu::wait_for_interrupt();
            Interrupts::off_for_good();
        }
        cpu.sched.halted.store(false, Ordering::Relaxed);
        if cpu.sched.waiting.load(Ordering::Relaxed) > 0 {
            clock::resume(cpu);
        }
        next(cpu);
    }
}

/// Whether the thread has a program, whose exceptions are the program's to handle.
pub(crate) fn in_program() -> bool {
    with_current(Thread::has_program)
}
