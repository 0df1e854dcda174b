//! Free memory in runs of whole pages, for what is longer than one.

use std::collections::BTreeMap;

/// Free runs: where each begins, and how long it is. No two touch.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<usize, usize>);

impl Runs {
    /// Takes memory of that length and alignment out of the run that it fills best.
    pub(super) fn take(&mut self, len: usize, align: usize) -> Option<usize> {
        let fits = |(&start, &room): (&usize, &usize)| {
            let at = start.checked_next_multiple_of(align)?;
            let end = at.checked_add(len)?;
            (end <= start + room).then_some((room, start, at))
        };
        let (room, start, at) = self.0.iter().filter_map(fits).min()?;
        self.0.remove(&start);
        self.put(start, at - start);
        self.put(at + len, start + room - (at + len));
        Some(at)
    }

    /// Adds memory, which nobody uses.
    pub(super) fn put(&mut self, mut start: usize, mut len: usize) {
        if len == 0 {
            return;
        }
        if let Some((&before, &room)) = self.0.range(..start).next_back()
            && before + room == start
        {
            self.0.remove(&before);
            (start, len) = (before, room + len);
        }
        if let Some(room) = self.0.remove(&(start + len)) {
            len += room;
        }
        self.0.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_was_taken_apart_comes_together_again() {
        let mut runs = Runs::default();
        runs.put(0x10_0000, 0x10_0000);
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as usize
        };
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for _ in 0..20_000 {
            if random(2) == 0 && !taken.is_empty() {
                let (start, len) = taken.swap_remove(random(taken.len() as u64));
                runs.put(start, len);
                continue;
            }
            let len = 0x1000 * (1 + random(20));
            let align = 0x1000 << random(5);
            let Some(start) = runs.take(len, align) else {
                continue;
            };
            assert!(start.is_multiple_of(align));
            assert!(start >= 0x10_0000 && start + len <= 0x20_0000);
            for &(other, room) in &taken {
                assert!(start + len <= other || other + room <= start);
            }
            taken.push((start, len));
        }
        for (start, len) in taken {
            runs.put(start, len);
        }
        assert_eq!(
            runs.0.into_iter().collect::<Vec<_>>(),
            [(0x10_0000, 0x10_0000)]
        );
    }
}
