//! Segments, the task state with the interrupt stacks, and the interrupt descriptors
//! (Intel SDM volume 3, chapters 3, 6 and 8).

use crate::memory::heap;
use crate::trap;
use alloc::boxed::Box;
use core::arch::asm;
use core::mem::size_of;

/// Selector of the code segment; also what `syscall` loads.
pub const CODE: u16 = 0x08;
/// Selector of the data segment.
pub const DATA: u16 = 0x10;
const TASK: u16 = 0x18;

/// Interrupts come in on it: short, and with interrupts off.
pub const IST_INTERRUPT: u8 = 1;
/// Exceptions come in on it: also those of an interrupt's handler.
pub const IST_EXCEPTION: u8 = 2;
/// Non-maskable interrupts.
pub const IST_NMI: u8 = 3;
/// Double faults and machine checks.
pub const IST_FATAL: u8 = 4;

/// Bytes of each of those stacks.
const STACK: usize = 16 * 1024;

/// 64-bit task state segment.
#[repr(C, packed(4))]
#[derive(Debug)]
struct Task {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map: u16,
}

/// A gate of the interrupt descriptor table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Gate([u64; 2]);

impl Gate {
    /// An interrupt gate: it turns interrupts off.
    fn new(entry: u64, ist: u8) -> Self {
        Self([
            (entry & 0xffff)
                | u64::from(CODE) << 16
                | u64::from(ist) << 32
                | 0x8e << 40
                | (entry >> 16 & 0xffff) << 48,
            entry >> 32,
        ])
    }
}

/// The tables of a CPU.
#[repr(C, align(16))]
#[derive(Debug)]
pub(crate) struct Tables {
    gates: [Gate; 256],
    segments: [u64; 5],
    task: Task,
}

/// Operand of `lgdt` and `lidt`.
#[repr(C, packed(2))]
struct Pointer {
    limit: u16,
    base: u64,
}

impl Tables {
    pub(crate) fn new() -> Box<Self> {
        let mut ist = [0; 7];
        for top in &mut ist[..usize::from(IST_FATAL)] {
            *top = heap::pages(STACK / 4096).addr() as u64 + STACK as u64;
        }
        let mut tables = Box::new(Self {
            gates: core::array::from_fn(|vector| {
                Gate::new(trap::entry_of(vector as u8), stack_of(vector as u8))
            }),
            segments: [
                0,
                0x00af_9b00_0000_ffff, // 64-bit code, accessed
                0x00cf_9300_0000_ffff, // data, accessed
                0,
                0,
            ],
            task: Task {
                reserved0: 0,
                rsp: [0; 3],
                reserved1: 0,
                ist,
                reserved2: 0,
                reserved3: 0,
                io_map: size_of::<Task>() as u16,
            },
        });
        let base = (&raw const tables.task).addr() as u64;
        tables.segments[3] = (size_of::<Task>() as u64 - 1)
            | (base & 0x00ff_ffff) << 16
            | 0x89 << 40
            | (base >> 24 & 0xff) << 56;
        tables.segments[4] = base >> 32;
        tables
    }

    /// Has the calling CPU use them, which it does for good.
    pub(crate) fn load(&'static self) {
        let segments = Pointer {
            limit: size_of::<[u64; 5]>() as u16 - 1,
            base: (&raw const self.segments).addr() as u64,
        };
        let gates = Pointer {
            limit: size_of::<[Gate; 256]>() as u16 - 1,
            base: (&raw const self.gates).addr() as u64,
        };
        // SAFETY: tables that live for good; the code segment is the one that is in use, by
        // the same number, so that it need not be loaded again.
        unsafe {
            asm!(
                "lgdt [{segments}]",
                "mov ss, {data:e}",
                "mov ds, {zero:e}",
                "mov es, {zero:e}",
                "mov fs, {zero:e}",
                "mov gs, {zero:e}",
                "ltr {task:x}",
                "lidt [{gates}]",
                segments = in(reg) &raw const segments,
                gates = in(reg) &raw const gates,
                data = in(reg) u32::from(DATA),
                zero = in(reg) 0,
                task = in(reg) u32::from(TASK),
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Which stack a vector comes in on.
fn stack_of(vector: u8) -> u8 {
    match vector {
        2 => IST_NMI,
        8 | 18 => IST_FATAL,
        0..32 => IST_EXCEPTION,
        32.. => IST_INTERRUPT,
    }
}
