//! Which descriptors are the kernel's: asked before each call, so without a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Numbers from this on are never the kernel's.
pub(crate) const LIMIT: usize = 1 << 16;

static BITS: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicBool = AtomicBool::new(false);

fn place(fd: i32) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((BITS.get(fd / 64)?, 1 << (fd % 64)))
}

/// Whether a descriptor is the kernel's.
pub(crate) fn contains(fd: i32) -> bool {
    place(fd).is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
}

/// Whether any is.
pub(crate) fn any() -> bool {
    COUNT.load(Ordering::Acquire) != 0
}

/// Whether any ever was.
pub(crate) fn was_used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// It is from now on; false if its number is too high.
pub(crate) fn add(fd: i32) -> bool {
    let Some((word, bit)) = place(fd) else {
        return false;
    };
    if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
        COUNT.fetch_add(1, Ordering::AcqRel);
        USED.store(true, Ordering::Relaxed);
    }
    true
}

/// It is not any more.
pub(crate) fn remove(fd: i32) {
    let Some((word, bit)) = place(fd) else { return };
    if word.fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
        COUNT.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_and_removed() {
        let last = LIMIT as i32 - 1;
        assert!(!any() && !contains(3) && !contains(-1));
        assert!(add(3) && add(3) && add(last) && !add(last + 1) && !add(-1));
        assert!(contains(3) && contains(last) && !contains(4) && any());
        remove(3);
        remove(3);
        remove(-1);
        assert!(!contains(3) && any());
        remove(last);
        assert!(!any());
    }
}
