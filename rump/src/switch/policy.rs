//! When an interface moves by itself: frames per second, with hysteresis.
//!
//! What counts is time: the rate must be above the upper threshold (below the lower one)
//! at each look for so long. Between the two nothing changes, so that a rate that stays
//! where it is never moves an interface twice. A move that fails is tried again, each time
//! after twice as long.

use super::{Error, Path};
use std::time::{Duration, Instant};

/// When an interface moves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    up: u64,
    down: u64,
    above: Duration,
    below: Duration,
}

/// A move that fails again and again is tried after so long at most.
const LONGEST: Duration = Duration::from_secs(60);

impl Policy {
    /// To the direct path at `up` frames per second and more, sent and received together,
    /// and back at `down` and fewer.
    ///
    /// # Errors
    /// [`Error::Policy`] if `down` is not less than `up`.
    pub fn new(up: u64, down: u64) -> Result<Self, Error> {
        if down >= up {
            return Err(Error::Policy { up, down });
        }
        Ok(Self {
            up,
            down,
            above: Duration::from_millis(500),
            below: Duration::from_secs(5),
        })
    }

    /// For how long the rate must be above the upper threshold; half a second by default.
    #[must_use]
    pub fn above(mut self, time: Duration) -> Self {
        self.above = time;
        self
    }

    /// For how long the rate must be below the lower threshold; 5 s by default.
    #[must_use]
    pub fn below(mut self, time: Duration) -> Self {
        self.below = time;
        self
    }
}

/// A policy at work.
#[derive(Debug)]
pub(super) struct Watch {
    policy: Policy,
    /// When was looked, and how many frames there were then.
    before: Option<(Instant, u64)>,
    rate: Option<f64>,
    /// Since when the rate is such that it would move.
    since: Option<Instant>,
    /// Moves that failed in a row, and until when there is no further one.
    failed: u32,
    not_before: Option<Instant>,
}

impl Watch {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            before: None,
            rate: None,
            since: None,
            failed: 0,
            not_before: None,
        }
    }

    /// Frames per second between the last two looks.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// There are so many frames by now: where to go, if anywhere.
    pub(super) fn look(&mut self, now: Instant, frames: u64, path: Path) -> Option<Path> {
        let before = self.before.replace((now, frames));
        let (then, counted) = before?;
        let time = now.saturating_duration_since(then);
        if time.is_zero() {
            return None;
        }
        let rate = frames.wrapping_sub(counted) as f64 / time.as_secs_f64();
        self.rate = Some(rate);
        let (applies, long, to) = match path {
            Path::Shared => (
                rate >= self.policy.up as f64,
                self.policy.above,
                Path::Direct,
            ),
            Path::Direct => (
                rate <= self.policy.down as f64,
                self.policy.below,
                Path::Shared,
            ),
        };
        if !applies {
            self.since = None;
            return None;
        }
        // It has been so since the look before this one.
        let since = *self.since.get_or_insert(then);
        let ready = self.not_before.is_none_or(|time| now >= time);
        (ready && now.saturating_duration_since(since) >= long).then_some(to)
    }

    /// What it wanted was done, or could not be.
    pub(super) fn moved(&mut self, now: Instant, failed: bool) {
        self.since = None;
        if !failed {
            self.failed = 0;
            self.not_before = None;
            return;
        }
        let shortest = Duration::from_millis(500).max(self.policy.above);
        let wait = shortest
            .saturating_mul(1 << self.failed.min(16))
            .min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        self.not_before = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    /// Runs a policy over rates, one for each tick; the ticks at which it moved.
    fn run(policy: Policy, rates: impl IntoIterator<Item = u64>) -> Vec<(usize, Path)> {
        let mut watch = Watch::new(policy);
        let (mut now, mut frames, mut path) = (Instant::now(), u64::MAX - 1000, Path::Shared);
        assert_eq!(watch.look(now, frames, path), None);
        let mut moves = Vec::new();
        for (tick, rate) in rates.into_iter().enumerate() {
            now += TICK;
            // Counters may wrap.
            frames = frames.wrapping_add(rate / 10);
            if let Some(to) = watch.look(now, frames, path) {
                assert_ne!(to, path);
                path = to;
                watch.moved(now, false);
                moves.push((tick, to));
            }
        }
        moves
    }

    fn policy() -> Policy {
        Policy::new(10_000, 2_000)
            .unwrap()
            .above(Duration::from_millis(300))
            .below(Duration::from_millis(500))
    }

    #[test]
    fn thresholds_must_differ() {
        assert!(matches!(
            Policy::new(5, 5),
            Err(Error::Policy { up: 5, down: 5 })
        ));
        assert!(Policy::new(5, 6).is_err() && Policy::new(6, 5).is_ok());
    }

    #[test]
    fn it_moves_after_a_while_above_and_after_a_while_below() {
        let rates = [10_000; 10].into_iter().chain([2_000; 10]);
        let moves = run(policy(), rates);
        assert_eq!(moves, [(2, Path::Direct), (14, Path::Shared)]);
    }

    #[test]
    fn a_burst_or_a_pause_moves_nothing() {
        let bursts = [20_000, 20_000, 0, 20_000, 9_990].repeat(20);
        assert_eq!(run(policy(), bursts), []);
        let pauses = [20_000; 3]
            .into_iter()
            .chain([0, 0, 0, 0, 20_000].repeat(20));
        assert_eq!(run(policy(), pauses), [(2, Path::Direct)]);
    }

    /// Whatever the rate is, as long as it stays there is one move at most.
    #[test]
    fn a_rate_that_stays_moves_once() {
        for rate in (0..30_000).step_by(990) {
            let moves = run(policy(), std::iter::repeat_n(rate, 200));
            assert_eq!(moves.len(), usize::from(rate >= 10_000), "{rate}");
        }
    }

    #[test]
    fn what_fails_is_tried_less_and_less_often() {
        let mut watch = Watch::new(policy());
        let start = Instant::now();
        let (mut now, mut frames) = (start, 0);
        let mut tries = Vec::new();
        for _ in 0..3000 {
            now += TICK;
            frames += 5_000;
            if watch.look(now, frames, Path::Shared).is_some() {
                tries.push((now - start).as_millis() / 100);
                watch.moved(now, true);
            }
        }
        let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..7], [5, 10, 20, 40, 80, 160, 320]);
        assert!(gaps[7..].iter().all(|gap| *gap == 600), "{gaps:?}");
    }
}
