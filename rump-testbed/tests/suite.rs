//! Tests that run in a guest, about the guest: its devices, its drivers, and that the IOMMU
//! refuses what a device must not access.
#![allow(unsafe_code)]

use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use rump_testbed::{Device, Disk, Guest, Nic, Outcome, Test, inside, inside::KernelLog};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn every_device_is_there() -> Outcome {
    let ids = [
        ("e1000e", 0x8086, 0x10d3),
        ("e1000e", 0x8086, 0x10d3),
        ("nvme", 0x1b36, 0x0010),
        ("e1000", 0x8086, 0x100e),
        ("pcnet", 0x1022, 0x2000),
        ("edu", 0x1234, 0x11e8),
    ];
    let devices = inside::devices()?;
    assert_eq!(devices.len(), ids.len());
    for (place, (model, vendor, product)) in devices.iter().zip(ids) {
        assert_eq!(place.model, model);
        let config = File::open(format!("/sys/bus/pci/devices/{}/config", place.address))?;
        let mut id = [0; 4];
        config.read_exact_at(&mut id, 0)?;
        let [a, b, c, d] = id;
        let found = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        assert_eq!(found, (vendor, product), "{model} at {}", place.address);
    }
    assert!(devices[2].address.starts_with("0000:01:"), "behind a port");
    Ok(())
}

fn vfio_has_what_is_bound_to_it() -> Outcome {
    assert!(File::open("/dev/vfio/vfio").is_ok());
    for place in inside::devices()? {
        let address = &place.address;
        let group = inside::group(address)?.ok_or("no group")?;
        let file = format!("/dev/vfio/{group}");
        assert!(File::open(&file).is_err(), "{file} before");
        inside::bind(address, "vfio-pci")?;
        assert_eq!(inside::driver(address)?.as_deref(), Some("vfio-pci"));
        let open = || OpenOptions::new().read(true).write(true).open(&file);
        open().map_err(|error| format!("{} in group {group}: {error}", place.model))?;
        inside::unbind(address)?;
        assert_eq!(inside::driver(address)?, None);
        assert!(open().is_err(), "{file} afterwards");
    }
    assert!(inside::bind("0000:7f:00.0", "vfio-pci").is_err());
    assert!(inside::bind(&inside::device("edu")?, "no-driver").is_err());
    Ok(())
}

fn linux_takes_a_device_back() -> Outcome {
    let address = inside::device("nvme")?;
    inside::bind(&address, "vfio-pci")?;
    inside::bind(&address, "nvme")?;
    let start = Instant::now();
    let disk = loop {
        match File::open("/dev/nvme0n1") {
            Ok(disk) => break disk,
            Err(error) if start.elapsed() > Duration::from_secs(20) => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut block = [0; 512];
    disk.read_exact_at(&mut block, 512 * 3)?;
    assert_eq!(block, [3; 512]);
    drop(disk);
    inside::unbind(&address)?;
    Ok(())
}

/// The registers of QEMU's edu device (docs/specs/edu.rst in QEMU).
struct Edu {
    registers: *mut u8,
}

/// Where the device has its buffer, in its own addresses.
const BUFFER: u64 = 0x4_0000;
const IDENTIFICATION: usize = 0x00;
const SOURCE: usize = 0x80;
const DESTINATION: usize = 0x88;
const COUNT: usize = 0x90;
const COMMAND: usize = 0x98;
/// Start, and from the device's buffer to memory.
const START: u64 = 1;
const TO_MEMORY: u64 = 2;

impl Edu {
    /// Without a driver: through sysfs, with memory and bus mastering on.
    fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let address = inside::device("edu")?;
        let folder = format!("/sys/bus/pci/devices/{address}");
        let config = OpenOptions::new()
            .write(true)
            .open(format!("{folder}/config"))?;
        // PCI Local Bus Specification 3.0, 6.2.2: the command register.
        config.write_all_at(&[0x06, 0], 4)?;
        let resource = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("{folder}/resource0"))?;
        let flags = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let length = std::num::NonZeroUsize::new(4096).ok_or("zero")?;
        // SAFETY: a new mapping, of a device's registers; no reference is made to them.
        let registers = unsafe { mmap(None, length, flags, MapFlags::MAP_SHARED, resource, 0)? };
        Ok(Self {
            registers: registers.as_ptr().cast(),
        })
    }

    fn identification(&self) -> u32 {
        // SAFETY: `registers` is the start of a page of the device's registers.
        unsafe {
            self.registers
                .add(IDENTIFICATION)
                .cast::<u32>()
                .read_volatile()
        }
    }

    fn write(&self, register: usize, value: u64) {
        // SAFETY: as above; the registers are aligned to 8 bytes.
        unsafe {
            self.registers
                .add(register)
                .cast::<u64>()
                .write_volatile(value)
        }
    }

    fn busy(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.registers.add(COMMAND).cast::<u64>().read_volatile() & START != 0 }
    }

    /// Writes to an address as the device sees memory.
    fn write_to_memory(&self, address: u64) -> Outcome {
        self.write(SOURCE, BUFFER);
        self.write(DESTINATION, address);
        self.write(COUNT, 64);
        self.write(COMMAND, START | TO_MEMORY);
        let start = Instant::now();
        while self.busy() {
            if start.elapsed() > Duration::from_secs(20) {
                return Err("the device does not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn a_fault_is_seen() -> Outcome {
    let mut log = KernelLog::follow()?;
    let edu = Edu::open()?;
    assert_eq!(edu.identification(), 0x0100_00ed);
    assert_eq!(log.faults()?, []);
    edu.write_to_memory(0x00de_a000)?;
    let start = Instant::now();
    let faults = loop {
        let faults = log.faults()?;
        if !faults.is_empty() || start.elapsed() > Duration::from_secs(20) {
            break faults;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let [fault, ..] = &faults[..] else {
        return Err("no fault was logged".into());
    };
    assert_eq!(fault.address, 0x00de_a000);
    assert!(fault.request.starts_with("DMA Write"), "{fault:?}");
    let address = inside::device("edu")?;
    assert_eq!(fault.device, address.trim_start_matches("0000:"));
    Ok(())
}

/// The device works, and accesses nothing, so that the test before shows something.
fn no_access_is_no_fault() -> Outcome {
    let edu = Edu::open()?;
    assert_eq!(edu.identification(), 0x0100_00ed);
    Ok(())
}

fn main() -> ExitCode {
    let blocks: Vec<u8> = (0..4096_u32)
        .flat_map(|block| [block.to_le_bytes()[0]; 512])
        .collect();
    let disk = match Disk::with(&blocks) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("no disk for the guest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let guest = Guest::new()
        .cpus(2)
        .e1000e(0)
        .e1000e(0)
        .device(Device::nvme(&disk).behind_port())
        .e1000(0)
        .device(Device::nic(Nic::Pcnet, 0))
        .device(Device::edu());
    rump_testbed::run(
        guest,
        [
            Test::new("qemu::every_device_is_there", every_device_is_there),
            Test::new(
                "qemu::vfio_has_what_is_bound_to_it",
                vfio_has_what_is_bound_to_it,
            ),
            Test::new("qemu::linux_takes_a_device_back", linux_takes_a_device_back),
            Test::new("qemu::a_fault_is_seen", a_fault_is_seen).faults(),
            Test::new("qemu::no_access_is_no_fault", no_access_is_no_fault),
        ],
    )
}
