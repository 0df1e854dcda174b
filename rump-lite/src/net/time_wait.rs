//! Connections that are over but for old segments that might still come: `TIME_WAIT`.
//!
//! What is kept is their addresses. A segment for one of them is answered from what it
//! says itself: a `FIN` that was sent again is acknowledged, the rest is ignored. A new
//! connection may take the addresses over (RFC 9293, 3.6.1), as nothing old is on its way
//! on a loopback interface.

use super::Tuple;
use alloc::collections::VecDeque;
use hashbrown::HashMap;
use smoltcp::time::{Duration, Instant};

/// Twice the lifetime of a segment.
const LENGTH: Duration = Duration::from_secs(10);
/// The oldest give way to more than so many.
const MOST: usize = 32_768;

/// The connections in `TIME_WAIT`.
#[derive(Debug, Default)]
pub(crate) struct TimeWait {
    until: HashMap<Tuple, Instant>,
    /// In the order of their times; some have been taken over.
    order: VecDeque<(Instant, Tuple)>,
}

impl TimeWait {
    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.until.contains_key(tuple)
    }

    pub(crate) fn insert(&mut self, now: Instant, tuple: Tuple) {
        self.expire(now);
        let end = now + LENGTH;
        self.until.insert(tuple, end);
        self.order.push_back((end, tuple));
        while self.order.len() > MOST {
            self.forget_oldest();
        }
    }

    /// A new connection has these addresses now.
    pub(crate) fn take_over(&mut self, tuple: &Tuple) {
        self.until.remove(tuple);
    }

    fn forget_oldest(&mut self) {
        if let Some((end, tuple)) = self.order.pop_front()
            && self.until.get(&tuple) == Some(&end)
        {
            self.until.remove(&tuple);
        }
    }

    /// Forgets those whose time is over.
    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};

    fn tuple(port: u16) -> Tuple {
        let end = |port| IpEndpoint::new(IpAddress::Ipv4(Ipv4Address::LOCALHOST), port);
        Tuple {
            local: end(port),
            remote: end(1),
        }
    }

    #[test]
    fn they_end_after_their_time_or_when_taken_over() {
        let mut waiting = TimeWait::default();
        let start = Instant::from_secs(100);
        waiting.insert(start, tuple(1));
        waiting.insert(start + Duration::from_secs(1), tuple(2));
        assert!(waiting.contains(&tuple(1)) && waiting.contains(&tuple(2)));
        // Taken over, and over again: the first entry is not the second one's end.
        waiting.take_over(&tuple(1));
        waiting.insert(start + Duration::from_secs(5), tuple(1));
        waiting.expire(start + LENGTH + Duration::from_secs(1));
        assert!(waiting.contains(&tuple(1)) && !waiting.contains(&tuple(2)));
        waiting.expire(start + LENGTH + LENGTH);
        assert!(!waiting.contains(&tuple(1)) && waiting.order.is_empty());
    }

    #[test]
    fn there_are_not_too_many() {
        let mut waiting = TimeWait::default();
        for number in 0..=u16::MAX {
            waiting.insert(Instant::from_secs(1), tuple(number));
        }
        assert_eq!((waiting.until.len(), waiting.order.len()), (MOST, MOST));
    }
}
