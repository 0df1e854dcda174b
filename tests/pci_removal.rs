//! Devices behind ports and bridges, and devices that are pulled out while they are used:
//! network cards and NVMe disks of a guest's, driven by the kernel over VFIO.

#[path = "pci/disk.rs"]
mod disk;
#[path = "pci/guest.rs"]
mod guest;

use disk::RawDisk;
use guest::{Result, bytes, card, echo, host_nic, vfio};
use rump::iface::Interface;
use rump::{Kernel, pci};
use rump_testbed::{Device, Disk, Guest, Nic, Outcome, inside};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is on the disks.
const SIZE: usize = 8 << 20;
/// The devices, in the order in which `main` adds them.
const LINUX: usize = 0;
const BRIDGED: usize = 1;
const CARDS: [usize; 2] = [2, 3];
const DISKS: [usize; 2] = [4, 5];

/// How a device is taken away.
type Take = fn(&str) -> std::io::Result<()>;

fn address(device: usize) -> Result<String> {
    Ok(inside::devices()?[device].address.clone())
}

fn linux() -> Result<()> {
    host_nic(&address(LINUX)?, "10.9.0.2/24")
}

fn a_card_behind_a_bridge_carries_tcp() -> Outcome {
    linux()?;
    let kernel = Kernel::builder().verbose(true).boot()?;
    // One on a bus of its own first, and with it the one on the bus behind a bridge.
    for device in [CARDS[0], BRIDGED] {
        let address = address(device)?;
        // Linux's driver of the bridge; it goes on without.
        for neighbour in inside::neighbours(&address)? {
            inside::unbind(&neighbour)?;
        }
        let address = vfio(&address)?;
        assert!(address.bus() > 0, "{address}");
        let attached = kernel.attach_pci(address)?;
        assert_eq!(attached.address, address);
        let net = if device == BRIDGED {
            "10.9.0.1/24"
        } else {
            "10.9.2.1/24"
        };
        card(&attached.name, net)?;
    }
    assert_eq!(pci::attached().len(), 2);
    echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
    for attached in pci::attached() {
        kernel.detach_pci(&attached.name)?;
        inside::unbind(&attached.address.to_string())?;
    }
    Ok(())
}

/// The kernel has let go of all devices, and lives.
fn nothing_is_left() -> Result<()> {
    let start = Instant::now();
    let patience = inside::patience(Duration::from_secs(20));
    while !pci::attached().is_empty() {
        if start.elapsed() > patience {
            return Err(format!("it is still attached after {patience:?}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("detached after {:?}", start.elapsed());
    let listener = rump::net::TcpListener::bind("127.0.0.1:0")?;
    rump::net::TcpStream::connect(listener.local_addr()?)?;
    Ok(())
}

fn take_card(device: usize, take: Take) -> Outcome {
    linux()?;
    let address = address(device)?;
    let kernel = Kernel::builder()
        .verbose(true)
        .pci(vfio(&address)?)
        .boot()?;
    let name = pci::attached()[0].name.clone();
    card(&name, "10.9.0.1/24")?;
    echo("10.9.0.1", "10.9.0.2", 1 << 20)?;
    let listener = rump::net::TcpListener::bind("10.9.0.1:7300")?;
    let outside = std::net::TcpStream::connect("10.9.0.1:7300")?;
    let (stream, _) = listener.accept()?;
    stream.set_write_timeout(Some(inside::patience(Duration::from_secs(5))))?;
    // It is full when that happens.
    let stop = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| -> Result<Option<std::io::Error>> {
        let sender = scope.spawn(|| {
            let mut error = None;
            while error.is_none() && !stop.load(Ordering::Relaxed) {
                error = (&stream).write(&[7; 65_536]).err();
            }
            error
        });
        scope.spawn(|| {
            while (&outside)
                .read(&mut [0; 65_536])
                .is_ok_and(|count| count > 0)
            {}
        });
        std::thread::sleep(Duration::from_millis(500));
        let taken = take(&address);
        let left = nothing_is_left();
        stop.store(true, Ordering::Relaxed);
        let ended = sender.join();
        outside.shutdown(Shutdown::Both)?;
        taken?;
        left?;
        Ok(ended.map_err(|_| "the sender panicked")?)
    })?;
    println!("the connection: {ended:?}");
    assert!(Interface::named(&name).is_err());
    assert!(kernel.attach_pci(address.parse()?).is_err());
    Ok(())
}

/// Who reads has this one, each time.
static READING: RwLock<()> = RwLock::new(());

fn read_until_it_fails() -> std::io::Error {
    let mut piece = vec![0; 256 << 10];
    loop {
        let mut disk = match RawDisk::open("/dev/rld0d", false) {
            Ok(disk) => disk,
            Err(error) => return error,
        };
        loop {
            let reading = READING.read();
            let read = disk.read(&mut piece);
            drop(reading);
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}

/// QEMU 7.2 uses memory that it has freed, and mostly ends, if a disk is pulled out while
/// commands are under way; `still` has the readers wait for that moment.
fn take_disk(device: usize, take: Take, still: bool) -> Outcome {
    let address = address(device)?;
    let kernel = Kernel::builder()
        .verbose(true)
        .pci(vfio(&address)?)
        .boot()?;
    let readers: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(read_until_it_fails))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let pause = still.then(|| READING.write());
    take(&address)?;
    drop(pause);
    nothing_is_left()?;
    for reader in readers {
        let error = reader.join().map_err(|_| "a reader panicked")?;
        println!("a reader: {error}");
    }
    assert!(RawDisk::open("/dev/rld0d", false).is_err());
    assert!(kernel.attach_pci(address.parse()?).is_err());
    Ok(())
}

fn a_card_is_pulled_out() -> Outcome {
    take_card(CARDS[0], inside::pull_out)
}

fn a_card_is_ejected() -> Outcome {
    take_card(CARDS[1], inside::eject)
}

fn a_disk_is_pulled_out() -> Outcome {
    take_disk(DISKS[0], inside::pull_out, true)
}

fn a_disk_is_ejected() -> Outcome {
    take_disk(DISKS[1], inside::eject, false)
}

fn main() -> ExitCode {
    let disk = || Disk::with(&bytes(SIZE));
    let (Ok(one), Ok(other)) = (disk(), disk()) else {
        eprintln!("there can be no files for the disks");
        return ExitCode::FAILURE;
    };
    let card = || Device::nic(Nic::E1000e, 0).behind_port();
    let guest = Guest::new()
        .cpus(2)
        .memory(512)
        .module("e1000e")
        .e1000e(0)
        .device(Device::nic(Nic::E1000, 0).behind_bridge())
        .device(card())
        .device(card())
        .device(Device::nvme(&one).behind_port())
        .device(Device::nvme(&other).behind_port());
    let test = |name, driver, body| guest::test(name, driver, Duration::from_secs(120), body);
    rump_testbed::run(
        guest,
        [
            test(
                "qemu::a_card_behind_a_bridge_carries_tcp",
                "wm",
                a_card_behind_a_bridge_carries_tcp,
            ),
            test("qemu::a_card_is_pulled_out", "wm", a_card_is_pulled_out),
            test("qemu::a_card_is_ejected", "wm", a_card_is_ejected),
            test("qemu::a_disk_is_pulled_out", "nvme", a_disk_is_pulled_out),
            test("qemu::a_disk_is_ejected", "nvme", a_disk_is_ejected),
        ],
    )
}
