//! Descriptors of this library's own, which the program knows nothing of: where it closes all
//! that it did not open, as programs do before they execute others, they stay.

use crate::inside::is_inside;
use crate::signals;
use rump_linux::raw::lacking::CLOSE_RANGE_CLOEXEC;
use std::os::fd::RawFd;

/// Their numbers, in order.
fn numbers() -> impl Iterator<Item = RawFd> {
    let [read, write] = signals::doorbell();
    let mut all = [read, write, rump::remote::descriptor().unwrap_or(-1)];
    all.sort_unstable();
    all.into_iter().filter(|number| *number >= 0)
}

/// Whether the program closes one that is not its own.
pub(crate) fn contains(fd: RawFd) -> bool {
    !is_inside() && numbers().any(|number| number == fd)
}

/// The parts of a range, as many as there can be.
type Parts = [Option<(u32, u32)>; 4];

/// The parts of a range of descriptors (`close_range(2)`) that have none of them.
pub(crate) fn around(first: u32, last: u32, flags: u32) -> Parts {
    let hidden = numbers().filter(|_| flags & CLOSE_RANGE_CLOEXEC == 0);
    parts(first, last, hidden.map(RawFd::cast_unsigned))
}

fn parts(first: u32, last: u32, without: impl Iterator<Item = u32>) -> Parts {
    let mut parts = Parts::default();
    let mut next = parts.iter_mut();
    let mut start = first;
    for number in without.filter(|number| (first..=last).contains(number)) {
        if number > start
            && let Some(next) = next.next()
        {
            *next = Some((start, number - 1));
        }
        start = number + 1;
    }
    // What is wrong with it is said by whoever is asked.
    if (start <= last || start == first)
        && let Some(next) = next.next()
    {
        *next = Some((start, last));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parted() {
        let parted = |first, last, without: &[u32]| {
            let parts = parts(first, last, without.iter().copied());
            parts.into_iter().flatten().collect::<Vec<_>>()
        };
        assert_eq!(parted(3, 9, &[]), [(3, 9)]);
        assert_eq!(parted(3, u32::MAX, &[1, 5, 6]), [(3, 4), (7, u32::MAX)]);
        assert_eq!(parted(3, 9, &[3, 9]), [(4, 8)]);
        assert_eq!(parted(3, 3, &[3]), []);
        assert_eq!(parted(9, 3, &[5]), [(9, 3)]);
    }
}
