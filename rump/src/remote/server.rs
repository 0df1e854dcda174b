//! The kernel's side: clients, and who works for them.

use super::call;
use super::order::{self, HELLO, NAME, Order};
use super::segment::{Segment, Turn};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::sys::descriptor;
use nix::sys::socket::{getsockopt, sockopt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many threads of one client make calls.
const MOST: usize = 1024;
/// How long a client takes to say what it is, and the child of a fork to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long those who work for a client that is gone have to notice, before what they wait
/// for is closed again.
const NOTICE: Duration = Duration::from_millis(1);
/// What a worker needs of a stack: system calls of the kernel, no more.
const STACK: usize = 256 << 10;

/// Makes the system calls of clients in the kernel of this process.
#[derive(Clone, Debug)]
pub struct Server(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Processes whose children of `fork(2)` have not come yet, and since when.
    children: Mutex<HashMap<u64, (Process, Instant)>>,
}

impl Server {
    /// For the kernel that runs in this process.
    pub fn new(_kernel: &Kernel) -> Self {
        Self(Arc::default())
    }

    /// Whether what somebody says who has just connected is what a client says; it waits for
    /// that, and reads nothing.
    ///
    /// # Errors
    /// Of the connection, for example `WouldBlock` if nothing was said for 10 seconds.
    pub fn is_client(stream: &UnixStream) -> io::Result<bool> {
        use nix::sys::socket::{MsgFlags, recv};
        use std::os::fd::AsRawFd;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = [0; NAME.len()];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_WAITALL;
        let length = recv(stream.as_raw_fd(), &mut said, flags)?;
        Ok(said[..length] == *NAME)
    }

    /// Serves all who connect, each on a thread of its own.
    ///
    /// # Errors
    /// The listener's.
    pub fn serve(&self, listener: &UnixListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept()?;
            let server = self.clone();
            thread::Builder::new()
                .name("rump-client".into())
                .spawn(move || {
                    if let Err(error) = server.attend(&stream) {
                        tracing::warn!(%error, "a client of the kernel");
                    }
                })?;
        }
    }

    /// Serves one who has connected, until it is gone. All that it had open is closed then.
    ///
    /// # Errors
    /// What was wrong with what it said; the connection's.
    pub fn attend(&self, stream: &UnixStream) -> io::Result<()> {
        let process = match self.admit(stream)? {
            Ok(process) => Arc::new(process),
            Err(error) => return order::answer(stream, Err(error)),
        };
        order::answer(stream, Ok((0, None)))?;
        let mut client = Client {
            process,
            gone: Arc::default(),
            workers: Vec::new(),
        };
        let last = self.obey_all(stream, &mut client);
        client.end();
        if matches!(last, Ok(Some(_))) {
            // It may be gone already.
            let _ = order::answer(stream, Ok((0, None)));
        }
        let _ = stream.shutdown(Shutdown::Both);
        if !self.children().is_empty() {
            // One who daemonises may be gone before its child has come.
            thread::sleep(PATIENCE);
            self.forget_lost_children();
        }
        last.map(drop)
    }

    /// Hears who it is; its process, or why it has none.
    fn admit(&self, stream: &UnixStream) -> io::Result<io::Result<Process>> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
        let peer = getsockopt(stream, sockopt::PeerCredentials)?;
        if peer.uid() != nix::unistd::geteuid().as_raw() && peer.uid() != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = [0; HELLO.len()];
        { stream }.read_exact(&mut said)?;
        if said != HELLO {
            let _ = order::answer(stream, Err(io::Error::from_raw_os_error(libc::EPROTO)));
            return Err(wrong("not a client, or of another version"));
        }
        let process = match Order::read(stream)? {
            Some(Order::Begin) => Process::new(),
            Some(Order::Continue(child)) => self.child(child),
            _ => return Err(wrong("a client did not say which process it is")),
        };
        stream.set_read_timeout(None)?;
        Ok(process)
    }

    /// Obeys until it is gone, or gives its last order, which is not answered yet.
    fn obey_all(&self, stream: &UnixStream, client: &mut Client) -> io::Result<Option<Order>> {
        loop {
            match Order::read(stream)? {
                last @ (None | Some(Order::End)) => return Ok(last),
                Some(order) => order::answer(stream, self.obey(order, client))?,
            }
        }
    }

    fn children(&self) -> MutexGuard<'_, HashMap<u64, (Process, Instant)>> {
        let children = &self.0.children;
        children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self, number: u64) -> io::Result<Process> {
        let child = self.children().remove(&number);
        child
            .map(|(process, _)| process)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    fn forget_lost_children(&self) {
        let lost: Vec<_> = self
            .children()
            .extract_if(|_, (_, since)| since.elapsed() >= PATIENCE)
            .collect();
        // What they have is closed without the lock.
        drop(lost);
    }

    fn obey(&self, order: Order, client: &mut Client) -> io::Result<(u64, Option<OwnedFd>)> {
        match order {
            Order::Work => Ok((0, Some(client.work()?))),
            Order::Fork | Order::Execute => {
                let child = client.process.enter(Process::with_descriptors)??;
                if order == Order::Execute {
                    child.enter(descriptor::close_at_exec)?;
                }
                // Keys that nobody knows, for a number that was never given before.
                let number = RandomState::new().hash_one(child.id());
                self.children().insert(number, (child, Instant::now()));
                Ok((number, None))
            }
            Order::Begin | Order::Continue(_) | Order::End => {
                Err(io::Error::from_raw_os_error(libc::EISCONN))
            }
        }
    }
}

/// A process of Linux's that is one of the kernel's.
struct Client {
    process: Arc<Process>,
    gone: Arc<AtomicBool>,
    workers: Vec<Worker>,
}

struct Worker {
    segment: Arc<Segment>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Has one more thread work for it.
    fn work(&mut self) -> io::Result<OwnedFd> {
        if self.workers.len() == MOST {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let (segment, fd) = Segment::make()?;
        let segment = Arc::new(segment);
        let (own, process, gone) = (segment.clone(), self.process.clone(), self.gone.clone());
        let thread = thread::Builder::new()
            .name("rump-worker".into())
            .stack_size(STACK)
            .spawn(move || {
                let worked = process.enter(|| work(&own, &gone));
                if let Err(error) = worked {
                    tracing::warn!(%error, "nobody works for a client's thread");
                }
            })?;
        self.workers.push(Worker { segment, thread });
        Ok(fd)
    }

    /// It is gone: ends those who work for it. Whoever waits in the kernel does so for
    /// something that is open, and is woken when that is closed.
    fn end(self) {
        self.gone.store(true, Ordering::Release);
        let is_left = |worker: &Worker| !worker.thread.is_finished();
        while self.workers.iter().any(is_left) {
            for worker in &self.workers {
                worker.segment.wake();
            }
            // It fails where nothing can be called any more, and nobody waits.
            let _ = self.process.enter(descriptor::close_all);
            thread::sleep(NOTICE);
        }
        for worker in self.workers {
            // One that panicked has said so.
            let _ = worker.thread.join();
        }
    }
}

/// Makes the calls of one thread.
fn work(segment: &Segment, gone: &AtomicBool) {
    let mut room = call::Room::new();
    let is_there = || !gone.load(Ordering::Acquire);
    while segment.wait(Turn::Kernel, is_there) && is_there() {
        segment.answer(call::answer(segment, &mut room, &is_there));
        segment.give(Turn::Client);
    }
}
