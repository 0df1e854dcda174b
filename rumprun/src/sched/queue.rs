//! Lists of threads, and a CPU's queue of those that could run.

use super::ThreadRef;
use core::fmt;

/// A list, first in first out. A thread is on one list at most.
#[derive(Default)]
pub(crate) struct List {
    first: Option<ThreadRef>,
    last: Option<ThreadRef>,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            last: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push(&mut self, thread: ThreadRef) {
        match self.last.replace(thread.clone()) {
            Some(last) => last.link.set(Some(thread)),
            None => self.first = Some(thread),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<ThreadRef> {
        let first = self.first.take()?;
        self.first = first.link.take();
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }

    /// Takes the first out for which `is` holds.
    pub(crate) fn remove(&mut self, is: impl Fn(&super::Thread) -> bool) -> Option<ThreadRef> {
        let mut rest = core::mem::take(self);
        let mut found = None;
        while let Some(thread) = rest.pop() {
            if found.is_none() && is(&thread) {
                found = Some(thread);
            } else {
                self.push(thread);
            }
        }
        found
    }
}

/// A queue by priority.
pub(crate) struct Queue {
    lists: [List; 4],
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            lists: [const { List::new() }; 4],
        }
    }

    pub(crate) fn push(&mut self, thread: ThreadRef) {
        self.lists[usize::from(thread.priority) % 4].push(thread);
    }

    /// The first of the highest priority.
    pub(crate) fn pop(&mut self) -> Option<ThreadRef> {
        self.lists.iter_mut().rev().find_map(List::pop)
    }

    /// The first of the lowest priority.
    pub(crate) fn pop_lowest(&mut self) -> Option<ThreadRef> {
        self.lists.iter_mut().find_map(List::pop)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.iter().all(List::is_empty)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue(empty: {})", self.is_empty())
    }
}
