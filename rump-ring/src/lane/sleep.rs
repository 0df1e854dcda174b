//! Going to sleep, and being woken, without missing each other.
//!
//! Both sides swap the same word, so one of them comes first. If it is the one who wakes,
//! the other sees all that it did before, and that there is something to be had; if it is
//! the one who sleeps, the other sees that. A model of it is in `tests/loom`.

/// The word that says that the other side sleeps.
pub trait Flag {
    /// Puts a value in, acquires what came with the old one, releases what was done.
    fn swap(&self, value: u32) -> u32;
}

impl Flag for core::sync::atomic::AtomicU32 {
    fn swap(&self, value: u32) -> u32 {
        self.swap(value, core::sync::atomic::Ordering::AcqRel)
    }
}

#[cfg(loom)]
impl Flag for loom::sync::atomic::AtomicU32 {
    fn swap(&self, value: u32) -> u32 {
        self.swap(value, loom::sync::atomic::Ordering::AcqRel)
    }
}

/// Says that this side will sleep. It must look once more whether it has to.
pub fn announce(flag: &impl Flag) {
    flag.swap(1);
}

/// Whether the other side is to be woken, after something was done for it. Also by who
/// does not sleep after all.
pub fn rouse(flag: &impl Flag) -> bool {
    flag.swap(0) != 0
}
