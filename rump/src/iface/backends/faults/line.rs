//! One direction of a bad link: what becomes of each frame, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// How bad a link is; [`Builder`](super::Builder) says what each is.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) reordering: f64,
    pub(super) corruption: f64,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    /// Bytes in a second, and how many wait at most.
    pub(super) rate: Option<(u64, u64)>,
}

/// How long a frame is held back so that others overtake it.
const HOLD: Duration = Duration::from_millis(1);
const HOLD_MORE: Duration = Duration::from_millis(4);

/// What became of the frames of a direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Frames that came into it.
    pub frames: u64,
    /// Those lost.
    pub lost: u64,
    /// Those lost because more waited than the rate allows.
    pub overflowed: u64,
    /// Those that went on twice.
    pub duplicated: u64,
    /// Those held back.
    pub reordered: u64,
    /// Those with a bit inverted.
    pub corrupted: u64,
}

/// A frame on its way: when it is due, and how many went before.
type Held = Reverse<(Instant, u64, Vec<u8>)>;

pub(super) struct Line {
    random: Random,
    held: BinaryHeap<Held>,
    sequence: u64,
    /// When the last frame will have passed, where there is a rate.
    busy_until: Option<Instant>,
    pub(super) counts: Counts,
}

impl Line {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            held: BinaryHeap::new(),
            sequence: 0,
            busy_until: None,
            counts: Counts::default(),
        }
    }

    /// A frame comes. As many numbers are drawn for each, whatever becomes of it.
    pub(super) fn pass(&mut self, settings: &Settings, mut frame: Vec<u8>, now: Instant) {
        let [lost, duplicated, reordered, corrupted] = [
            settings.loss,
            settings.duplication,
            settings.reordering,
            settings.corruption,
        ]
        .map(|probability| self.random.fraction() < probability);
        let (bit, held, late) = (
            self.random.next(),
            self.random.fraction(),
            self.random.fraction(),
        );
        self.counts.frames += 1;
        if lost {
            self.counts.lost += 1;
            return;
        }
        let mut due = now;
        if let Some((rate, queue)) = settings.rate {
            let start = self.busy_until.map_or(now, |busy| busy.max(now));
            let waiting = (start - now).as_secs_f64() * rate as f64;
            if waiting + frame.len() as f64 > queue as f64 {
                self.counts.overflowed += 1;
                return;
            }
            due = start + Duration::from_secs_f64(frame.len() as f64 / rate as f64);
            self.busy_until = Some(due);
        }
        due += settings.delay + settings.jitter.mul_f64(late);
        if corrupted && is_ip(&frame) {
            self.counts.corrupted += 1;
            let bit = bit as usize % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        if reordered {
            self.counts.reordered += 1;
            due += HOLD + HOLD_MORE.mul_f64(held);
        }
        if duplicated {
            self.counts.duplicated += 1;
            self.hold(due, frame.clone());
        }
        self.hold(due, frame);
    }

    fn hold(&mut self, due: Instant, frame: Vec<u8>) {
        self.held.push(Reverse((due, self.sequence, frame)));
        self.sequence += 1;
    }

    /// When the next frame is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.held.peek().map(|Reverse((due, ..))| *due)
    }

    /// Takes out the frames that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while self.next().is_some_and(|due| due <= now)
            && let Some(Reverse((.., frame))) = self.held.pop()
        {
            frames.push(frame);
        }
        frames
    }
}

/// The type in its Ethernet header is that of IPv4 or IPv6.
fn is_ip(frame: &[u8]) -> bool {
    matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]))
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u16) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[20..22].copy_from_slice(&number.to_be_bytes());
        frame
    }

    /// What comes out of a line, one frame put in every 100 us.
    fn run(seed: u64, settings: &Settings, count: u16) -> (Vec<Vec<u8>>, Counts) {
        let mut line = Line::new(seed);
        let start = Instant::now();
        let mut out = Vec::new();
        for number in 0..count {
            let now = start + Duration::from_micros(100) * u32::from(number);
            line.pass(settings, frame(number), now);
            out.extend(line.due(now));
        }
        out.extend(line.due(start + Duration::from_secs(3600)));
        (out, line.counts)
    }

    #[test]
    fn without_faults_all_pass_in_order() {
        let (out, counts) = run(1, &Settings::default(), 500);
        assert_eq!(out, (0..500).map(frame).collect::<Vec<_>>());
        assert_eq!((counts.frames, counts.lost), (500, 0));
    }

    #[test]
    fn the_same_seed_has_the_same_faults() {
        let settings = Settings {
            loss: 0.1,
            duplication: 0.1,
            reordering: 0.1,
            corruption: 0.1,
            ..Settings::default()
        };
        let (out, counts) = run(7, &settings, 10_000);
        assert_eq!((&out, &counts), (&run(7, &settings, 10_000).0, &counts));
        assert_ne!(out, run(8, &settings, 10_000).0);
        for count in [
            counts.lost,
            counts.duplicated,
            counts.reordered,
            counts.corrupted,
        ] {
            assert!((800..1200).contains(&count), "{counts:?}");
        }
        let all = 10_000 - counts.lost + counts.duplicated;
        assert_eq!(out.len() as u64, all);
        assert!(!out.is_sorted());
    }

    #[test]
    fn corruption_inverts_one_bit_and_spares_arp() {
        let settings = Settings {
            corruption: 1.0,
            ..Settings::default()
        };
        let (out, _) = run(3, &settings, 100);
        for (number, got) in (0..).zip(&out) {
            let wrong: u32 = got
                .iter()
                .zip(frame(number))
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert_eq!(wrong, 1);
        }
        let mut line = Line::new(3);
        let mut arp = frame(0);
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        line.pass(&settings, arp.clone(), Instant::now());
        assert_eq!(line.due(Instant::now()), [arp]);
    }

    #[test]
    fn a_rate_spaces_frames_and_limits_the_queue() {
        // 60 bytes take 1 ms; ten wait.
        let settings = Settings {
            rate: Some((60_000, 600)),
            delay: Duration::from_millis(5),
            ..Settings::default()
        };
        let mut line = Line::new(0);
        let now = Instant::now();
        for number in 0..20 {
            line.pass(&settings, frame(number), now);
        }
        assert_eq!(line.counts.overflowed, 10);
        for number in 0..10 {
            let due = now + Duration::from_millis(6 + u64::from(number));
            assert_eq!(line.due(due - Duration::from_micros(10)).len(), 0);
            assert_eq!(line.due(due + Duration::from_micros(10)), [frame(number)]);
        }
    }
}
