//! Clocks, and the timer of each CPU.
//!
//! Time is the CPUs' time stamp counter, which virtual machines keep in step on all CPUs.
//! Its frequency is what cpuid says, or is measured once, with that of the local APIC's
//! timer, against a clock of the machine ([`mod@reference`]).
//!
//! The wall clock is the machine's real-time clock, or Xen's, at boot, and goes on by the
//! counter.

mod reference;
mod rtc;

use crate::acpi::Machine;
use crate::say;
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

pub(crate) use reference::Reference;

/// The counter when it was measured; the zero of the monotonic clock.
static ZERO: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds for a tick of the counter, in 2^-32.
static NANOSECONDS: AtomicU64 = AtomicU64::new(1 << 32);
/// Ticks of the counter in a second.
static FREQUENCY: AtomicU64 = AtomicU64::new(1_000_000_000);
/// Wall-clock time of the monotonic clock's zero, in nanoseconds since 1970.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// The time stamp counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every 64-bit CPU has it.
    unsafe { _rdtsc() }
}

/// Ticks of the counter in a second.
pub fn frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// Nanoseconds since boot. Never goes back on a CPU.
#[inline]
pub fn monotonic_ns() -> u64 {
    let ticks = ticks().saturating_sub(ZERO.load(Ordering::Relaxed));
    ((u128::from(ticks) * u128::from(NANOSECONDS.load(Ordering::Relaxed))) >> 32) as u64
}

/// The counter at a time of the monotonic clock.
pub(crate) fn ticks_at(ns: u64) -> u64 {
    let ticks = u128::from(ns) * u128::from(frequency()) / 1_000_000_000;
    ZERO.load(Ordering::Relaxed)
        .saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
}

/// Nanoseconds since 1970, UTC.
pub fn wall_ns() -> u64 {
    EPOCH.load(Ordering::Relaxed) + monotonic_ns()
}

/// Sets the wall clock.
pub fn set_wall_ns(ns: u64) {
    EPOCH.store(ns.wrapping_sub(monotonic_ns()), Ordering::Relaxed);
}

/// The counter's frequency, where cpuid says it: leaf 0x15 (Intel SDM), or 0x4000_0010 of a
/// hypervisor, in kHz.
fn frequency_by_cpuid() -> Option<u64> {
    if __cpuid(0).eax >= 0x15 {
        let leaf = __cpuid(0x15);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    if let Some(frequency) = crate::xen::hypercall::frequency() {
        return Some(frequency);
    }
    let hypervisor = __cpuid(1).ecx & 1 << 31 != 0;
    if hypervisor && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let khz = __cpuid(0x4000_0010).eax;
        return (khz != 0).then_some(u64::from(khz) * 1000);
    }
    None
}

/// How long the frequencies are measured: 0.1 ‰ at a resolution of half a microsecond.
const MEASURE_NS: u64 = 5_000_000;

/// Finds out how fast time goes. The local APIC is on.
pub(crate) fn set_up(machine: &Machine) {
    use crate::cpu::apic;
    ZERO.store(ticks(), Ordering::Relaxed);
    let known = frequency_by_cpuid();
    if known.is_none() || !apic::has_deadline() {
        let reference = Reference::find(machine);
        apic::start_timer(u32::MAX);
        let ((from, ticks_from, left_from), (to, ticks_to, left_to)) =
            reference.measure(MEASURE_NS, || u64::from(apic::timer_left()));
        let elapsed = (to - from).max(1);
        let per_second =
            |count: u64| (u128::from(count) * 1_000_000_000 / u128::from(elapsed)) as u64;
        apic::set_timer_frequency(per_second(left_from.saturating_sub(left_to)));
        set_frequency(known.unwrap_or(per_second(ticks_to - ticks_from)));
        apic::start_timer(0);
    } else if let Some(known) = known {
        set_frequency(known);
    }
    let rtc = || Some(rtc::read()? * 1_000_000_000);
    match crate::xen::clock::wall_ns().or_else(rtc) {
        Some(wall) => set_wall_ns(wall),
        None => say!("rumprun: the real-time clock makes no sense; it is 1970"),
    }
}

fn set_frequency(frequency: u64) {
    let frequency = frequency.max(1_000_000);
    FREQUENCY.store(frequency, Ordering::Relaxed);
    NANOSECONDS.store(
        ((1_000_000_000_u128 << 32) / u128::from(frequency)) as u64,
        Ordering::Relaxed,
    );
}
