//! The meeting point of an interface and its back end.
//!
//! The kernel's calls out come here, and the threads that serve the queues ask here for
//! the back end before each wait. No lock is held while a back end or the kernel is
//! called: the kernel's own calls can come with its locks held.
//!
//! Where the back end is another interface of the kernel's, frames do not come here: the
//! kernel is told when to begin and when to end with that.

use crate::iface::splice;
use crate::sys::vif::{Host, Vif};
use rump_sys::hyper::errno::Errno;
use rump_sys::hyper::vif::abi;
use rump_sys::hyper::vif::abi::Offload;
use rump_sys::hyper::vif::backend::Piece;
use rump_sys::hyper::vif::shape::{self, Scratch};
use rump_sys::hyper::vif::{Backend, Batch, Offloads, Pool, Transmit};
use std::ffi::CString;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A back end, and by the count of references how many are using it here.
pub(crate) struct InUse(pub(crate) Arc<dyn Backend>);

/// The back end of an interface at present.
struct Slot {
    backend: Arc<InUse>,
    /// How many there were before.
    generation: u64,
    /// Why it will bring no more frames.
    failed: Option<Errno>,
    /// The interface goes away.
    stop: bool,
}

impl Slot {
    /// Whether frames of this queue are to be waited for.
    fn is_served(&self, queue: usize) -> bool {
        let backend = &self.backend.0;
        self.failed.is_none() && backend.splice().is_none() && queue < backend.queues()
    }
}

/// What the kernel calls.
pub(crate) struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// The offloads that the kernel uses, and whether the back end was told.
    offloads: AtomicU32,
    told: AtomicBool,
    /// The kernel sends over another interface.
    spliced: AtomicBool,
    send_drops: AtomicU64,
    malformed: AtomicU64,
    /// Memory that is used again and again; gone while it is in use.
    scratch: Mutex<Option<Scratch>>,
}

/// A back end, for a thread that serves a queue of it.
pub(crate) struct Turn {
    pub(crate) backend: Arc<InUse>,
    generation: u64,
    /// What it may bring from now on, if that is new.
    pub(crate) receive_offloads: Option<Offloads>,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The back end, for a moment.
    pub(crate) fn backend(&self) -> Arc<InUse> {
        Arc::clone(&self.slot().backend)
    }

    /// Waits until there is something to serve for this queue; `None` if the interface
    /// goes away.
    pub(crate) fn turn(&self, queue: usize) -> Option<Turn> {
        let mut slot = self.slot();
        while !slot.stop && !slot.is_served(queue) {
            slot = self
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let new = queue == 0 && !self.told.swap(true, Ordering::AcqRel);
        let receive = Offloads::from_bits(self.offloads.load(Ordering::Acquire)) & Offloads::RX;
        (!slot.stop).then(|| Turn {
            backend: Arc::clone(&slot.backend),
            generation: slot.generation,
            receive_offloads: new.then_some(receive),
        })
    }

    /// A back end brings no more frames.
    pub(crate) fn fail(&self, turn: &Turn, error: Errno) {
        let mut slot = self.slot();
        if slot.generation == turn.generation {
            slot.failed = slot.failed.or(Some(error));
            // Its other queues wait for nothing.
            turn.backend.0.wake();
        }
    }

    /// Whether the kernel sends over another interface, as the back end is there to say.
    pub(crate) fn is_spliced(&self) -> bool {
        self.spliced.load(Ordering::Acquire)
    }

    /// The kernel does not send over another interface any more: if it should, that one is
    /// gone.
    fn splice_ended(&self) {
        let mut slot = self.slot();
        if slot.backend.0.splice().is_some() {
            slot.failed = slot.failed.or(Some(Errno::NXIO));
        }
    }

    /// Whether its back end has not been replaced yet.
    pub(crate) fn is_current(&self, turn: &Turn) -> bool {
        self.slot().generation == turn.generation
    }

    /// Why the back end brings no more frames.
    pub(crate) fn failed(&self) -> Option<Errno> {
        self.slot().failed
    }

    /// Puts another back end into the place of this one, which is returned.
    fn replace(&self, backend: Arc<dyn Backend>) -> Arc<InUse> {
        let mut slot = self.slot();
        let old = std::mem::replace(&mut slot.backend, Arc::new(InUse(backend)));
        slot.generation += 1;
        slot.failed = None;
        self.told.store(false, Ordering::Release);
        drop(slot);
        self.changed.notify_all();
        old
    }

    pub(crate) fn stop(&self) {
        let mut slot = self.slot();
        slot.stop = true;
        let backend = Arc::clone(&slot.backend);
        drop(slot);
        self.changed.notify_all();
        backend.0.wake();
    }

    pub(crate) fn send_drops(&self) -> u64 {
        self.send_drops.load(Ordering::Relaxed)
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Brings frames that came into the shape that the kernel takes; it gets them in parts.
    fn shape(&self, batch: &mut Batch, bring: impl FnMut(&mut Batch)) {
        let taken = Offloads::from_bits(self.offloads.load(Ordering::Acquire));
        let malformed = shape::received_in_parts(batch, taken, bring);
        self.malformed.fetch_add(malformed, Ordering::Relaxed);
    }

    /// Sends through a back end; returns how many frames it took.
    fn send(&self, backend: &Arc<dyn Backend>, queue: usize, frames: &[Transmit<'_>]) -> usize {
        let mut scratch = None;
        let sent = guarded(|| {
            shape::send(
                frames,
                backend.offers(),
                || scratch.insert(self.scratch().take().unwrap_or_default()),
                |frames| backend.send(queue, frames),
            )
        });
        if scratch.is_some() {
            *self.scratch() = scratch;
        }
        sent.unwrap_or(0)
    }

    fn scratch(&self) -> MutexGuard<'_, Option<Scratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a back end: one that panics has failed, and nothing else with it.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Errno::IO))
}

impl Host for Shared {
    fn transmit(&self, queue: usize, frames: &[Transmit<'_>]) {
        let slot = self.slot();
        let backend = slot.failed.is_none().then(|| Arc::clone(&slot.backend));
        drop(slot);
        let sent = backend.map_or(0, |backend| self.send(&backend.0, queue, frames));
        let lost = frames.len().saturating_sub(sent);
        self.send_drops.fetch_add(lost as u64, Ordering::Relaxed);
    }

    fn state(&self, spliced: bool, offloads: Offloads) {
        if self.spliced.swap(spliced, Ordering::AcqRel) && !spliced {
            self.splice_ended();
        }
        let before = self.offloads.swap(offloads.bits(), Ordering::AcqRel);
        if before != offloads.bits() {
            self.told.store(false, Ordering::Release);
            self.backend().0.wake();
        }
    }
}

/// A kernel's interface and its host.
pub(crate) struct Port {
    shared: Arc<Shared>,
    vif: Vif,
    /// What the kernel was told of the link.
    link: AtomicBool,
}

/// For how long a back end that was replaced is left to finish what it is doing.
const FINISHING: Duration = Duration::from_micros(50);

/// As many frames of each of its queues are taken in after that.
const DRAINED: usize = 1024;

/// How often that is done, and how long after one another: frames are under way to where
/// the interface was, and others hear only now that it is elsewhere.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// What may bring something late is let go of when nothing has come for so long, or after so
/// long: who brings it may have to wait for a CPU.
const QUIET: Duration = Duration::from_millis(10);
const LINGER: Duration = Duration::from_millis(100);

/// How long that is waited for. Where both paths bring the same there is an end to it.
struct Patience {
    began: Instant,
    quiet: Instant,
}

impl Patience {
    fn new() -> Self {
        let began = Instant::now();
        Self {
            began,
            quiet: began,
        }
    }

    /// Whether there is some left, after something came, or did not.
    fn is_left(&mut self, came: bool) -> bool {
        if came {
            self.quiet = Instant::now();
        }
        self.began.elapsed() < LINGER && self.quiet.elapsed() < QUIET
    }
}

/// The name of the interface that a back end is, for the kernel.
fn lower_of(backend: &Arc<dyn Backend>) -> Option<CString> {
    // The name of an interface has no 0 in it.
    CString::new(backend.splice()?).ok()
}

/// Takes what has come to a back end that nobody serves. Whatever goes on coming, there is
/// an end to it.
fn drain(backend: &Arc<dyn Backend>, mut take: impl FnMut(&mut Batch)) {
    if backend.splice().is_some() {
        return;
    }
    let mut batch = Batch::new(Pool::new(DRAINED as u32));
    for queue in 0..backend.queues() {
        for _ in 0..DRAINED / abi::BATCH {
            backend.wake();
            if guarded(|| backend.receive(queue, &mut batch)).is_err() || batch.is_empty() {
                break;
            }
            take(&mut batch);
        }
    }
}

/// Throws away what has come to a back end that nobody serves.
pub(super) fn discard(backend: &Arc<dyn Backend>) {
    drain(backend, |batch| drop(batch.take_all()));
}

impl Port {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: &abi::Config) -> io::Result<Arc<Self>> {
        let lower = lower_of(&backend);
        let shared = Arc::new(Shared {
            slot: Mutex::new(Slot {
                backend: Arc::new(InUse(backend)),
                generation: 0,
                failed: None,
                stop: false,
            }),
            changed: Condvar::new(),
            offloads: AtomicU32::new(0),
            told: AtomicBool::new(false),
            spliced: AtomicBool::new(false),
            send_drops: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            scratch: Mutex::default(),
        });
        let vif = Vif::new(Arc::clone(&shared), config)?;
        let port = Self {
            shared,
            vif,
            link: AtomicBool::new(config.link != 0),
        };
        if let Some(lower) = lower {
            port.splice(&lower)?;
        }
        Ok(Arc::new(port))
    }

    /// Has the kernel send over another interface, and take what comes to it.
    fn splice(&self, lower: &CString) -> Result<(), splice::Error> {
        let refused = |error| splice::Error::of(self.vif.name(), &lower.to_string_lossy(), error);
        self.vif.splice(Some(lower)).map_err(refused)
    }

    /// Puts another back end in, announces that, waits until nobody uses the old one, and
    /// takes in what comes to it meanwhile.
    ///
    /// # Errors
    /// The kernel cannot send over the interface that the new one is; nothing has changed.
    pub(crate) fn replace(
        &self,
        backend: Arc<dyn Backend>,
        announcement: &[Vec<u8>],
    ) -> Result<Arc<dyn Backend>, splice::Error> {
        let lower = lower_of(&backend);
        let old = match &lower {
            Some(lower) => self.replace_by_splice(backend, lower)?,
            None => self.replace_by_host(backend),
        };
        self.announce(announcement);
        match lower_of(&old) {
            Some(old) if lower.as_ref() == Some(&old) => {}
            Some(old) => {
                self.linger();
                self.vif.unsplice(&old);
            }
            None => {
                let mut looks = 0..LOOKS;
                self.take_in(&old, |_| looks.next().is_some());
            }
        }
        Ok(old)
    }

    /// Takes in what comes over an interface below that is no more sent over, until nothing has
    /// come for a while.
    fn linger(&self) {
        let came = || self.vif.stats().map_or(0, |stats| stats.rx_spliced);
        let (mut last, mut patience) = (came(), Patience::new());
        loop {
            std::thread::sleep(BETWEEN_LOOKS);
            let now = came();
            if !patience.is_left(now != last) {
                break;
            }
            last = now;
        }
    }

    /// The kernel sends over the other interface, and only then leaves the old back end.
    fn replace_by_splice(
        &self,
        backend: Arc<dyn Backend>,
        lower: &CString,
    ) -> Result<Arc<dyn Backend>, splice::Error> {
        self.splice(lower)?;
        let old = self.shared.replace(backend);
        if !self.shared.is_spliced() {
            // That interface is gone already.
            self.shared.splice_ended();
        }
        Ok(self.finish(&old))
    }

    fn replace_by_host(&self, backend: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let offers = backend.offers();
        let link = backend.link();
        let old = self.shared.replace(backend);
        self.vif.set_offloads(offers);
        if old.0.splice().is_some() {
            // What the kernel was told of the link did not count since.
            self.link.store(link, Ordering::Release);
            self.vif.set_link(link);
            // There is nothing that it could refuse.
            let _ = self.vif.splice(None);
        }
        let old = self.finish(&old);
        // Nobody speaks for the old one any more.
        self.set_link(link);
        old
    }

    /// Waits until nobody uses a back end any more.
    fn finish(&self, old: &Arc<InUse>) -> Arc<dyn Backend> {
        while Arc::strong_count(old) > 1 {
            // Again and again: a thread may just be on its way into it.
            old.0.wake();
            std::thread::sleep(FINISHING);
        }
        Arc::clone(&old.0)
    }

    /// Sends frames of this side's own.
    pub(crate) fn announce(&self, frames: &[Vec<u8>]) {
        if self.shared.is_spliced() {
            frames.iter().for_each(|frame| self.vif.send(frame));
            return;
        }
        let pieces: Vec<_> = frames.iter().map(|frame| [Piece::new(frame)]).collect();
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Transmit::new(piece, Offload::default()))
            .collect();
        if !frames.is_empty() {
            let backend = self.shared.backend();
            self.shared.send(&backend.0, 0, &frames);
        }
    }

    /// Takes in what a back end brings that nobody serves any more, until nothing has come for a
    /// while.
    pub(crate) fn take_late(&self, backend: &Arc<dyn Backend>) {
        let mut patience = Patience::new();
        self.take_in(backend, |came| patience.is_left(came));
    }

    /// Takes in what a back end brings that nobody serves any more, again and again while `more`
    /// says so, which is told whether something came.
    fn take_in(&self, backend: &Arc<dyn Backend>, mut more: impl FnMut(bool) -> bool) {
        let (done, over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            // Both may be over one device, whose new threads take wake-ups for theirs that
            // were for this one.
            scope.spawn(move || {
                while over.recv_timeout(FINISHING) == Err(RecvTimeoutError::Timeout) {
                    backend.wake();
                }
            });
            loop {
                let mut came = false;
                drain(backend, |batch| {
                    came = true;
                    self.deliver(batch);
                });
                if !more(came) {
                    break;
                }
                std::thread::sleep(BETWEEN_LOOKS);
            }
            drop(done);
        });
    }

    /// Hands the kernel what has come.
    pub(crate) fn deliver(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            let bring = |batch: &mut Batch| self.vif.receive(batch.take());
            self.shared.shape(batch, bring);
            bring(batch);
        }
    }

    /// Tells the kernel about the link, if that is news.
    pub(crate) fn set_link(&self, link: bool) {
        if self.link.swap(link, Ordering::AcqRel) != link {
            tracing::info!(interface = self.vif.name(), link, "link state");
            self.vif.set_link(link);
        }
    }

    pub(crate) fn has_link(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn vif(&self) -> &Vif {
        &self.vif
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.vif.name())
            .finish_non_exhaustive()
    }
}
