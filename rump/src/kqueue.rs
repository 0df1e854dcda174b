//! Waiting for many descriptors, and timers: `kqueue(2)`.
//!
//! What to wait for is told to a [`Kqueue`] once, and each [`wait`](Kqueue::wait) returns
//! only what has happened. Interest in a descriptor ends by itself when the descriptor is
//! closed, which is why nothing is borrowed; an event that was fetched before may still
//! be in the hands of the program then.
//!
//! Filters that concern files and processes of the rump kernel are left out. Users' own
//! events ([`Filter::User`]) came with NetBSD 10; in kernels that are compiled from an
//! older tree, a component of ours (`netbsd-src/kern/libevuser`) adds them.
//!
//! NetBSD 7 looks at what may be active without the lock that closing a descriptor takes (8
//! has it): programs that closed sockets while another thread waited for them crashed in that
//! kernel. Another component (`netbsd-src/kern/libkqueue`) keeps them apart there. A kernel that
//! upstream's build installed (`RUMP_PREFIX`) does not have it.

use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys::kqueue as raw;
use rump_sys::abi::{self, kevent};
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// The most events that one call fetches.
const BATCH: usize = 64;

/// A wait that the kernel's clock ticks can count.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What to wait for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Filter<'fd> {
    /// There is something to read, or a connection to accept, or the end of the stream
    /// (`EVFILT_READ`).
    Read(BorrowedDescriptor<'fd>),
    /// There is room to write (`EVFILT_WRITE`).
    Write(BorrowedDescriptor<'fd>),
    /// A time has passed (`EVFILT_TIMER`), and again each time it has, unless the mode
    /// is [`Mode::Once`].
    Timer {
        /// A number of the program's, which tells its timers apart.
        ident: usize,
        /// The time, rounded up to milliseconds; the kernel counts in ticks of 10 ms.
        period: Duration,
    },
    /// The program says so: [`Kqueue::trigger`] (`EVFILT_USER`). Only a kernel before
    /// NetBSD 10 that was not compiled from its tree (`RUMP_PREFIX`) lacks it.
    User {
        /// A number of the program's.
        ident: usize,
    },
}

impl<'fd> Filter<'fd> {
    /// [`Filter::Read`] of a socket or other descriptor.
    pub fn read<D: AsDescriptor + ?Sized>(descriptor: &'fd D) -> Self {
        Self::Read(descriptor.as_descriptor())
    }

    /// [`Filter::Write`] of a socket or other descriptor.
    pub fn write<D: AsDescriptor + ?Sized>(descriptor: &'fd D) -> Self {
        Self::Write(descriptor.as_descriptor())
    }

    fn to_raw(self) -> kevent {
        let descriptor = |descriptor: BorrowedDescriptor<'_>| descriptor.as_raw() as usize;
        let (filter, ident, data) = match self {
            Self::Read(read) => (abi::EVFILT_READ, descriptor(read), 0),
            Self::Write(write) => (abi::EVFILT_WRITE, descriptor(write), 0),
            Self::Timer { ident, period } => (abi::EVFILT_TIMER, ident, milliseconds(period)),
            Self::User { ident } => (raw::EVFILT_USER, ident, 0),
        };
        kevent {
            ident,
            filter,
            flags: 0,
            fflags: 0,
            data,
            udata: 0,
        }
    }
}

/// When an event is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// In each wait, as long as the state lasts.
    #[default]
    Level,
    /// Whenever the state comes about anew (`EV_CLEAR`).
    Edge,
    /// Once; then it is removed (`EV_ONESHOT`).
    Once,
}

/// What kind of event: a [`Filter`] without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Of [`Filter::Read`].
    Read,
    /// Of [`Filter::Write`].
    Write,
    /// Of [`Filter::Timer`].
    Timer,
    /// Of [`Filter::User`].
    User,
    /// Of a filter that this crate does not know, with its number.
    Other(u32),
}

/// Something that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    kind: Kind,
    ident: usize,
    udata: usize,
    data: i64,
    flags: u32,
    fflags: u32,
}

impl Event {
    /// What kind of event it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of the descriptor, timer or user event.
    pub fn ident(&self) -> usize {
        self.ident
    }

    /// What [`Kqueue::add`] was given.
    pub fn udata(&self) -> usize {
        self.udata
    }

    /// How many bytes can be read or written, how many connections accepted, how often
    /// the time has passed since the last report.
    pub fn data(&self) -> i64 {
        self.data
    }

    /// Whether the other end will send no more, or take no more (`EV_EOF`). What it has
    /// sent before can still be read.
    pub fn is_eof(&self) -> bool {
        self.flags & abi::EV_EOF != 0
    }

    /// The error of the socket, if that is why its stream has ended.
    pub fn error(&self) -> Option<io::Error> {
        if self.flags & abi::EV_ERROR != 0 {
            return i32::try_from(self.data)
                .ok()
                .map(|number| Errno(number).into());
        }
        let on_descriptor = matches!(self.kind, Kind::Read | Kind::Write);
        match i32::try_from(self.fflags) {
            Ok(number) if on_descriptor && self.is_eof() && number != 0 => {
                Some(Errno(number).into())
            }
            _ => None,
        }
    }

    fn from_raw(event: &kevent) -> Self {
        let kind = match event.filter {
            abi::EVFILT_READ => Kind::Read,
            abi::EVFILT_WRITE => Kind::Write,
            abi::EVFILT_TIMER => Kind::Timer,
            raw::EVFILT_USER => Kind::User,
            other => Kind::Other(other),
        };
        Self {
            kind,
            ident: event.ident,
            udata: event.udata as usize,
            data: event.data,
            flags: event.flags,
            fflags: event.fflags,
        }
    }
}

/// A queue of kernel events.
///
/// # Examples
/// ```
/// use rump::kqueue::{Filter, Kind, Kqueue, Mode};
/// use rump::net::UdpSocket;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let queue = Kqueue::new()?;
/// queue.add(Filter::read(&socket), Mode::Level, 7)?;
/// let mut events = Vec::new();
/// assert_eq!(queue.wait(&mut events, Some(Duration::ZERO))?, 0);
///
/// socket.send_to(b"x", socket.local_addr()?)?;
/// assert_eq!(queue.wait(&mut events, None)?, 1);
/// assert_eq!((events[0].kind(), events[0].udata()), (Kind::Read, 7));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "kevent")]
pub struct Kqueue(OwnedDescriptor);

impl Kqueue {
    /// An empty queue.
    ///
    /// Follows [`kqueue(2)`](https://man.netbsd.org/kqueue.2).
    ///
    /// # Errors
    /// If the kernel has no more descriptors.
    pub fn new() -> io::Result<Self> {
        raw::kqueue().map(Self)
    }

    /// Waits for this from now on; its events carry `udata`. If it is waited for already,
    /// mode, period and `udata` are replaced.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a filter that the kernel does not
    /// have; [`InvalidInput`](io::ErrorKind::InvalidInput) for a timer of zero.
    ///
    /// # Examples
    /// ```
    /// use rump::kqueue::{Filter, Kqueue, Mode};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let queue = Kqueue::new()?;
    /// let timer = Filter::Timer { ident: 1, period: Duration::from_millis(10) };
    /// queue.add(timer, Mode::Once, 0)?;
    /// let mut events = Vec::new();
    /// assert_eq!(queue.wait(&mut events, None)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add(&self, filter: Filter<'_>, mode: Mode, udata: usize) -> io::Result<()> {
        if matches!(
            filter,
            Filter::Timer {
                period: Duration::ZERO,
                ..
            }
        ) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a timer of zero would never stop firing",
            ));
        }
        let mode = match mode {
            Mode::Level => 0,
            Mode::Edge => abi::EV_CLEAR,
            Mode::Once => abi::EV_ONESHOT,
        };
        let addition = kevent {
            flags: mode,
            udata: udata as isize,
            ..filter.to_raw()
        };
        raw::replace(self.0.as_descriptor(), &addition).map_err(|error| explain(filter, error))
    }

    /// Waits for this no longer.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if it was not waited for.
    pub fn remove(&self, filter: Filter<'_>) -> io::Result<()> {
        self.change(filter, abi::EV_DELETE, 0)
    }

    /// Makes the event of a [`Filter::User`] happen. Any thread can, also while another
    /// [waits](Self::wait).
    ///
    /// # Errors
    /// As [`add`](Self::add) and [`remove`](Self::remove).
    pub fn trigger(&self, ident: usize) -> io::Result<()> {
        self.change(Filter::User { ident }, 0, raw::NOTE_TRIGGER)
    }

    fn change(&self, filter: Filter<'_>, flags: u32, fflags: u32) -> io::Result<()> {
        let change = kevent {
            flags,
            fflags,
            ..filter.to_raw()
        };
        raw::change(self.0.as_descriptor(), &change).map_err(|error| explain(filter, error))
    }

    /// Waits until something has happened, or the time is over, and puts it into
    /// `events`, whose content is replaced; how many. `None` waits without end, a time of
    /// zero not at all.
    ///
    /// At most 64 events come at a time; what is left comes with the next call.
    ///
    /// # Errors
    /// If the kernel is down.
    pub fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<usize> {
        events.clear();
        let mut buffer = [const { MaybeUninit::uninit() }; BATCH];
        // A time that is too long to be told is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let happened = loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match raw::wait(
                self.0.as_descriptor(),
                &mut buffer,
                left.map(|left| left.min(LONGEST_WAIT)),
            ) {
                Ok([]) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        events.extend(happened.iter().map(Event::from_raw));
        Ok(events.len())
    }
}

/// A kernel says `EINVAL` to a filter that it does not have.
fn explain(filter: Filter<'_>, error: io::Error) -> io::Error {
    match filter {
        Filter::User { .. } if Errno::of(&error) == Some(Errno::EINVAL) => io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no EVFILT_USER: NetBSD has it from 10 on, and any kernel that was compiled from its tree",
        ),
        _ => error,
    }
}

impl AsDescriptor for Kqueue {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        self.0.as_descriptor()
    }
}

/// A timer's period as the kernel takes it.
fn milliseconds(period: Duration) -> i64 {
    // The kernel keeps an int of ticks.
    let most = i64::from(i32::MAX);
    i64::try_from(period.as_nanos().div_ceil(1_000_000)).map_or(most, |period| period.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(filter: u32, flags: u32, fflags: u32, data: i64) -> Event {
        Event::from_raw(&kevent {
            ident: 3,
            filter,
            flags,
            fflags,
            data,
            udata: -1,
        })
    }

    #[test]
    fn events_are_read_back() {
        let read = event(abi::EVFILT_READ, 0, 0, 5);
        assert_eq!(
            (read.kind(), read.ident(), read.udata(), read.data()),
            (Kind::Read, 3, usize::MAX, 5)
        );
        assert!(!read.is_eof() && read.error().is_none());
        assert_eq!(event(99, 0, 0, 0).kind(), Kind::Other(99));
    }

    #[test]
    fn the_reason_of_an_end_is_told() {
        let reset = event(abi::EVFILT_READ, abi::EV_EOF, abi::ECONNRESET as u32, 0);
        assert_eq!(
            reset.error().unwrap().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert!(event(abi::EVFILT_READ, abi::EV_EOF, 0, 0).error().is_none());
        assert_eq!(
            Errno::of(&event(0, abi::EV_ERROR, 0, 9).error().unwrap()),
            Some(Errno::EBADF)
        );
    }

    #[test]
    fn periods_are_rounded_up_and_limited() {
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(20)), 20);
        assert_eq!(milliseconds(Duration::MAX), i64::from(i32::MAX));
    }
}
