//! Making a link bad, on purpose: a back end around another that loses, doubles, delays,
//! reorders and corrupts frames, and limits their rate.
//!
//! Each direction draws from a generator of its own, which begins with the seed: the
//! same frames in the same order have the same fate. Frames are what they would be on a
//! wire: nothing is left to the other side, so that one fault strikes one segment, and
//! a checksum is there to find what was corrupted.
//!
//! Who sends or receives decides each frame's fate (`line`) and passes on
//! what is due. A thread sees to what is due later: it sends that itself, or wakes who
//! receives.

mod line;

use crate::iface::link::{
    Backend, Batch, HostErrno, Offload, Offloads, Piece, Statistics, Transmit,
};
use line::{Line, Settings};
use rump_sys::hyper::vif::shape;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use line::Counts;

/// How bad a link is to be; [`around`](Builder::around) is next. Probabilities are from 0
/// to 1, for each frame of each direction.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    seed: u64,
    settings: Settings,
}

impl Builder {
    /// Where the generator of random numbers begins; 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How likely a frame is lost.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.settings.loss = probability;
        self
    }

    /// How likely a frame comes twice.
    #[must_use]
    pub fn duplication(mut self, probability: f64) -> Self {
        self.settings.duplication = probability;
        self
    }

    /// How likely a frame is held back, for 1 to 5 ms, so that others overtake it.
    #[must_use]
    pub fn reordering(mut self, probability: f64) -> Self {
        self.settings.reordering = probability;
        self
    }

    /// How likely a bit of a frame is inverted. Only in frames of IP: others (ARP) have
    /// no checksum but Ethernet's, which has been looked at before.
    #[must_use]
    pub fn corruption(mut self, probability: f64) -> Self {
        self.settings.corruption = probability;
        self
    }

    /// How long every frame takes, and how much longer some do.
    #[must_use]
    pub fn delay(mut self, delay: Duration, jitter: Duration) -> Self {
        self.settings.delay = delay;
        self.settings.jitter = jitter;
        self
    }

    /// How many bytes pass in a second, and how many wait at most; what comes on top is
    /// lost.
    ///
    /// # Panics
    /// If no bytes are to pass.
    #[must_use]
    pub fn rate(mut self, bytes_per_second: u64, queue: u64) -> Self {
        assert!(bytes_per_second > 0, "a rate of 0 passes nothing, ever");
        self.settings.rate = Some((bytes_per_second, queue));
        self
    }

    /// Puts it around a back end.
    ///
    /// # Errors
    /// No thread could be started; the link could not be told to leave nothing to others.
    pub fn around<B: Backend + 'static>(self, inner: B) -> io::Result<Faults<B>> {
        let shared = Arc::new(Shared {
            inner,
            settings: self.settings,
            state: Mutex::new(State {
                incoming: Line::new(self.seed),
                outgoing: Line::new(!self.seed),
                announced: false,
                stop: false,
            }),
            changed: Condvar::new(),
        });
        let timer = std::thread::Builder::new().name("faults".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.keep_time()
        })?;
        Ok(Faults {
            shared,
            timer: Some(timer),
        })
    }
}

/// A back end with faults.
///
/// ```no_run
/// use rump::iface::{Faults, Tap};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().boot()?;
/// let bad = Faults::builder().seed(7).loss(0.1).around(Tap::open("tap0")?)?;
/// let link = kernel.attach(bad)?;
/// # Ok(())
/// # }
/// ```
pub struct Faults<B> {
    shared: Arc<Shared<B>>,
    timer: Option<JoinHandle<()>>,
}

struct Shared<B> {
    inner: B,
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    incoming: Line,
    outgoing: Line,
    /// Who receives was told that something is due.
    announced: bool,
    stop: bool,
}

impl Faults<()> {
    /// What the faults are to be.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl<B> Faults<B> {
    /// What goes through it.
    pub fn inner(&self) -> &B {
        &self.shared.inner
    }

    /// What became of the frames that came, and of those that were sent.
    pub fn counts(&self) -> (Counts, Counts) {
        let state = self.shared.state();
        (state.incoming.counts, state.outgoing.counts)
    }
}

impl<B> Shared<B> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> Shared<B> {
    fn send(&self, queue: usize, frames: &[Vec<u8>]) -> Result<(), HostErrno> {
        if frames.is_empty() {
            return Ok(());
        }
        let pieces: Vec<_> = frames.iter().map(|bytes| [Piece::new(bytes)]).collect();
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Transmit::new(piece, Offload::default()))
            .collect();
        self.inner.send(queue, &frames).map(drop)
    }

    /// Sees to what is due later, until it is told to stop.
    fn keep_time(&self) {
        let mut state = self.state();
        while !state.stop {
            let now = Instant::now();
            let frames = state.outgoing.due(now);
            let incoming = state.incoming.next().filter(|_| !state.announced);
            let announce = incoming.is_some_and(|due| due <= now);
            state.announced |= announce;
            if announce || !frames.is_empty() {
                drop(state);
                if announce {
                    self.inner.wake();
                }
                // What has become of the link, who sends at the time will hear.
                let _ = self.send(0, &frames);
                state = self.state();
                continue;
            }
            let next = [state.outgoing.next(), incoming]
                .into_iter()
                .flatten()
                .min();
            state = match next {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    self.changed
                        .wait_timeout(state, due.saturating_duration_since(now))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl<B: Backend> Backend for Faults<B> {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn set_receive_offloads(&self, _offloads: Offloads) -> Result<(), HostErrno> {
        self.shared.inner.set_receive_offloads(Offloads::NONE)
    }

    fn queues(&self) -> usize {
        self.shared.inner.queues()
    }

    fn link(&self) -> bool {
        self.shared.inner.link()
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        let shared = &*self.shared;
        shared.inner.receive(queue, batch)?;
        // Some bring what they please.
        shape::received(batch, Offloads::NONE);
        let came = batch.take_all();
        let now = Instant::now();
        let mut state = shared.state();
        for frame in came {
            state
                .incoming
                .pass(&shared.settings, frame.bytes().to_vec(), now);
        }
        for frame in state.incoming.due(now) {
            let mut buffer = batch.buffer();
            let len = frame.len().min(buffer.len());
            buffer[..len].copy_from_slice(&frame[..len]);
            batch.push(buffer, len, Offload::default());
        }
        state.announced = false;
        drop(state);
        shared.changed.notify_one();
        Ok(())
    }

    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        let shared = &*self.shared;
        let now = Instant::now();
        let mut state = shared.state();
        for frame in frames {
            let mut bytes = vec![0; frame.len()];
            frame.copy_to(&mut bytes);
            state.outgoing.pass(&shared.settings, bytes, now);
        }
        let due = state.outgoing.due(now);
        drop(state);
        shared.changed.notify_one();
        shared.send(queue, &due)?;
        Ok(frames.len())
    }

    fn wake(&self) {
        self.shared.inner.wake();
    }

    fn statistics(&self) -> Statistics {
        self.shared.inner.statistics()
    }
}

impl<B> Drop for Faults<B> {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
        if let Some(timer) = self.timer.take() {
            // One that panicked has ended as well.
            let _ = timer.join();
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Faults<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("inner", &self.shared.inner)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
