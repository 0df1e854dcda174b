//! NetBSD's side: nvme(4) and ld(4) in this process, over VFIO. Each of the reads that are
//! under way at a time has a thread: the kernel has no other way to do disk I/O than to wait
//! for it.

use crate::work::{Measured, Reads, Work};
use ::rump::Kernel;
use ::rump::block::BlockDevice;
use ::rump::pci::Address;
use std::error::Error;
use std::thread;

/// The first disk of the kernel's, as a character device.
const DISK: &str = "/dev/rld0d";

pub fn measure(controller: Address, cpus: usize, work: &Work) -> Result<Measured, Box<dyn Error>> {
    let kernel = Kernel::builder().cpus(cpus).boot()?;
    let attached = kernel.attach_pci(controller)?;
    let device = BlockDevice::open_read_only(DISK)
        .map_err(|error| format!("{DISK} of {}: {error}", attached.name))?;
    let reads = Reads::begin(work, device.size())?;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..work.depth)
            .map(|_| scope.spawn(|| read(&device, &reads, work.block)))
            .collect();
        let results = readers.into_iter().map(|reader| match reader.join() {
            Ok(result) => result,
            Err(_) => Err("a reader has panicked".into()),
        });
        results.collect::<Result<(), String>>()
    })?;
    let measured = reads.end("rump::block", kernel.identity()?.to_string());
    drop(device);
    kernel.detach_pci(&attached.name)?;
    Ok(measured)
}

/// Takes reads until there are no more.
fn read(device: &BlockDevice, reads: &Reads<'_>, block: usize) -> Result<(), String> {
    let mut data = vec![0; block];
    while let Some(offset) = reads.take() {
        device
            .read_at(&mut data, offset)
            .map_err(|error| format!("reading at {offset}: {error}"))?;
        reads.check(offset, &data)?;
    }
    Ok(())
}
