//! An NVMe disk of a guest's, driven by the kernel over VFIO: NetBSD's nvme(4) and ld(4),
//! and Linux's driver before and after.

#[path = "pci/disk.rs"]
mod disk;
#[path = "pci/guest.rs"]
mod guest;
#[path = "pci/killed.rs"]
mod killed;

use disk::RawDisk;
use guest::{Result, bytes, interrupts, vfio};
use rump::pci::{Interrupts, Options};
use rump::{Kernel, pci};
use rump_testbed::{Disk, Guest, Iommu, Outcome, inside};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is on the disk at first.
const SIZE: usize = 8 << 20;

fn boot(cpus: usize) -> Result<(Kernel, pci::Attached)> {
    boot_with(cpus, Options::new())
}

fn boot_with(cpus: usize, options: Options) -> Result<(Kernel, pci::Attached)> {
    let address = vfio(&inside::device("nvme")?)?;
    let kernel = Kernel::builder()
        .cpus(cpus)
        .verbose(true)
        .pci_with(address, options)
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
    // For administration, and for each queue; NetBSD 7.99 has one queue for two virtual CPUs.
    assert!(vectors.len() > 1 && vectors.iter().skip(1).any(|count| *count > 0));
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
    let patience = inside::patience(Duration::from_secs(20));
    let mut options = std::fs::OpenOptions::new();
    loop {
        match options.read(true).write(true).open("/dev/nvme0n1") {
            Ok(disk) => return Ok(disk),
            Err(error) if start.elapsed() > patience => return Err(error.into()),
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

/// Bits of the command register (PCI 3.0, 6.2.2): the device may read and write memory; it
/// asserts no line.
const BUS_MASTER: u32 = 1 << 2;
const NO_LINE: u32 = 1 << 10;

/// Changes the command register of the only device that the kernel has.
fn command(set: u32, clear: u32) {
    use rump_sys::hyper::pci::bus::{config_read, config_write};
    const COMMAND: i32 = 4;
    let word = config_read(0, 0, 0, COMMAND).expect("there is a device") & 0xffff;
    config_write(0, 0, 0, COMMAND, word & !clear | set).expect("it has this register");
}

/// Reads all of the disk and compares.
fn read_all(disk: &mut RawDisk) -> Result<()> {
    let mut all = vec![0; SIZE];
    for piece in all.chunks_mut(1 << 20) {
        assert_eq!(disk.read(piece)?, piece.len());
    }
    if all != bytes(SIZE) {
        return Err("something else was read".into());
    }
    Ok(())
}

/// Something else that the kernel does.
fn the_kernel_lives() -> Outcome {
    let listener = rump::net::TcpListener::bind("127.0.0.1:0")?;
    rump::net::TcpStream::connect(listener.local_addr()?)?;
    Ok(())
}

fn a_disk_with_a_line_is_read() -> Outcome {
    let (_kernel, attached) = boot_with(2, Options::new().interrupts(Interrupts::Line))?;
    read_all(&mut RawDisk::open("/dev/rld0d", false)?)?;
    let line = interrupts("vfio-intx", attached.address)?;
    assert!(line.len() == 1 && line[0] > 0, "{line:?}");
    Ok(())
}

/// The answers are there, and nobody says so.
fn a_disk_that_never_interrupts_is_slow() -> Outcome {
    let (_kernel, _) = boot_with(2, Options::new().interrupts(Interrupts::Line))?;
    let mut disk = RawDisk::open("/dev/rld0d", false)?;
    let mut piece = vec![0; 4096];
    command(NO_LINE, 0);
    let start = Instant::now();
    assert_eq!(disk.read(&mut piece)?, piece.len());
    assert!(piece == bytes(SIZE)[..4096]);
    let took = start.elapsed();
    println!("without an interrupt: {took:?}");
    // On a busy machine the second before it is looked at is a long one.
    let most = inside::patience(Duration::from_secs(15));
    assert!(took > Duration::from_secs(1) && took < most);
    command(0, NO_LINE);
    read_all(&mut RawDisk::open("/dev/rld0d", false)?).map_err(|error| error.to_string().into())
}

fn a_disk_that_never_answers_is_an_error_and_no_standstill() -> Outcome {
    const LIMIT: Duration = Duration::from_secs(3);
    pci::set_disk_timeout(Some(LIMIT))?;
    let (kernel, attached) = boot(2)?;
    let mut disk = RawDisk::open("/dev/rld0d", true)?;
    let mut piece = vec![0; 1 << 20];
    assert_eq!(disk.read(&mut piece)?, piece.len());
    command(0, BUS_MASTER);
    let late = |start: Instant, outcome: std::io::Result<usize>| {
        let error = outcome.expect_err("nobody can have answered");
        println!("{error} after {:?}", start.elapsed());
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        assert!(start.elapsed() < inside::patience(LIMIT * 4));
    };
    let start = Instant::now();
    // Several at a time.
    let readers: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| RawDisk::open("/dev/rld0d", false)?.read(&mut vec![0; 256 << 10]))
        })
        .collect();
    late(start, disk.read(&mut piece));
    assert!(start.elapsed() >= LIMIT);
    for reader in readers {
        late(start, reader.join().map_err(|_| "a reader panicked")?);
    }
    the_kernel_lives()?;
    // It stays stopped, and says so soon.
    let start = Instant::now();
    late(start, disk.write(&piece[..4096]));
    drop(disk);
    let start = Instant::now();
    kernel.remove_pci(&attached.name)?;
    println!("removed after {:?}", start.elapsed());
    the_kernel_lives()?;
    let attached = kernel.attach_pci(attached.address)?;
    read_all(&mut RawDisk::open("/dev/rld0d", false)?)?;
    kernel.detach_pci(&attached.name)?;
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
    for _ in 0..READERS {
        std::thread::spawn(reader);
    }
    killed::ready();
    loop {
        std::thread::park();
    }
}

fn processes_are_killed_while_the_disk_writes_to_them() -> Outcome {
    let address = vfio(&inside::device("nvme")?)?;
    killed::kill(address)?;
    let (kernel, attached) = boot(2)?;
    read_all(&mut RawDisk::open("/dev/rld0d", false)?)?;
    kernel.detach_pci(&attached.name)?;
    assert!(linux_reads(&address.to_string())? == bytes(SIZE));
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
    let test = |name, body| guest::test(name, "nvme", Duration::from_secs(120), body);
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
                "qemu::a_disk_with_a_line_is_read",
                a_disk_with_a_line_is_read,
            ),
            test(
                "qemu::a_disk_that_never_interrupts_is_slow",
                a_disk_that_never_interrupts_is_slow,
            ),
            test(
                "qemu::a_disk_that_never_answers_is_an_error_and_no_standstill",
                a_disk_that_never_answers_is_an_error_and_no_standstill,
            ),
            test(
                "qemu::processes_are_killed_while_the_disk_writes_to_them",
                processes_are_killed_while_the_disk_writes_to_them,
            )
            .limit(killed::LIMIT),
        ],
    )
}
