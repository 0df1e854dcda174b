//! A netlink(7) socket, of `NETLINK_ROUTE`.

use crate::lock::Mutex;
use crate::still::Lock;
use crate::wait::Watchers;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// A socket, and the answers that were not received yet.
pub(crate) struct Netlink {
    /// `SOCK_RAW` or `SOCK_DGRAM`.
    pub(crate) kind: u32,
    /// The number that it goes by; 0 as long as it has none.
    port: AtomicU32,
    answers: Mutex<VecDeque<Vec<u8>>>,
    pub(crate) watchers: Watchers,
}

/// How many answers wait at most.
const MOST: usize = 1024;

impl Netlink {
    pub(crate) fn new(kind: u32) -> Self {
        Self {
            kind,
            port: AtomicU32::new(0),
            answers: Mutex::default(),
            watchers: Watchers::default(),
        }
    }

    /// Its number, if it has one.
    pub(crate) fn port(&self) -> u32 {
        self.port.load(Ordering::Relaxed)
    }

    /// Gives it a number: this, or one that no other has.
    pub(crate) fn bind(&self, wanted: u32) {
        static LAST: AtomicU32 = AtomicU32::new(0x1000);
        let port = match wanted {
            0 => LAST.fetch_add(1, Ordering::Relaxed),
            wanted => wanted,
        };
        self.port.store(port, Ordering::Relaxed);
    }

    /// What is to be received; false if nobody has received for long.
    pub(crate) fn add(&self, new: Vec<Vec<u8>>) -> bool {
        let added = {
            let mut answers = self.answers.lock();
            let fits = answers.len() + new.len() <= MOST;
            if fits {
                answers.extend(new);
            }
            fits
        };
        self.watchers.ring();
        added
    }

    /// The next answer, which may stay.
    pub(crate) fn take(&self, stays: bool) -> Option<Vec<u8>> {
        let mut answers = self.answers.lock();
        if stays {
            return answers.front().cloned();
        }
        answers.pop_front()
    }

    /// Whether there is something to be received.
    pub(crate) fn is_ready(&self) -> bool {
        !self.answers.lock().is_empty()
    }

    pub(crate) fn locks(&self) -> [&dyn Lock; 2] {
        [&self.answers, self.watchers.lock()]
    }
}
