//! Asynchronous sockets: futures that wait for the kernel.
//!
//! A [`Reactor`] watches descriptors through one kqueue, and wakes the tasks that wait for
//! them. [`Async`] puts a socket into a reactor and has the calls as futures. It does not
//! matter which executor runs them.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::net::{TcpListener, TcpStream};
//! use rump::reactor::{Async, block_on};
//!
//! # let _kernel = rump::Kernel::builder().boot()?;
//! block_on(async {
//!     let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
//!     let address = listener.get_ref().local_addr()?;
//!     let client = Async::<TcpStream>::connect(address).await?;
//!     let (server, _) = listener.accept().await?;
//!     client.write(b"hello").await?;
//!     let mut greeting = [0; 5];
//!     assert_eq!(server.read(&mut greeting).await?, 5);
//!     assert_eq!(&greeting, b"hello");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! With the feature `futures`, `Async<TcpStream>` implements `AsyncRead` and `AsyncWrite`
//! of the crate `futures-io`; with the feature `tokio`, those of tokio. Timers and tasks
//! are the executor's.
//!
//! # Cancellation
//! A future of this module can be dropped at any time, and nothing is lost: either its call
//! was made, and it was ready, or it was not made. One byte that was read, one connection
//! that was accepted, is always in the hands of whoever awaited it.
//!
//! # Threads
//! [`Reactor::global`] has a thread of its own. A program with a thread per core gives each
//! its own [`Reactor::new`], makes sockets [in it](Async::with), and calls
//! [`turn`](Reactor::turn) where it would sleep; [`Handle::notify`] has that return.
//!
//! # Fairness
//! A socket on which there is always something to do lets other tasks run after 128 calls,
//! whatever the executor.
//!
//! # When the kernel is shut down
//! Every task that waits is woken, and its call fails as any other. Where a reactor was
//! dropped before its sockets, their calls fail if they would have to wait.

mod io;
mod net;
mod source;

#[cfg(feature = "futures")]
mod futures;
#[cfg(feature = "tokio")]
mod tokio;

pub use io::Async;

use crate::descriptor::OwnedDescriptor;
use crate::kqueue::{Event, Filter, Kind, Kqueue, Mode};
use crate::sys::descriptor;
use source::{Direction, Source};
use std::collections::HashMap;
use std::fmt;
use std::io as std_io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

/// The key of what has [`Reactor::turn`] return.
const NOTICE: usize = 0;

/// How that is done.
enum Notice {
    /// By a user event of the kqueue.
    Event,
    /// By writing into a pipe, where the kernel has none: upstream's libraries of a NetBSD
    /// before 10.
    Pipe(OwnedDescriptor, OwnedDescriptor),
}

/// What tasks and the reactor share.
struct Shared {
    kqueue: Kqueue,
    sources: Mutex<HashMap<usize, Arc<Source>>>,
    next: AtomicUsize,
    notice: Notice,
    /// Nobody turns it any more.
    ended: AtomicBool,
}

/// All reactors, to be told when the kernel is shut down.
static REACTORS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

fn reactors() -> MutexGuard<'static, Vec<Weak<Shared>>> {
    REACTORS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn sources(&self) -> MutexGuard<'_, HashMap<usize, Arc<Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self) -> Arc<Source> {
        let source = Arc::new(Source::new(self.next.fetch_add(1, Ordering::Relaxed)));
        self.sources().insert(source.key, Arc::clone(&source));
        if self.ended.load(Ordering::SeqCst) {
            source.end();
        }
        source
    }

    fn remove(&self, source: &Source) {
        self.sources().remove(&source.key);
    }

    /// Fails only where the kernel is down, and nobody waits.
    fn notify(&self) {
        let _ = match &self.notice {
            Notice::Event => self.kqueue.trigger(NOTICE),
            // It is full where nobody has taken notice yet.
            Notice::Pipe(_, write) => descriptor::write(write, &[0]).map(drop),
        };
    }

    fn dispatch(&self, events: &[Event]) {
        let woken: Vec<_> = {
            let sources = self.sources();
            let source = |event: &Event| {
                let direction = match event.kind() {
                    Kind::Read => Direction::Read,
                    Kind::Write => Direction::Write,
                    _ => return None,
                };
                // One that was dropped meanwhile is not there.
                Some((Arc::clone(sources.get(&event.udata())?), direction))
            };
            events.iter().filter_map(source).collect()
        };
        for (source, direction) in woken {
            source.event(direction);
        }
        if let Notice::Pipe(read, _) = &self.notice
            && events.iter().any(|event| event.udata() == NOTICE)
        {
            let mut room = [0; 64];
            while matches!(descriptor::read(read, &mut room), Ok(1..)) {}
        }
    }

    /// Wakes everybody: their calls tell them why.
    fn give_up(&self) {
        let all: Vec<_> = self.sources().values().cloned().collect();
        for source in all {
            source.event(Direction::Read);
            source.event(Direction::Write);
        }
    }
}

/// The kernel is about to be shut down: from here on nobody may begin to wait in it.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The kernel is about to be shut down.
pub(crate) fn kernel_ends() {
    ENDING.store(true, Ordering::SeqCst);
    for shared in reactors().iter().filter_map(Weak::upgrade) {
        shared.notify();
    }
}

/// The kernel was shut down.
pub(crate) fn kernel_has_ended() {
    for shared in reactors().iter().filter_map(Weak::upgrade) {
        shared.give_up();
    }
}

/// Watches descriptors, and wakes the tasks that wait for them.
pub struct Reactor(Arc<Shared>);

/// Where sockets are put into a reactor; clones are the same.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Reactor {
    /// A reactor without a thread: [`turn`](Self::turn) has to be called.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down); no descriptor is left.
    pub fn new() -> std_io::Result<Self> {
        let kqueue = Kqueue::new()?;
        let user = Filter::User { ident: NOTICE };
        let notice = match kqueue.add(user, Mode::Edge, NOTICE) {
            Ok(()) => Notice::Event,
            Err(error) if error.kind() == std_io::ErrorKind::Unsupported => {
                let (read, write) = descriptor::pipe()?;
                kqueue.add(Filter::read(&read), Mode::Edge, NOTICE)?;
                Notice::Pipe(read, write)
            }
            Err(error) => return Err(error),
        };
        let shared = Arc::new(Shared {
            kqueue,
            sources: Mutex::default(),
            next: AtomicUsize::new(NOTICE + 1),
            notice,
            ended: AtomicBool::new(false),
        });
        let mut reactors = reactors();
        reactors.retain(|other| other.strong_count() > 0);
        reactors.push(Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    /// Where sockets are put into the reactor that has a thread of its own, which starts
    /// when it is first needed.
    ///
    /// # Errors
    /// As [`new`](Self::new); no thread could be started.
    pub fn global() -> std_io::Result<Handle> {
        static GLOBAL: OnceLock<Handle> = OnceLock::new();
        static ONE: Mutex<()> = Mutex::new(());
        if let Some(handle) = GLOBAL.get() {
            return Ok(handle.clone());
        }
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = GLOBAL.get() {
            return Ok(handle.clone());
        }
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("rump-reactor".into())
            .spawn(move || {
                // Made here, because a new thread is in the first process of the kernel,
                // whichever the one that asked is in.
                let reactor = Self::new();
                let handle = reactor.as_ref().map(Self::handle);
                let _ = sender.send(
                    handle.map_err(|error| std_io::Error::new(error.kind(), error.to_string())),
                );
                if let Ok(reactor) = reactor {
                    while reactor.turn(None).is_ok() {}
                }
            })?;
        let handle = receiver.recv().map_err(std_io::Error::other)??;
        Ok(GLOBAL.get_or_init(|| handle).clone())
    }

    /// Where sockets are put into it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.0))
    }

    /// Waits until something happens to one of its descriptors, or the time is over, or
    /// [`Handle::notify`] is called; wakes the tasks concerned, and returns how many events
    /// there were.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down): all tasks were woken to learn of it.
    pub fn turn(&self, timeout: Option<Duration>) -> std_io::Result<usize> {
        while ENDING.load(Ordering::SeqCst) && crate::kernel::is_running() {
            thread::yield_now();
        }
        let mut events = Vec::new();
        let result = self.0.kqueue.wait(&mut events, timeout);
        match &result {
            Ok(_) => self.0.dispatch(&events),
            Err(_) => self.0.give_up(),
        }
        crate::kernel::check_running()?;
        result
    }
}

impl Reactor {
    /// Runs a future on this thread until it is done, and turns whenever it waits: what a
    /// thread per core does. The future may be woken from any thread.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// use rump::net::UdpSocket;
    /// use rump::reactor::{Async, Reactor};
    ///
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let reactor = Reactor::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let own = socket.local_addr()?;
    /// let socket = Async::with(&reactor.handle(), socket)?;
    /// let received = reactor.block_on(async {
    ///     socket.send_to(b"to myself", own).await?;
    ///     socket.recv(&mut [0; 16]).await
    /// })?;
    /// assert_eq!(received?, 9);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn block_on<F: Future>(&self, future: F) -> std_io::Result<F::Output> {
        struct Notify {
            shared: Weak<Shared>,
            thread: ThreadId,
            woken: AtomicBool,
        }

        impl Wake for Notify {
            fn wake(self: Arc<Self>) {
                self.wake_by_ref();
            }

            fn wake_by_ref(self: &Arc<Self>) {
                // One notice is enough until it is taken; the thread that turns looks by
                // itself before it waits.
                if !self.woken.swap(true, Ordering::AcqRel)
                    && self.thread != thread::current().id()
                    && let Some(shared) = self.shared.upgrade()
                {
                    shared.notify();
                }
            }
        }

        let notify = Arc::new(Notify {
            shared: Arc::downgrade(&self.0),
            thread: thread::current().id(),
            woken: AtomicBool::new(true),
        });
        let waker = Waker::from(Arc::clone(&notify));
        let mut future = pin!(future);
        loop {
            if notify.woken.swap(false, Ordering::AcqRel)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            // Also where it has something to do: others may have too.
            let woken = notify.woken.load(Ordering::Acquire);
            self.turn(woken.then_some(Duration::ZERO))?;
        }
    }
}

/// Tasks that wait for its sockets are woken: nobody else would.
impl Drop for Reactor {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        let all: Vec<_> = self.0.sources().values().cloned().collect();
        all.iter().for_each(|source| source.end());
    }
}

impl Handle {
    /// Has [`turn`](Reactor::turn) return, also if it is called only afterwards.
    pub fn notify(&self) {
        self.0.notify();
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.0.sources().len();
        f.debug_struct("Reactor")
            .field("sources", &sources)
            .finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// Numbers futures that wait.
fn waiter() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a future on this thread until it is done: the least of executors.
///
/// ```
/// assert_eq!(rump::reactor::block_on(async { 6 * 7 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
