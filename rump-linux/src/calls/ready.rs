//! What a description is ready for, in the terms of Linux's `poll(2)`.

use crate::errno::Errno;
use crate::kernel::{Kernel, change};
use crate::object::{Description, Object, Socket};
use crate::process::Process;
use crate::raw::general::{POLLERR, POLLHUP, POLLPRI};
use crate::translate::flags::{IN, OUT, RDHUP};
use rump_abi as abi;

fn polled(kernel: &dyn Kernel, fd: i32) -> Result<i16, Errno> {
    let mut entry = [abi::pollfd {
        fd,
        events: abi::POLLIN | abi::POLLOUT | abi::POLLPRI,
        revents: 0,
    }];
    kernel.poll(&mut entry, 0)?;
    Ok(entry[0].revents)
}

impl Socket {
    /// What it is ready for, ends and errors aside, and whether there may be such.
    fn open_ready(&self) -> Result<(u32, bool), Errno> {
        let found = polled(&*self.fd.kernel, self.fd.number)?;
        let state = self.state.lock().clone();
        let mut ready = 0;
        if found & abi::POLLIN != 0 {
            ready |= IN;
        }
        if found & abi::POLLPRI != 0 {
            ready |= POLLPRI;
        }
        if state.listening {
            return Ok((ready, false));
        }
        if self.is_stream() && !state.connected {
            return Ok((OUT | POLLHUP, false));
        }
        if found & abi::POLLOUT != 0 {
            ready |= OUT;
        }
        // An error or an end makes a socket readable in NetBSD, too.
        Ok((ready, found & abi::POLLIN != 0))
    }
}

impl Description {
    /// Whether a socket can be read and written now, as `POLLIN` and `POLLOUT` of Linux:
    /// one question to the kernel. Nothing of what is no socket.
    ///
    /// # Errors
    /// The kernel's; it is going down.
    pub fn readable_and_writable(&self) -> Result<u32, Errno> {
        if let Object::Netlink(netlink) = &self.object {
            return Ok(OUT | if netlink.is_ready() { IN } else { 0 });
        }
        let ready = self.socket().map_or(Ok((0, false)), Socket::open_ready)?.0;
        Ok(ready & (IN | OUT))
    }
}

impl Process {
    /// What it is ready for now, and the number of its last change where these are counted.
    pub(crate) fn ready(&self, one: &Description) -> Result<(u32, u64), Errno> {
        let bits = |read, write| if read { IN } else { 0 } | if write { OUT } else { 0 };
        Ok(match &one.object {
            Object::Socket(socket) => (self.socket_ready(socket)?, 0),
            Object::Pipe(fd) => {
                let found = self.polled(fd.number)?;
                let hung_up = found & abi::POLLHUP != 0;
                let writes = one.flags() & crate::raw::general::O_ACCMODE != 0;
                let ready = if writes {
                    bits(false, found & abi::POLLOUT != 0) | if hung_up { POLLERR } else { 0 }
                } else {
                    // The end is something to read in NetBSD, too.
                    let read = found & abi::POLLIN != 0 && (!hung_up || fd.has(abi::FIONREAD));
                    bits(read, false) | if hung_up { POLLHUP } else { 0 }
                };
                (ready, 0)
            }
            Object::Event(event) => {
                let (read, write, change) = event.ready();
                (bits(read, write), change)
            }
            Object::Timer(timer) => {
                let (due, change) = timer.ready(&*self.host);
                (bits(due, false), change)
            }
            Object::Netlink(netlink) => (bits(netlink.is_ready(), true), 0),
            Object::Epoll(epoll) => (bits(self.epoll_is_ready(epoll)?, false), 0),
        })
    }

    fn polled(&self, fd: i32) -> Result<i16, Errno> {
        polled(&*self.kernel, fd)
    }

    fn socket_ready(&self, socket: &Socket) -> Result<u32, Errno> {
        let (mut ready, ended) = socket.open_ready()?;
        if ended {
            let (read_ended, write_ended, error) = self.ends(socket)?;
            if error {
                ready |= POLLERR;
            }
            if read_ended && socket.is_stream() {
                ready |= RDHUP;
                if write_ended {
                    ready |= POLLHUP | OUT;
                }
            }
        }
        Ok(ready)
    }

    /// Whether either direction has ended, and whether there is an error, asked without
    /// taking anything away: by a kqueue, which tells all that at once.
    fn ends(&self, socket: &Socket) -> Result<(bool, bool, bool), Errno> {
        struct Closed<'a>(&'a Process, i32);
        impl Drop for Closed<'_> {
            fn drop(&mut self) {
                self.0.kernel.close(self.1);
            }
        }
        let kq = Closed(self, self.kernel.kqueue()?);
        let changes = [abi::EVFILT_READ, abi::EVFILT_WRITE]
            .map(|filter| change(socket.fd.number, filter, abi::EV_ADD, 0));
        let mut events = changes;
        let count = self.kernel.kevent(kq.1, &changes, &mut events, Some(0))?;
        let mut found = (false, false, false);
        for event in &events[..count.min(2)] {
            let ended = event.flags & abi::EV_EOF != 0;
            match event.filter {
                abi::EVFILT_READ => found.0 = ended,
                _ => found.1 = ended,
            }
            found.2 |= ended && event.fflags != 0;
        }
        Ok(found)
    }
}
