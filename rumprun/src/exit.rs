//! The end of the machine.
//!
//! A status reaches the outside where QEMU has its device `isa-debug-exit` at port 0xf4:
//! QEMU then ends with twice what is written there plus one, of eight bits. It ends with 1 as
//! well when it does not start at all, so that what is written is the status with bits
//! turned over ([`TURNED`]): what looks like 1 is 126, "cannot be run". Elsewhere the machine is powered off, or
//! reset, and the status is only in the last line of the console. For Xen a guest has crashed
//! if its kernel has failed.

use crate::acpi::Sleep;
use crate::boot::machine;
use crate::console;
use crate::cpu::{self, port};
use crate::memory::tables::map_device;
use crate::xen;

/// Where `-device isa-debug-exit,iobase=0xf4` listens.
const DEBUG_EXIT: u16 = 0xf4;

/// What is written is the exclusive or of this and seven bits of the status.
pub const TURNED: u32 = 126;

/// The status of a kernel that could not go on, like that of a program that was aborted.
pub const FAILED: u8 = 134;

/// Ends the machine with a status.
pub fn exit(status: u8) -> ! {
    cpu::Interrupts::off_for_good();
    cpu::stop_others();
    // The device reads as 0, an empty bus as ones.
    // SAFETY: nothing else listens there.
    unsafe {
        if port::read_u8(DEBUG_EXIT) == 0 {
            port::write_u32(DEBUG_EXIT, u32::from(status) & 0x7f ^ TURNED);
        }
    }
    console::last_words(format_args!("rumprun: exit status {status}"));
    console::flush();
    xen::shut_down(status == FAILED);
    let fixed = machine::get_at_last().and_then(|machine| machine.fixed);
    match fixed.and_then(|fixed| fixed.off) {
        // SAFETY: registers that ACPI names for this.
        Some(Sleep::Ports(ports)) => unsafe {
            for (port, value) in ports {
                if port != 0 {
                    port::write_u16(port, value);
                }
            }
        },
        Some(Sleep::Memory(address, value)) => {
            if let Ok(register) = map_device(address, 1) {
                // SAFETY: as above.
                unsafe { register.write_volatile(value) };
            }
        }
        None => {}
    }
    // SAFETY: ACPI's reset register; then the keyboard controller's reset line.
    unsafe {
        if let Some((port, value)) = fixed.and_then(|fixed| fixed.reset) {
            port::write_u8(port, value);
        }
        port::write_u8(0x64, 0xfe);
    }
    cpu::halt()
}

/// Ends the machine because the kernel cannot go on.
pub fn failed() -> ! {
    exit(FAILED)
}
