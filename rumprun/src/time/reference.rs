//! A clock of the machine whose frequency is known: Xen's, the HPET, the power management
//! timer, or the interval timer of PCs.

use super::ticks;
use crate::acpi::Machine;
use crate::cpu::port;
use crate::memory::tables::map_device;
use crate::xen::clock;

/// Which clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reference {
    /// IA-PC HPET 1.0a: address, and femtoseconds for a tick.
    Hpet(u64, u64),
    /// ACPI 6.5, 4.8.2.1: port; 3.579545 MHz, at least 24 bits.
    Acpi(u16),
    /// Channel 2 of an 8254, 1.193182 MHz, 16 bits, counting down.
    Interval,
    /// Xen's clock, in nanoseconds.
    Xen,
}

/// A reading: nanoseconds of the reference, ticks of the counter, and what else is counted.
type Reading = (u64, u64, u64);

impl Reference {
    /// The best that is there.
    pub(crate) fn find(machine: &Machine) -> Self {
        if clock::now_ns().is_some() {
            return Self::Xen;
        }
        if let Some(address) = machine.hpet
            && let Ok(registers) = map_device(address, 0x400)
        {
            // SAFETY: registers of the HPET, which is this module's: capabilities with the
            // period in the upper half; bit 0 of the configuration starts the counter.
            let period = unsafe {
                let period = registers.cast::<u64>().read_volatile() >> 32;
                let configuration = registers.add(0x10).cast::<u64>();
                configuration.write_volatile(configuration.read_volatile() | 1);
                period
            };
            // At most 100 ns, says its specification.
            if (1..=100_000_000).contains(&period) {
                return Self::Hpet(address, period);
            }
        }
        if let Some(port) = machine.fixed.and_then(|fixed| fixed.timer) {
            return Self::Acpi(port);
        }
        // SAFETY: ports of the interval timer and its gate: mode 0 from the highest count.
        unsafe {
            port::write_u8(0x61, port::read_u8(0x61) & !2 | 1);
            port::write_u8(0x43, 0b1011_0000);
            port::write_u8(0x42, 0xff);
            port::write_u8(0x42, 0xff);
        }
        Self::Interval
    }

    /// What it counts, upwards.
    fn count(self) -> u64 {
        // SAFETY: registers and ports that `find` found.
        unsafe {
            match self {
                Self::Hpet(address, _) => {
                    // The lower half, which is enough and whole.
                    u64::from(((address + 0xf0) as *const u32).read_volatile())
                }
                Self::Xen => clock::now_ns().unwrap_or(0),
                Self::Acpi(port) => u64::from(port::read_u32(port)) & 0xff_ffff,
                Self::Interval => {
                    port::write_u8(0x43, 0b1000_0000);
                    let low = port::read_u8(0x42);
                    let high = port::read_u8(0x42);
                    0xffff - (u64::from(high) << 8 | u64::from(low))
                }
            }
        }
    }

    /// Nanoseconds between two counts.
    fn between(self, from: u64, to: u64) -> u64 {
        match self {
            Self::Hpet(_, period) => {
                let ticks = to.wrapping_sub(from) & 0xffff_ffff;
                (u128::from(ticks) * u128::from(period) / 1_000_000) as u64
            }
            Self::Xen => to.saturating_sub(from),
            Self::Acpi(_) => (to.wrapping_sub(from) & 0xff_ffff) * 1_000_000_000 / 3_579_545,
            Self::Interval => to.saturating_sub(from) * 1_000_000_000 / 1_193_182,
        }
    }

    /// The count with the counter at the same moment: of some tries the one that took least,
    /// lest what ran between the two readings be taken for time.
    fn read(self, other: &impl Fn() -> u64) -> (u64, u64, u64) {
        let mut best = (u64::MAX, (0, 0, 0));
        for _ in 0..5 {
            let before = ticks();
            let count = self.count();
            let also = other();
            let took = ticks() - before;
            if took < best.0 {
                best = (took, (count, before + took / 2, also));
            }
        }
        best.1
    }

    /// Waits for so long and returns what was read at the start and at the end. A clock that
    /// stands still does not stop it.
    pub(crate) fn measure(self, ns: u64, other: impl Fn() -> u64) -> (Reading, Reading) {
        let (start, ticks_start, other_start) = self.read(&other);
        // At 10 GHz this would be a second.
        while ticks() - ticks_start < 10_000_000_000 {
            if self.between(start, self.count()) >= ns {
                break;
            }
            core::hint::spin_loop();
        }
        let (end, ticks_end, other_end) = self.read(&other);
        (
            (0, ticks_start, other_start),
            (self.between(start, end), ticks_end, other_end),
        )
    }
}
