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
    pub(crate) fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.received = self.received.load(Ordering::Relaxed);
        statistics.sent = self.sent.load(Ordering::Relaxed);
        statistics.receive_drops = self.receive_drops.load(Ordering::Relaxed);
        statistics.send_drops = self.send_drops.load(Ordering::Relaxed);
        statistics
    }
}
