//! Signals for threads whose calls wait here, and threads that are gone.
//!
//! A thread whose notification was received sleeps so that only what kills it wakes it:
//! otherwise a signal could undo a call that was already done. So a signal that comes while a
//! call waits must be looked for, in `/proc`, and ends the call from here. It is for Linux
//! then to run the handler, and to start the call again where the program wants that.

use crate::client::{Client, Signal};
use crate::listener::Listener;
use rump_linux::wait::Waker;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often each is looked at.
const PERIOD: Duration = Duration::from_millis(10);
/// How many are looked at before the thread rests again: about 20 µs each.
const AT_ONCE: usize = 64;

/// A call that waits.
pub(crate) struct Waiting {
    pub(crate) listener: Arc<Listener>,
    pub(crate) id: u64,
    pub(crate) client: Arc<Client>,
    pub(crate) waker: Waker,
    /// Set when it is to end.
    pub(crate) end: Arc<End>,
}

/// Why a call that waits is to end.
#[derive(Debug, Default)]
pub(crate) struct End(AtomicU8);

/// What ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A signal for the thread: it is taken on the way out of the call, which Linux may
    /// start again.
    Signal,
    /// A signal that another thread of the process may take as well.
    Shared,
    /// The thread is gone.
    Gone,
}

impl End {
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cause::Signal),
            2 => Some(Cause::Shared),
            _ => Some(Cause::Gone),
        }
    }

    fn set(&self, cause: Cause) {
        self.0.store(cause as u8 + 1, Ordering::Release);
    }
}

#[derive(Default)]
pub(crate) struct Interruptions {
    waiting: Mutex<Vec<Arc<Waiting>>>,
    some: Condvar,
}

impl Interruptions {
    /// Starts the thread that looks; `enter` is run in it first.
    pub(crate) fn new(enter: fn()) -> io::Result<Arc<Self>> {
        let interruptions = Arc::new(Self::default());
        let looking = Arc::downgrade(&interruptions);
        std::thread::Builder::new()
            .name("rump-signals".into())
            .spawn(move || {
                enter();
                look(&looking);
            })?;
        Ok(interruptions)
    }

    pub(crate) fn add(&self, waiting: Arc<Waiting>) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(waiting);
        self.some.notify_one();
    }

    pub(crate) fn remove(&self, end: &Arc<End>) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = all.iter().position(|one| Arc::ptr_eq(&one.end, end)) {
            all.swap_remove(at);
        }
    }
}

fn look(interruptions: &Weak<Interruptions>) {
    while let Some(interruptions) = interruptions.upgrade() {
        {
            let all = interruptions.waiting.lock();
            let all = all.unwrap_or_else(PoisonError::into_inner);
            // In turns, to see that nobody needs this any more.
            let turn = Duration::from_millis(250);
            let none = |all: &mut Vec<_>| all.is_empty();
            drop(interruptions.some.wait_timeout_while(all, turn, none));
        }
        std::thread::sleep(PERIOD);
        let all = interruptions.waiting.lock();
        let all = all.unwrap_or_else(PoisonError::into_inner).clone();
        for some in all.chunks(AT_ONCE) {
            some.iter().for_each(|one| check(one));
            if some.len() == AT_ONCE {
                std::thread::sleep(PERIOD);
            }
        }
    }
}

fn check(one: &Waiting) {
    let cause = if !one.listener.waits(one.id) {
        Cause::Gone
    } else {
        match one.client.has_signal() {
            Signal::None => return,
            Signal::Here => Cause::Signal,
            Signal::Somewhere => Cause::Shared,
        }
    };
    one.end.set(cause);
    one.waker.wake();
}
