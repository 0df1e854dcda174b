//! What a CPU can do, and turning it on.
//!
//! The program may use whatever `cpuid` names, so that all of the register state that it
//! can name is turned on in XCR0 and saved where threads are switched.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// CR4: FSGSBASE, OSXSAVE.
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;

/// x87, SSE, AVX; the three parts of AVX-512.
const WANTED: u64 = 0b1110_0111;

/// Which parts of the register state are on; 0 where there is only fxsave.
static STATE: AtomicU64 = AtomicU64::new(0);
/// Bytes that saving it takes.
static STATE_SIZE: AtomicU32 = AtomicU32::new(512);

/// Whether the instructions for the base of FS are on.
static FSGSBASE: AtomicBool = AtomicBool::new(false);

/// Whether the base of FS can be written without a call to a model-specific register. Asked
/// where threads are switched, so cpuid, which leaves a guest, is not.
pub fn fsgsbase() -> bool {
    FSGSBASE.load(Ordering::Relaxed)
}

/// Whether there is a random number instruction.
pub fn rdrand() -> bool {
    __cpuid(1).ecx & 1 << 30 != 0
}

/// The parts of the register state that are saved (XCR0), 0 if by fxsave.
pub fn state() -> u64 {
    STATE.load(Ordering::Relaxed)
}

/// Bytes that the register state takes.
pub fn state_size() -> usize {
    STATE_SIZE.load(Ordering::Relaxed) as usize
}

/// Turns on what this CPU has. All CPUs of a machine are taken to have the same.
pub(crate) fn enable() {
    let mut cr4: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
    let fsgsbase = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 != 0;
    if fsgsbase {
        cr4 |= CR4_FSGSBASE;
    }
    let xsave = __cpuid(1).ecx & 1 << 26 != 0;
    if xsave {
        cr4 |= CR4_OSXSAVE;
    }
    // SAFETY: both bits are set only where cpuid has them.
    unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nomem, nostack, preserves_flags)) };
    FSGSBASE.store(fsgsbase, Ordering::Relaxed);
    if !xsave {
        return;
    }
    let leaf = __cpuid_count(13, 0);
    let mut on = WANTED & (u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
    // The parts of AVX-512 are only valid together, and with AVX.
    if on & 0b1110_0100 != 0b1110_0100 {
        on &= 0b111;
    }
    // SAFETY: parts that cpuid has, x87 and SSE always among them.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") on as u32, in("edx") (on >> 32) as u32,
             options(nomem, nostack, preserves_flags));
    }
    STATE.store(on, Ordering::Relaxed);
    // For what is on now.
    STATE_SIZE.store(__cpuid_count(13, 0).ebx, Ordering::Relaxed);
}
