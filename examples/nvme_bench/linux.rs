//! Linux's side: its own driver, and io_uring as those use it who want the most of it: past
//! the page cache, with registered buffers and a registered file.
#![allow(unsafe_code)]

use crate::work::{Measured, Reads, Work};
use io_uring::{IoUring, opcode, types};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `O_DIRECT` wants of a buffer's address.
const ALIGNMENT: usize = 4096;

pub fn measure(device: &Path, work: &Work) -> Result<Measured, Box<dyn Error>> {
    let named = |error| format!("{}: {error}", device.display());
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(device)
        .map_err(named)?;
    let size = file.seek(SeekFrom::End(0)).map_err(named)?;
    let mut ring = Ring::new(&file, work)?;
    let reads = Reads::begin(work, size)?;
    let mut under_way = 0;
    for slot in 0..work.depth {
        if let Some(offset) = reads.take() {
            ring.start(slot, offset)?;
            under_way += 1;
        }
    }
    while under_way > 0 {
        for slot in ring.wait()? {
            under_way -= 1;
            reads.check(ring.offsets[slot], ring.data(slot))?;
            if let Some(offset) = reads.take() {
                ring.start(slot, offset)?;
                under_way += 1;
            }
        }
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(reads.end("io_uring", format!("Linux {}", release.trim())))
}

/// A ring, and a buffer for each read that may be under way. The ring is dropped first.
struct Ring {
    ring: IoUring,
    block: usize,
    /// Where in the memory the buffers begin.
    first: usize,
    memory: Vec<u8>,
    offsets: Vec<u64>,
}

impl Ring {
    fn new(file: &File, work: &Work) -> Result<Self, Box<dyn Error>> {
        let entries = u32::try_from(work.depth)?.next_power_of_two();
        // One thread submits and waits, and completions come when it does (Linux 6.1).
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(entries)?;
        let mut memory = vec![0; work.block * work.depth + ALIGNMENT];
        let first = memory.as_ptr().align_offset(ALIGNMENT);
        let buffers: Vec<_> = memory[first..first + work.block * work.depth]
            .chunks_mut(work.block)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            })
            .collect();
        // SAFETY: `Ring` has the memory for longer than the ring, and never moves it.
        unsafe { ring.submitter().register_buffers(&buffers)? };
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        Ok(Self {
            ring,
            block: work.block,
            first,
            memory,
            offsets: vec![0; work.depth],
        })
    }

    /// Queues a read into the slot's buffer; nothing else may be under way there.
    fn start(&mut self, slot: usize, offset: u64) -> Result<(), Box<dyn Error>> {
        self.offsets[slot] = offset;
        let at = self.first + slot * self.block;
        let buffer = self.memory[at..at + self.block].as_mut_ptr();
        let (length, index) = (u32::try_from(self.block)?, u16::try_from(slot)?);
        let read = opcode::ReadFixed::new(types::Fixed(0), buffer, length, index)
            .offset(offset)
            .build()
            .user_data(slot as u64);
        // SAFETY: the buffer is registered memory of this value's, and is not looked at
        // before the read is complete.
        unsafe { self.ring.submission().push(&read)? };
        Ok(())
    }

    /// Submits what is queued and waits for one or more; the slots that are complete.
    fn wait(&mut self) -> Result<Vec<usize>, Box<dyn Error>> {
        self.ring.submit_and_wait(1)?;
        let block = self.block;
        let complete = self.ring.completion().map(|entry| {
            let result = entry.result();
            if usize::try_from(result) != Ok(block) {
                return Err(format!("a read came to {result}"));
            }
            usize::try_from(entry.user_data()).map_err(|error| error.to_string())
        });
        Ok(complete.collect::<Result<_, String>>()?)
    }

    /// The data of a slot whose read is complete.
    fn data(&self, slot: usize) -> &[u8] {
        let at = self.first + slot * self.block;
        &self.memory[at..at + self.block]
    }
}
