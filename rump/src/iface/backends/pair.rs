//! Two ends of a cable, in memory.
//!
//! What one end sends the other brings, offloads and all: nobody computes a checksum or
//! cuts a segment up. Between two interfaces of one kernel, or between an interface and
//! whoever calls [`Backend`]'s methods on the other end.
//!
//! An end takes as many frames as wait for the other ([`QUEUE`]); beyond that they are
//! dropped, as by Ethernet: two kernels that waited for each other would wait for ever.

use crate::iface::link::{
    Backend, Batch, Buffer, HostErrno, Offload, Offloads, Statistics, Transmit,
};
use rump_sys::hyper::vif::Pool;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// So many frames wait at most in each direction.
pub const QUEUE: usize = 512;
/// So many of them the kernel may hold without a copy: 33 MiB at most.
const LEASES: u32 = 512;

/// One end of a cable. It has a link as long as the other end is there.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// use rump::iface::Pair;
///
/// let kernel = rump::Kernel::builder().boot()?;
/// let (here, there) = Pair::new();
/// # if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Netbsd { return Ok(()) }
/// let first = kernel.attach(here)?;
/// let second = kernel.attach(there)?;
/// println!("{} and {} are joined", first.name(), second.name());
/// # Ok(())
/// # }
/// ```
pub struct Pair {
    incoming: Arc<Lane>,
    outgoing: Arc<Lane>,
}

/// One direction.
struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<(Buffer, usize, Offload)>,
    pool: Pool,
    woken: bool,
    /// One of the ends is gone.
    closed: bool,
    passed: u64,
    dropped: u64,
}

impl Lane {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                pool: Pool::new(LEASES),
                woken: false,
                closed: false,
                passed: 0,
                dropped: 0,
            }),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

impl Pair {
    /// Both ends.
    pub fn new() -> (Self, Self) {
        let (one, other) = (Lane::new(), Lane::new());
        let end = Self {
            incoming: Arc::clone(&one),
            outgoing: Arc::clone(&other),
        };
        let opposite = Self {
            incoming: other,
            outgoing: one,
        };
        (end, opposite)
    }
}

impl Backend for Pair {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn link(&self) -> bool {
        !self.outgoing.state().closed
    }

    /// # Errors
    /// `ENXIO` if the other end is gone, and all that it sent was brought.
    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        let mut state = self.incoming.state();
        while state.waiting.is_empty() && !state.woken {
            if state.closed {
                return Err(HostErrno::NXIO);
            }
            state = self
                .incoming
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.woken = false;
        while !batch.is_full()
            && let Some((buffer, len, offload)) = state.waiting.pop_front()
        {
            batch.push(buffer, len, offload);
        }
        Ok(())
    }

    /// # Errors
    /// `ENXIO` if the other end is gone.
    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        let mut state = self.outgoing.state();
        if state.closed {
            return Err(HostErrno::NXIO);
        }
        let room = QUEUE.saturating_sub(state.waiting.len());
        let taken = frames.len().min(room);
        for frame in &frames[..taken] {
            let mut buffer = state.pool.take();
            let len = frame.copy_to(&mut buffer);
            state.waiting.push_back((buffer, len, frame.offload()));
        }
        state.passed += taken as u64;
        state.dropped += (frames.len() - taken) as u64;
        drop(state);
        self.outgoing.changed.notify_one();
        Ok(taken)
    }

    fn wake(&self) {
        self.incoming.state().woken = true;
        self.incoming.changed.notify_all();
    }

    fn statistics(&self) -> Statistics {
        let incoming = self.incoming.state();
        let (received, receive_drops) = (incoming.passed, incoming.dropped);
        drop(incoming);
        let outgoing = self.outgoing.state();
        let mut statistics = Statistics::default();
        statistics.received = received;
        statistics.receive_drops = receive_drops;
        statistics.sent = outgoing.passed;
        statistics.send_drops = outgoing.dropped;
        statistics
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iface::link::Piece;
    use std::time::Duration;

    fn send(end: &Pair, bytes: &[u8], count: usize) -> Result<usize, HostErrno> {
        let pieces = [Piece::new(bytes)];
        let frame = Transmit::new(&pieces, Offload::default());
        end.send(0, &vec![frame; count])
    }

    fn receive(end: &Pair) -> Result<Vec<Vec<u8>>, HostErrno> {
        let mut batch = Batch::new(Pool::new(0));
        end.receive(0, &mut batch)?;
        let frames = batch.frames().iter();
        Ok(frames.map(|frame| frame.bytes().to_vec()).collect())
    }

    #[test]
    fn what_one_end_sends_the_other_brings() {
        let (one, other) = Pair::new();
        assert_eq!(send(&one, b"first", 1), Ok(1));
        assert_eq!(send(&one, b"second", 2), Ok(2));
        let frames: [&[u8]; 3] = [b"first", b"second", b"second"];
        assert_eq!(receive(&other).unwrap(), frames);
        assert_eq!(send(&other, b"back", 1), Ok(1));
        assert_eq!(receive(&one).unwrap(), [b"back"]);
    }

    #[test]
    fn what_does_not_fit_is_dropped() {
        let (one, other) = Pair::new();
        assert_eq!(send(&one, b"frame", QUEUE - 1), Ok(QUEUE - 1));
        assert_eq!(send(&one, b"frame", 3), Ok(1));
        assert_eq!(one.statistics().send_drops, 2);
        assert_eq!(other.statistics().receive_drops, 2);
        receive(&other).unwrap();
        assert_eq!(send(&one, b"frame", 1), Ok(1));
    }

    #[test]
    fn waiting_ends_with_a_wake_or_with_the_other_end() {
        let (one, other) = Pair::new();
        one.wake();
        assert_eq!(receive(&one), Ok(vec![]));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| receive(&one));
            std::thread::sleep(Duration::from_millis(10));
            assert_eq!(send(&other, b"last", 1), Ok(1));
            assert_eq!(waiting.join().unwrap(), Ok(vec![b"last".to_vec()]));
            let waiting = scope.spawn(|| receive(&one));
            std::thread::sleep(Duration::from_millis(10));
            assert!(one.link());
            drop(other);
            assert_eq!(waiting.join().unwrap(), Err(HostErrno::NXIO));
        });
        assert!(!one.link());
        assert_eq!(send(&one, b"nobody", 1), Err(HostErrno::NXIO));
    }
}
