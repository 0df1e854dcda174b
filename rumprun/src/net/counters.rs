//! What a card's back end counts.

use core::sync::atomic::{AtomicU64, Ordering};
use rump_hyper::vif::Statistics;

/// Frames.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) receive_drops: AtomicU64,
    pub(crate) send_drops: AtomicU64,
}

impl Counters {
    /// So many frames were sent of those that were to be; the others are lost.
    pub(crate) fn sent_of(&self, sent: usize, frames: usize) {
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.send_drops
            .fetch_add((frames - sent) as u64, Ordering::Relaxed);
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.received = self.received.load(Ordering::Relaxed);
        statistics.sent = self.sent.load(Ordering::Relaxed);
        statistics.receive_drops = self.receive_drops.load(Ordering::Relaxed);
        statistics.send_drops = self.send_drops.load(Ordering::Relaxed);
        statistics
    }
}
