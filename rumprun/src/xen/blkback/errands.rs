//! What a thread of its own waits for, as the kernel has nothing else for it: flushes and
//! discards of a disk, for all queues.
//!
//! A flush covers what was written by requests that were answered before it was asked for. So
//! one covers all that wait when it begins.

use super::done::{Done, Finished};
use crate::block::medium::Medium;
use crate::sched;
use crate::sync::Lock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use rump_hyper::errno::Errno;

/// Something to be done, for whoever is told then.
#[derive(Debug)]
pub(super) struct Errand {
    pub id: u64,
    pub operation: u8,
    /// Which bytes to discard, place and number; to flush, if none.
    pub discard: Option<(u64, u64)>,
    pub teller: Arc<Done>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Errands {
    waiting: Lock<Vec<Errand>>,
    /// Changes when there is something.
    came: AtomicU32,
}

/// The last change.
const OVER: u32 = u32::MAX;

impl Errand {
    fn end(self, result: Result<(), Errno>) {
        let Self { id, operation, .. } = self;
        self.teller.tell(Finished::Errand {
            id,
            operation,
            result,
        });
    }
}

impl Errands {
    pub(super) fn new() -> Self {
        Self {
            waiting: Lock::new(Vec::new()),
            came: AtomicU32::new(0),
        }
    }

    /// Has something done.
    pub(super) fn push(&self, errand: Errand) {
        self.waiting.lock().push(errand);
        self.change(1);
    }

    /// Ends [`serve`](Self::serve). What was not begun is not done.
    pub(super) fn stop(&self) {
        self.change(OVER);
    }

    fn change(&self, to: u32) {
        self.came.fetch_max(to, Ordering::AcqRel);
        sched::unpark(self.came.as_ptr().addr() as u64, usize::MAX);
    }

    /// Does what waits.
    pub(super) fn run(&self, medium: &dyn Medium) {
        let all = core::mem::take(&mut *self.waiting.lock());
        let (discards, flushes): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|errand| errand.discard.is_some());
        if !flushes.is_empty() {
            let result = medium.flush();
            flushes.into_iter().for_each(|errand| errand.end(result));
        }
        for errand in discards {
            if self.came.load(Ordering::Acquire) == OVER {
                errand.end(Err(Errno::IO));
                continue;
            }
            let (offset, len) = errand.discard.unwrap_or_default();
            errand.end(medium.discard(offset, len));
        }
    }

    /// Does what comes, until it is told to stop.
    pub(super) fn serve(&self, medium: &dyn Medium) {
        loop {
            match self.came.load(Ordering::Acquire) {
                OVER => break,
                0 => {
                    sched::park(&self.came, 0, None);
                }
                seen => {
                    // What comes from here on is seen the next time.
                    let _ =
                        self.came
                            .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
                    self.run(medium);
                }
            }
        }
        let left = core::mem::take(&mut *self.waiting.lock());
        left.into_iter()
            .for_each(|errand| errand.end(Err(Errno::IO)));
    }
}
