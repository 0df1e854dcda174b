//! A descriptor in a reactor.

use super::source::{Direction, Source};
use super::{Handle, Reactor, waiter};
use crate::descriptor::AsDescriptor;
use crate::kqueue::{Filter, Mode};
use crate::sys::socket;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A socket, or anything else with a descriptor, whose calls are futures.
///
/// It is in nonblocking mode. What is not here is reached by [`get_ref`](Self::get_ref), and
/// every call that can say [`WouldBlock`](io::ErrorKind::WouldBlock) becomes a future by
/// [`read_with`](Self::read_with) or [`write_with`](Self::write_with).
pub struct Async<T> {
    io: T,
    entry: Entry,
}

/// A source as long as it is in its reactor.
struct Entry {
    source: Arc<Source>,
    reactor: Handle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.reactor.0.remove(&self.source);
    }
}

impl<T: AsDescriptor> Async<T> {
    /// Puts it into the [global](Reactor::global) reactor.
    ///
    /// # Errors
    /// As [`Reactor::global`].
    pub fn new(io: T) -> io::Result<Self> {
        Self::with(&Reactor::global()?, io)
    }

    /// Puts it into this reactor.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down).
    pub fn with(reactor: &Handle, io: T) -> io::Result<Self> {
        socket::set_nonblocking(io.as_descriptor(), true)?;
        let entry = Entry {
            source: reactor.0.insert(),
            reactor: reactor.clone(),
        };
        Ok(Self { io, entry })
    }

    /// The reactor that it is in.
    pub fn reactor(&self) -> &Handle {
        &self.entry.reactor
    }

    /// What is in it.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Takes it out of its reactor. It stays in nonblocking mode.
    pub fn into_inner(self) -> T {
        for direction in self.entry.source.registered() {
            // A closed descriptor is not in the kqueue.
            let kqueue = &self.entry.reactor.0.kqueue;
            let _ = kqueue.remove(filter(&self.io, direction));
        }
        self.io
    }

    fn poll<R>(
        &self,
        direction: Direction,
        waiter: Option<u64>,
        context: &mut Context<'_>,
        call: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let register = || {
            let filter = filter(&self.io, direction);
            let Entry { source, reactor } = &self.entry;
            reactor.0.kqueue.add(filter, Mode::Edge, source.key)
        };
        self.entry
            .source
            .poll(direction, waiter, context, register, call)
    }

    /// Makes a call that takes something in, now or when there is something. For use in
    /// `poll` methods: one task at a time can wait like this.
    ///
    /// # Errors
    /// Those of the call, but for [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_read_with<R>(
        &self,
        context: &mut Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll(Direction::Read, None, context, || call(&self.io))
    }

    /// The same for a call that gives something away.
    ///
    /// # Errors
    /// As [`poll_read_with`](Self::poll_read_with).
    pub fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll(Direction::Write, None, context, || call(&self.io))
    }

    /// Makes a call that takes something in, as soon as there is something. Any number of
    /// tasks can do so at a time.
    ///
    /// # Errors
    /// Those of the call, but for [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub async fn read_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.with_direction(Direction::Read, call).await
    }

    /// The same for a call that gives something away.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub async fn write_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.with_direction(Direction::Write, call).await
    }

    async fn with_direction<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let waiting = Waiting {
            source: &self.entry.source,
            direction,
            number: waiter(),
        };
        poll_fn(|context| self.poll(direction, Some(waiting.number), context, || call(&self.io)))
            .await
    }
}

fn filter<T: AsDescriptor>(io: &T, direction: Direction) -> Filter<'_> {
    match direction {
        Direction::Read => Filter::read(io),
        Direction::Write => Filter::write(io),
    }
}

/// A future that waits; dropping it leaves nothing behind.
struct Waiting<'a> {
    source: &'a Source,
    direction: Direction,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.source.forget(self.direction, self.number);
    }
}

impl<T: AsDescriptor> AsDescriptor for Async<T> {
    fn as_descriptor(&self) -> crate::descriptor::BorrowedDescriptor<'_> {
        self.io.as_descriptor()
    }
}

impl<T: fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(&self.io).finish()
    }
}
