//! The registers of whom was interrupted, or made a system call.

use crate::cpu::{self, tables};
use core::fmt;
use core::mem::{offset_of, size_of};
use core::sync::atomic::Ordering;

/// [`Frame::vector`] of a system call.
pub(crate) const SYSTEM_CALL: u64 = 256;
/// The same, and all registers are to be restored, also those that `syscall` clobbers.
pub(crate) const RESTORE_ALL: u64 = 257;

/// Registers, in the order in which the entries push them.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Frame {
    pub xmm: [u128; 16],
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    /// Number of a system call; its result when it returns.
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The exception or interrupt; more than 255 for a system call.
    pub vector: u64,
    /// The error code of an exception, or 0.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Where the registers that the CPU itself pushes begin.
pub(crate) const RIP: usize = offset_of!(Frame, rip);
pub(crate) const VECTOR: usize = offset_of!(Frame, vector);

/// Bytes below the stack pointer that belong to who is interrupted (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

// The stacks' tops are aligned to 16 bytes, and so is everything below.
const _: () = assert!(size_of::<Frame>() == 432 && size_of::<Frame>().is_multiple_of(16));

impl Frame {
    /// Registers of a program that begins at `rip` with this stack, and zeros.
    pub fn new(rip: u64, rsp: u64) -> Self {
        Self {
            xmm: [0; 16],
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rbp: 0,
            rbx: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rax: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            vector: RESTORE_ALL,
            error: 0,
            rip,
            cs: u64::from(tables::CODE),
            // Interrupts on, and the bit that is always 1.
            rflags: 0x202,
            rsp,
            ss: u64::from(tables::DATA),
        }
    }

    /// Number of the system call that this is of, as it was when the call came in.
    pub fn number(&self) -> u64 {
        self.error
    }

    /// Arguments of a system call.
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Has the return from a system call restore all registers: for a frame whose registers
    /// were set, and were not those of the call.
    pub fn restore_all(&mut self) {
        self.vector = RESTORE_ALL;
    }

    /// Whether it interrupts code that runs on the kernel stack of the current thread.
    pub fn in_kernel(&self) -> bool {
        let top = cpu::current().kernel_stack.load(Ordering::Relaxed);
        (top - crate::memory::stack::SIZE as u64..=top).contains(&self.rsp)
    }

    /// Copies it to the kernel stack of the thread that was interrupted. Interrupts are off.
    pub(super) fn move_to_thread(&self) -> *mut Self {
        let top = cpu::current().kernel_stack.load(Ordering::Relaxed);
        let below = if self.in_kernel() {
            self.rsp - RED_ZONE
        } else {
            top
        };
        let copy = ((below - size_of::<Self>() as u64) & !63) as *mut Self;
        // SAFETY: the part of the thread's own stack that is not in use, as reckoned above; a
        // stack that is full ends in its guard page, which is a double fault with a message.
        unsafe { copy.write(*self) };
        copy
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "rip {:016x} rsp {:016x} rbp {:016x} rflags {:08x}",
            self.rip, self.rsp, self.rbp, self.rflags
        )?;
        writeln!(
            f,
            "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
            self.rax, self.rbx, self.rcx, self.rdx
        )?;
        writeln!(
            f,
            "rsi {:016x} rdi {:016x} r8  {:016x} r9  {:016x}",
            self.rsi, self.rdi, self.r8, self.r9
        )?;
        writeln!(
            f,
            "r10 {:016x} r11 {:016x} r12 {:016x} r13 {:016x}",
            self.r10, self.r11, self.r12, self.r13
        )?;
        write!(f, "r14 {:016x} r15 {:016x}", self.r14, self.r15)
    }
}
