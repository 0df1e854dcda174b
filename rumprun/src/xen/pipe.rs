//! Bytes through a page, one way: the console, and xenstore's requests and replies. A buffer
//! of a power of two, and two indexes that only grow, each written by one side.

use super::page::Page;
use core::sync::atomic::Ordering;

/// The other side's index makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Where the parts are in the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipe {
    pub page: Page,
    /// Offset and size of the buffer.
    pub data: usize,
    pub size: usize,
    /// Offsets of the indexes.
    pub consumer: usize,
    pub producer: usize,
}

impl Pipe {
    /// How many bytes are in it.
    pub(super) fn waiting(&self) -> Result<usize, Broken> {
        let producer = self.page.u32(self.producer).load(Ordering::Acquire);
        let consumer = self.page.u32(self.consumer).load(Ordering::Acquire);
        let waiting = producer.wrapping_sub(consumer) as usize;
        if waiting <= self.size {
            Ok(waiting)
        } else {
            Err(Broken)
        }
    }

    /// The one or two pieces of the buffer that so many bytes from an index on are in.
    fn pieces(&self, index: u32, len: usize) -> [(usize, usize); 2] {
        let start = index as usize & (self.size - 1);
        let first = len.min(self.size - start);
        [(self.data + start, first), (self.data, len - first)]
    }

    /// Puts in as many as there is room for. For the side that writes.
    pub(super) fn push(&self, bytes: &[u8]) -> Result<usize, Broken> {
        let len = bytes.len().min(self.size - self.waiting()?);
        let index = self.page.u32(self.producer).load(Ordering::Relaxed);
        let mut rest = &bytes[..len];
        for (offset, len) in self.pieces(index, len) {
            let (piece, behind) = rest.split_at(len);
            self.page.write(offset, piece);
            rest = behind;
        }
        let index = index.wrapping_add(len as u32);
        self.page.u32(self.producer).store(index, Ordering::Release);
        Ok(len)
    }

    /// Takes out as many as are there and fit. For the side that reads.
    pub(super) fn pop(&self, to: &mut [u8]) -> Result<usize, Broken> {
        let len = to.len().min(self.waiting()?);
        let index = self.page.u32(self.consumer).load(Ordering::Relaxed);
        let mut rest = &mut to[..len];
        for (offset, len) in self.pieces(index, len) {
            let (piece, behind) = rest.split_at_mut(len);
            self.page.read(offset, piece);
            rest = behind;
        }
        let index = index.wrapping_add(len as u32);
        self.page.u32(self.consumer).store(index, Ordering::Release);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    fn pipe(start: u32) -> Pipe {
        let pipe = Pipe {
            page: Page::for_test(),
            data: 1024,
            size: 64,
            consumer: 8,
            producer: 12,
        };
        for index in [8, 12] {
            pipe.page.u32(index).store(start, Ordering::Relaxed);
        }
        pipe
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn bytes_come_out_as_they_went_in(
            start: u32,
            steps in prop::collection::vec((any::<bool>(), 0_usize..100), 1..50),
        ) {
            let pipe = pipe(start);
            let (mut model, mut next) = (VecDeque::new(), 0_u8);
            for (push, len) in steps {
                if push {
                    let bytes: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
                    let pushed = pipe.push(&bytes).unwrap();
                    prop_assert_eq!(pushed, len.min(64 - model.len()));
                    model.extend(&bytes[..pushed]);
                    next = next.wrapping_add(pushed as u8);
                } else {
                    let mut bytes = std::vec![0; len];
                    let popped = pipe.pop(&mut bytes).unwrap();
                    let expected: Vec<u8> = model.drain(..len.min(model.len())).collect();
                    prop_assert_eq!(&bytes[..popped], &expected[..]);
                }
            }
        }

        #[test]
        fn indexes_of_the_other_side_do_no_harm(producer: u32, consumer: u32, len in 0_usize..200) {
            let pipe = pipe(0);
            pipe.page.u32(12).store(producer, Ordering::Relaxed);
            pipe.page.u32(8).store(consumer, Ordering::Relaxed);
            let sound = producer.wrapping_sub(consumer) <= 64;
            let mut bytes = std::vec![0; len];
            prop_assert_eq!(pipe.push(&bytes).is_ok(), sound);
            if sound {
                prop_assert!(pipe.pop(&mut bytes).is_ok());
            }
            // Nothing beside the buffer and the indexes has changed.
            for offset in (16..1024).chain(1024 + 64..4096) {
                prop_assert_eq!(pipe.page.u8(offset).load(Ordering::Relaxed), 0);
            }
        }
    }
}
