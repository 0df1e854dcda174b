//! NetBSD's side: nvme(4) and ld(4) in this process, over VFIO, with a queue as deep as there
//! are to be reads under way, and buffers that the disk reaches.

use crate::work::{Measured, Reads, Work};
use ::rump::Kernel;
use ::rump::block::{BlockDevice, Buffer, Completion, Operation, Queue};
use ::rump::pci::{self, Address};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::iter::from_fn;

/// The first disk of the kernel's, as a character device.
const DISK: &str = "/dev/rld0d";

pub fn measure(controller: Address, cpus: usize, work: &Work) -> Result<Measured, Box<dyn Error>> {
    let kernel = Kernel::builder().cpus(cpus).boot()?;
    let attached = kernel.attach_pci(controller)?;
    let device = BlockDevice::open_read_only(DISK)
        .map_err(|error| format!("{DISK} of {}: {error}", attached.name))?;
    let size = device.size();
    let queue = Queue::new(device, work.depth)?;
    let buffers = (0..work.depth).map(|_| Buffer::new(work.block)).collect();
    let before = pci::stats();
    let reads = Reads::begin(work, size)?;
    read(&queue, buffers, &reads)?;
    let mut measured = reads.end("rump::block", kernel.identity()?.to_string());
    measured.counted = since(before);
    drop(queue);
    kernel.detach_pci(&attached.name)?;
    Ok(measured)
}

/// What the interrupts and the doorbells of the reads came to.
fn since(before: pci::Stats) -> BTreeMap<&'static str, u64> {
    let after = pci::stats();
    let counts = |of: fn(&pci::Stats) -> u64| of(&after) - of(&before);
    BTreeMap::from([
        ("interrupts", counts(|stats| stats.interrupts)),
        ("handler_calls", counts(|stats| stats.handler_calls)),
        ("waiters_calls", counts(|stats| stats.waiters_calls)),
        ("bounced_loads", counts(|stats| stats.bounced_loads)),
        ("doorbells_put_off", counts(|stats| stats.doorbells_put_off)),
        ("doorbells_made_up", counts(|stats| stats.doorbells_made_up)),
    ])
}

/// Reads into each of the buffers again and again, until there is nothing more to read.
fn read(queue: &Queue, mut free: Vec<Buffer>, reads: &Reads<'_>) -> Result<(), Box<dyn Error>> {
    let mut under_way: VecDeque<(u64, Completion)> = VecDeque::new();
    loop {
        // All at once, to as many places as there are buffers.
        let offsets: Vec<u64> = from_fn(|| reads.take()).take(free.len()).collect();
        let batch = offsets.iter().zip(free.drain(..offsets.len()));
        let batch: Vec<_> = batch
            .map(|(offset, into)| Operation::Read {
                offset: *offset,
                into,
            })
            .collect();
        under_way.extend(offsets.into_iter().zip(queue.submit_all(batch)));
        // The oldest, and what has come besides, in any order.
        let oldest = under_way.pop_front();
        let (done, rest): (VecDeque<_>, _) =
            under_way.drain(..).partition(|(_, read)| read.is_done());
        under_way = rest;
        for (offset, read) in oldest.into_iter().chain(done) {
            let (result, buffer) = read.wait();
            result.map_err(|error| format!("reading at {offset}: {error}"))?;
            reads.check(offset, &buffer)?;
            free.push(buffer);
        }
        if under_way.is_empty() && reads.is_over() {
            return Ok(());
        }
    }
}
