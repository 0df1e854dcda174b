//! `rump::block` on an NVMe disk of a guest's: threads that wait for the disk's interrupts
//! themselves, several of them, and those that wait in another way.

#[path = "pci/guest.rs"]
mod guest;

use guest::{Result, bytes, vfio};
use rump::block::{BlockDevice, Buffer, Operation, Queue};
use rump::{Kernel, pci};
use rump_testbed::{Disk, Guest, Outcome, inside};
use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What is on the disk.
const SIZE: usize = 8 << 20;
const BLOCK: usize = 4096;
const BLOCKS: usize = SIZE / BLOCK;
const PATH: &str = "/dev/rld0d";

fn boot(cpus: usize) -> Result<(Kernel, pci::Attached)> {
    let address = vfio(&inside::device("nvme")?)?;
    let kernel = Kernel::builder().cpus(cpus).pci(address).boot()?;
    let [attached] = &pci::attached()[..] else {
        return Err("one device was to be attached".into());
    };
    Ok((kernel, attached.clone()))
}

/// Reads that many blocks, one after the other, and compares.
fn read(device: &BlockDevice, blocks: usize) -> Result<()> {
    let (wanted, mut block) = (bytes(SIZE), vec![0; BLOCK]);
    for number in 0..blocks {
        let at = number * 7 % BLOCKS * BLOCK;
        device.read_at(&mut block, at as u64)?;
        if block != wanted[at..at + BLOCK] {
            return Err(format!("other data at {at}").into());
        }
    }
    Ok(())
}

fn who_waits_for_a_disk_serves_its_interrupts() -> Outcome {
    const READS: usize = 1000;
    let (kernel, attached) = boot(2)?;
    let device = BlockDevice::open_read_only(PATH)?;
    read(&device, 100)?;
    let before = pci::stats();
    read(&device, READS)?;
    let after = pci::stats();
    let visits = after.waiters_calls - before.waiters_calls;
    let calls = after.handler_calls - before.handler_calls;
    println!("{visits} of {calls} calls of handlers");
    assert!(visits > READS as u64 / 2, "{visits} of {calls}");
    drop(device);
    // Its own thread takes the vector back, and ends.
    kernel.detach_pci(&attached.name)?;
    Ok(())
}

fn a_disk_is_told_of_several_reads_at_once() -> Outcome {
    const DEPTH: usize = 32;
    const TIMES: usize = 50;
    let (kernel, attached) = boot(2)?;
    let queue = Queue::new(BlockDevice::open_read_only(PATH)?, DEPTH)?;
    let wanted = bytes(SIZE);
    let rung = || {
        let stats = pci::stats();
        (stats.doorbells_put_off, stats.doorbells_made_up)
    };
    let before = rung();
    for time in 0..TIMES {
        let places: Vec<_> = (0..DEPTH)
            .map(|number| (time * DEPTH + number) * 13 % BLOCKS * BLOCK)
            .collect();
        let reads = places.iter().map(|at| Operation::Read {
            offset: *at as u64,
            into: Buffer::new(BLOCK),
        });
        for (read, at) in queue.submit_all(reads).into_iter().zip(&places) {
            let (result, data) = read.wait();
            result?;
            assert!(data[..] == wanted[*at..*at + BLOCK], "other data at {at}");
        }
    }
    let after = rung();
    let (put_off, made_up) = (after.0 - before.0, after.1 - before.1);
    println!("{put_off} put off, {made_up} rung for them");
    // Commands of one thread may go to the queues of two virtual CPUs.
    assert!(put_off > (TIMES * DEPTH / 2) as u64, "{put_off}");
    assert!(made_up <= 2 * TIMES as u64, "{made_up}");
    read(queue.device(), 10)?;
    assert_eq!(rung(), after, "one by itself is told of at once");
    drop(queue);
    kernel.detach_pci(&attached.name)?;
    Ok(())
}

/// A future that a thread waits for by parking, so that it serves nothing.
fn parked<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn all_who_wait_are_told_however_they_wait() -> Outcome {
    const TIME: Duration = Duration::from_secs(5);
    let (kernel, attached) = boot(2)?;
    let wanted = Arc::new(bytes(SIZE));
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicUsize; 4]> = Arc::default();
    let worker = |which: usize, step: fn(&Queue, usize) -> Result<Buffer>| {
        let (wanted, stop, counts) = (wanted.clone(), stop.clone(), counts.clone());
        std::thread::spawn(move || -> std::result::Result<Duration, String> {
            let (mut longest, mut number) = (Duration::ZERO, which);
            let device = BlockDevice::open_read_only(PATH).map_err(|error| error.to_string())?;
            let queue = Queue::new(device, 4).map_err(|error| error.to_string())?;
            while !stop.load(Ordering::Relaxed) {
                let at = number * 13 % BLOCKS * BLOCK;
                let start = Instant::now();
                let read = step(&queue, at).map_err(|error| error.to_string())?;
                longest = longest.max(start.elapsed());
                if read[..] != wanted[at..at + BLOCK] {
                    return Err(format!("other data at {at}"));
                }
                counts[which].fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
            Ok(longest)
        })
    };
    let workers = [
        // Two that wait in their threads, one of them for a read that is not the last one.
        worker(0, |queue, at| {
            let (result, buffer) = queue.read(at as u64, BLOCK).wait();
            result?;
            Ok(buffer)
        }),
        worker(1, |queue, at| {
            let reads = [at, 0, BLOCK].map(|at| Operation::Read {
                offset: at as u64,
                into: Buffer::new(BLOCK),
            });
            let mut reads = queue.submit_all(reads).into_iter();
            let (result, buffer) = reads.next().ok_or("none was started")?.wait();
            result?;
            for read in reads {
                read.wait().0?;
            }
            Ok(buffer)
        }),
        // One that is woken, and one that the kernel has wait.
        worker(2, |queue, at| {
            let (result, buffer) = parked(queue.read(at as u64, BLOCK));
            result?;
            Ok(buffer)
        }),
        worker(3, |_, at| {
            let mut buffer = vec![0; BLOCK];
            let file = rump::fs::File::open(PATH)?;
            file.read_exact_at(&mut buffer, at as u64)?;
            Ok(buffer.into())
        }),
    ];
    std::thread::sleep(TIME);
    stop.store(true, Ordering::Relaxed);
    for (worker, count) in workers.into_iter().zip(counts.iter()) {
        let longest = worker.join().map_err(|_| "a reader panicked")??;
        let count = count.load(Ordering::Relaxed);
        println!("{count} reads, the longest took {longest:?}");
        assert!(count > 10 && longest < TIME);
    }
    println!("{:?}", pci::stats());
    kernel.detach_pci(&attached.name)?;
    Ok(())
}

/// In the command register: the device may read and write memory (PCI 3.0, 6.2.2).
const BUS_MASTER: u32 = 1 << 2;

fn who_serves_interrupts_that_do_not_come_is_told() -> Outcome {
    use rump_sys::hyper::pci::bus::{config_read, config_write};
    const LIMIT: Duration = Duration::from_secs(3);
    pci::set_disk_timeout(Some(LIMIT))?;
    let (kernel, attached) = boot(2)?;
    let device = BlockDevice::open_read_only(PATH)?;
    read(&device, 100)?;
    let command = config_read(0, 0, 0, 4).expect("there is a device") & 0xffff;
    config_write(0, 0, 0, 4, command & !BUS_MASTER).expect("it has this register");
    let start = Instant::now();
    let error = device.read_at(&mut [0; BLOCK], 0).err();
    println!("{error:?} after {:?}", start.elapsed());
    let error = error.ok_or("nobody can have answered")?;
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() >= LIMIT && start.elapsed() < LIMIT * 5);
    // One that waits when the device is taken away.
    let waiting = std::thread::spawn(move || {
        let outcome = device.read_at(&mut [0; BLOCK], 0);
        drop(device);
        outcome.map_err(|error| error.to_string())
    });
    kernel.remove_pci(&attached.name)?;
    let outcome = waiting.join().map_err(|_| "the reader panicked")?;
    println!("{outcome:?}");
    assert!(outcome.is_err());
    Ok(())
}

fn main() -> ExitCode {
    let disk = match Disk::with(&bytes(SIZE)) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("a file for the disk: {error}");
            return ExitCode::FAILURE;
        }
    };
    let guest = Guest::new().cpus(2).memory(512).nvme(&disk);
    let test = |name, body| guest::test(name, "nvme", Duration::from_secs(120), body);
    rump_testbed::run(
        guest,
        [
            test(
                "qemu::who_waits_for_a_disk_serves_its_interrupts",
                who_waits_for_a_disk_serves_its_interrupts,
            ),
            test(
                "qemu::a_disk_is_told_of_several_reads_at_once",
                a_disk_is_told_of_several_reads_at_once,
            ),
            test(
                "qemu::all_who_wait_are_told_however_they_wait",
                all_who_wait_are_told_however_they_wait,
            ),
            test(
                "qemu::who_serves_interrupts_that_do_not_come_is_told",
                who_serves_interrupts_that_do_not_come_is_told,
            ),
        ],
    )
}
