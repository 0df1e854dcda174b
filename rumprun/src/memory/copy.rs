//! Access to memory of the program that may not be there.
//!
//! A fault in one of these instructions that no area explains goes on behind the
//! instruction, with what was left to do in a register.

use super::PAGE64;
use core::arch::{asm, global_asm};

/// The program gave an address that is not mapped, or not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

global_asm!(
    r#"
    .section .text.rumprun_copy, "ax", @progbits
    # rdi = to, rsi = from, rdx = length; returns what was not copied.
    .global rumprun_copy
    .hidden rumprun_copy
rumprun_copy:
    mov rcx, rdx
    .global rumprun_copy_at
    .hidden rumprun_copy_at
rumprun_copy_at:
    rep movsb
    .global rumprun_copy_failed
    .hidden rumprun_copy_failed
rumprun_copy_failed:
    mov rax, rcx
    ret

    # rdi = address; returns the word there, or all ones.
    .global rumprun_load
    .hidden rumprun_load
rumprun_load:
    .global rumprun_load_at
    .hidden rumprun_load_at
rumprun_load_at:
    mov eax, [rdi]
    ret
    .global rumprun_load_failed
    .hidden rumprun_load_failed
rumprun_load_failed:
    mov rax, -1
    ret
    "#
);

/// Where to go on after a fault at this instruction, if it is one of these.
pub(crate) fn fixed(rip: u64) -> Option<u64> {
    let (copy, copy_failed, load, load_failed): (u64, u64, u64, u64);
    // SAFETY: addresses.
    unsafe {
        asm!(
            "lea {}, [rip + rumprun_copy_at]",
            "lea {}, [rip + rumprun_copy_failed]",
            "lea {}, [rip + rumprun_load_at]",
            "lea {}, [rip + rumprun_load_failed]",
            out(reg) copy, out(reg) copy_failed, out(reg) load, out(reg) load_failed,
            options(nomem, nostack, preserves_flags)
        );
    }
    match rip {
        rip if rip == copy => Some(copy_failed),
        rip if rip == load => Some(load_failed),
        _ => None,
    }
}

/// Copies from anywhere to anywhere.
///
/// # Safety
/// Where it can be written to, that is what is wanted. Addresses that are mapped are memory,
/// and no reference forbids the access.
unsafe fn copy(to: u64, from: u64, len: usize) -> Result<(), BadAddress> {
    let left: u64;
    // SAFETY: by contract; faults are caught.
    unsafe {
        asm!("call rumprun_copy",
             inout("rdi") to => _, inout("rsi") from => _, inout("rdx") len => _,
             out("rcx") _, lateout("rax") left, clobber_abi("sysv64"));
    }
    if left == 0 { Ok(()) } else { Err(BadAddress) }
}

/// Copies from the program's memory.
///
/// # Errors
/// Not all of it can be read.
pub fn copy_in(to: &mut [u8], from: u64) -> Result<(), BadAddress> {
    check(from, to.len())?;
    // SAFETY: the target is ours; the source is read as bytes.
    unsafe { copy(to.as_mut_ptr().addr() as u64, from, to.len()) }
}

/// Copies from anywhere, also the kernel's memory: for messages.
///
/// # Errors
/// Not all of it is mapped.
pub(crate) fn peek(to: &mut [u8], from: u64) -> Result<(), BadAddress> {
    // A non-canonical address would be a general protection fault.
    if (from << 16) as i64 >> 16 != from as i64 {
        return Err(BadAddress);
    }
    // SAFETY: as in `copy_in`.
    unsafe { copy(to.as_mut_ptr().addr() as u64, from, to.len()) }
}

/// Copies to the program's memory.
///
/// # Safety
/// The range is the program's: no reference of the kernel's is to it.
///
/// # Errors
/// Not all of it can be written; some may have been.
pub unsafe fn copy_out(to: u64, from: &[u8]) -> Result<(), BadAddress> {
    check(to, from.len())?;
    // SAFETY: by contract.
    unsafe { copy(to, from.as_ptr().addr() as u64, from.len()) }
}

/// Reads a 32-bit word of the program's memory.
///
/// # Errors
/// It cannot be read.
pub fn load(address: u64) -> Result<u32, BadAddress> {
    check(address, 4)?;
    let value: u64;
    // SAFETY: reads memory of the program's; faults are caught.
    unsafe {
        asm!("call rumprun_load", in("rdi") address, lateout("rax") value, options(readonly));
    }
    u32::try_from(value).map_err(|_| BadAddress)
}

/// Non-canonical addresses fault in another way; page 0 is not worth a try.
fn check(address: u64, len: usize) -> Result<(), BadAddress> {
    let end = address.checked_add(len as u64).ok_or(BadAddress)?;
    if address < PAGE64 || end > 1 << 47 {
        return Err(BadAddress);
    }
    Ok(())
}
