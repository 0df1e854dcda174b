//! Where in a device's address space the kernel's memory lies.
//!
//! All of it lies in one range of the program's addresses, and a device address is the
//! kernel's plus a constant. The constant is chosen from the ranges that the IOMMU
//! translates: programs' addresses have 47 bits, and an IOMMU of 39 cannot take them as
//! they are; the window of message-signalled interrupts is in nobody's range; and many
//! devices have 32 bits only. So the lowest range that has room is taken, from its
//! start, without the first pages, whose addresses look like mistakes.

/// What both ends are multiples of: the size of the IOMMU's large pages, so that
/// they can be used.
pub const ALIGN: u64 = 2 << 20;

/// The lowest address that is used.
const FLOOR: u64 = 16 << 20;

/// A range of device addresses, and how far away from the program's they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first of the program's addresses.
    pub start: u64,
    /// How many bytes.
    pub len: u64,
    /// What is to be added for the device's address, modulo 2^64.
    pub offset: u64,
}

impl Window {
    /// Chooses a window onto the program's addresses from `start` on, of `least` bytes or
    /// more and `most` or less, among ranges of device addresses (both ends included) and
    /// below 2^`bits`. `start` is a multiple of [`ALIGN`].
    ///
    /// Addresses below 4 GiB come first, because every device has them.
    pub fn choose(
        start: u64,
        least: u64,
        most: u64,
        ranges: &[(u64, u64)],
        bits: u32,
    ) -> Option<Self> {
        let limit = 1_u64.checked_shl(bits).map_or(u64::MAX, |end| end - 1);
        let low = (u64::from(u32::MAX)).min(limit);
        [low, limit].into_iter().find_map(|limit| {
            let mut fitting: Option<Self> = None;
            for &(first, last) in ranges {
                let Some(window) = Self::within(start, most, first, last.min(limit)) else {
                    continue;
                };
                if window.len >= least && fitting.is_none_or(|best| window.len > best.len) {
                    fitting = Some(window);
                }
            }
            fitting
        })
    }

    fn within(start: u64, most: u64, first: u64, last: u64) -> Option<Self> {
        let first = first.max(FLOOR).checked_next_multiple_of(ALIGN)?;
        let end = last.saturating_add(1) / ALIGN * ALIGN;
        let len = end.checked_sub(first)?.min(most) / ALIGN * ALIGN;
        (len > 0).then(|| Self {
            start,
            len,
            offset: first.wrapping_sub(start),
        })
    }

    /// The device's address of memory that lies in the window as a whole.
    pub fn translate(&self, address: u64, len: u64) -> Option<u64> {
        let at = address.checked_sub(self.start)?;
        let inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        inside.then(|| address.wrapping_add(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux reports them for an IOMMU of that many bits.
    fn ranges(bits: u32) -> [(u64, u64); 2] {
        [(0, 0xfedf_ffff), (0xfef0_0000, (1 << bits) - 1)]
    }

    const VA: u64 = 0x7f12_3460_0000;

    #[test]
    fn low_addresses_come_first_and_the_msi_window_is_avoided() {
        for bits in [39, 48] {
            let window = Window::choose(VA, ALIGN, 64 << 30, &ranges(bits), 64).unwrap();
            assert_eq!(window.translate(VA, 1), Some(FLOOR));
            assert_eq!(window.len, 0xfee0_0000 - FLOOR);
        }
    }

    #[test]
    fn what_does_not_fit_below_goes_above() {
        let big = 8 << 30;
        let window = Window::choose(VA, big, 64 << 30, &ranges(39), 64).unwrap();
        assert_eq!(window.translate(VA, 1), Some(0xff00_0000));
        assert_eq!(Window::choose(VA, big, 64 << 30, &ranges(39), 32), None);
        assert_eq!(Window::choose(VA, 1 << 40, 1 << 40, &ranges(39), 64), None);
    }

    #[test]
    fn random_ranges_give_windows_within_them() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut chosen = 0;
        for _ in 0..100_000 {
            let mut range = || {
                let (a, b) = (next() >> (next() % 64), next() >> (next() % 64));
                (a, b)
            };
            let ranges = [range(), range(), range()];
            let (least, bits) = (next() >> (next() % 64), (next() % 80) as u32);
            let most = least.saturating_add(next() >> (next() % 64));
            let Some(window) = Window::choose(VA, least, most, &ranges, bits) else {
                continue;
            };
            chosen += 1;
            let first = window.translate(VA, 1).unwrap();
            let last = first + (window.len - 1);
            assert!(window.len >= least && window.len <= most.max(least));
            assert!(ranges.iter().any(|&(a, b)| a <= first && last <= b));
            assert!(bits >= 64 || last >> bits == 0);
            assert!(first >= FLOOR && first.is_multiple_of(ALIGN));
            assert_eq!(window.translate(VA + window.len, 1), None);
            assert_eq!(window.translate(VA - 1, 1), None);
        }
        assert!(chosen > 1000, "{chosen}");
    }
}
