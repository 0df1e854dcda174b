//! What is done, and the thread of the queue that is told so.

use super::super::event::Channel;
use super::desk::Job;
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use rump_hyper::errno::Errno;

/// Something that is done.
#[derive(Debug)]
pub(super) enum Finished {
    /// A transfer.
    Job(Box<Job>, Result<(), Errno>),
    /// Something else: number and operation of the request.
    Errand {
        id: u64,
        operation: u8,
        result: Result<(), Errno>,
    },
}

/// What is done and was not looked at.
#[derive(Debug)]
pub(super) struct Done {
    all: Lock<Vec<Finished>>,
    stop: AtomicBool,
    /// The queue's, whose line also says that something is done. Tests have none.
    channel: Option<Channel>,
}

impl Done {
    pub(super) fn new(channel: Option<Channel>) -> Self {
        Self {
            all: Lock::new(Vec::new()),
            stop: AtomicBool::new(false),
            channel,
        }
    }

    pub(super) fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    fn ring(&self) {
        if let Some(channel) = &self.channel {
            channel.line().fire();
        }
    }

    /// Something is done. Nothing is waited for.
    pub(super) fn tell(&self, finished: Finished) {
        self.all.lock().push(finished);
        self.ring();
    }

    /// What is done.
    pub(super) fn take(&self) -> Vec<Finished> {
        core::mem::take(&mut *self.all.lock())
    }

    /// The queue's thread is to end when nothing is under way.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
