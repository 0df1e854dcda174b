//! What is read, and in what order: the same for whoever reads.

use rump_examples::sectors;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Reads of a device for a while.
#[derive(Debug)]
pub struct Work {
    /// Bytes of each.
    pub block: usize,
    /// So many at a time.
    pub depth: usize,
    pub sequential: bool,
    pub time: Duration,
}

/// The reads of one run, from which several threads may take theirs.
#[derive(Debug)]
pub struct Reads<'a> {
    work: &'a Work,
    /// How many blocks the device has.
    blocks: u64,
    taken: AtomicU64,
    start: Instant,
}

/// What a run comes to.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Who has read.
    pub by: String,
    /// The kernel whose driver it was.
    pub kernel: String,
    pub reads: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// What else was counted.
    pub counted: BTreeMap<&'static str, u64>,
}

impl<'a> Reads<'a> {
    /// Of a device of this size, in bytes; the time begins.
    ///
    /// # Errors
    /// It has no room for one block.
    pub fn begin(work: &'a Work, size: u64) -> Result<Self, String> {
        let blocks = size / work.block as u64;
        if blocks == 0 {
            return Err(format!("the device has {size} bytes, less than a block"));
        }
        Ok(Self {
            work,
            blocks,
            taken: AtomicU64::new(0),
            start: Instant::now(),
        })
    }

    /// Whether the time is.
    pub fn is_over(&self) -> bool {
        self.start.elapsed() >= self.work.time
    }

    /// Where the next one is, in bytes; none once the time is over.
    pub fn take(&self) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let block = if self.work.sequential {
            number % self.blocks
        } else {
            mixed(number) % self.blocks
        };
        Some(block * self.work.block as u64)
    }

    /// Whether the right data came; all that was taken must be checked.
    ///
    /// # Errors
    /// Other data came.
    pub fn check(&self, offset: u64, data: &[u8]) -> Result<(), String> {
        if data.len() != self.work.block {
            return Err(format!("a read of {} bytes", data.len()));
        }
        sectors::check(offset, data)
    }

    /// All that was taken has come.
    pub fn end(self, by: &str, kernel: String) -> Measured {
        let reads = self.taken.into_inner();
        Measured {
            by: by.into(),
            kernel,
            reads,
            bytes: reads * self.work.block as u64,
            seconds: self.start.elapsed().as_secs_f64(),
            counted: BTreeMap::new(),
        }
    }
}

/// A number that looks like chance, and is another for each (the finaliser of splitmix64).
fn mixed(number: u64) -> u64 {
    let mut value = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
