//! A device on the machine of `fake.rs`.

use super::device::Device;
use super::ioctl::{MACHINE, Machine};
use crate::pci::{Function, Kind, Region};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::string::ToString;
use vfio_bindings::bindings::vfio as abi;

const CONFIG: u64 = 7 << 16;

/// A device whose regions are in a file, and the file.
fn open(machine: Machine) -> Result<(Device, File), super::Error> {
    MACHINE.set(machine);
    // SAFETY: a descriptor that nobody else has.
    #[allow(unsafe_code)]
    let file = unsafe {
        use std::os::fd::FromRawFd;
        File::from_raw_fd(libc::memfd_create(c"device".as_ptr(), libc::MFD_CLOEXEC))
    };
    file.set_len(16 << 16).unwrap();
    file.write_all_at(&0x0007_u16.to_le_bytes(), CONFIG + 4)
        .unwrap();
    let device = Device::with("0000:00:03.0", file.try_clone().unwrap(), None)?;
    Ok((device, file))
}

fn machine() -> Machine {
    Machine {
        regions: [(8192, abi::VFIO_REGION_INFO_FLAG_MMAP), (32, 0)]
            .into_iter()
            .chain([(0, 0); 5])
            .chain([(4096, 0)])
            .collect(),
        vectors: [1, 1, 5],
        ..Machine::default()
    }
}

#[test]
fn a_device_is_reset_when_it_comes_and_when_it_goes() {
    let (device, _) = open(machine()).unwrap();
    assert_eq!(MACHINE.with_borrow(|machine| machine.resets), 1);
    drop(device);
    assert_eq!(MACHINE.with_borrow(|machine| machine.resets), 2);
}

#[test]
fn without_reset_it_is_no_bus_master_any_more() {
    let (device, file) = open(Machine {
        no_reset: true,
        ..machine()
    })
    .unwrap();
    let command = || {
        let mut word = [0; 2];
        file.read_exact_at(&mut word, CONFIG + 4).unwrap();
        u16::from_le_bytes(word)
    };
    assert_eq!(command(), 0);
    device.config_write(4, 0x0006).unwrap();
    assert_eq!(command(), 0x0006);
    drop(device);
    assert_eq!(command(), 0);
}

#[test]
fn regions_are_mapped_or_read_and_never_beyond_their_end() {
    let (device, file) = open(machine()).unwrap();
    let start = device.region(0).unwrap();
    assert_eq!(device.region(0), Ok(start));
    file.write_all_at(&[7; 4], 8188).unwrap();
    // SAFETY: the last word of a region of that length.
    #[allow(unsafe_code)]
    let last = unsafe { start.add(8188).cast::<u32>().read_volatile() };
    assert_eq!(last, 0x0707_0707);
    assert!(device.region(1).is_err() && device.region(2).is_err() && device.region(6).is_err());
    let at = |offset| Region { bar: 1, offset };
    device.region_write(at(30), 2, 0x1234).unwrap();
    assert_eq!(device.region_read(at(30), 2), Ok(0x1234));
    for (offset, width) in [(30, 4), (32, 1), (u64::MAX, 4), (0, 3), (0, 0), (0, 8)] {
        assert!(
            device.region_read(at(offset), width).is_err(),
            "{offset} {width}"
        );
        assert!(device.region_write(at(offset), width, 0).is_err());
    }
}

#[test]
fn vectors_are_turned_on_all_at_once_and_off_again() {
    let (device, _) = open(machine()).unwrap();
    assert_eq!(device.vectors(Kind::Msix), 5);
    device.enable(Kind::Msix, 3).unwrap();
    assert!(device.vector(2).is_some() && device.vector(3).is_none());
    device.enable(Kind::Intx, 1).unwrap();
    device.vector(0).unwrap().handled();
    device.disable();
    assert!(device.vector(0).is_none());
    let on = abi::VFIO_IRQ_SET_DATA_EVENTFD | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
    let off = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
    let unmask = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_UNMASK;
    assert_eq!(
        MACHINE.with_borrow(|machine| machine.irqs.clone()),
        [
            (on, 2, 3),
            (off, 2, 0),
            (on, 0, 1),
            (unmask, 0, 1),
            (off, 0, 0)
        ]
    );
}

#[test]
fn interrupts_can_be_limited() {
    use Kind::{Intx, Msi, Msix};
    for (best, counts) in [(Msix, [1, 1, 5]), (Msi, [1, 1, 0]), (Intx, [1, 0, 0])] {
        let (mut device, _) = open(machine()).unwrap();
        device.limit_interrupts(best);
        assert_eq!([Intx, Msi, Msix].map(|kind| device.vectors(kind)), counts);
    }
}

#[test]
fn interrupts_are_counted_and_a_stop_ends_the_wait() {
    let vector = super::vector::EventVector::new(None).unwrap();
    use crate::pci::Vector;
    let signal = |count: u64| nix::unistd::write(vector.event(), &count.to_ne_bytes()).unwrap();
    signal(1);
    signal(4);
    let soon = Some(core::time::Duration::from_millis(5));
    assert_eq!(vector.wait(soon), Some(5));
    assert_eq!(vector.wait(soon), Some(0));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| vector.wait(None));
        vector.stop();
        assert_eq!(waiter.join().unwrap(), None);
    });
    signal(1);
    assert_eq!(vector.wait(None), Some(1));
}

#[test]
fn what_linux_refuses_is_an_error_that_says_what() {
    let error = open(Machine {
        fails: Some(libc::EPERM),
        ..machine()
    });
    let text = error.err().unwrap().to_string();
    assert!(
        text.contains("0000:00:03.0") && text.contains("not permitted"),
        "{text}"
    );
}
