//! The *watcher*: a thread that hears from the kernel, through one kqueue, that sockets
//! became ready, and has their placeholders follow.
//!
//! Everything that arrives is told (`EV_CLEAR`). That something can be written again is told
//! once for each time that it could not.

use crate::placeholder::Placeholder;
use crate::placeholders::Placeholders;
use rump_abi as abi;
use rump_linux::kernel::change;
use rump_linux::{Errno, Kernel};
use std::io;
use std::sync::{Arc, Weak};

/// How many events are fetched at a time.
const BATCH: usize = 64;

pub(crate) struct Watcher {
    kernel: Arc<dyn Kernel>,
    kq: i32,
}

pub(crate) fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0 as i32)
}

impl Watcher {
    /// Starts the thread; `enter` is run in it first.
    pub(crate) fn new(
        kernel: &Arc<dyn Kernel>,
        placeholders: &Arc<Placeholders>,
        enter: fn(),
    ) -> io::Result<Arc<Self>> {
        let kq = kernel
            .kqueue()
            .map_err(|failure| io_error(failure.into()))?;
        let watcher = Arc::new(Self {
            kernel: kernel.clone(),
            kq,
        });
        let (watching, placeholders) = (watcher.clone(), Arc::downgrade(placeholders));
        std::thread::Builder::new()
            .name("rump-watcher".into())
            .spawn(move || {
                enter();
                watching.watch(&placeholders);
            })?;
        Ok(watcher)
    }

    fn apply(&self, changes: &[abi::kevent]) -> io::Result<()> {
        let done = self.kernel.kevent(self.kq, changes, &mut [], None);
        done.map(drop).map_err(|failure| io_error(failure.into()))
    }

    /// Hears when something comes for this one.
    pub(crate) fn add(&self, placeholder: &Placeholder) -> io::Result<()> {
        let Some(fd) = placeholder.description.kernel_fd() else {
            return Ok(());
        };
        let flags = abi::EV_ADD | abi::EV_CLEAR;
        self.apply(&[change(fd, abi::EVFILT_READ, flags, placeholder.inode)])
    }

    /// The same, for a socket that has begun to listen: what NetBSD tells of was decided when
    /// it was added.
    pub(crate) fn add_listening(&self, placeholder: &Placeholder) -> io::Result<()> {
        if let Some(fd) = placeholder.description.kernel_fd() {
            self.apply(&[change(fd, abi::EVFILT_READ, abi::EV_DELETE, 0)])?;
        }
        self.add(placeholder)
    }

    /// Hears once when this one can be written.
    pub(crate) fn wait_to_write(&self, placeholder: &Placeholder) -> io::Result<()> {
        let Some(fd) = placeholder.description.kernel_fd() else {
            return Ok(());
        };
        let flags = abi::EV_ADD | abi::EV_ONESHOT;
        self.apply(&[change(fd, abi::EVFILT_WRITE, flags, placeholder.inode)])
    }

    fn watch(&self, placeholders: &Weak<Placeholders>) {
        let mut events = [change(0, 0, 0, 0); BATCH];
        loop {
            let turn = Some(250_000_000);
            let found = self.kernel.kevent(self.kq, &[], &mut events, turn);
            let count = match found.map_err(Errno::from) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    tracing::error!(?errno, "no more sockets of programs become ready");
                    return;
                }
            };
            // Waits in turns, to see that nobody needs it any more.
            let Some(placeholders) = placeholders.upgrade() else {
                self.kernel.close(self.kq);
                return;
            };
            for event in &events[..count] {
                // One that is not there any more was closed meanwhile.
                if let Some(placeholder) = placeholders.get(event.udata as u64)
                    && let Err(error) = self.tell(&placeholder, event)
                {
                    tracing::error!(%error, "a placeholder does not follow");
                }
            }
        }
    }

    fn tell(&self, placeholder: &Placeholder, event: &abi::kevent) -> io::Result<()> {
        let reads = event.filter == abi::EVFILT_READ;
        if reads && event.flags & abi::EV_EOF != 0 {
            // First, so that all of it is told at once.
            placeholder.end()?;
        }
        let plugged = placeholder.follow(self, reads, None)?;
        if !reads && plugged {
            // The program was quicker, and has filled it again.
            self.wait_to_write(placeholder)?;
        }
        Ok(())
    }
}
