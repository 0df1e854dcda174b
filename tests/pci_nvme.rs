//! An NVMe disk of a guest's, driven by the kernel over VFIO: NetBSD's nvme(4) and ld(4),
//! and Linux's driver before and after.

#[path = "pci/disk.rs"]
mod disk;
#[path = "pci/guest.rs"]
mod guest;
#[path = "pci/killed.rs"]
mod killed;

use disk::RawDisk;
use guest::{Result, bytes, has_driver, interrupts, vfio};
use rump::{Kernel, pci};
use rump_testbed::{Disk, Guest, Iommu, Outcome, Test, inside};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is on the disk at first.
const SIZE: usize = 8 << 20;

fn boot(cpus: usize) -> Result<(Kernel, pci::Attached)> {
    let address = vfio(&inside::device("nvme")?)?;
    let kernel = Kernel::builder()
        .cpus(cpus)
        .verbose(true)
        .pci(address)
        .boot()?;
    let [attached] = &pci::attached()[..] else {
        return Err("one device was to be attached".into());
    };
    Ok((kernel, attached.clone()))
}

fn a_disk_is_identified_and_read() -> Outcome {
    let start = Instant::now();
    let (_kernel, attached) = boot(2)?;
    println!("attached after {:?}", start.elapsed());
    assert_eq!(attached.name, "nvme0");
    let mut disk = RawDisk::open("/dev/rld0d", false)?;
    assert_eq!(disk.size()?, SIZE as u64);
    let wanted = bytes(SIZE);
    let mut all: Vec<u8> = Vec::new();
    // Pieces that are one page, several, and more than a command takes.
    for len in [512, 4096, 8192, 65_536, 1 << 20].into_iter().cycle() {
        // They begin anywhere in the memory of this program.
        let mut piece = vec![0; len + 100];
        let offset = all.len() % 97;
        match disk.read(&mut piece[offset..offset + len])? {
            0 => break,
            count => all.extend(&piece[offset..offset + count]),
        }
    }
    assert_eq!(all.len(), SIZE);
    assert!(all == wanted);
    let stats = pci::stats();
    println!("{stats:?}");
    assert!(stats.bounced_loads > 0 && stats.bounced_bytes >= SIZE as u64);
    let vectors = interrupts("vfio-msix", attached.address)?;
    println!("{vectors:?}");
    assert!(vectors.len() == 3 && vectors.iter().skip(1).any(|count| *count > 0));
    Ok(())
}

fn what_is_written_is_there_for_linux() -> Outcome {
    let (kernel, attached) = boot(2)?;
    let wanted: Vec<u8> = bytes(SIZE).into_iter().map(|byte| byte ^ 0x5a).collect();
    let mut disk = RawDisk::open("/dev/rld0d", true)?;
    for piece in wanted.chunks(192 << 10) {
        assert_eq!(disk.write(piece)?, piece.len());
    }
    drop(disk);
    kernel.detach_pci(&attached.name)?;
    assert!(RawDisk::open("/dev/rld0d", false).is_err());
    let found = linux_reads(&attached.address.to_string())?;
    // The other tests read what was there before.
    restore()?;
    assert!(found == wanted);
    inside::unbind(&attached.address.to_string())?;
    Ok(())
}

fn linux_disk(address: &str) -> Result<std::fs::File> {
    if inside::driver(address)?.as_deref() != Some("nvme") {
        inside::bind(address, "nvme")?;
    }
    let start = Instant::now();
    let mut options = std::fs::OpenOptions::new();
    loop {
        match options.read(true).write(true).open("/dev/nvme0n1") {
            Ok(disk) => return Ok(disk),
            Err(error) if start.elapsed() > Duration::from_secs(20) => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn linux_reads(address: &str) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut linux_disk(address)?, &mut all)?;
    Ok(all)
}

fn restore() -> Result<()> {
    let mut disk = linux_disk(&inside::device("nvme")?)?;
    std::io::Write::write_all(&mut disk, &bytes(SIZE))?;
    disk.sync_all()?;
    Ok(())
}

/// What is killed: reads all the time, into memory that nobody has any more then.
fn victim() -> Result<()> {
    const READERS: usize = 4;
    let (_kernel, _) = boot(2)?;
    let reader = || {
        let mut piece = vec![0; 1 << 20];
        loop {
            let mut disk = RawDisk::open("/dev/rld0d", false).expect("it is there");
            while disk.read(&mut piece).expect("it reads") > 0 {}
        }
    };
    let readers: Vec<_> = (0..READERS).map(|_| std::thread::spawn(reader)).collect();
    killed::ready();
    for reader in readers {
        reader.join().map_err(|_| "a reader panicked")?;
    }
    Ok(())
}

fn processes_are_killed_while_the_disk_writes_to_them() -> Outcome {
    let address = vfio(&inside::device("nvme")?)?;
    killed::kill(address)?;
    let (kernel, attached) = boot(2)?;
    let mut disk = RawDisk::open("/dev/rld0d", false)?;
    let mut all = vec![0; SIZE];
    for piece in all.chunks_mut(1 << 20) {
        assert_eq!(disk.read(piece)?, piece.len());
    }
    assert!(all == bytes(SIZE));
    drop(disk);
    kernel.detach_pci(&attached.name)?;
    assert!(linux_reads(&address.to_string())? == all);
    inside::unbind(&address.to_string())?;
    Ok(())
}

fn main() -> ExitCode {
    if killed::is_victim() {
        let error = victim().err().map(|error| error.to_string());
        println!("{error:?}");
        return ExitCode::FAILURE;
    }
    let disk = match Disk::with(&bytes(SIZE)) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("a file for the disk: {error}");
            return ExitCode::FAILURE;
        }
    };
    // 48 bits here, and 39 in the other file.
    let guest = Guest::new()
        .cpus(2)
        .memory(512)
        .iommu(Iommu::Bits48)
        .module("nvme")
        .nvme(&disk);
    let test = |name, body| {
        Test::new(name, body).limit(Duration::from_secs(120)).needs(
            has_driver("nvme"),
            "netbsd",
            guest::NO_DRIVER,
        )
    };
    rump_testbed::run(
        guest,
        [
            test(
                "qemu::a_disk_is_identified_and_read",
                a_disk_is_identified_and_read,
            ),
            test(
                "qemu::what_is_written_is_there_for_linux",
                what_is_written_is_there_for_linux,
            ),
            test(
                "qemu::processes_are_killed_while_the_disk_writes_to_them",
                processes_are_killed_while_the_disk_writes_to_them,
            )
            .limit(killed::LIMIT),
        ],
    )
}
