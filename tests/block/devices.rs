//! Devices over back ends of the program's.

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use rump::Errno;
use rump::block::{
    Backend, BlockDevice, Completion, Disk, Faults, Image, Memory, Operation, Queue,
};
use rump::fs::{self, Mount};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn attach(backend: impl Backend + 'static) -> std::io::Result<Disk> {
    Disk::attach(common::boot(), backend)
}

pub fn memory() -> Outcome {
    let memory = Arc::new(Memory::new(1 << 20));
    let disk = attach(memory.clone())?;
    assert_eq!(disk.path().replace("/dev/", "/dev/r"), disk.raw_path());
    let device = BlockDevice::open(disk.raw_path())?;
    assert_eq!((device.size(), device.sector_size()), (1 << 20, 512));
    // More than one transfer of the kernel's, at an odd address.
    let bytes: Vec<u8> = (0..300_033u32)
        .map(|at| at as u8 ^ (at >> 8) as u8)
        .collect();
    let bytes = &bytes[1..][..299_520];
    device.write_at(bytes, 512 * 77)?;
    device.flush()?;
    assert_eq!(memory.contents()[512 * 77..][..299_520], *bytes);
    let mut back = vec![0; bytes.len()];
    device.read_at(&mut back, 512 * 77)?;
    assert!(back == bytes);
    for (offset, length) in [(1, 512), (512, 1), (256, 256)] {
        let error = device.read_at(&mut vec![0; length], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{offset} {length}");
        let error = device.write_at(&vec![0; length], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{offset} {length}");
    }
    let beyond = (1 << 20) - 512;
    let error = device.read_at(&mut [0; 1024], beyond).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    device.read_at(&mut [0; 512], beyond)?;
    assert!(device.write_at(&[0; 512], 1 << 20).is_err());
    assert!(device.read_at(&mut [0; 512], 1 << 40).is_err());
    device.discard(0, 1 << 19)?;
    assert!(memory.contents()[..1 << 19].iter().all(|byte| *byte == 0));
    drop(device);
    Ok(disk.detach()?)
}

#[derive(Debug)]
struct Sectors(Memory, u32);

impl Backend for Sectors {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn sector_size(&self) -> u32 {
        self.1
    }
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        assert_eq!((offset | into.len() as u64) % u64::from(self.1), 0);
        self.0.read(offset, into)
    }
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        assert_eq!((offset | from.len() as u64) % u64::from(self.1), 0);
        self.0.write(offset, from)
    }
    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
}

pub fn large_sectors() -> Outcome {
    // What is no whole sector at the end is not there.
    let disk = attach(Sectors(Memory::new((1 << 20) + 512), 4096))?;
    let device = BlockDevice::open(disk.raw_path())?;
    assert_eq!((device.size(), device.sector_size()), (1 << 20, 4096));
    device.write_at(&[5; 4096], 8192)?;
    let mut sector = [0; 4096];
    device.read_at(&mut sector, 8192)?;
    assert_eq!(sector, [5; 4096]);
    assert!(device.read_at(&mut [0; 512], 8192).is_err());
    assert!(device.read_at(&mut sector, 8192 + 512).is_err());
    let error = device.discard(0, 4096).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    drop(device);
    Ok(disk.detach()?)
}

pub fn read_only() -> Outcome {
    let folder = Folder::new()?;
    let path = folder.join("image");
    std::fs::write(&path, vec![3; 8192])?;
    let disk = attach(Image::open_read_only(&path)?)?;
    let error = BlockDevice::open(disk.raw_path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{error}");
    let device = BlockDevice::open_read_only(disk.raw_path())?;
    let mut sector = [0; 512];
    device.read_at(&mut sector, 512)?;
    assert_eq!(sector, [3; 512]);
    assert!(device.write_at(&sector, 0).is_err());
    // An image that became shorter is an error, not a signal.
    std::fs::File::options()
        .write(true)
        .open(&path)?
        .set_len(512)?;
    let error = device.read_at(&mut sector, 512).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EIO), "{error}");
    drop(device);
    Ok(disk.detach()?)
}

pub fn in_use() -> Outcome {
    let disk = attach(Memory::new(1 << 16))?;
    let name = disk.name().to_string();
    let device = BlockDevice::open(disk.raw_path())?;
    let error = disk.detach().unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains(&name), "{error}");
    // It works on.
    device.write_at(&[1; 512], 0)?;
    drop(device);
    let raw = error.disk.raw_path().to_string();
    error.disk.detach()?;
    assert_eq!(
        BlockDevice::open(raw).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    Ok(())
}

pub fn impossible() -> Outcome {
    for (size, sector) in [
        (0, 512),
        (511, 512),
        (4096, 256),
        (4096, 1000),
        (4096, 1 << 17),
    ] {
        let error = attach(Sectors(Memory::new(size), sector)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{size} {sector}");
    }
    Ok(())
}

/// Disks come and go, and their numbers are used again.
pub fn many_disks() -> Outcome {
    for _ in 0..20 {
        let disks: Vec<_> = (0..20)
            .map(|_| attach(Memory::new(4096)))
            .collect::<Result<_, _>>()?;
        for disk in &disks {
            BlockDevice::open(disk.raw_path())?.write_at(&[1; 4096], 0)?;
        }
        for disk in disks {
            disk.detach()?;
        }
    }
    Ok(())
}

/// Each has sectors of its own, and finds in them what it wrote there.
pub fn many_threads() -> Outcome {
    let disk = attach(Memory::new(4 << 20))?;
    let device = BlockDevice::open(disk.raw_path())?;
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let device = &device;
            scope.spawn(move || {
                let mut back = vec![0; 4096];
                for round in 0..200u64 {
                    let place = (round * 37 % 128 * 8 + thread) * 4096;
                    let bytes = vec![(thread * 31 + round) as u8; 4096];
                    device.write_at(&bytes, place).unwrap();
                    device.read_at(&mut back, place).unwrap();
                    assert_eq!(back, bytes);
                }
            });
        }
    });
    drop(device);
    Ok(disk.detach()?)
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// An executor of one future.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

pub fn queue() -> Outcome {
    let disk = attach(Memory::new(1 << 20))?;
    let queue = Queue::new(BlockDevice::open(disk.raw_path())?, 8)?;
    let writes = (0..256u64).map(|at| Operation::Write {
        offset: at * 4096,
        from: vec![at as u8; 4096].into(),
    });
    for completion in queue.submit_all(writes) {
        let (result, buffer) = completion.wait();
        result?;
        assert_eq!(buffer.len(), 4096);
    }
    queue.submit(Operation::Flush).wait().0?;
    let reads: Vec<Completion> = (0..256).map(|at| queue.read(at * 4096, 4096)).collect();
    block_on(async {
        for (at, completion) in reads.into_iter().enumerate() {
            let (result, buffer) = completion.await;
            result.unwrap();
            assert!(buffer.iter().all(|byte| *byte == at as u8), "{at}");
        }
    });
    // A failure brings the buffer back as well.
    let (result, buffer) = queue.write(1 << 20, vec![9; 512]).wait();
    assert!(result.is_err() && *buffer == [9; 512]);
    // What nobody waits for is done all the same.
    drop(queue.write(0, vec![200; 4096]));
    drop(queue);
    let mut sector = [0; 512];
    BlockDevice::open(disk.raw_path())?.read_at(&mut sector, 0)?;
    assert_eq!(sector, [200; 512]);
    for depth in [0, 257] {
        let device = BlockDevice::open(disk.raw_path())?;
        assert_eq!(
            Queue::new(device, depth).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    Ok(disk.detach()?)
}

/// A disk that takes its time, and counts how many transfers it has.
#[derive(Debug)]
struct Slow {
    memory: Memory,
    now: AtomicUsize,
    most: AtomicUsize,
    depth: usize,
}

impl Slow {
    fn new(memory: Memory, depth: usize) -> Arc<Self> {
        Arc::new(Self {
            memory,
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            depth,
        })
    }

    fn serve(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for Slow {
    fn size(&self) -> u64 {
        self.memory.size()
    }
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.serve();
        self.memory.read(offset, into)
    }
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        self.serve();
        self.memory.write(offset, from)
    }
    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
    fn depth(&self) -> usize {
        self.depth
    }
}

/// With one virtual CPU or two, a disk sees as many transfers as the queue is deep.
pub fn queue_depth() -> Outcome {
    let slow = Slow::new(Memory::new(1 << 20), 16);
    let disk = attach(slow.clone())?;
    let queue = Queue::new(BlockDevice::open(disk.raw_path())?, 16)?;
    let reads: Vec<_> = (0..128).map(|at| queue.read(at * 4096, 4096)).collect();
    for read in reads {
        read.wait().0?;
    }
    let most = slow.most.load(Ordering::SeqCst);
    assert!((9..=16).contains(&most), "{most} at a time");
    drop(queue);
    Ok(disk.detach()?)
}

/// What a file system writes back is under way several times, without anybody's waiting.
pub fn crew() -> Outcome {
    let folder = Folder::new()?;
    let path = folder.join("image");
    image::make(Kind::Ext2, &path, 16)?;
    let mut most = [0, 0];
    for (most, depth) in most.iter_mut().zip([0, 4]) {
        let slow = Slow::new(std::fs::read(&path)?.into(), depth);
        let mount = Mount::ext2(common::boot()).backend(slow.clone(), "/m/crew")?;
        let contents = vec![7; 2 << 20];
        fs::write("/m/crew/file", &contents)?;
        mount.sync()?;
        assert!(fs::read("/m/crew/file")? == contents);
        mount.unmount()?;
        *most = slow.most.load(Ordering::SeqCst);
        std::fs::write(&path, slow.memory.contents())?;
        image::check(Kind::Ext2, &path)?;
    }
    println!("{most:?} at a time");
    assert!(most[1] > most[0] && most[1] <= 6, "{most:?} at a time");
    Ok(())
}

pub fn faults() -> Outcome {
    let faults = Arc::new(Faults::new(Memory::new(1 << 20), 42));
    let disk = attach(faults.clone())?;
    let device = BlockDevice::open(disk.raw_path())?;
    let mut sector = [0; 512];
    faults.fail_reads(300_000);
    let failed = (0..1000).filter(|at| match device.read_at(&mut sector, at * 512) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(Errno::of(&error), Some(Errno::EIO), "{error}");
            true
        }
    });
    let failed = failed.count() as u64;
    assert!((200..400).contains(&failed), "{failed}");
    assert_eq!(faults.statistics().reads, failed);
    faults.fail_reads(0);
    faults.fail_flushes(1_000_000);
    assert_eq!(Errno::of(&device.flush().unwrap_err()), Some(Errno::EIO));
    faults.fail_flushes(0);
    faults.set_dead(true);
    let error = device.write_at(&sector, 0).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::ENXIO), "{error}");
    faults.set_dead(false);
    device.write_at(&sector, 0)?;
    drop(device);
    Ok(disk.detach()?)
}

#[derive(Debug)]
struct Panics;

impl Backend for Panics {
    fn size(&self) -> u64 {
        1 << 16
    }
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), Errno> {
        panic!("a back end that panics, as this test wants it to")
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOSPC)
    }
    fn flush(&self) -> Result<(), Errno> {
        Err(Errno::EIO)
    }
}

pub fn panics() -> Outcome {
    let disk = attach(Panics)?;
    let device = BlockDevice::open(disk.raw_path())?;
    let error = device.read_at(&mut [0; 512], 0).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EIO), "{error}");
    assert_eq!(Errno::of(&device.flush().unwrap_err()), Some(Errno::EIO));
    let error = device.write_at(&[0; 512], 0).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::ENOSPC), "{error}");
    drop(device);
    let detached = disk.detach();
    detached.map_err(|error| error.to_string().into())
}

pub fn image_is_locked() -> Outcome {
    let folder = Folder::new()?;
    let path = folder.join("image");
    let image = Image::create(&path, 1 << 20)?;
    let error = Image::open_read_only(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    assert!(error.to_string().contains("image"), "{error}");
    drop(image);
    let one = Image::open_read_only(&path)?;
    let another = Image::open_read_only(&path)?;
    assert!(Image::open(&path).is_err());
    drop((one, another));
    Image::open(&path)?;
    assert_eq!(
        Image::create(&path, 1).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert!(Image::open(folder.path()).is_err());
    Ok(())
}
