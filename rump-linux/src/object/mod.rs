//! What descriptors stand for.
//!
//! Several descriptors, also of several processes, may share a description; the object
//! goes with the last of them.

mod epoll;
mod event;
mod netlink;
mod socket;
mod timer;

pub(crate) use epoll::{BELL, CALLER, Epoll, First, Interest};
pub(crate) use event::Event;
pub(crate) use netlink::Netlink;
pub use socket::SocketKind;
pub(crate) use socket::{Socket, State};
pub(crate) use timer::Timer;

use crate::kernel::Kernel;
use crate::raw::general::O_NONBLOCK;
use crate::wait::Watchers;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// A descriptor of the kernel's, closed at the end.
pub(crate) struct KernelFd {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) number: i32,
}

impl KernelFd {
    pub(crate) fn new(kernel: &Arc<dyn Kernel>, number: i32) -> Self {
        Self {
            kernel: kernel.clone(),
            number,
        }
    }

    /// Whether there are bytes, of those that a request counts.
    pub(crate) fn has(&self, request: u64) -> bool {
        let mut count = [0; 4];
        let asked = self.kernel.ioctl(self.number, request, &mut count);
        asked.is_ok() && i32::from_ne_bytes(count) > 0
    }
}

impl Drop for KernelFd {
    fn drop(&mut self) {
        self.kernel.close(self.number);
    }
}

/// An open file description.
pub struct Description {
    pub(crate) object: Object,
    /// Linux's status flags: `O_NONBLOCK` and the access mode.
    flags: AtomicU32,
}

/// What is open.
pub(crate) enum Object {
    Socket(Socket),
    Pipe(KernelFd),
    Event(Event),
    Timer(Timer),
    Netlink(Netlink),
    Epoll(Epoll),
}

impl Description {
    pub(crate) fn new(object: Object, flags: u32) -> Arc<Self> {
        Arc::new(Self {
            object,
            flags: AtomicU32::new(flags),
        })
    }

    /// Linux's status flags (`F_GETFL`).
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    pub(crate) fn waits(&self) -> bool {
        self.flags() & O_NONBLOCK == 0
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.object {
            Object::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The kernel's descriptor that can be polled for it, if there is one.
    pub fn kernel_fd(&self) -> Option<i32> {
        match &self.object {
            Object::Socket(socket) => Some(socket.fd.number),
            Object::Pipe(fd) => Some(fd.number),
            Object::Epoll(epoll) => Some(epoll.kq.number),
            Object::Event(_) | Object::Timer(_) | Object::Netlink(_) => None,
        }
    }

    /// Whether the kernel cannot tell when it is ready, or not all of it.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(
            self.object,
            Object::Event(_) | Object::Timer(_) | Object::Netlink(_) | Object::Epoll(_)
        )
    }

    /// Who is told of changes that the kernel knows nothing of.
    pub(crate) fn watchers(&self) -> Option<&Watchers> {
        match &self.object {
            Object::Event(event) => Some(&event.watchers),
            Object::Timer(timer) => Some(&timer.watchers),
            Object::Netlink(netlink) => Some(&netlink.watchers),
            _ => None,
        }
    }
}

impl core::fmt::Debug for Description {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Description")
            .field("kernel_fd", &self.kernel_fd())
            .finish_non_exhaustive()
    }
}
