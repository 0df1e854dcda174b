//! The bus of NetBSD's shmif(4) as a back end: an Ethernet in a file, whose other ends are
//! interfaces of kernels that upstream built, or such as this one.
//!
//! [`shmif`](crate::vif::shmif) has the layout. Whoever has written frames also writes to
//! the file, upon which Linux tells those who watch it (inotify(7)).
//!
//! Weak: a process that ends while it has the lock leaves a bus that nobody can use; this
//! side then fails after a while instead of waiting for ever. Who can write the file can
//! also cut it off, which ends every process that has it mapped (SIGBUS): all on a bus
//! trust each other that much.
#![allow(unsafe_code)]

use super::mapping::Mapping;
use super::wake::{Waited, Waker};
use crate::errno::Errno;
use crate::vif::abi::Offload;
use crate::vif::shmif::{Broken, Bus, FRAME_MAX, Place, SIZE, VERSION, WAKE};
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use core::fmt;
use core::time::Duration;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rump_ring::Shared;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// An Ethernet in a file.
pub struct Shmif {
    bus: Bus,
    // What the bus is in.
    _mapping: Mapping,
    file: File,
    watch: Inotify,
    waker: Waker,
    place: Mutex<Place>,
    received: AtomicU64,
    sent: AtomicU64,
    send_drops: AtomicU64,
}

/// How often the lock is tried before a pause, and how long that is.
const SPINS: u32 = 1000;
const PAUSE: Duration = Duration::from_micros(100);
/// Whoever has the lock for so long will not give it back.
const PATIENCE: Duration = Duration::from_secs(1);

impl Shmif {
    /// Opens the bus in a file, which is made if it is not there.
    ///
    /// # Errors
    /// The file could not be opened, made as long as a bus, mapped, or watched;
    /// `InvalidData` if it is something else; `TimedOut` if somebody has its lock.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // As upstream does; a new one is all zero.
        file.set_len(SIZE as u64)?;
        let mapping = Mapping::new(file.as_fd(), SIZE)?;
        // SAFETY: mapped as long as this, and nobody has a reference to it.
        let memory = unsafe { Shared::new(mapping.start(), SIZE) };
        let bus = Bus::new(memory, RandomState::new().build_hasher().finish());
        let place = locked(&bus, Bus::join).map_err(|failure| match failure {
            Failure::Lock => Error::new(ErrorKind::TimedOut, "the lock of the bus is not free"),
            Failure::Broken(broken) => Error::new(ErrorKind::InvalidData, broken),
        })?;
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        watch.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        Ok(Self {
            bus,
            _mapping: mapping,
            file,
            watch,
            waker: Waker::new()?,
            place: Mutex::new(place),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            send_drops: AtomicU64::new(0),
        })
    }

    /// Takes what there is.
    fn take(&self, batch: &mut Batch) -> core::result::Result<(), Failure> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        locked(&self.bus, |bus| {
            while !batch.is_full() {
                let mut buffer = batch.buffer();
                let Some(len) = bus.read(&mut place, &mut buffer)? else {
                    break;
                };
                batch.push(buffer, len, Offload::default());
                self.received.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}

/// Why nothing can be done with a bus.
enum Failure {
    Lock,
    Broken(Broken),
}

impl From<Failure> for Errno {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lock => Self::TIMEDOUT,
            Failure::Broken(_) => Self::BADMSG,
        }
    }
}

/// Does something with the lock.
fn locked<T>(
    bus: &Bus,
    work: impl FnOnce(&Bus) -> core::result::Result<T, Broken>,
) -> core::result::Result<T, Failure> {
    let mut start = None;
    while !(0..SPINS).any(|_| bus.try_lock()) {
        if start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(Failure::Lock);
        }
        std::thread::sleep(PAUSE);
    }
    let result = work(bus);
    bus.unlock();
    result.map_err(Failure::Broken)
}

impl Backend for Shmif {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    /// # Errors
    /// `EBADMSG` if somebody has spoiled the bus; `ETIMEDOUT` if its lock is not free.
    fn receive(&self, _queue: usize, batch: &mut Batch) -> core::result::Result<(), Errno> {
        loop {
            // What changes the file from here on is heard of.
            while self.watch.read_events().is_ok() {}
            self.take(batch)?;
            if !batch.is_empty() || self.waker.wait(self.watch.as_fd(), None) == Waited::Woken {
                return Ok(());
            }
        }
    }

    /// # Errors
    /// As of `receive`.
    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> core::result::Result<usize, Errno> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut bytes = [0; FRAME_MAX];
        let sent = locked(&self.bus, |bus| {
            let mut sent = 0;
            // Others take nothing that is longer, and somebody might have set the MTU.
            for frame in frames.iter().filter(|frame| frame.len() <= FRAME_MAX) {
                let len = frame.copy_to(&mut bytes);
                bus.write(&bytes[..len], now.as_secs() as u32, now.subsec_micros())?;
                sent += 1;
            }
            Ok(sent)
        })?;
        // If that fails, they hear of it with the next.
        let _ = self.file.write_at(&VERSION.to_ne_bytes(), WAKE);
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        let dropped = (frames.len() - sent) as u64;
        self.send_drops.fetch_add(dropped, Ordering::Relaxed);
        Ok(sent)
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            send_drops: self.send_drops.load(Ordering::Relaxed),
            ..Statistics::default()
        }
    }
}

impl fmt::Debug for Shmif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shmif")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
