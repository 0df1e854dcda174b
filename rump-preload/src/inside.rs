//! Whether a call comes from the program, or from the kernel and what is around it.
//!
//! The kernel's host calls the C library, too, and so finds the functions of this library.
//! What is called from within a call goes to Linux; and threads that are made there are the
//! kernel's for all their life.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is within.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// This thread is within for good.
pub(crate) fn stay() {
    INSIDE.set(true);
}

/// This thread is within until the value is dropped.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter() -> Self {
        INSIDE.set(true);
        Self(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
        crate::dispatch::again();
    }
}
