//! The end of the machine.
//!
//! A status reaches the outside where QEMU has its device `isa-debug-exit` at port 0xf4:
//! QEMU then ends with twice the status plus one. Elsewhere the machine is powered off, or
//! reset, and the status is only in the last line of the console.

use crate::cpu::{self, port};

/// Where `-device isa-debug-exit,iobase=0xf4` listens.
const DEBUG_EXIT: u16 = 0xf4;

/// The status of a kernel that could not go on, like that of a program that was aborted.
pub const FAILED: u8 = 134;

/// Ends the machine with a status.
pub fn exit(status: u8) -> ! {
    cpu::Interrupts::off_for_good();
    // The device reads as 0, an empty bus as ones.
    // SAFETY: nothing else listens there.
    unsafe {
        if port::read_u8(DEBUG_EXIT) == 0 {
            port::write_u32(DEBUG_EXIT, u32::from(status));
        }
        // The keyboard controller's reset line, and then a triple fault.
        port::write_u8(0x64, 0xfe);
    }
    cpu::halt()
}

/// Ends the machine because the kernel cannot go on.
pub fn failed() -> ! {
    exit(FAILED)
}
