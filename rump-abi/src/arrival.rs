//! `rump_arrival.h`, of a component of our own: what wakes a thread that waits in the kernel
//! for something to receive.

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// `struct rump_bell`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicU32,
    pad: u32,
    at: AtomicPtr<c_void>,
}

impl Bell {
    /// Notes that it rings; whether it did not before.
    pub fn set(&self) -> bool {
        self.rung.swap(1, Ordering::SeqCst) == 0
    }

    /// Whether it rings.
    pub fn is_set(&self) -> bool {
        self.rung.load(Ordering::SeqCst) != 0
    }

    /// Makes it silent.
    pub fn clear(&self) {
        self.rung.store(0, Ordering::SeqCst);
    }

    /// Whether somebody waits who has to be told of it by `rump_arrival_ring`.
    pub fn is_waited_for(&self) -> bool {
        !self.at.load(Ordering::SeqCst).is_null()
    }
}
