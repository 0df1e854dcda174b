//! Copies from and to the program's memory that end with an error where they would fault.
//!
//! The program may hand in any address, and another thread may unmap a buffer while it is
//! copied. The signal of a fault within the one instruction that copies goes on behind it;
//! all other faults are the program's own ([`crate::signals`]).
#![allow(unsafe_code)]

use rump_linux::Fault;
use std::arch::global_asm;

// rdi: to, rsi: from, rdx: length. Returns 0, or 1 after a fault.
global_asm!(
    ".pushsection .text.rump_guarded_copy, \"ax\", @progbits",
    ".hidden rump_guarded_copy",
    ".hidden rump_guarded_copy_instruction",
    ".hidden rump_guarded_copy_fault",
    ".globl rump_guarded_copy",
    ".globl rump_guarded_copy_instruction",
    ".globl rump_guarded_copy_fault",
    ".type rump_guarded_copy, @function",
    "rump_guarded_copy:",
    "mov rcx, rdx",
    "rump_guarded_copy_instruction:",
    "rep movsb",
    "xor eax, eax",
    "ret",
    "rump_guarded_copy_fault:",
    "mov eax, 1",
    "ret",
    ".size rump_guarded_copy, . - rump_guarded_copy",
    ".popsection",
);

unsafe extern "C" {
    fn rump_guarded_copy(to: u64, from: u64, length: usize) -> i32;
    fn rump_guarded_copy_instruction();
    fn rump_guarded_copy_fault();
}

/// Where to go on after a fault at this instruction, if it is the one that copies.
pub(crate) fn after_fault(instruction: usize) -> Option<usize> {
    let copies = rump_guarded_copy_instruction as *const () as usize;
    (instruction == copies).then_some(rump_guarded_copy_fault as *const () as usize)
}

/// Fills `into` from the program's memory.
pub(crate) fn read(address: u64, into: &mut [u8]) -> Result<(), Fault> {
    let local = into.as_mut_ptr().expose_provenance() as u64;
    copy(local, address, into.len())
}

/// Copies `from` to the program's memory.
pub(crate) fn write(address: u64, from: &[u8]) -> Result<(), Fault> {
    let local = from.as_ptr().expose_provenance() as u64;
    copy(address, local, from.len())
}

fn copy(to: u64, from: u64, length: usize) -> Result<(), Fault> {
    // SAFETY: one side is a slice of the callers', of this length; the other is what the
    // program asked for, and a fault there is seen to once the handler is installed, which
    // it is before the kernel runs.
    match unsafe { rump_guarded_copy(to, from, length) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}
