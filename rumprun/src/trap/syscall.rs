//! System calls of the program.

use super::{Frame, entry};
use crate::cpu::{msr, tables};
use crate::process;

/// Interrupts, single step, direction, alignment check, nested task: off when a call comes in.
const FLAGS: u64 = 1 << 9 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 14;

/// Has `syscall` come in on this CPU.
pub(crate) fn set_up() {
    // SAFETY: the entry keeps the rules of `syscall`; EFER.SCE is set since boot.
    unsafe {
        msr::write(msr::STAR, u64::from(tables::CODE) << 32);
        msr::write(msr::LSTAR, entry::call_entry());
        msr::write(msr::FMASK, FLAGS);
    }
}

/// The entry calls it on the kernel stack of the thread, with interrupts on.
pub(super) extern "C" fn system_call(frame: &mut Frame) {
    process::call(frame);
}
