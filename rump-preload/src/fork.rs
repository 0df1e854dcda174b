//! `fork(2)` of a process whose kernel is elsewhere: the child is another client of it.
//!
//! Its memory is its parent's, so that no lock must be held by another thread at the fork. Of
//! the library's threads it has none.

use crate::inside::Inside;
use crate::{kernel, signals};
use rump_linux::Still;
use std::cell::RefCell;

struct Held {
    process: Still<'static>,
    signals: signals::Still,
    _inside: Inside,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

pub(crate) extern "C" fn prepare() {
    let Some(process) = kernel::booted() else {
        return;
    };
    let inside = Inside::enter();
    HELD.set(Some(Held {
        process: process.still(),
        signals: signals::still(),
        _inside: inside,
    }));
}

pub(crate) extern "C" fn go_on() {
    drop(HELD.take());
}

pub(crate) extern "C" fn go_on_in_child() {
    let Some(mut held) = HELD.take() else { return };
    if let Err(errno) = held.process.in_child() {
        let error = std::io::Error::from_raw_os_error(errno.0 as i32);
        eprintln!("rump: a child has no epoll instance of its parent's: {error}");
    }
    if let Err(error) = held.signals.in_child() {
        eprintln!("rump: signals do not interrupt this child's calls: {error}");
    }
}
