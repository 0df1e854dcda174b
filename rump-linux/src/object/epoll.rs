//! What `epoll(7)` waits for: members that the kernel has in a kqueue, and others.

use super::{Description, KernelFd};
use crate::wait::Doorbell;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use spin::Mutex;

pub(crate) struct Epoll {
    pub(crate) kq: KernelFd,
    /// In the kqueue under the number 0.
    pub(crate) bell: Arc<Doorbell>,
    pub(crate) interests: Mutex<Interests>,
}

#[derive(Default)]
pub(crate) struct Interests {
    last: u64,
    pub(crate) by_key: BTreeMap<u64, Interest>,
}

/// Whom an interest is in.
#[derive(Clone)]
pub(crate) enum Target {
    Ours(Weak<Description>),
    Host,
}

#[derive(Clone)]
pub(crate) struct Interest {
    pub(crate) fd: i32,
    pub(crate) target: Target,
    pub(crate) events: u32,
    pub(crate) data: u64,
    /// A one-shot that was reported.
    pub(crate) spent: bool,
    /// The last change that was reported, of an object whose edges are counted.
    pub(crate) seen: u64,
}

impl Interests {
    pub(crate) fn find(&self, fd: i32, one: Option<&Arc<Description>>) -> Option<u64> {
        let same = |interest: &Interest| match (&interest.target, one) {
            (Target::Ours(target), Some(one)) => target.as_ptr() == Arc::as_ptr(one),
            (Target::Host, None) => true,
            _ => false,
        };
        self.by_key
            .iter()
            .find(|(_, interest)| interest.fd == fd && same(interest))
            .map(|(key, _)| *key)
    }

    pub(crate) fn insert(&mut self, interest: Interest) -> u64 {
        self.last += 1;
        self.by_key.insert(self.last, interest);
        self.last
    }
}

impl Epoll {
    /// The descriptions that are waited for and still open.
    pub(crate) fn members(&self) -> Vec<Arc<Description>> {
        let interests = self.interests.lock();
        let target = |interest: &Interest| match &interest.target {
            Target::Ours(one) if !interest.spent => one.upgrade(),
            _ => None,
        };
        interests.by_key.values().filter_map(target).collect()
    }
}
