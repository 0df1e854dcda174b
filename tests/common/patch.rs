//! Back ends for tests: a cable between two of them, and one that leaves nothing to
//! another.

#![allow(dead_code)]

use rump::iface::Backend;
use rump::iface::link::{Batch, HostErrno, Offloads, Piece, Transmit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Carries frames between two back ends, as they are, until it is dropped.
pub struct Patch {
    ends: [Arc<dyn Backend>; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Patch {
    pub fn new(one: impl Backend + 'static, other: impl Backend + 'static) -> Self {
        let ends: [Arc<dyn Backend>; 2] = [Arc::new(one), Arc::new(other)];
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [(0, 1), (1, 0)].map(|(from, to)| {
            let (from, to) = (Arc::clone(&ends[from]), Arc::clone(&ends[to]));
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || carry(&*from, &*to, &stop))
        });
        Self {
            ends,
            stop,
            threads: threads.into(),
        }
    }
}

fn carry(from: &dyn Backend, to: &dyn Backend, stop: &AtomicBool) {
    let _ = from.set_receive_offloads(Offloads::ALL & to.offers_to_send());
    let mut batch = Batch::new(rump_sys::hyper::vif::Pool::new(0));
    while !stop.load(Ordering::Relaxed) && from.receive(0, &mut batch).is_ok() {
        let frames = batch.take_all();
        let pieces: Vec<_> = frames.iter().map(|it| [Piece::new(it.bytes())]).collect();
        let frames: Vec<_> = frames
            .iter()
            .zip(&pieces)
            .map(|(frame, piece)| Transmit::new(piece, frame.offload))
            .collect();
        let _ = to.send(0, &frames);
    }
}

trait OffersToSend: Backend {
    /// What may come from elsewhere, if this is to send it.
    fn offers_to_send(&self) -> Offloads {
        let offers = self.offers();
        [
            (Offloads::TX_CSUM, Offloads::RX_CSUM),
            (Offloads::TX_TSO4, Offloads::RX_LRO4),
            (Offloads::TX_TSO6, Offloads::RX_LRO6),
        ]
        .into_iter()
        .filter(|(sent, _)| offers.contains(*sent))
        .fold(Offloads::NONE, |all, (_, received)| all | received)
    }
}

impl<B: Backend + ?Sized> OffersToSend for B {}

impl Drop for Patch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ends.iter().for_each(|end| end.wake());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// The same back end without offloads.
#[derive(Debug)]
pub struct Plain<B>(pub B);

impl<B: Backend> Backend for Plain<B> {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), HostErrno> {
        assert_eq!(offloads, Offloads::NONE);
        self.0.set_receive_offloads(offloads)
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        self.0.receive(queue, batch)
    }

    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        for frame in frames {
            assert_eq!(frame.offload(), Default::default(), "nothing was offered");
            assert!(frame.len() <= 1514, "{} bytes", frame.len());
        }
        self.0.send(queue, frames)
    }

    fn link(&self) -> bool {
        self.0.link()
    }

    fn wake(&self) {
        self.0.wake();
    }
}
