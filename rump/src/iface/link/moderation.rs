//! How long a queue is left alone between two batches, as network cards moderate their
//! interrupts.
//!
//! A thread that is woken for every few frames costs whoever sends them a wake-up each,
//! and keeps a CPU from whoever could make use of it: an HTTP server with 64 busy
//! connections gains half as much again when its queue is looked at every 100 µs. A
//! server with four would lose half. Which of them this is cannot be seen in the frames,
//! but it can be tried out. The pause that brings most frames is used, and every now and
//! then another for an epoch, which is compared with the epoch before it: what else the
//! rate depends on (on which CPUs Linux has put everybody) lasts longer than that. Where
//! few frames come there is no pause at all.

use std::time::{Duration, Instant};

/// The pauses, in microseconds.
const PAUSES: [u64; 4] = [0, 25, 50, 100];
/// A pause is used for so long before its rate is looked at.
const EPOCH: Duration = Duration::from_millis(10);
/// Frames per second below which there is no pause. TCP in bulk, 64 KiB a frame, brings fewer.
const BUSY: f64 = 50_000.0;
/// Each longer pause must bring so much more.
const WORTH: f64 = 0.03;
/// One of so many epochs is a trial.
const TRIAL: u32 = 8;
/// How much a trial counts beside what was known.
const FRESH: f64 = 0.3;

/// What one queue has learned.
pub(crate) struct Moderation {
    /// The index of the pause in use.
    pause: usize,
    /// What each brings, in relation to one another; 0 if it was not tried yet.
    values: [f64; PAUSES.len()],
    /// The pause and the frames per second of the epoch before.
    before: Option<(usize, f64)>,
    epochs: u32,
    start: Instant,
    frames: usize,
}

impl Moderation {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            pause: 0,
            values: [0.0; PAUSES.len()],
            before: None,
            epochs: 0,
            start: now,
            frames: 0,
        }
    }

    /// How long to leave the queue alone after a batch of so many frames.
    pub(crate) fn pause_after(&mut self, frames: usize, now: Instant) -> Duration {
        self.frames += frames;
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed >= EPOCH {
            if elapsed > 2 * EPOCH {
                // Silence says nothing of the pause.
                self.before = None;
            }
            self.learn(self.frames as f64 / elapsed.as_secs_f64());
            self.start = now;
            self.frames = 0;
        }
        Duration::from_micros(PAUSES[self.pause])
    }

    fn learn(&mut self, rate: f64) {
        // Also where few came: the pause may be the reason.
        self.compare(rate);
        if rate < BUSY {
            self.before = None;
            self.pause = 0;
            return;
        }
        self.before = Some((self.pause, rate));
        self.epochs = self.epochs.wrapping_add(1);
        let untried = self.values.iter().position(|value| *value == 0.0);
        let trial = self.epochs.is_multiple_of(TRIAL);
        self.pause = match untried {
            Some(pause) => pause,
            // It may have become better meanwhile.
            None if trial => (self.epochs / TRIAL) as usize % PAUSES.len(),
            None => self.best(),
        };
    }

    /// Learns from an epoch with another pause than the one before it had.
    fn compare(&mut self, rate: f64) {
        let Some((other, before)) = self.before else {
            if self.values[self.pause] == 0.0 {
                self.values[self.pause] = 1.0;
            }
            return;
        };
        if other == self.pause {
            return;
        }
        let value = self.values[other] * rate / before;
        let known = &mut self.values[self.pause];
        *known = if *known == 0.0 {
            value
        } else {
            *known + (value - *known) * FRESH
        };
        let most = self.values.iter().copied().fold(f64::MIN, f64::max);
        self.values = self.values.map(|value| value / most);
    }

    fn best(&self) -> usize {
        let worth = |at: &usize| self.values[*at] * (1.0 - WORTH * *at as f64);
        (0..PAUSES.len())
            .max_by(|one, other| worth(one).total_cmp(&worth(other)))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load: how many frames come in a second with each of the pauses.
    type Load = [f64; PAUSES.len()];

    /// A second under this load; returns for how much of it each pause was used.
    fn second(moderation: &mut Moderation, now: &mut Instant, load: Load) -> [f64; PAUSES.len()] {
        let mut used = [0.0; PAUSES.len()];
        let end = *now + Duration::from_secs(1);
        let mut owed = 0.0;
        while *now < end {
            let at = moderation.pause;
            let step = Duration::from_micros(PAUSES[at] + 20);
            owed += load[at] * step.as_secs_f64();
            *now += step;
            let pause = moderation.pause_after(owed as usize, *now);
            owed -= owed.floor();
            assert_eq!(pause, Duration::from_micros(PAUSES[moderation.pause]));
            used[at] += step.as_secs_f64();
        }
        used
    }

    #[test]
    fn few_frames_are_never_kept_waiting() {
        let mut now = Instant::now();
        let mut moderation = Moderation::new(now);
        let used = second(&mut moderation, &mut now, [40e3, 80e3, 80e3, 80e3]);
        assert!(used[0] > 0.99, "{used:?}");
    }

    #[test]
    fn the_pause_that_brings_most_is_used_most() {
        let loads = [
            ([120e3, 124e3, 160e3, 190e3], 3),
            ([120e3, 140e3, 110e3, 90e3], 1),
            ([90e3, 75e3, 60e3, 45e3], 0),
            // It does not matter, so nobody has to wait.
            ([100e3, 100e3, 100e3, 100e3], 0),
        ];
        for (load, best) in loads {
            let mut now = Instant::now();
            let mut moderation = Moderation::new(now);
            let used = second(&mut moderation, &mut now, load);
            assert!(used[best] > 0.7, "{load:?}: {used:?}");
        }
    }

    #[test]
    fn another_load_is_learned_and_a_break_forgets_nothing() {
        let mut now = Instant::now();
        let mut moderation = Moderation::new(now);
        let many = [120e3, 124e3, 160e3, 190e3];
        let few = [90e3, 75e3, 60e3, 55e3];
        second(&mut moderation, &mut now, many);
        second(&mut moderation, &mut now, few);
        let used = second(&mut moderation, &mut now, few);
        assert!(used[0] > 0.8, "{used:?}");
        second(&mut moderation, &mut now, many);
        let used = second(&mut moderation, &mut now, many);
        assert!(used[3] > 0.8, "{used:?}");
        // The first epoch after a silence is without a pause.
        now += Duration::from_secs(5);
        assert_eq!(moderation.pause_after(1, now), Duration::ZERO);
        let used = second(&mut moderation, &mut now, many);
        assert!(used[3] > 0.8, "{used:?}");
    }
}
