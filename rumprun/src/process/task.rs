//! A thread of the program: `task_struct(9)`, as far as Linux's calls tell of it.

use super::lock::Mutex;
use super::signal::{Pending, Stack};
use crate::sched;
use crate::sync::Lock;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use rump_linux::wait::Waker;

/// Why a thread has woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody called [`Task::wake`].
    ByWaker,
    /// There is a signal to be handled.
    BySignal,
    /// The time is over.
    ByTime,
}

/// Values of [`Task::word`].
const ASLEEP: u32 = 0;
const AWAKE: u32 = 1;
const INTERRUPTED: u32 = 2;

/// A thread of the program.
pub struct Task {
    /// Its number; that of the first is the program's.
    pub id: u32,
    /// `comm`: what it is called.
    pub name: Lock<String>,
    /// Where a zero goes when it ends, and who waits there is woken (set_tid_address(2)).
    pub clear_on_exit: AtomicU64,
    /// Signals that are blocked.
    pub mask: AtomicU64,
    /// Blocked before a call that waits with another mask; to be put back after the handler.
    pub saved_mask: Lock<Option<u64>>,
    /// Signals for this thread.
    pub pending: Lock<Pending>,
    /// Where handlers run that want a stack of their own.
    pub signal_stack: Lock<Stack>,
    /// It has an lwp of the rump kernel.
    pub attached: AtomicBool,
    word: AtomicU32,
    /// While it waits in the rump kernel.
    waker: Mutex<Option<Waker>>,
}

impl core::fmt::Debug for Task {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "task {} ({})", self.id, &*self.name.lock())
    }
}

impl Task {
    /// One that does not run yet.
    pub fn new(id: u32, name: &str, mask: u64) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: Lock::new(name.into()),
            clear_on_exit: AtomicU64::new(0),
            mask: AtomicU64::new(mask),
            saved_mask: Lock::new(None),
            pending: Lock::new(Default::default()),
            signal_stack: Lock::new(Default::default()),
            attached: AtomicBool::new(false),
            word: AtomicU32::new(AWAKE),
            waker: Mutex::default(),
        })
    }

    /// Makes it that of the thread which runs.
    pub fn take_thread(self: &Arc<Self>) {
        let raw = Arc::into_raw(self.clone()).cast_mut().cast();
        sched::with_current(|thread| thread.slot.store(raw, Ordering::Release));
    }

    /// That of the thread which runs, if it is the program's.
    pub fn current() -> Option<Arc<Self>> {
        let raw = sched::with_current(|thread| thread.slot.load(Ordering::Acquire));
        let raw = raw.cast::<Self>().cast_const();
        if raw.is_null() {
            return None;
        }
        // SAFETY: `take_thread` put a count there, which the thread itself takes back at its
        // end.
        unsafe {
            Arc::increment_strong_count(raw);
            Some(Arc::from_raw(raw))
        }
    }

    /// Gives back what [`take_thread`](Self::take_thread) took. On the thread itself, as the
    /// last.
    pub fn leave_thread() {
        let none = core::ptr::null_mut();
        let raw = sched::with_current(|thread| thread.slot.swap(none, Ordering::AcqRel));
        if !raw.is_null() {
            // SAFETY: the count that is the slot's.
            drop(unsafe { Arc::from_raw(raw.cast::<Self>().cast_const()) });
        }
    }

    /// To be called before whoever may wake it can know of it.
    pub fn prepare(&self) {
        self.word.store(ASLEEP, Ordering::Release);
    }

    /// Sleeps until it is woken, a signal comes that is to be handled, or the monotonic clock
    /// says that time.
    pub fn sleep(&self, deadline: Option<u64>) -> Woken {
        if self.has_signal() {
            self.interrupt_word();
        }
        loop {
            match self.word.load(Ordering::Acquire) {
                AWAKE => return Woken::ByWaker,
                INTERRUPTED => {
                    self.word.store(AWAKE, Ordering::Release);
                    return Woken::BySignal;
                }
                _ => {}
            }
            if !sched::park(&self.word, ASLEEP, deadline)
                && self
                    .word
                    .compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
            {
                return Woken::ByTime;
            }
        }
    }

    /// Sleeps for no other reason than time or a signal; whether it was the time.
    pub fn pause(&self, deadline: Option<u64>) -> bool {
        self.prepare();
        self.sleep(deadline) == Woken::ByTime
    }

    /// Ends its sleep.
    pub fn wake(&self) {
        self.word.store(AWAKE, Ordering::Release);
        self.unpark();
    }

    fn unpark(&self) {
        sched::unpark(core::ptr::from_ref(&self.word).addr() as u64, 1);
    }

    fn interrupt_word(&self) {
        let slept =
            self.word
                .compare_exchange(ASLEEP, INTERRUPTED, Ordering::AcqRel, Ordering::Acquire);
        if slept.is_ok() {
            self.unpark();
        }
    }

    /// Whether there is a signal that it does not block.
    pub fn has_signal(&self) -> bool {
        super::signal::is_pending(self)
    }

    /// Has it look at its signals, whatever it waits for.
    pub fn interrupt(&self) {
        self.interrupt_word();
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// It is about to wait in the rump kernel, where this wakes it.
    pub fn asleep(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
        if self.has_signal() {
            waker.wake();
        }
    }

    /// It waits no more; whether a signal is to be handled.
    pub fn awake(&self) -> bool {
        // Dropped outside of the lock.
        let waker = self.waker.lock().take();
        drop(waker);
        self.has_signal()
    }
}
