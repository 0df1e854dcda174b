//! Many transfers at a time, for futures and batches.
//!
//! A queue has a crew of threads, each with an lwp of the kernel, and as many transfers under
//! way as it has members: NetBSD has no other way to do disk I/O beside waiting for it.
//! Buffers are handed over and come back with the result, as with io_uring; a future that is
//! dropped leaves its transfer to be done, and its buffer with it.

use super::BlockDevice;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

/// What is to be done to a device.
#[derive(Debug)]
pub enum Operation {
    /// Fill the buffer with what is at the place.
    Read {
        /// Where, in bytes.
        offset: u64,
        /// Whole sectors.
        into: Vec<u8>,
    },
    /// Write the bytes at the place.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// Whole sectors.
        from: Vec<u8>,
    },
    /// Put all that was written, by operations that are complete, on stable storage.
    Flush,
}

/// The result, and the buffer that was handed over.
type Outcome = (io::Result<()>, Vec<u8>);

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// An operation under way: wait for it with [`wait`](Self::wait), or as a future.
#[derive(Debug)]
#[must_use = "the result of the operation is in it"]
pub struct Completion(Arc<Slot>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Completion {
    /// Waits; the buffer comes back also if it failed.
    pub fn wait(self) -> (io::Result<()>, Vec<u8>) {
        let mut state = lock(&self.0.state);
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            let waited = self.0.done.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Completion {
    type Output = (io::Result<()>, Vec<u8>);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0.state);
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Shared {
    device: BlockDevice,
    jobs: Mutex<Jobs>,
    some: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<(Operation, Arc<Slot>)>,
    ended: bool,
}

/// Transfers of a device, several at a time.
///
/// They are started in the order they are submitted in, and may complete in any. Dropping it
/// does what was submitted first.
pub struct Queue {
    shared: Arc<Shared>,
    crew: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("device", &self.shared.device)
            .field("depth", &self.crew.len())
            .finish()
    }
}

impl Queue {
    /// A queue of a device that has `depth` transfers under way at most, 1 to 256.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for another depth; the host's, if it has
    /// no more threads.
    pub fn new(device: BlockDevice, depth: usize) -> io::Result<Self> {
        if !(1..=256).contains(&depth) {
            let text = format!("a queue has a depth of 1 to 256, not {depth}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let shared = Arc::new(Shared {
            device,
            jobs: Mutex::default(),
            some: Condvar::new(),
        });
        let mut queue = Self {
            shared: shared.clone(),
            crew: Vec::new(),
        };
        for _ in 0..depth {
            let shared = shared.clone();
            let member = std::thread::Builder::new().name("rump-queue".into());
            queue.crew.push(member.spawn(move || work(&shared))?);
        }
        Ok(queue)
    }

    /// The device.
    pub fn device(&self) -> &BlockDevice {
        &self.shared.device
    }

    /// Starts one operation.
    pub fn submit(&self, operation: Operation) -> Completion {
        let slot = Arc::new(Slot::default());
        let mut jobs = lock(&self.shared.jobs);
        jobs.waiting.push_back((operation, slot.clone()));
        drop(jobs);
        self.shared.some.notify_one();
        Completion(slot)
    }

    /// Starts several at once; the results are in the same order.
    pub fn submit_all(&self, operations: impl IntoIterator<Item = Operation>) -> Vec<Completion> {
        let mut jobs = lock(&self.shared.jobs);
        let started = operations.into_iter().map(|operation| {
            let slot = Arc::new(Slot::default());
            jobs.waiting.push_back((operation, slot.clone()));
            Completion(slot)
        });
        let started = started.collect();
        drop(jobs);
        self.shared.some.notify_all();
        started
    }

    /// Reads into a buffer of so many bytes.
    pub fn read(&self, offset: u64, length: usize) -> Completion {
        let into = vec![0; length];
        self.submit(Operation::Read { offset, into })
    }

    /// Writes the bytes.
    pub fn write(&self, offset: u64, from: Vec<u8>) -> Completion {
        self.submit(Operation::Write { offset, from })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.shared.jobs).ended = true;
        self.shared.some.notify_all();
        for member in self.crew.drain(..) {
            let _ = member.join();
        }
    }
}

/// What a member of the crew does until the queue is dropped and empty.
fn work(shared: &Shared) {
    loop {
        let mut jobs = lock(&shared.jobs);
        let (operation, slot) = loop {
            if let Some(job) = jobs.waiting.pop_front() {
                break job;
            }
            if jobs.ended {
                return;
            }
            let waited = shared.some.wait(jobs);
            jobs = waited.unwrap_or_else(PoisonError::into_inner);
        };
        drop(jobs);
        let device = &shared.device;
        let outcome = match operation {
            Operation::Read { offset, mut into } => (device.read_at(&mut into, offset), into),
            Operation::Write { offset, from } => (device.write_at(&from, offset), from),
            Operation::Flush => (device.flush(), Vec::new()),
        };
        let mut state = lock(&slot.state);
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        slot.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
