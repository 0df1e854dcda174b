//! What has to happen after some time: retransmissions, delayed acknowledgements, probes.
//!
//! A connection stands in the list once, no later than it has to. When that time comes
//! the connection is asked again, which is less work than moving it with each segment.
#![allow(unsafe_code)]

use crate::hypercall::{self, Cv};
use crate::kernel;
use alloc::collections::BTreeSet;
use core::ffi::c_void;
use smoltcp::time::Instant;

/// Stands in the list for all interfaces, for which no connection has to wait.
pub(crate) const INTERFACES: usize = usize::MAX;

/// The times of all connections, and the thread that waits for them.
#[derive(Debug)]
pub(crate) struct Timers {
    order: BTreeSet<(Instant, usize)>,
    /// When the interfaces stand there.
    interfaces: Option<Instant>,
    /// When the thread looks again by itself.
    wakes: Option<Instant>,
    /// The thread's.
    cv: alloc::sync::Arc<Cv>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            order: BTreeSet::new(),
            interfaces: None,
            wakes: None,
            cv: alloc::sync::Arc::new(Cv::new()),
        }
    }

    /// Notes that a connection has something to do then; `standing` is when it stands in
    /// the list.
    pub(crate) fn set(
        &mut self,
        connection: usize,
        standing: &mut Option<Instant>,
        at: Option<Instant>,
    ) {
        let Some(at) = at else { return };
        match *standing {
            Some(standing) if standing <= at => return,
            Some(later) => self.order.remove(&(later, connection)),
            None => false,
        };
        *standing = Some(at);
        self.order.insert((at, connection));
        if self.wakes.is_none_or(|wakes| at < wakes) {
            self.wakes = Some(at);
            // SAFETY: the variable is this structure's own.
            unsafe { self.cv.handle().signal() };
        }
    }

    /// Notes that an interface has something to do then.
    pub(crate) fn set_interfaces(&mut self, at: Option<Instant>) {
        let mut standing = self.interfaces;
        self.set(INTERFACES, &mut standing, at);
        self.interfaces = standing;
    }

    pub(crate) fn clear(&mut self, connection: usize, standing: &mut Option<Instant>) {
        if let Some(at) = standing.take() {
            self.order.remove(&(at, connection));
        }
    }

    /// Takes a connection whose time has come off the list.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let (at, connection) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        if connection == INTERFACES {
            self.interfaces = None;
        }
        Some(connection)
    }

    fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}

/// The thread. It never ends.
pub(crate) unsafe extern "C-unwind" fn thread(_arg: *mut c_void) -> *mut c_void {
    let Some(mut kernel) = kernel::lock() else {
        return core::ptr::null_mut();
    };
    let cv = kernel.net.timers.cv.clone();
    loop {
        let now = hypercall::now();
        kernel.run_timers(now);
        let wakes = kernel.net.timers.next();
        kernel.net.timers.wakes = wakes;
        kernel.sleep(&cv, wakes);
    }
}
