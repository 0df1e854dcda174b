//! Model-specific registers (Intel SDM volume 4).

use core::arch::asm;

/// Base and mode of the local APIC.
pub const APIC_BASE: u32 = 0x1b;
/// Segment selectors of `syscall`.
pub const STAR: u32 = 0xc000_0081;
/// Where `syscall` goes.
pub const LSTAR: u32 = 0xc000_0082;
/// Flags that `syscall` clears.
pub const FMASK: u32 = 0xc000_0084;
/// Base of FS: thread-local storage of the program.
pub const FS_BASE: u32 = 0xc000_0100;
/// Base of GS: the CPU's own data.
pub const GS_BASE: u32 = 0xc000_0101;

/// Reads one.
///
/// # Safety
/// The CPU has it.
pub unsafe fn read(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: by contract.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
             options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes one.
///
/// # Safety
/// The CPU has it, and what the value does is what is wanted.
pub unsafe fn write(msr: u32, value: u64) {
    // SAFETY: by contract.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}
