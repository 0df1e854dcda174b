//! From the loader to the first thread.
//!
//! `info` and `multiboot` read what the loader says, and `machine` what the firmware does.
//!
//! `pvh` has the entry in assembly: it builds page tables for the first 4 GiB, goes to
//! 64-bit mode and calls `start` on a stack of its own, with interrupts off. From there on
//! it is Rust: console, memory, tables, and then [`process::start`](crate::process::start)
//! on the first thread.

pub mod info;
pub mod machine;
mod multiboot;
#[cfg(feature = "image")]
mod pvh;

use alloc::string::String;
use alloc::vec::Vec;

/// What the loader gave the image.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The kernel's command line, without its NUL.
    pub command_line: String,
    /// What was loaded beside the image, the root file system first.
    pub modules: Vec<Module>,
    /// Physical address of ACPI's root pointer, if the loader knows it.
    pub acpi: Option<u64>,
}

/// A file that was loaded beside the image.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its bytes. They stay where they are.
    pub bytes: &'static [u8],
    /// What the loader says of it; empty with QEMU.
    pub command_line: String,
}

/// The program headers of the image itself: ELF's, from its own memory.
#[cfg(feature = "image")]
pub(crate) fn segments() -> impl Iterator<Item = Segment> {
    unsafe extern "C" {
        static __ehdr_start: [u8; 64];
    }
    // SAFETY: the linker puts the ELF header, and the program headers behind it, into the
    // first segment, and defines this symbol as its address.
    let (base, count, size) = unsafe {
        let header = (&raw const __ehdr_start).cast::<u8>();
        let offset = header.add(32).cast::<u64>().read_unaligned();
        let size = header.add(54).cast::<u16>().read_unaligned();
        let count = header.add(56).cast::<u16>().read_unaligned();
        (header.wrapping_add(offset as usize), count, size)
    };
    (0..usize::from(count)).filter_map(move |at| {
        let header = base.wrapping_add(at * usize::from(size));
        // SAFETY: `count` headers of `size` bytes are there.
        let field = |offset| unsafe { header.add(offset).cast::<u64>().read_unaligned() };
        // PT_LOAD, and the flags beside the type.
        (field(0) as u32 == 1).then(|| Segment {
            start: field(16),
            end: field(16) + field(40),
            writable: field(0) >> 32 & 2 != 0,
            executable: field(0) >> 32 & 1 != 0,
        })
    })
}

/// A part of the image in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

/// The first Rust: on the boot stack of the first CPU, interrupts off.
#[cfg(feature = "image")]
extern "C" fn start(info: u64) -> ! {
    use crate::{cpu, memory, process, sched, time, trap, xen};
    // SAFETY: the loader's structure, at an address that is mapped; nothing has been
    // allocated yet, so that nothing of it was written over.
    let info = unsafe { info::Info::read(info) };
    memory::set_up(&info);
    let mut start = info.start();
    cpu::features::enable();
    cpu::apic::set_up();
    sched::set_up(0, pvh::boot_stack());
    trap::set_up_calls();
    trap::interrupt::silence_legacy();
    let machine = machine::read(&mut start);
    if xen::is_xen() {
        if start.command_line.is_empty() {
            start.command_line = xen::firmware::command_line().unwrap_or_default();
        }
        if start.modules.is_empty() {
            start.modules.extend(xen::firmware::module());
        }
    }
    xen::set_up();
    xen::enable();
    time::set_up(machine);
    cpu::ioapic::set_up(machine);
    if let Some(madt) = &machine.madt {
        cpu::start::others(&madt.cpus);
    }
    sched::spawn(move || process::start(start), "main", sched::NORMAL);
    sched::idle()
}
