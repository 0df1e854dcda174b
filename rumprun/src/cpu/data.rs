//! What each CPU has for itself, reached through GS.

use super::msr;
use super::tables::Tables;
use crate::sched::{Queue, Thread, ThreadRef};
use crate::sync::Lock;
use alloc::boxed::Box;
use core::arch::asm;
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

/// A CPU's own data. The assembly of [`trap`](crate::trap) knows the first three.
#[repr(C)]
#[derive(Debug)]
pub struct Cpu {
    /// Its own address.
    this: *const Cpu,
    /// Where the system call entry keeps the program's stack pointer for two instructions.
    pub(crate) program_stack: AtomicU64,
    /// Top of the current thread's kernel stack.
    pub(crate) kernel_stack: AtomicU64,
    /// How many CPUs came before it.
    pub index: usize,
    /// The thread that it runs, with a count of it.
    pub(crate) thread: AtomicPtr<Thread>,
    /// While threads are switched: the one before, with the CPU's count of it.
    pub(crate) before: AtomicPtr<Thread>,
    /// Runs when there is no other, with a count of it for good.
    pub(crate) idle: *const Thread,
    /// Threads that could run here.
    pub(crate) queue: Lock<Queue>,
    /// Another thread should run here soon.
    pub(crate) wants_switch: AtomicBool,
}

// SAFETY: the pointers that are not atomic are never written after it was made; what they
// point to can be shared.
unsafe impl Sync for Cpu {}
// SAFETY: as above.
unsafe impl Send for Cpu {}

/// Offset of [`Cpu::program_stack`].
pub(crate) const PROGRAM_STACK: usize = offset_of!(Cpu, program_stack);
/// Offset of [`Cpu::kernel_stack`].
pub(crate) const KERNEL_STACK: usize = offset_of!(Cpu, kernel_stack);

/// Makes the calling CPU's data and tables and loads them. What runs becomes `idle`.
///
/// The caller has interrupts off, and calls it once on each CPU.
pub(crate) fn set_up(index: usize, idle: ThreadRef) {
    let top = idle.stack_top();
    let thread = ThreadRef::into_raw(idle.clone()).cast_mut();
    let cpu = Box::leak(Box::new(Cpu {
        this: core::ptr::null(),
        program_stack: AtomicU64::new(0),
        kernel_stack: AtomicU64::new(top),
        index,
        thread: AtomicPtr::new(thread),
        before: AtomicPtr::new(null_mut()),
        idle: ThreadRef::into_raw(idle),
        queue: Lock::new(Queue::new()),
        wants_switch: AtomicBool::new(false),
    }));
    cpu.this = cpu;
    let tables: &'static Tables = Box::leak(Tables::new());
    tables.load();
    // SAFETY: GS is this crate's; after the segments were loaded, which clears it.
    unsafe { msr::write(msr::GS_BASE, core::ptr::from_ref(cpu).addr() as u64) };
}

/// The data of the CPU that runs this. Unless interrupts are off, the thread may be on
/// another the next moment.
pub fn current() -> &'static Cpu {
    let cpu: *const Cpu;
    // SAFETY: GS holds the address of a leaked box since `set_up`, whose first word is it.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) cpu, options(nostack, preserves_flags, readonly));
        &*cpu
    }
}
