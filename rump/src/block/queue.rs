//! Many transfers at a time, for futures and batches.
//!
//! Transfers are started by whoever submits them, go on by themselves in the kernel
//! (`netbsd-src/kern/libblkio`), and are completed by the thread that the driver hears of it
//! on. Buffers are handed over and come back with the result, as with io_uring; a future that
//! is dropped leaves its transfer to be done, and its buffer with it.

use super::event::{Event, Teller, lock};
use super::{BlockDevice, Buffer};
use crate::error::Errno;
use crate::sys::blkio::{Request, Transfer};
use crate::sys::upcall;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
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
        into: Buffer,
    },
    /// Write the bytes at the place.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// Whole sectors.
        from: Buffer,
    },
    /// Put all that was written, by operations that are complete, on stable storage.
    Flush,
}

/// The result, and the buffer that was handed over.
type Outcome = (io::Result<()>, Buffer);

#[derive(Debug)]
struct Slot {
    outcome: Event<Outcome>,
    waker: Mutex<Option<Waker>>,
    room: Arc<Room>,
}

impl Slot {
    fn new(room: &Arc<Room>) -> Arc<Self> {
        Arc::new(Self {
            outcome: Event::default(),
            waker: Mutex::default(),
            room: room.clone(),
        })
    }

    /// Tells who waits, and makes room; `wake` wakes a future.
    fn complete(&self, outcome: Outcome, wake: impl FnOnce(Waker)) {
        self.outcome.tell(outcome, &self.room.teller);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            wake(waker);
        }
        self.room.leave();
    }
}

/// An operation under way: wait for it with [`wait`](Self::wait), or as a future.
#[derive(Debug)]
#[must_use = "the result of the operation is in it"]
pub struct Completion(Arc<Slot>);

impl Completion {
    /// Waits; the buffer comes back also if it failed. The thread is not one of the kernel's.
    pub fn wait(self) -> (io::Result<()>, Buffer) {
        self.0.outcome.wait(&self.0.room.teller)
    }

    /// Whether [`wait`](Self::wait) would return at once.
    pub fn is_done(&self) -> bool {
        self.0.outcome.is_told()
    }
}

impl Future for Completion {
    type Output = (io::Result<()>, Buffer);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        *lock(&self.0.waker) = Some(context.waker().clone());
        self.0.outcome.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// How many operations are under way, of how many at most.
#[derive(Debug)]
struct Room {
    taken: Mutex<Taken>,
    left: Condvar,
    depth: usize,
    teller: Teller,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    /// Somebody waits for one to be left.
    waited_for: bool,
}

impl Room {
    /// Takes the place of at least one operation, and of as many as are wanted and free.
    fn take(&self, wanted: usize) -> usize {
        let mut taken = self.wait(|taken| taken < self.depth);
        let count = wanted.min(self.depth - taken.count);
        taken.count += count;
        count
    }

    fn wait(&self, mut until: impl FnMut(usize) -> bool) -> MutexGuard<'_, Taken> {
        let mut taken = lock(&self.taken);
        while !until(taken.count) {
            taken.waited_for = true;
            let waited = self.left.wait(taken);
            taken = waited.unwrap_or_else(PoisonError::into_inner);
        }
        taken
    }

    fn leave(&self) {
        let mut taken = lock(&self.taken);
        taken.count -= 1;
        if std::mem::take(&mut taken.waited_for) {
            self.left.notify_all();
        }
    }
}

/// A transfer under way. It may be done by a thread of the kernel's, so what the last owner of
/// something does is left to the queue.
struct Pending {
    slot: Arc<Slot>,
    buffer: Buffer,
}

impl Request for Pending {
    fn memory(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    fn done(self, result: Result<(), Errno>) {
        let outcome = (result.map_err(io::Error::from), self.buffer);
        // What an executor does then may take its time.
        let wake = |waker: Waker| upcall::wrap(|| waker.wake());
        self.slot.complete(outcome, wake);
    }
}

/// Transfers of a device, several at a time.
///
/// They are started in the order they are submitted in, and may complete in any. Dropping it
/// waits for what was submitted.
pub struct Queue {
    device: Arc<BlockDevice>,
    room: Arc<Room>,
    flushes: OnceLock<io::Result<Flushes>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("device", &self.device)
            .field("depth", &self.room.depth)
            .finish()
    }
}

impl Queue {
    /// A queue of a device that has `depth` operations under way at most, 1 to 256.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for another depth;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the kernel is of another process or not
    /// compiled from a tree.
    pub fn new(device: BlockDevice, depth: usize) -> io::Result<Self> {
        if !(1..=256).contains(&depth) {
            let text = format!("a queue has a depth of 1 to 256, not {depth}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if device.io().is_none() {
            let text = "this kernel has no transfers that nobody waits for";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Self {
            device: Arc::new(device),
            room: Arc::new(Room {
                taken: Mutex::default(),
                left: Condvar::new(),
                depth,
                teller: Teller::default(),
            }),
            flushes: OnceLock::new(),
        })
    }

    /// The device.
    pub fn device(&self) -> &BlockDevice {
        &self.device
    }

    /// Starts one operation. Where as many are under way as may be, it waits for one of them
    /// first.
    pub fn submit(&self, operation: Operation) -> Completion {
        let mut started = self.submit_all([operation]);
        started.pop().expect("one for each")
    }

    /// Starts several at once; the results are in the same order.
    pub fn submit_all(&self, operations: impl IntoIterator<Item = Operation>) -> Vec<Completion> {
        let mut operations: Vec<_> = operations.into_iter().collect();
        let mut completions = Vec::with_capacity(operations.len());
        while !operations.is_empty() {
            let count = self.room.take(operations.len());
            let rest = operations.split_off(count);
            self.start(operations, &mut completions);
            operations = rest;
        }
        completions
    }

    /// Starts operations that room was taken for.
    fn start(&self, operations: Vec<Operation>, completions: &mut Vec<Completion>) {
        let mut transfers = Vec::with_capacity(operations.len());
        for operation in operations {
            let slot = Slot::new(&self.room);
            completions.push(Completion(slot.clone()));
            let (write, offset, buffer) = match operation {
                Operation::Read { offset, into } => (false, offset, into),
                Operation::Write { offset, from } => (true, offset, from),
                Operation::Flush => {
                    self.flush(slot);
                    continue;
                }
            };
            let request = Pending { slot, buffer };
            match self.device.check(offset, request.buffer.len()) {
                Err(error) => request.refuse(error),
                Ok(()) => transfers.push(Transfer {
                    request,
                    write,
                    offset,
                }),
            }
        }
        if transfers.is_empty() {
            return;
        }
        let io = self.device.io().expect("as `new` found");
        if let Err((error, transfers)) = io.start(transfers) {
            for transfer in transfers {
                transfer
                    .request
                    .refuse(io::Error::new(error.kind(), error.to_string()));
            }
        }
    }

    /// Has a thread flush, which the kernel has it wait for.
    fn flush(&self, slot: Arc<Slot>) {
        let flushes = self
            .flushes
            .get_or_init(|| Flushes::start(self.device.clone()));
        match flushes {
            // It ends after this.
            Ok(flushes) => flushes.wanted(slot),
            Err(error) => {
                let error = io::Error::new(error.kind(), error.to_string());
                slot.complete((Err(error), Buffer::default()), Waker::wake);
            }
        }
    }

    /// Reads into a buffer of so many bytes.
    pub fn read(&self, offset: u64, length: usize) -> Completion {
        let into = Buffer::new(length);
        self.submit(Operation::Read { offset, into })
    }

    /// Writes the bytes.
    pub fn write(&self, offset: u64, from: impl Into<Buffer>) -> Completion {
        let from = from.into();
        self.submit(Operation::Write { offset, from })
    }
}

impl Pending {
    /// It is not started; this thread has no virtual CPU.
    fn refuse(self, error: io::Error) {
        self.slot.complete((Err(error), self.buffer), Waker::wake);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.room.wait(|taken| taken == 0));
        if let Some(Ok(flushes)) = self.flushes.take() {
            flushes.end();
        }
    }
}

/// The thread that flushes the disk's cache.
struct Flushes {
    wanted: Sender<Arc<Slot>>,
    thread: JoinHandle<()>,
}

impl Flushes {
    fn start(device: Arc<BlockDevice>) -> io::Result<Self> {
        let (wanted, waiting) = channel::<Arc<Slot>>();
        let thread = std::thread::Builder::new().name("rump-flush".into());
        let thread = thread.spawn(move || {
            for slot in waiting {
                slot.complete((device.flush(), Buffer::default()), Waker::wake);
            }
        })?;
        Ok(Self { wanted, thread })
    }

    fn wanted(&self, slot: Arc<Slot>) {
        // It lives until `end`.
        let _ = self.wanted.send(slot);
    }

    fn end(self) {
        drop(self.wanted);
        let _ = self.thread.join();
    }
}
