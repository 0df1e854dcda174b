//! Memory below the image, kept for a program that was linked to lie there.
//!
//! A program that cannot be moved (`ET_EXEC`) mostly begins at 2 or 4 MiB, where an image
//! begins, too. An image that was linked to lie higher leaves room for it: memory at its own
//! address is all that there is down there. What no program wants goes to the other memory
//! when the program is loaded.

use super::{PAGE64, frames};
use crate::boot::info::Range;
use crate::sync::Lock;

/// Below it are the firmware's data and what starts other CPUs; and no linker's programs.
const START: u64 = 2 << 20;

static KEPT: Lock<Range> = Lock::new(Range { start: 0, end: 0 });

/// The memory from [`START`] on that nothing is in, up to the image.
fn room(image: u64, memory: &[Range], used: &[Range]) -> Range {
    let within = |range: &&Range| range.start <= START && START < range.end;
    let end = memory.iter().find(within).map_or(START, |range| range.end);
    let above = used.iter().filter(|range| range.end > START);
    let end = above.fold(end.min(image), |end, range| end.min(range.start));
    Range {
        start: START,
        end: (end & !(PAGE64 - 1)).max(START),
    }
}

/// Keeps it, and tells what is kept, which is used then.
pub(super) fn keep(image: u64, memory: &[Range], used: &[Range]) -> Range {
    let room = room(image, memory, used);
    *KEPT.lock() = room;
    room
}

/// Takes whole pages of it; the rest goes to the other memory. Returns whether they were
/// there.
pub(super) fn claim(start: u64, end: u64) -> bool {
    let mut kept = KEPT.lock();
    if start < kept.start || kept.end < end || start >= end {
        return false;
    }
    for (from, to) in [(kept.start, start), (end, kept.end)] {
        let pages = ((to - from) / PAGE64) as usize;
        // SAFETY: it was kept, and nobody has used it.
        unsafe { frames::release(from, pages) };
    }
    *kept = Range::default();
    true
}

/// All of it goes to the other memory.
pub(crate) fn release() {
    let kept = core::mem::take(&mut *KEPT.lock());
    let pages = ((kept.end - kept.start) / PAGE64) as usize;
    // SAFETY: as above.
    unsafe { frames::release(kept.start, pages) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> Range {
        Range { start, end }
    }

    #[test]
    fn room_is_what_nothing_is_in() {
        let memory = [range(0, 0x9f000), range(MIB, 128 * MIB)];
        let low = [range(0, MIB)];
        for (image, used, expected) in [
            (2 * MIB, &low[..], 2 * MIB),
            (16 * MIB, &low, 16 * MIB),
            (16 * MIB, &[range(5 * MIB + 1, 5 * MIB + 2)], 5 * MIB),
            (16 * MIB, &[range(MIB, 3 * MIB)], 2 * MIB),
            (400 * MIB, &low, 128 * MIB),
        ] {
            assert_eq!(room(image, &memory, used), range(START, expected));
        }
        assert_eq!(room(16 * MIB, &[range(0, MIB)], &[]), range(START, START));
    }
}
