//! Something that a driver tells of when it is done, and the thread that waits for it.
//!
//! A thread that waits serves the interrupts itself that it waits for, where it can
//! ([`Source`]): which ones these are is learnt from whoever tells.

use rump_sys::hyper::linux::LinuxHost;
use rump_sys::hyper::pci::interrupt::{Source, Visit};
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where a device's transfers are told of, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Teller(Mutex<Option<Source>>);

/// What its thread does until it is told.
#[derive(Default)]
enum Waiting {
    #[default]
    Not,
    /// Whoever tells ends the visit, so that who serves knows that nobody waits any more.
    Asleep(Option<Visit<LinuxHost>>),
    /// It serves the interrupts.
    Serving(Source),
}

struct State<T> {
    told: Option<T>,
    waiting: Waiting,
}

/// It is told once, and one thread waits at a time.
pub(crate) struct Event<T> {
    state: Mutex<State<T>>,
    condvar: Condvar,
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event")
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for Event<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                told: None,
                waiting: Waiting::Not,
            }),
            condvar: Condvar::new(),
        }
    }
}

impl<T> Event<T> {
    /// Tells. The thread that does may have a virtual CPU; it does not wait.
    pub(crate) fn tell(&self, what: T, teller: &Teller) {
        let mut state = lock(&self.state);
        state.told = Some(what);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        let elsewhere = match waiting {
            Waiting::Not => false,
            Waiting::Asleep(visit) => {
                drop(visit);
                self.condvar.notify_one();
                true
            }
            Waiting::Serving(source) => source.call::<LinuxHost>(),
        };
        if elsewhere {
            // Whoever waits for the next one can do it here.
            *lock(&teller.0) = Source::current::<LinuxHost>();
        }
    }

    /// Whether it was told.
    pub(crate) fn is_told(&self) -> bool {
        lock(&self.state).told.is_some()
    }

    /// What was told, once.
    pub(crate) fn take(&self) -> Option<T> {
        lock(&self.state).told.take()
    }

    /// Waits for it on a thread without a virtual CPU.
    pub(crate) fn wait(&self, teller: &Teller) -> T {
        if let Some(told) = self.take() {
            return told;
        }
        let source = lock(&teller.0).clone();
        let visit = source.as_ref().and_then(Source::visit::<LinuxHost>);
        let Some((source, mut visit)) = source.zip(visit) else {
            return self.sleep(None);
        };
        if !visit.has_turn() {
            return self.sleep(Some(visit));
        }
        let mut state = lock(&self.state);
        if state.told.is_none() {
            state.waiting = Waiting::Serving(source);
        }
        drop(state);
        visit.serve_until(|| self.is_told());
        drop(visit);
        self.sleep(None)
    }

    fn sleep(&self, visit: Option<Visit<LinuxHost>>) -> T {
        let mut state = lock(&self.state);
        if state.told.is_none() {
            state.waiting = Waiting::Asleep(visit);
        }
        loop {
            if let Some(told) = state.told.take() {
                return told;
            }
            let waited = self.condvar.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
