//! Whether a call comes from the program, or from the kernel and what is around it.
//!
//! The kernel's host calls the C library, too, and so finds the functions of this library.
//! What is called from within a call goes to Linux; and threads that are made there are the
//! kernel's for all their life. The program's handlers of signals wait for the end of the call
//! ([`crate::held`]).

use crate::held;
use std::cell::Cell;
use std::sync::atomic::{Ordering, compiler_fence};

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

/// This thread is within until the value is dropped, if it was not before.
///
/// Whatever allocates memory is: the library has a heap of its own, and a handler that was run
/// in the middle of that could find it in any state.
pub(crate) struct Inside {
    before: bool,
}

impl Inside {
    pub(crate) fn enter() -> Self {
        let before = INSIDE.replace(true);
        compiler_fence(Ordering::SeqCst);
        Self { before }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.before {
            return;
        }
        crate::dispatch::again();
        INSIDE.set(false);
        // From here on handlers run at once.
        compiler_fence(Ordering::SeqCst);
        held::let_in();
    }
}
