//! The local APIC: Intel SDM volume 3, chapter 11.
//!
//! Its registers are in memory (xAPIC), or model-specific registers where the CPU has them
//! (x2APIC). The timer counts down once, or waits for a value of the time stamp counter where
//! there is that mode.

use super::msr;
use crate::memory::tables::map_device;
use crate::time;
use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::{hint, ptr::null_mut};

/// Vector of the timer.
pub const TIMER: u8 = 0xe0;
/// Vector by which a CPU is asked to look at its queue.
pub const LOOK: u8 = 0xe1;
/// Vector by which a CPU is asked to forget mappings.
pub const FORGET: u8 = 0xe2;
/// Vector of what was no interrupt.
pub const SPURIOUS: u8 = 0xff;

/// Registers, by their offset in memory; x2APIC's are at 0x800 and a sixteenth of it.
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

/// MSR of the deadline.
const TSC_DEADLINE: u32 = 0x6e0;
/// Bits of the base register: the APIC is on, and in the mode of MSRs.
const ENABLE: u64 = 1 << 11;
const ENABLE_X2: u64 = 1 << 10;

/// Bits of a command: INIT, start-up, NMI; the level that goes with all.
const INIT: u32 = 0b101 << 8;
const START_UP: u32 = 0b110 << 8;
const NMI: u32 = 0b100 << 8;
const ASSERT: u32 = 1 << 14;
const PENDING: u32 = 1 << 12;

/// Null with x2APIC.
static REGISTERS: AtomicPtr<u32> = AtomicPtr::new(null_mut());
static DEADLINE: AtomicBool = AtomicBool::new(false);
/// Ticks of the timer in a second.
static TIMER_FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Finds it, and turns that of the first CPU on.
pub(crate) fn set_up() {
    let leaf = __cpuid(1);
    if leaf.ecx & 1 << 21 == 0 {
        // SAFETY: every 64-bit CPU has the register.
        let base = unsafe { msr::read(msr::APIC_BASE) } & 0x000f_ffff_ffff_f000;
        let registers = map_device(base, 0x1000).expect("memory for page tables");
        REGISTERS.store(registers.cast(), Ordering::Relaxed);
    }
    DEADLINE.store(leaf.ecx & 1 << 24 != 0, Ordering::Relaxed);
    enable();
}

/// Turns that of the calling CPU on.
pub(crate) fn enable() {
    // SAFETY: every 64-bit CPU has the register; x2APIC is used where cpuid has it.
    unsafe {
        let mut base = msr::read(msr::APIC_BASE) | ENABLE;
        if REGISTERS.load(Ordering::Relaxed).is_null() {
            base |= ENABLE_X2;
        }
        msr::write(msr::APIC_BASE, base);
    }
    write(TASK_PRIORITY, 0);
    write(SPURIOUS_VECTOR, 1 << 8 | u32::from(SPURIOUS));
    write(DIVIDE, 0b1011);
    let mode = if has_deadline() { 0b10 << 17 } else { 0 };
    write(LVT_TIMER, mode | u32::from(TIMER));
    // The mode is written to memory, the deadline to an MSR: they must not pass each other.
    // SAFETY: waits for the store.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}

fn read(register: u32) -> u32 {
    let registers = REGISTERS.load(Ordering::Relaxed);
    // SAFETY: a register of the APIC, in the mode that is on.
    unsafe {
        if registers.is_null() {
            msr::read(0x800 + (register >> 4)) as u32
        } else {
            registers.add(register as usize / 4).read_volatile()
        }
    }
}

fn write(register: u32, value: u32) {
    let registers = REGISTERS.load(Ordering::Relaxed);
    // SAFETY: as for `read`; what the values do is said where they are written.
    unsafe {
        if registers.is_null() {
            msr::write(0x800 + (register >> 4), u64::from(value));
        } else {
            registers.add(register as usize / 4).write_volatile(value);
        }
    }
}

/// The number of the calling CPU's.
pub(crate) fn id() -> u32 {
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        read(ID)
    } else {
        read(ID) >> 24
    }
}

/// The highest number that a CPU can have and be reached.
pub(crate) fn highest() -> u32 {
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        u32::MAX - 1
    } else {
        254
    }
}

/// An interrupt has been handled.
pub(crate) fn end() {
    write(END, 0);
}

/// Sends a command to another CPU's. Interrupts are off, for the two halves belong together.
fn command(to: u32, command: u32) {
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        // The other CPU shall see what was written before; a write to an MSR of the APIC does
        // not wait for that by itself.
        // SAFETY: waits; then the command register.
        unsafe {
            asm!("mfence", "lfence", options(nostack, preserves_flags));
            msr::write(0x830, u64::from(to) << 32 | u64::from(command));
        }
        return;
    }
    while read(COMMAND) & PENDING != 0 {
        hint::spin_loop();
    }
    write(COMMAND_HIGH, to << 24);
    write(COMMAND, command);
}

/// Interrupts another CPU.
pub(crate) fn send(to: u32, vector: u8) {
    let _off = super::Interrupts::off();
    command(to, u32::from(vector) | ASSERT);
}

/// Interrupts another CPU, even if it has interrupts off.
pub(crate) fn send_nmi(to: u32) {
    let _off = super::Interrupts::off();
    command(to, NMI | ASSERT);
}

/// Resets another CPU.
pub(crate) fn send_init(to: u32) {
    let _off = super::Interrupts::off();
    command(to, INIT | ASSERT);
}

/// Starts another CPU that was reset, in real mode at a page below 1 MiB.
pub(crate) fn send_start(to: u32, page: u8) {
    let _off = super::Interrupts::off();
    command(to, START_UP | ASSERT | u32::from(page));
}

/// Whether the timer can wait for a value of the time stamp counter.
pub(crate) fn has_deadline() -> bool {
    DEADLINE.load(Ordering::Relaxed)
}

/// Has the timer count down from here; 0 stops it.
pub(crate) fn start_timer(count: u32) {
    write(INITIAL_COUNT, count);
}

/// What is left to count.
pub(crate) fn timer_left() -> u32 {
    read(CURRENT_COUNT)
}

/// Says how fast it counts.
pub(crate) fn set_timer_frequency(frequency: u64) {
    TIMER_FREQUENCY.store(frequency, Ordering::Relaxed);
}

/// Has the timer of this CPU interrupt it at a time of the monotonic clock, or up to a minute
/// before.
pub(crate) fn set_timer(deadline_ns: u64) {
    const LONGEST_NS: u64 = 60_000_000_000;
    let now = time::monotonic_ns();
    let deadline = deadline_ns.min(now + LONGEST_NS);
    if has_deadline() {
        // SAFETY: the CPU has it. One that has passed interrupts at once.
        unsafe { msr::write(TSC_DEADLINE, time::ticks_at(deadline).max(1)) };
        return;
    }
    let frequency = TIMER_FREQUENCY.load(Ordering::Relaxed);
    let ns = deadline.saturating_sub(now);
    let count = (u128::from(ns) * u128::from(frequency)).div_ceil(1_000_000_000);
    start_timer(u32::try_from(count).unwrap_or(u32::MAX).max(1));
}
