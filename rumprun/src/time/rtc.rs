//! The real-time clock of PCs: MC146818 at ports 0x70 and 0x71.

use crate::cpu::port;

/// Seconds since 1970, or `None` if what the clock says is no date.
pub(super) fn read() -> Option<u64> {
    // Until two readings agree: the clock may go on in between.
    let mut last = registers();
    for _ in 0..10 {
        let now = registers();
        if now == last && !now.updating {
            return now.seconds();
        }
        last = now;
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registers {
    updating: bool,
    /// Second, minute, hour, day, month, year.
    time: [u8; 6],
    /// 24 hours, binary.
    mode: u8,
}

fn register(number: u8) -> u8 {
    // SAFETY: the clock's ports. Bit 7 keeps non-maskable interrupts as they are: on.
    unsafe {
        port::write_u8(0x70, number);
        port::read_u8(0x71)
    }
}

fn registers() -> Registers {
    Registers {
        updating: register(0x0a) & 0x80 != 0,
        time: [0, 2, 4, 7, 8, 9].map(register),
        mode: register(0x0b),
    }
}

impl Registers {
    fn seconds(self) -> Option<u64> {
        const BINARY: u8 = 1 << 2;
        const WHOLE_DAY: u8 = 1 << 1;
        let value = |raw: u8| -> u64 {
            if self.mode & BINARY != 0 {
                u64::from(raw)
            } else {
                u64::from(raw >> 4) * 10 + u64::from(raw & 0xf)
            }
        };
        let [second, minute, hour, day, month, year] = self.time;
        let hour = if self.mode & WHOLE_DAY == 0 {
            value(hour & 0x7f) % 12 + if hour & 0x80 != 0 { 12 } else { 0 }
        } else {
            value(hour)
        };
        let (second, minute, day, month) = (value(second), value(minute), value(day), value(month));
        let sane = second < 60
            && minute < 60
            && hour < 24
            && (1..=31).contains(&day)
            && (1..=12).contains(&month)
            && value(year) < 100;
        let days = days(2000 + value(year), month, day);
        sane.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
    }
}

/// Days from 1970 to a date of the Gregorian calendar, from 2000 to 2099.
fn days(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let index = (month.clamp(1, 12) - 1) as usize;
    // Every fourth year of this century has a leap day, from 2000 on.
    let leap_days = (year - 2000).div_ceil(4) + u64::from(year.is_multiple_of(4) && month > 2);
    10_957 + (year - 2000) * 365 + leap_days + BEFORE[index] + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_date_says() {
        // date -u -d '2026-11-30 01:02:03' +%s, and so on.
        for (time, expected) in [
            ([0x03, 0x02, 0x01, 0x30, 0x11, 0x26], Some(1_796_000_523)),
            ([0, 0, 0, 1, 1, 0], Some(946_684_800)),
            ([0x59, 0x59, 0x23, 0x29, 0x02, 0x24], Some(1_709_251_199)),
            ([0, 0, 0, 1, 3, 0x24], Some(1_709_251_200)),
            ([0x59, 0x59, 0x23, 0x31, 0x12, 0x99], Some(4_102_444_799)),
            ([0, 0, 0, 0, 1, 0], None),
            ([0xff; 6], None),
        ] {
            let registers = Registers {
                updating: false,
                time,
                mode: 2,
            };
            assert_eq!(registers.seconds(), expected, "{time:x?}");
        }
        let noon = |hour| Registers {
            updating: false,
            time: [0, 0, hour, 1, 1, 0],
            mode: 4,
        };
        assert_eq!(noon(0x8c).seconds(), Some(946_684_800 + 12 * 3600));
        assert_eq!(noon(12).seconds(), Some(946_684_800));
    }
}
