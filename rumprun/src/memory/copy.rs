//! Access to memory of the program that may not be there.
//!
//! A fault in one of these instructions that no area explains goes on where they say that
//! they failed.

use super::PAGE64;
use crate::bytes;
use core::arch::{asm, naked_asm};

/// The program gave an address that is not mapped, or not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// Copies bytes, and returns 0; all ones if it could not copy all of them.
///
/// # Safety
/// As of [`copy`].
#[unsafe(naked)]
unsafe extern "C" fn rumprun_copy(to: u64, from: u64, len: usize) -> u64 {
    naked_asm!(
        "xor eax, eax",
        ".hidden rumprun_copy_from, rumprun_copy_end",
        ".global rumprun_copy_from, rumprun_copy_end",
        "rumprun_copy_from:",
        bytes::copy!(),
        "rumprun_copy_end:",
        "ret",
    )
}

/// Reads the word at an address; all ones if it is not there.
///
/// # Safety
/// It may be read.
#[unsafe(naked)]
unsafe extern "C" fn rumprun_load(from: u64) -> u64 {
    naked_asm!(
        ".hidden rumprun_load_from, rumprun_load_end",
        ".global rumprun_load_from, rumprun_load_end",
        "rumprun_load_from:",
        "mov eax, [rdi]",
        "rumprun_load_end:",
        "ret",
    )
}

/// Where both go on after a fault: there is nothing on their stacks.
#[unsafe(naked)]
unsafe extern "C" fn failed() -> u64 {
    naked_asm!("mov rax, -1", "ret")
}

/// Where to go on after a fault at this instruction, if it is one of these.
pub(crate) fn fixed(rip: u64) -> Option<u64> {
    let (copy, copy_end, load, load_end): (u64, u64, u64, u64);
    // SAFETY: addresses.
    unsafe {
        asm!(
            "lea {}, [rip + rumprun_copy_from]",
            "lea {}, [rip + rumprun_copy_end]",
            "lea {}, [rip + rumprun_load_from]",
            "lea {}, [rip + rumprun_load_end]",
            out(reg) copy, out(reg) copy_end, out(reg) load, out(reg) load_end,
            options(nomem, nostack, preserves_flags)
        );
    }
    let is_ours = (copy..copy_end).contains(&rip) || (load..load_end).contains(&rip);
    is_ours.then_some(failed as *const () as u64)
}

/// Copies from anywhere to anywhere.
///
/// # Safety
/// Where it can be written to, that is what is wanted. Addresses that are mapped are memory,
/// and no reference forbids the access.
unsafe fn copy(to: u64, from: u64, len: usize) -> Result<(), BadAddress> {
    // SAFETY: by contract; faults are caught.
    match unsafe { rumprun_copy(to, from, len) } {
        0 => Ok(()),
        _ => Err(BadAddress),
    }
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
    // SAFETY: reads memory of the program's; faults are caught.
    let value = unsafe { rumprun_load(address) };
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
