//! Xen's clocks: for each CPU the time at some value of the time stamp counter, and how fast
//! that counts; and the wall-clock time when Xen's clock began.

use super::abi::shared;
use super::event::shared_page;
use super::page::Page;
use crate::time;
use core::sync::atomic::{Ordering, fence};

/// Reads words until they are of one version: an odd one is being written.
fn consistent<T>(page: Page, version: usize, read: impl Fn() -> T) -> Option<T> {
    // At most so often: a version that never settles is not waited for.
    for _ in 0..1000 {
        let before = page.u32(version).load(Ordering::Acquire);
        let value = read();
        fence(Ordering::Acquire);
        if before & 1 == 0 && page.u32(version).load(Ordering::Relaxed) == before {
            return Some(value);
        }
        core::hint::spin_loop();
    }
    None
}

/// Nanoseconds for some ticks: shifted, then multiplied by a fraction of 2^32.
fn scale(ticks: u64, multiplier: u32, shift: i8) -> u64 {
    let ticks = u128::from(ticks);
    let shifted = match shift {
        0..64 => ticks << shift,
        // 64 and more make no sense.
        64.. => 0,
        _ => ticks >> shift.unsigned_abs().min(127),
    };
    let product = (shifted & u128::from(u64::MAX)) * u128::from(multiplier);
    (product >> 32) as u64
}

/// The time of a CPU's clock at a value of the counter.
fn time_of(page: Page, cpu: usize, ticks: u64) -> Option<u64> {
    let base = cpu * shared::CPU_SIZE + shared::CLOCK;
    consistent(page, base + shared::VERSION, || {
        let since = page.u64(base + shared::TICKS).load(Ordering::Relaxed);
        let time = page.u64(base + shared::TIME).load(Ordering::Relaxed);
        let multiplier = page.u32(base + shared::MULTIPLIER).load(Ordering::Relaxed);
        let shift = page.u8(base + shared::SHIFT).load(Ordering::Relaxed) as i8;
        time.wrapping_add(scale(ticks.saturating_sub(since), multiplier, shift))
    })
}

/// Nanoseconds of Xen's clock, by the first CPU's, if there is one.
pub(crate) fn now_ns() -> Option<u64> {
    let page = shared_page()?;
    time_of(page, 0, time::ticks()).filter(|time| *time != 0)
}

/// Nanoseconds since 1970, UTC, if Xen says them.
pub(crate) fn wall_ns() -> Option<u64> {
    let page = shared_page()?;
    let word = |offset| u64::from(page.u32(offset).load(Ordering::Relaxed));
    let (seconds, nanoseconds) = consistent(page, shared::WALL_VERSION, || {
        let high = word(shared::WALL_SECONDS_HIGH);
        (
            high << 32 | word(shared::WALL_SECONDS),
            word(shared::WALL_NANOSECONDS),
        )
    })?;
    let start = seconds
        .checked_mul(1_000_000_000)?
        .checked_add(nanoseconds)?;
    (seconds != 0).then_some(start.checked_add(now_ns()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_scaled_as_the_header_says() {
        // A counter of 1 GHz, then of 2.5 GHz, then of 250 MHz.
        assert_eq!(scale(1000, 1 << 31, 1), 1000);
        assert_eq!(scale(2500, 0xcccc_cccc, -1), 999);
        assert_eq!(scale(250, 1 << 31, 3), 1000);
        for shift in i8::MIN..=i8::MAX {
            scale(u64::MAX, u32::MAX, shift);
        }
    }

    #[test]
    fn a_clock_that_is_being_written_is_not_believed() {
        let page = Page::for_test();
        let base = shared::CPU_SIZE + shared::CLOCK;
        page.u64(base + shared::TICKS).store(500, Ordering::Relaxed);
        page.u64(base + shared::TIME).store(7000, Ordering::Relaxed);
        page.u32(base + shared::MULTIPLIER)
            .store(1 << 31, Ordering::Relaxed);
        page.u8(base + shared::SHIFT).store(1, Ordering::Relaxed);
        page.u32(base).store(2, Ordering::Relaxed);
        assert_eq!(time_of(page, 1, 600), Some(7100));
        // A counter that is behind: it does not go back.
        assert_eq!(time_of(page, 1, 400), Some(7000));
        page.u32(base).store(3, Ordering::Relaxed);
        assert_eq!(time_of(page, 1, 600), None);
    }
}
