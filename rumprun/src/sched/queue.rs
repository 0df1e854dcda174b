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

    /// Takes the first out for which `is` holds. Those behind it are not touched: many threads
    /// may sleep on one address, and mostly it is the first that is looked for.
    pub(crate) fn remove(&mut self, is: impl Fn(&super::Thread) -> bool) -> Option<ThreadRef> {
        let mut before = Self::new();
        let mut found = None;
        while let Some(thread) = self.pop() {
            if is(&thread) {
                found = Some(thread);
                break;
            }
            before.push(thread);
        }
        before.append(self);
        *self = before;
        found
    }

    /// Puts all of another list behind this.
    fn append(&mut self, other: &mut Self) {
        let Some(first) = other.first.take() else {
            return;
        };
        match core::mem::replace(&mut self.last, other.last.take()) {
            Some(last) => last.link.set(Some(first)),
            None => self.first = Some(first),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::stack::Stack;
    use crate::sched::{NORMAL, Thread};
    use std::collections::VecDeque;
    use std::vec::Vec;

    proptest::proptest! {
        #[test]
        fn a_list_is_a_queue(steps in proptest::collection::vec((0..3_u8, 0..6_usize), 0..60)) {
            let threads: Vec<_> = (0..6).map(|_| Thread::new(Stack::first(0), "", NORMAL, None)).collect();
            let number = |thread: &Thread| {
                threads.iter().position(|other| core::ptr::eq(&**other, thread)).unwrap()
            };
            let (mut list, mut model) = (List::new(), VecDeque::new());
            for (step, at) in steps {
                let found = match step {
                    0 if !model.contains(&at) => {
                        list.push(threads[at].clone());
                        model.push_back(at);
                        continue;
                    }
                    1 => (list.pop(), model.pop_front()),
                    _ => {
                        let place = model.iter().position(|other| *other == at);
                        let removed = list.remove(|thread| number(thread) == at);
                        (removed, place.and_then(|place| model.remove(place)))
                    }
                };
                proptest::prop_assert_eq!(found.0.as_deref().map(number), found.1);
                proptest::prop_assert_eq!(list.is_empty(), model.is_empty());
            }
            while let Some(thread) = list.pop() {
                proptest::prop_assert_eq!(Some(number(&thread)), model.pop_front());
            }
            proptest::prop_assert!(model.is_empty());
        }
    }
}
