//! I/O ports.

use core::arch::asm;

/// Reads a byte.
///
/// # Safety
/// The device behind the port is the caller's.
pub unsafe fn read_u8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: by contract.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) };
    value
}

/// Reads as many bytes as there is room for, one after the other.
///
/// # Safety
/// The device behind the port is the caller's.
pub unsafe fn read_bytes(port: u16, to: &mut [u8]) {
    // SAFETY: by contract; what is written is `to`, upwards.
    unsafe {
        asm!("cld", "rep insb", in("dx") port, inout("rdi") to.as_mut_ptr() => _,
             inout("rcx") to.len() => _, options(nostack));
    }
}

/// Writes a byte.
///
/// # Safety
/// The device behind the port is the caller's, and what it does is what is wanted.
pub unsafe fn write_u8(port: u16, value: u8) {
    // SAFETY: by contract.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

/// Reads 16 bits.
///
/// # Safety
/// As for [`read_u8`].
pub unsafe fn read_u16(port: u16) -> u16 {
    let value: u16;
    // SAFETY: by contract.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nostack, preserves_flags)) };
    value
}

/// Writes 16 bits.
///
/// # Safety
/// As for [`write_u8`].
pub unsafe fn write_u16(port: u16, value: u16) {
    // SAFETY: by contract.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags)) };
}

/// Reads 32 bits.
///
/// # Safety
/// As for [`read_u8`].
pub unsafe fn read_u32(port: u16) -> u32 {
    let value: u32;
    // SAFETY: by contract.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags))
    };
    value
}

/// Writes 32 bits.
///
/// # Safety
/// As for [`write_u8`].
pub unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: by contract.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags))
    };
}
