//! Waiting for objects: who is told when something happens to one.
//!
//! Threads that sleep in a call and event queues with a filter on the object stand in
//! the same list. Whoever changes the object [notifies](Kernel::notify); those who are
//! told look for themselves what has become of it.
#![allow(unsafe_code)]

use crate::file::Object;
use crate::hypercall::CvHandle;
use crate::kernel::{Guard, Kernel};
use crate::kqueue::Key;
use crate::lwp::Lwp;
use alloc::vec::Vec;
use rump_hyper::errno::Errno;
use smoltcp::time::Instant;

/// What has happened, or is waited for: a set of bits.
pub(crate) type Events = u8;
/// There may be something to read.
pub(crate) const READ: Events = 1;
/// There may be room to write.
pub(crate) const WRITE: Events = 2;
/// Either.
pub(crate) const ANY: Events = READ | WRITE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Thread(CvHandle),
    Knote { kqueue: usize, key: Key },
}

/// Those who wait for one object.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue(Vec<(Who, Events)>);

impl WaitQueue {
    pub(crate) fn add_thread(&mut self, lwp: &Lwp, events: Events) {
        self.0.push((Who::Thread(lwp.cv.handle()), events));
    }

    pub(crate) fn remove_thread(&mut self, lwp: &Lwp) {
        self.remove(Who::Thread(lwp.cv.handle()));
    }

    pub(crate) fn add_knote(&mut self, kqueue: usize, key: Key, events: Events) {
        self.0.push((Who::Knote { kqueue, key }, events));
    }

    pub(crate) fn remove_knote(&mut self, kqueue: usize, key: Key) {
        self.remove(Who::Knote { kqueue, key });
    }

    fn remove(&mut self, who: Who) {
        if let Some(place) = self.0.iter().rposition(|(other, _)| *other == who) {
            self.0.swap_remove(place);
        }
    }
}

impl Kernel {
    /// The list of those who wait for an object; `None` if it has gone.
    pub(crate) fn waiters(&mut self, object: Object) -> Option<&mut WaitQueue> {
        match object {
            Object::Socket(socket) => self
                .sockets
                .get_mut(socket)
                .map(|socket| &mut socket.waiters),
            Object::Reader(pipe) | Object::Writer(pipe) => {
                self.pipes.get_mut(pipe).map(|pipe| &mut pipe.waiters)
            }
            Object::Routing(socket) => self
                .routing
                .get_mut(socket)
                .map(|socket| &mut socket.waiters),
            Object::Kqueue(kqueue) => self
                .kqueues
                .get_mut(kqueue)
                .map(|kqueue| &mut kqueue.waiters),
        }
    }

    /// Tells those who wait for one of the events.
    pub(crate) fn notify(&mut self, object: Object, events: Events) {
        let Some(waiters) = self.waiters(object) else {
            return;
        };
        if waiters.0.is_empty() {
            return;
        }
        // Nobody can get into the list meanwhile.
        let list = core::mem::take(&mut waiters.0);
        for (who, interest) in &list {
            if interest & events == 0 {
                continue;
            }
            match who {
                // SAFETY: a thread takes its variable out of the list before it ends.
                Who::Thread(cv) => unsafe { cv.signal() },
                Who::Knote { kqueue, key } => self.activate_knote(*kqueue, *key),
            }
        }
        if let Some(waiters) = self.waiters(object) {
            waiters.0 = list;
        }
    }
}

impl Guard {
    /// Sleeps until something happens to an object, or until then; false if that time has
    /// come. What has happened may not be what is waited for: look again.
    ///
    /// # Errors
    /// `EBADF` if the descriptor that the thread's call is about was closed meanwhile.
    pub(crate) fn wait_for(
        &mut self,
        lwp: &Lwp,
        object: Object,
        events: Events,
        deadline: Option<Instant>,
    ) -> Result<bool, Errno> {
        if let Some(waiters) = self.waiters(object) {
            waiters.add_thread(lwp, events);
        }
        let woken = self.sleep(&lwp.cv, deadline);
        if let Some(waiters) = self.waiters(object) {
            waiters.remove_thread(lwp);
        }
        match lwp.using.get() {
            Some((fd, file)) if self.file_of(lwp.pid, fd) != Ok(file) => Err(Errno::BADF),
            _ => Ok(woken),
        }
    }
}
