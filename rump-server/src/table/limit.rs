//! How fast an application may send: token buckets.
//!
//! What was taken is paid for afterwards, so a batch may overdraw; then the application's
//! ring is left alone until the debt is paid. Nothing is dropped: its kernel sees a full
//! ring, and its TCP slows down.

use std::time::{Duration, Instant};

/// So much may come at once, as a part of what may come in a second.
const BURST: f64 = 0.05;

/// What may pass in a second, and has.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// One for so much a second, full.
    pub fn new(rate: u64, now: Instant) -> Self {
        let rate = rate as f64;
        Self {
            rate,
            level: rate * BURST,
            at: now,
        }
    }

    /// Pays for some; returns how long to wait before more is taken.
    pub fn pay(&mut self, amount: u64, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + passed * self.rate).min(self.rate * BURST) - amount as f64;
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        // Somebody may have set a limit of nothing.
        Duration::try_from_secs_f64(-self.level / self.rate.max(1.0)).unwrap_or(Duration::MAX)
    }
}

/// The limits of one application; `None` is as much as there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    frames: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Limits {
    /// With so many frames and bytes a second.
    pub fn new(frames: Option<u64>, bytes: Option<u64>, now: Instant) -> Self {
        Self {
            frames: frames.map(|rate| Bucket::new(rate, now)),
            bytes: bytes.map(|rate| Bucket::new(rate, now)),
        }
    }

    /// Pays for a batch; returns how long to wait before the next.
    pub fn pay(&mut self, frames: u64, bytes: u64, now: Instant) -> Duration {
        let frames = self.frames.as_mut().map(|bucket| bucket.pay(frames, now));
        let bytes = self.bytes.as_mut().map(|bucket| bucket.pay(bytes, now));
        frames.max(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_ten_seconds_no_more_passes_than_may() {
        let start = Instant::now();
        let mut limits = Limits::new(Some(1000), Some(1_000_000), start);
        let (mut now, mut frames, mut bytes) = (start, 0, 0);
        let mut seed = 1_u64;
        while now < start + Duration::from_secs(10) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let batch = 1 + (seed >> 33) % 64;
            frames += batch;
            bytes += batch * 700;
            now += limits.pay(batch, batch * 700, now) + Duration::from_micros(10);
        }
        assert!((9900..10_200).contains(&frames), "{frames}");
        assert!(bytes < 10_200_000);
    }

    #[test]
    fn a_pause_is_not_saved_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, start);
        assert_eq!(bucket.pay(50, start), Duration::ZERO);
        let later = start + Duration::from_secs(3600);
        assert_eq!(bucket.pay(50, later), Duration::ZERO);
        assert!(bucket.pay(100, later) >= Duration::from_millis(99));
    }

    #[test]
    fn without_limits_nobody_waits() {
        let mut limits = Limits::default();
        assert_eq!(
            limits.pay(u64::MAX, u64::MAX, Instant::now()),
            Duration::ZERO
        );
    }
}
