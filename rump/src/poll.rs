//! Waiting for several descriptors: `poll(2)`.
//!
//! [`poll`] takes entries that borrow their descriptors, so that none can be closed (and
//! its number given to another) while it is waited for. It is for a handful of
//! descriptors; [`Kqueue`](crate::kqueue::Kqueue) is for many, because it does not look
//! at each of them in each call.
//!
//! Only descriptors of the rump kernel can be waited for here, none of the host's: the two
//! tables are separate, and numbers that look alike have nothing to do with each other.

use crate::descriptor::{AsDescriptor, BorrowedDescriptor};
use crate::sys;
use rump_sys::abi::{self, pollfd};
use std::ffi::{c_int, c_short};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{BitOr, BitOrAssign};
use std::time::{Duration, Instant};

/// What to wait for, or what has happened: a set of the bits of
/// [`poll(2)`](https://man.netbsd.org/poll.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Events(c_short);

impl Events {
    /// Nothing; what always counts ([`ERROR`](Self::ERROR), [`HANGUP`](Self::HANGUP)) is
    /// reported all the same.
    pub const NONE: Self = Self(0);
    /// There is something to read, or a connection to accept, or the end of the stream.
    pub const READABLE: Self = Self(abi::POLLIN | abi::POLLRDNORM);
    /// There is room to write.
    pub const WRITABLE: Self = Self(abi::POLLOUT);
    /// There is urgent data.
    pub const PRIORITY: Self = Self(abi::POLLPRI | abi::POLLRDBAND);
    /// The descriptor is in error. Only reported, never to be asked for.
    pub const ERROR: Self = Self(abi::POLLERR);
    /// The other end has gone. Only reported, never to be asked for.
    pub const HANGUP: Self = Self(abi::POLLHUP);
    /// There is no such descriptor. Only reported, never to be asked for.
    pub const INVALID: Self = Self(abi::POLLNVAL);

    /// Whether the two have a bit in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a read would not wait: there is data, the end, or an error to be told.
    pub const fn is_readable(self) -> bool {
        self.intersects(Self(Self::READABLE.0 | abi::POLLHUP | abi::POLLERR))
    }

    /// Whether a write would not wait: there is room, or an error to be told.
    pub const fn is_writable(self) -> bool {
        self.intersects(Self(Self::WRITABLE.0 | abi::POLLHUP | abi::POLLERR))
    }

    /// The bits of `<sys/poll.h>`.
    pub const fn bits(self) -> i16 {
        self.0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Events, &str); 6] = [
            (Events::READABLE, "READABLE"),
            (Events::WRITABLE, "WRITABLE"),
            (Events::PRIORITY, "PRIORITY"),
            (Events::ERROR, "ERROR"),
            (Events::HANGUP, "HANGUP"),
            (Events::INVALID, "INVALID"),
        ];
        let mut separator = "";
        for (event, name) in NAMES {
            if self.intersects(event) {
                write!(f, "{separator}{name}")?;
                separator = " | ";
            }
        }
        if separator.is_empty() {
            write!(f, "{:#x}", self.0)
        } else {
            Ok(())
        }
    }
}

/// A descriptor, what to wait for on it, and after [`poll`] what has happened.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct PollFd<'fd> {
    raw: pollfd,
    descriptor: PhantomData<BorrowedDescriptor<'fd>>,
}

impl<'fd> PollFd<'fd> {
    /// Waits for these events on this descriptor.
    pub fn new<D: AsDescriptor + ?Sized>(descriptor: &'fd D, events: Events) -> Self {
        let fd = descriptor.as_descriptor().as_raw();
        Self {
            raw: pollfd {
                fd,
                events: events.0,
                revents: 0,
            },
            descriptor: PhantomData,
        }
    }

    /// What is waited for.
    pub fn events(&self) -> Events {
        Events(self.raw.events)
    }

    /// Changes what is waited for.
    pub fn set_events(&mut self, events: Events) {
        self.raw.events = events.0;
    }

    /// What has happened, according to the last [`poll`] with this entry.
    pub fn returned(&self) -> Events {
        Events(self.raw.revents)
    }
}

impl fmt::Debug for PollFd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd")
            .field("descriptor", &self.raw.fd)
            .field("events", &self.events())
            .field("returned", &self.returned())
            .finish()
    }
}

/// Waits until something has happened on one of the descriptors, or the time is over; on
/// how many something has. `None` waits without end, a time of zero not at all.
///
/// Follows [`poll(2)`](https://man.netbsd.org/poll.2). Times are rounded up to
/// milliseconds, and the kernel counts in clock ticks of 10 ms.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for many more entries than there are
/// descriptors.
///
/// # Examples
/// ```
/// use rump::net::UdpSocket;
/// use rump::poll::{Events, PollFd, poll};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let (quiet, busy) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// busy.send_to(b"x", busy.local_addr()?)?;
///
/// let mut entries = [PollFd::new(&quiet, Events::READABLE), PollFd::new(&busy, Events::READABLE)];
/// assert_eq!(poll(&mut entries, Some(Duration::from_secs(5)))?, 1);
/// assert!(!entries[0].returned().is_readable());
/// assert!(entries[1].returned().is_readable());
/// # Ok(())
/// # }
/// ```
pub fn poll(entries: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    // A time that is too long to be told is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match sys::poll::poll(entries, milliseconds(left)) {
            // Only a part of a very long time may be over.
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The kernel's form of a time: rounded up, and -1 for none.
fn milliseconds(time: Option<Duration>) -> c_int {
    time.map_or(-1, |time| {
        let milliseconds = time.as_nanos().div_ceil(1_000_000);
        c_int::try_from(milliseconds).unwrap_or(c_int::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_limited() {
        assert_eq!(milliseconds(None), -1);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_micros(1001))), 2);
        assert_eq!(milliseconds(Some(Duration::MAX)), c_int::MAX);
    }

    #[test]
    fn events_are_named() {
        assert_eq!(
            format!("{:?}", Events::READABLE | Events::HANGUP),
            "READABLE | HANGUP"
        );
        assert_eq!(format!("{:?}", Events::NONE), "0x0");
        assert!(Events::HANGUP.is_readable() && !Events::HANGUP.intersects(Events::READABLE));
    }
}
