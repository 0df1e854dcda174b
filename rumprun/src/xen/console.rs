//! The console of a guest: a pipe to a daemon of dom0's, which keeps a log of it and shows it
//! (`xl console -t pv`).

use super::abi::{console, hvm};
use super::hypercall;
use super::page::Page;
use super::pipe::Pipe;
use crate::time;

/// How long a daemon that does not read is waited for.
const PATIENCE_NS: u64 = 2_000_000_000;

/// The console.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pipe: Pipe,
    port: u32,
    /// The daemon did not read for long: what it has no room for is lost.
    stuck: bool,
}

impl Console {
    /// That of this guest, if it has one. Needs nothing but the first page tables.
    pub(crate) fn find() -> Option<Self> {
        if !hypercall::is_xen() {
            return None;
        }
        let frame = hypercall::parameter(hvm::CONSOLE_FRAME).ok()?;
        let port = hypercall::parameter(hvm::CONSOLE_PORT).ok()?;
        // Only what is below 4 GiB is mapped this early; Xen's tools have it there.
        if frame == 0 || frame >= 1 << 20 {
            return None;
        }
        // SAFETY: Xen says that the page is the console's, so that it is nobody else's.
        let page = unsafe { Page::new((frame << 12) as *mut u8)? };
        Some(Self {
            pipe: Pipe {
                page,
                data: console::OUT,
                size: console::OUT_SIZE,
                consumer: console::OUT_CONSUMER,
                producer: console::OUT_PRODUCER,
            },
            port: u32::try_from(port).ok()?,
            stuck: false,
        })
    }

    /// Writes bytes. Those that a stuck daemon has no room for are lost.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut until = None;
        while !rest.is_empty() {
            match self.pipe.push(rest) {
                // The daemon's index makes no sense: nobody reads.
                Err(_) => return,
                Ok(0) if self.stuck => return,
                Ok(0) => {
                    let now = time::monotonic_ns();
                    if now > *until.get_or_insert(now + PATIENCE_NS) {
                        self.stuck = true;
                    }
                    hypercall::give_way();
                }
                Ok(len) => {
                    rest = &rest[len..];
                    (until, self.stuck) = (None, false);
                    hypercall::send(self.port);
                }
            }
        }
    }

    /// Waits until all has been read, not for ever.
    pub(crate) fn flush(self) {
        let until = time::monotonic_ns() + PATIENCE_NS;
        while self.pipe.waiting().is_ok_and(|waiting| waiting > 0) && time::monotonic_ns() < until {
            hypercall::give_way();
        }
    }
}
