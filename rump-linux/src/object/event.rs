//! `eventfd(2)`.

use crate::errno::Errno;
use crate::lock::Mutex;
use crate::still::Lock;
use crate::wait::Watchers;

/// A counter that can be waited for.
pub(crate) struct Event {
    /// The counter, and how often it was written: edges for epoll.
    count: Mutex<(u64, u64)>,
    semaphore: bool,
    pub(crate) watchers: Watchers,
}

impl Event {
    pub(crate) fn new(count: u32, semaphore: bool) -> Self {
        Self {
            count: Mutex::new((count.into(), 1)),
            semaphore,
            watchers: Watchers::default(),
        }
    }

    pub(crate) fn take(&self) -> Result<u64, Errno> {
        let taken = {
            let mut count = self.count.lock();
            let taken = if self.semaphore {
                count.0.min(1)
            } else {
                count.0
            };
            count.0 -= taken;
            taken
        };
        if taken == 0 {
            return Err(Errno::EAGAIN);
        }
        self.watchers.ring();
        Ok(taken)
    }

    pub(crate) fn add(&self, more: u64) -> Result<(), Errno> {
        if more == u64::MAX {
            return Err(Errno::EINVAL);
        }
        {
            let mut count = self.count.lock();
            let sum = count.0.checked_add(more).filter(|sum| *sum < u64::MAX);
            count.0 = sum.ok_or(Errno::EAGAIN)?;
            count.1 += 1;
        }
        self.watchers.ring();
        Ok(())
    }

    pub(crate) fn locks(&self) -> [&dyn Lock; 2] {
        [&self.count, self.watchers.lock()]
    }

    /// Whether it can be read and written, and the number of the last change.
    pub(crate) fn ready(&self) -> (bool, bool, u64) {
        let count = self.count.lock();
        (count.0 > 0, count.0 < u64::MAX - 1, count.1)
    }
}
