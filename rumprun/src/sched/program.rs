//! What a thread has more when it runs a program: the register state that the kernel does
//! not use, and the base of FS.

use super::Thread;
use crate::cpu::{Interrupts, features, msr};
use crate::memory::heap;
use crate::trap::{self, Frame};
use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::Ordering;

/// Saved while the thread does not run.
#[derive(Debug)]
pub(super) struct State {
    fs_base: u64,
    /// For `xsave`: aligned to 64 bytes, with zeros at first.
    registers: *mut u8,
    size: usize,
}

impl State {
    fn new() -> Box<Self> {
        let size = features::state_size();
        let registers = heap::allocate(size, 64);
        assert!(!registers.is_null(), "memory for the registers of a thread");
        // SAFETY: just allocated.
        unsafe { registers.write_bytes(0, size) };
        Box::new(Self {
            fs_base: 0,
            registers,
            size,
        })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this size.
        unsafe { heap::release(self.registers, self.size) };
    }
}

/// The default of MXCSR: all exceptions masked.
const MXCSR: u32 = 0x1f80;

/// Saves the state of a thread that is switched away from.
pub(super) fn save(thread: &Thread) {
    // SAFETY: only the thread itself, which this is, and the CPU that takes it touch it.
    let Some(state) = (unsafe { (*thread.state.get()).as_mut() }) else {
        return;
    };
    state.fs_base = fs_base();
    let on = features::state();
    // SAFETY: room for all parts that are on, aligned.
    unsafe {
        if on == 0 {
            asm!("fxsave64 [{}]", in(reg) state.registers, options(nostack, preserves_flags));
        } else {
            asm!("xsave64 [{}]", in(reg) state.registers, in("eax") on as u32,
                 in("edx") (on >> 32) as u32, options(nostack, preserves_flags));
        }
    }
}

/// Loads the state of the thread that runs now.
pub(super) fn restore(thread: &Thread) {
    // SAFETY: as in `save`.
    let Some(state) = (unsafe { (*thread.state.get()).as_mut() }) else {
        return;
    };
    set_fs_base(state.fs_base);
    let on = features::state();
    // SAFETY: saved by `save`: a thread gets its state while it runs. The xmm registers are
    // the kernel's here, of no use across a call, as the clobbers say.
    unsafe {
        if on == 0 {
            asm!("fxrstor64 [{}]", in(reg) state.registers, clobber_abi("sysv64"));
        } else {
            asm!("xrstor64 [rdi]", in("rdi") state.registers, in("eax") on as u32,
                 in("edx") (on >> 32) as u32, clobber_abi("sysv64"));
        }
    }
}

/// The base of FS.
pub fn fs_base() -> u64 {
    // SAFETY: reads; the instruction is used where it is on.
    unsafe {
        if features::fsgsbase() {
            let base;
            asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags));
            base
        } else {
            msr::read(msr::FS_BASE)
        }
    }
}

/// Sets the base of FS, for the program of the thread that runs. A base that is not
/// canonical is not set.
pub fn set_fs_base(base: u64) {
    if (base << 16) as i64 >> 16 != base as i64 {
        return;
    }
    // SAFETY: the kernel does not use FS.
    unsafe {
        if features::fsgsbase() {
            asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags));
        } else {
            msr::write(msr::FS_BASE, base);
        }
    }
}

/// Goes to a program: on the thread that runs, with these registers and this base of FS. The
/// kernel stack is empty from then on; what is on it now is not dropped.
pub fn enter_program(frame: &Frame, fs_base: u64) -> ! {
    Interrupts::off_for_good();
    let top = super::with_current(|this| {
        // SAFETY: only the thread itself sets it, with interrupts off.
        let state = unsafe { &mut *this.state.get() };
        if state.is_none() {
            *state = Some(State::new());
        }
        this.stack_top()
    });
    set_fs_base(fs_base);
    let on_stack = ((top - size_of::<Frame>() as u64) & !63) as *mut Frame;
    // SAFETY: the default control words, which the ABI has at a program's start; then the
    // frame, which is copied over the end of the stack that this runs on, in one piece and
    // from a place below or from outside.
    unsafe {
        asm!("fninit", "ldmxcsr [{}]", in(reg) &raw const MXCSR_DEFAULT, options(nostack));
        let copy = *frame;
        trap::resume_copied(&copy, on_stack)
    }
}

static MXCSR_DEFAULT: u32 = MXCSR;

/// Where the program of the thread that runs last had a page fault.
pub(crate) fn fault_address() -> u64 {
    super::with_current(|this| this.fault_address.load(Ordering::Relaxed))
}

/// Keeps the address of a page fault: the next one would overwrite the register.
pub(crate) fn note_fault(address: u64) {
    super::with_current(|this| this.fault_address.store(address, Ordering::Relaxed));
}
