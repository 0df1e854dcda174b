//! The program: what the machine calls for it.

use crate::boot::Start;
use crate::trap::Frame;
use crate::{exit, say};

/// The first thread begins here, with what the loader gave.
pub fn start(start: Start) -> ! {
    say!("rumprun: no program; command line {:?}", start.command_line);
    exit::exit(0)
}

/// A system call of the program: number and arguments are in the frame, and the result goes
/// into its rax. Runs on the kernel stack of the thread, with interrupts on.
pub fn call(frame: &mut Frame) {
    frame.rax = 38_u64.wrapping_neg();
}

/// The program did what the CPU refused: the frame's vector says what. `address` is that of a
/// page fault. Returns to the frame. Runs as [`call`] does.
pub fn fault(frame: &mut Frame, address: u64) {
    say!(
        "rumprun: vector {} at {:#x}, address {address:#x}",
        frame.vector,
        frame.rip
    );
    exit::failed()
}
