//! What can be done with an object now, and `poll(2)`.

use crate::file::Object;
use crate::hypercall;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::wait;
use alloc::vec::Vec;
use core::ffi::{c_int, c_short};
use rump_abi::{self as abi, pollfd};
use rump_hyper::errno::Errno;
use smoltcp::time::{Duration, Instant};

/// What reading and writing an object would come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// Reading would not wait.
    pub(crate) readable: bool,
    /// Writing would not wait.
    pub(crate) writable: bool,
    /// How much there is to read: bytes, or connections.
    pub(crate) read: usize,
    /// How much there is room for.
    pub(crate) write: usize,
    /// How much has been written and not arrived.
    pub(crate) queued: usize,
    /// There will be no more to read.
    pub(crate) read_end: bool,
    /// There will be no more writing.
    pub(crate) write_end: bool,
    /// The other end of the pipe has gone. Sockets never say so.
    pub(crate) hangup: bool,
    /// The error that waits, or 0.
    pub(crate) error: c_int,
}

impl Readiness {
    fn poll_events(self, wanted: c_short) -> c_short {
        let mut events = 0;
        if self.readable {
            events |= wanted & (abi::POLLIN | abi::POLLRDNORM);
        }
        if self.writable {
            events |= wanted & (abi::POLLOUT | abi::POLLWRBAND);
        }
        if self.hangup {
            events |= abi::POLLHUP;
        }
        events
    }
}

impl Kernel {
    /// Looks at an object.
    pub(crate) fn readiness(&mut self, object: Object, now: Instant) -> Readiness {
        match object {
            Object::Socket(socket) => self.socket_readiness(socket),
            Object::Reader(pipe) => {
                let pipe = &self.pipes[pipe];
                Readiness {
                    readable: pipe.queued() > 0 || pipe.writer_gone(),
                    read: pipe.queued(),
                    read_end: pipe.writer_gone(),
                    hangup: pipe.writer_gone(),
                    ..Readiness::default()
                }
            }
            Object::Writer(pipe) => {
                let pipe = &self.pipes[pipe];
                Readiness {
                    writable: pipe.room() >= 512 || pipe.reader_gone(),
                    write: pipe.room(),
                    write_end: pipe.reader_gone(),
                    hangup: pipe.reader_gone(),
                    ..Readiness::default()
                }
            }
            Object::Routing(socket) => {
                let socket = &self.routing[socket];
                let read = socket.answers.front().map_or(0, Vec::len);
                Readiness {
                    readable: read > 0 || socket.lost,
                    writable: true,
                    read,
                    ..Readiness::default()
                }
            }
            Object::Kqueue(kqueue) => {
                let read = self.count_ready(kqueue, now);
                Readiness {
                    readable: read > 0,
                    read,
                    ..Readiness::default()
                }
            }
        }
    }

    /// When an object may become ready by the passing of time alone.
    pub(crate) fn ready_at(&self, object: Object) -> Option<Instant> {
        match object {
            Object::Kqueue(kqueue) => self.kqueues.get(kqueue)?.next_timer(),
            _ => None,
        }
    }
}

impl Guard {
    /// `poll(2)`: how many entries have something to tell.
    pub(crate) fn poll(
        &mut self,
        lwp: &Lwp,
        entries: &mut [pollfd],
        milliseconds: c_int,
    ) -> Result<c_int, Errno> {
        // As NetBSD: many more entries than there can be descriptors are a mistake.
        if entries.len() > 1000 + *self.descriptor_limit(lwp.pid)? {
            return Err(Errno::INVAL);
        }
        let start = hypercall::now();
        let deadline = u64::try_from(milliseconds)
            .ok()
            .map(|milliseconds| start + Duration::from_millis(milliseconds));
        let mut now = start;
        loop {
            let mut count = 0;
            let mut wake = deadline;
            for entry in &mut *entries {
                entry.revents = 0;
                if entry.fd < 0 {
                    continue;
                }
                entry.revents = match self.file_of(lwp.pid, entry.fd) {
                    Err(_) => abi::POLLNVAL,
                    Ok(file) => {
                        let object = self.files.get(file).object;
                        let events = self.readiness(object, now).poll_events(entry.events);
                        let timer = self.ready_at(object);
                        wake = [wake, timer].into_iter().flatten().min();
                        events
                    }
                };
                count += c_int::from(entry.revents != 0);
            }
            if count > 0 || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(count);
            }
            // The files stay open while this thread stands in their lists.
            let mut files = Vec::new();
            for entry in &*entries {
                if let Ok(file) = self.file_of(lwp.pid, entry.fd) {
                    self.files.retain(file);
                    files.push(file);
                    let object = self.files.get(file).object;
                    if let Some(waiters) = self.waiters(object) {
                        waiters.add_thread(lwp, wait::ANY);
                    }
                }
            }
            self.sleep(&lwp.cv, wake);
            for file in files {
                let object = self.files.get(file).object;
                if let Some(waiters) = self.waiters(object) {
                    waiters.remove_thread(lwp);
                }
                self.release_file(file);
            }
            now = hypercall::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_told_and_a_hangup() {
        let ready = Readiness {
            readable: true,
            writable: true,
            ..Readiness::default()
        };
        assert_eq!(ready.poll_events(abi::POLLIN), abi::POLLIN);
        assert_eq!(ready.poll_events(abi::POLLOUT), abi::POLLOUT);
        assert_eq!(ready.poll_events(0), 0);
        let over = Readiness {
            hangup: true,
            ..ready
        };
        assert_eq!(over.poll_events(0), abi::POLLHUP);
    }
}
