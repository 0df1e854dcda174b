//! What each CPU has for itself, reached through GS.

use super::tables::Tables;
use super::{apic, msr};
use crate::sched::{PerCpu, ThreadRef};
use alloc::boxed::Box;
use core::arch::asm;
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use rump_hyper::abi::Lwp;

/// The most CPUs that are used.
pub const MANY: usize = 64;

/// A CPU's own data. The kernel's C code knows where the second is
/// (`netbsd-src/kern/include/rump_image_curlwp.h`).
#[repr(C)]
#[derive(Debug)]
pub struct Cpu {
    /// Its own address.
    this: *const Cpu,
    /// The lwp of the thread that runs.
    lwp: AtomicPtr<Lwp>,
    /// Where the system call entry keeps the program's stack pointer for two instructions.
    pub(crate) program_stack: AtomicU64,
    /// Top of the current thread's kernel stack.
    pub(crate) kernel_stack: AtomicU64,
    /// How many CPUs came before it.
    pub index: usize,
    /// Number of its local APIC.
    pub apic: u32,
    /// Up to which request it has forgotten mappings.
    pub(super) forgotten: AtomicU64,
    /// Its threads.
    pub(crate) sched: PerCpu,
}

// SAFETY: the pointer to itself is never written after it was made.
unsafe impl Sync for Cpu {}
// SAFETY: as above.
unsafe impl Send for Cpu {}

/// Offset of [`Cpu::lwp`].
pub(crate) const LWP: usize = offset_of!(Cpu, lwp);
const _: () = assert!(LWP == 8);
/// Offset of [`Cpu::program_stack`].
pub(crate) const PROGRAM_STACK: usize = offset_of!(Cpu, program_stack);
/// Offset of [`Cpu::kernel_stack`].
pub(crate) const KERNEL_STACK: usize = offset_of!(Cpu, kernel_stack);

static ALL: [AtomicPtr<Cpu>; MANY] = [const { AtomicPtr::new(null_mut()) }; MANY];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Makes the calling CPU's data and tables and loads them. What runs becomes `idle`.
///
/// The caller has interrupts off, and calls it once on each CPU, one after the other.
pub(crate) fn set_up(index: usize, idle: ThreadRef) {
    let cpu = Box::leak(Box::new(Cpu {
        this: core::ptr::null(),
        lwp: AtomicPtr::new(null_mut()),
        program_stack: AtomicU64::new(0),
        kernel_stack: AtomicU64::new(idle.stack_top()),
        index,
        apic: apic::id(),
        forgotten: AtomicU64::new(0),
        sched: PerCpu::new(idle),
    }));
    cpu.this = cpu;
    let tables: &'static Tables = Box::leak(Tables::new());
    tables.load();
    let cpu: *mut Cpu = cpu;
    // SAFETY: GS is this crate's; after the segments were loaded, which clears it.
    unsafe { msr::write(msr::GS_BASE, cpu.addr() as u64) };
    ALL[index].store(cpu, Ordering::Release);
    COUNT.store(index + 1, Ordering::Release);
}

/// The lwp of the thread that runs this; null if it has none. Read in one instruction, as it
/// is the thread's on whatever CPU.
#[inline]
pub(crate) fn lwp() -> *mut Lwp {
    let lwp;
    // SAFETY: GS is the data of the CPU, which has the pointer there.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) lwp, const LWP,
             options(nostack, preserves_flags, readonly));
    }
    lwp
}

/// Sets it. The thread has noted it already, for when it runs on another CPU.
#[inline]
pub(crate) fn set_lwp(lwp: *mut Lwp) {
    // SAFETY: as above.
    unsafe {
        asm!("mov gs:[{}], {}", const LWP, in(reg) lwp, options(nostack, preserves_flags));
    }
}

/// The data of the CPU that runs this. Unless interrupts are off, the thread may be on
/// another the next moment.
#[inline]
pub fn current() -> &'static Cpu {
    let cpu: *const Cpu;
    // SAFETY: GS holds the address of a leaked box since `set_up`, whose first word is it.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) cpu, options(nostack, preserves_flags, readonly));
        &*cpu
    }
}

/// How many CPUs run.
#[inline]
pub fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// All CPUs that run.
pub fn all() -> impl Iterator<Item = &'static Cpu> {
    ALL[..count()]
        .iter()
        // SAFETY: null, or a box that was leaked.
        .filter_map(|cpu| unsafe { cpu.load(Ordering::Acquire).as_ref() })
}
