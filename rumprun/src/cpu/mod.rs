//! A CPU: its tables, its registers, and the data that is its own.

pub mod apic;
pub mod data;
pub mod features;
pub mod ioapic;
pub mod msr;
pub mod port;
#[cfg(feature = "image")]
pub mod start;
pub mod tables;

pub use data::{Cpu, current};

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Interrupts are off while it lives, and afterwards as they were before.
#[derive(Debug)]
pub struct Interrupts {
    were_on: bool,
}

impl Interrupts {
    /// Turns them off.
    pub fn off() -> Self {
        let were_on = Self::on();
        disable();
        Self { were_on }
    }

    /// Turns them off until somebody turns them on.
    pub fn off_for_good() {
        disable();
    }

    /// Turns them on. Not `nomem`: memory accesses of the section before stay before it.
    pub fn enable() {
        #[cfg(feature = "image")]
        // SAFETY: every vector has a handler once `trap` is set up, which is before this.
        unsafe {
            asm!("sti", options(nostack));
        }
    }

    /// Whether they are on.
    pub fn on() -> bool {
        #[cfg(feature = "image")]
        {
            let flags: u64;
            // SAFETY: reads the flags.
            unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
            flags & 1 << 9 != 0
        }
        #[cfg(not(feature = "image"))]
        false
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if self.were_on {
            Self::enable();
        }
    }
}

/// Not `nomem`: memory accesses of the section that follows stay behind it.
fn disable() {
    #[cfg(feature = "image")]
    // SAFETY: nothing relies on interrupts for memory safety.
    unsafe {
        asm!("cli", options(nostack));
    }
}

/// Waits for an interrupt. Interrupts are turned on for that in the same step, so that one
/// that comes between a check and the wait is not lost.
pub fn wait_for_interrupt() {
    #[cfg(feature = "image")]
    // SAFETY: `sti` takes effect after the instruction that follows it.
    unsafe {
        asm!("sti", "hlt", options(nostack));
    }
}

/// Stops this CPU for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off only an NMI gets it out of here, and back.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Requests to forget mappings, counted.
static REQUESTED: AtomicU64 = AtomicU64::new(0);

/// Does what other CPUs wait for this one to do. For loops that wait with interrupts off.
pub fn answer() {
    // Before there are others there is nothing to answer, nor data of the CPU.
    if data::count() < 2 {
        return;
    }
    let _off = Interrupts::off();
    let cpu = current();
    let requested = REQUESTED.load(Ordering::Acquire);
    if cpu.forgotten.load(Ordering::Relaxed) < requested {
        // The number first, then the mappings: what is requested in between is done twice.
        forget_pages();
        cpu.forgotten.store(requested, Ordering::Release);
    }
}

/// The address that the last page fault was about.
pub(crate) fn fault_address() -> u64 {
    let address: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// Forgets what is known of a page's mapping on this CPU.
pub(crate) fn forget_page(address: u64) {
    #[cfg(feature = "image")]
    // SAFETY: the page tables say what holds now.
    unsafe {
        asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(not(feature = "image"))]
    let _ = address;
}

/// Has all CPUs forget what they know of the mappings in a range, and waits until they have.
/// The tables have changed before.
pub(crate) fn forget_everywhere(start: u64, end: u64) {
    const FEW: u64 = 32;
    let _off = Interrupts::off();
    if (end - start) / crate::memory::PAGE64 > FEW {
        forget_pages();
    } else {
        (start..end)
            .step_by(crate::memory::PAGE)
            .for_each(forget_page);
    }
    if data::count() < 2 {
        return;
    }
    // A barrier: whoever sees the number sees the tables.
    let number = REQUESTED.fetch_add(1, Ordering::SeqCst) + 1;
    // One that comes up from here on knows nothing yet.
    let (this, count) = (current().index, data::count());
    let others = || data::all().take(count).filter(|cpu| cpu.index != this);
    for cpu in others() {
        apic::send(cpu.apic, apic::FORGET);
    }
    for cpu in others() {
        while cpu.forgotten.load(Ordering::Acquire) < number {
            // Two that wait for each other.
            answer();
            core::hint::spin_loop();
        }
    }
}

/// Stops all other CPUs for good.
pub(crate) fn stop_others() {
    if data::count() < 2 {
        return;
    }
    let this = current().index;
    for cpu in data::all().filter(|cpu| cpu.index != this) {
        apic::send_nmi(cpu.apic);
    }
}

/// Forgets all mappings on this CPU; none is global.
pub(crate) fn forget_pages() {
    #[cfg(feature = "image")]
    // SAFETY: loads the same page table again.
    unsafe {
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
}
