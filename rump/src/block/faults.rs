//! A disk that fails.

use super::Backend;
use crate::error::Errno;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Fails some transfers of the back end in it, at random with a seed.
///
/// A write that fails may have written a part: whole sectors from its start, as a disk does.
#[derive(Debug)]
pub struct Faults<B> {
    inner: B,
    reads: AtomicU32,
    writes: AtomicU32,
    flushes: AtomicU32,
    dead: AtomicBool,
    random: AtomicU64,
    failed_reads: AtomicU64,
    failed_writes: AtomicU64,
    failed_flushes: AtomicU64,
}

/// What was made to fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultStatistics {
    /// Reads.
    pub reads: u64,
    /// Writes, of which a part may have been written.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
}

/// What chances are out of.
const MILLION: u64 = 1_000_000;

impl<B: Backend> Faults<B> {
    /// Fails nothing at first.
    pub fn new(inner: B, seed: u64) -> Self {
        Self {
            inner,
            reads: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            flushes: AtomicU32::new(0),
            dead: AtomicBool::new(false),
            random: AtomicU64::new(seed | 1),
            failed_reads: AtomicU64::new(0),
            failed_writes: AtomicU64::new(0),
            failed_flushes: AtomicU64::new(0),
        }
    }

    /// How many of a million reads fail from now on.
    pub fn fail_reads(&self, of_a_million: u32) {
        self.reads.store(of_a_million, Ordering::Relaxed);
    }

    /// How many of a million writes fail from now on.
    pub fn fail_writes(&self, of_a_million: u32) {
        self.writes.store(of_a_million, Ordering::Relaxed);
    }

    /// How many of a million flushes fail from now on.
    pub fn fail_flushes(&self, of_a_million: u32) {
        self.flushes.store(of_a_million, Ordering::Relaxed);
    }

    /// Whether the disk is gone, so that everything fails with `ENXIO`.
    pub fn set_dead(&self, dead: bool) {
        self.dead.store(dead, Ordering::Relaxed);
    }

    /// What was made to fail.
    pub fn statistics(&self) -> FaultStatistics {
        FaultStatistics {
            reads: self.failed_reads.load(Ordering::Relaxed),
            writes: self.failed_writes.load(Ordering::Relaxed),
            flushes: self.failed_flushes.load(Ordering::Relaxed),
        }
    }

    /// The back end in it.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    fn next(&self) -> u64 {
        let step = |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005) + 1);
        let state = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        state.unwrap_or_default() >> 33
    }

    fn fails(&self, chance: &AtomicU32, count: &AtomicU64) -> Result<bool, Errno> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(Errno::ENXIO);
        }
        let chance = u64::from(chance.load(Ordering::Relaxed));
        let fails = chance > 0 && self.next() % MILLION < chance;
        count.fetch_add(fails.into(), Ordering::Relaxed);
        Ok(fails)
    }
}

impl<B: Backend> Backend for Faults<B> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn sector_size(&self) -> u32 {
        self.inner.sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        if self.fails(&self.reads, &self.failed_reads)? {
            return Err(Errno::EIO);
        }
        self.inner.read(offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        if self.fails(&self.writes, &self.failed_writes)? {
            let sector = self.sector_size() as usize;
            let sectors = self.next() as usize % (from.len() / sector).max(1);
            self.inner.write(offset, &from[..sectors * sector])?;
            return Err(Errno::EIO);
        }
        self.inner.write(offset, from)
    }

    fn flush(&self) -> Result<(), Errno> {
        if self.fails(&self.flushes, &self.failed_flushes)? {
            return Err(Errno::EIO);
        }
        self.inner.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(Errno::ENXIO);
        }
        self.inner.discard(offset, length)
    }

    fn depth(&self) -> usize {
        self.inner.depth()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    #[test]
    fn fails_what_it_is_told_to() {
        let disk = Faults::new(Memory::new(1 << 16), 7);
        let mut sector = [0; 1024];
        for _ in 0..100 {
            disk.write(0, &[1; 1024]).unwrap();
            disk.read(0, &mut sector).unwrap();
        }
        disk.fail_writes(500_000);
        disk.fail_reads(MILLION as u32);
        let failed = (0..1000).filter(|_| disk.write(0, &[2; 1024]).is_err());
        let failed = failed.count() as u64;
        assert!((400..600).contains(&failed), "{failed}");
        assert_eq!(disk.read(0, &mut sector), Err(Errno::EIO));
        let told = disk.statistics();
        assert_eq!((told.reads, told.writes, told.flushes), (1, failed, 0));
        disk.set_dead(true);
        assert_eq!(disk.flush(), Err(Errno::ENXIO));
        assert_eq!(disk.write(0, &sector), Err(Errno::ENXIO));
    }

    #[test]
    fn a_failed_write_wrote_whole_sectors() {
        let disk = Faults::new(Memory::new(4096), 99);
        disk.fail_writes(MILLION as u32);
        for round in 1..50u8 {
            disk.write(0, &[round; 4096]).unwrap_err();
            let now = disk.inner().contents();
            for sector in now.chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            assert_ne!(now[4095], round);
        }
    }
}
