//! The devices of a guest.
//!
//! Each has a place of its own on the guest's PCI bus, in the order in which they were
//! added: the first is `0000:00:08.0`. A device behind a port is on a bus of its own, and
//! can be pulled out of it; one behind a bridge, on the bus behind that.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of the first slot that is for devices; QEMU's own have those before it and
/// the last.
const FIRST_SLOT: usize = 8;
/// The slot behind a bridge; the first is the bridge's own.
const BEHIND_BRIDGE: usize = 1;
/// How many there can be.
pub(crate) const MOST: usize = 22;

/// A disk, which lives as long as something has it.
#[derive(Debug, Clone)]
pub struct Disk {
    file: Arc<File>,
}

#[derive(Debug)]
enum File {
    /// Deleted with the disk.
    Own(tempfile::NamedTempFile),
    Given(PathBuf),
}

impl Disk {
    /// A disk of zeros, `size` bytes long.
    ///
    /// # Errors
    /// There can be no such file in the folder for temporary files.
    pub fn zeroed(size: u64) -> std::io::Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        file.as_file().set_len(size)?;
        Ok(Self::own(file))
    }

    /// A disk with this on it.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn with(data: &[u8]) -> std::io::Result<Self> {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, data)?;
        Ok(Self::own(file))
    }

    /// The disk in this file, which the guest writes to.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            file: Arc::new(File::Given(path.into())),
        }
    }

    fn own(file: tempfile::NamedTempFile) -> Self {
        Self {
            file: Arc::new(File::Own(file)),
        }
    }

    /// Its file, whose content is what the disk has.
    pub fn path(&self) -> &Path {
        match &*self.file {
            File::Own(file) => file.path(),
            File::Given(path) => path,
        }
    }
}

/// The kinds of network cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nic {
    /// Intel 82540EM: conventional PCI, one INTx interrupt.
    E1000,
    /// Intel 82574L: PCI Express, MSI-X.
    E1000e,
    /// AMD Am79C970A, which has 32 bits for addresses.
    Pcnet,
    /// VMware's VMXNET3.
    Vmxnet3,
    /// virtio-net in its transitional form, whose legacy side knows no IOMMU.
    Virtio,
}

impl Nic {
    fn model(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Pcnet => "pcnet",
            Self::Vmxnet3 => "vmxnet3",
            Self::Virtio => "virtio-net-pci",
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Nvme(Disk),
    Nic(Nic, u8),
    Edu,
}

/// What is between a device and the guest's first bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    Port,
    Bridge,
}

/// A device of a guest's.
#[derive(Debug, Clone)]
pub struct Device {
    kind: Kind,
    behind: Behind,
}

impl Device {
    /// An NVMe controller with one namespace of 512-byte blocks.
    pub fn nvme(disk: &Disk) -> Self {
        Self::new(Kind::Nvme(disk.clone()))
    }

    /// A network card on the hub of this number: a frame goes to all others on the same.
    /// Its address is `52:54:00:00:` and the numbers of the hub and of the device.
    pub fn nic(nic: Nic, hub: u8) -> Self {
        Self::new(Kind::Nic(nic, hub))
    }

    /// QEMU's device for teaching, which copies by DMA from and to where it is told
    /// (docs/specs/edu.rst in QEMU).
    pub fn edu() -> Self {
        Self::new(Kind::Edu)
    }

    /// Behind a root port, on a bus of its own.
    #[must_use]
    pub fn behind_port(mut self) -> Self {
        self.behind = Behind::Port;
        self
    }

    /// Behind a bridge to conventional PCI that is behind a root port. The IOMMU cannot tell
    /// it from the bridge, so both are in one group.
    #[must_use]
    pub fn behind_bridge(mut self) -> Self {
        self.behind = Behind::Bridge;
        self
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            behind: Behind::Nothing,
        }
    }

    fn model(&self) -> &'static str {
        match self.kind {
            Kind::Nvme(_) => "nvme",
            Kind::Nic(nic, _) => nic.model(),
            Kind::Edu => "edu",
        }
    }
}

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// QEMU's name of the device, such as `e1000e`.
    pub model: String,
    /// Its PCI address, such as `0000:00:08.0`.
    pub address: String,
}

/// Where devices are: those behind ports are on buses that are numbered in the order of
/// the ports.
pub(crate) fn places(devices: &[Device]) -> Vec<Place> {
    let mut bus = 0;
    let places = devices.iter().enumerate().map(|(index, device)| {
        let address = match device.behind {
            Behind::Nothing => format!("0000:00:{:02x}.0", FIRST_SLOT + index),
            Behind::Port => {
                bus += 1;
                format!("0000:{bus:02x}:00.0")
            }
            Behind::Bridge => {
                bus += 2;
                format!("0000:{bus:02x}:{BEHIND_BRIDGE:02x}.0")
            }
        };
        Place {
            model: device.model().into(),
            address,
        }
    });
    places.collect()
}

/// What QEMU is told about them.
pub(crate) fn arguments(devices: &[Device]) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_string(), value]);
    for (index, device) in devices.iter().enumerate() {
        let slot = FIRST_SLOT + index;
        if device.behind != Behind::Nothing {
            let port = format!("pcie-root-port,id=port{index},chassis={slot},addr={slot:#x}");
            add("-device", port);
        }
        let place = match device.behind {
            Behind::Nothing => format!("addr={slot:#x}"),
            Behind::Port => format!("bus=port{index}"),
            Behind::Bridge => {
                let bridge = format!("pcie-pci-bridge,id=bridge{index},bus=port{index}");
                add("-device", bridge);
                format!("bus=bridge{index},addr={BEHIND_BRIDGE:#x}")
            }
        };
        let model = device.model();
        match &device.kind {
            Kind::Nvme(disk) => {
                // A comma ends a value unless it is doubled.
                let file = disk.path().display().to_string().replace(',', ",,");
                add(
                    "-drive",
                    format!("file={file},id=disk{index},format=raw,if=none,cache=unsafe"),
                );
                add(
                    "-device",
                    format!("{model},drive=disk{index},serial=disk{index},{place}"),
                );
            }
            Kind::Nic(_, hub) => {
                add("-netdev", format!("hubport,id=net{index},hubid={hub}"));
                add(
                    "-device",
                    format!(
                        "{model},netdev=net{index},mac=52:54:00:00:{hub:02x}:{index:02x},{place}"
                    ),
                );
            }
            Kind::Edu => add("-device", format!("{model},{place}")),
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_place() {
        let devices = [
            Device::nic(Nic::E1000e, 3),
            Device::edu().behind_port(),
            Device::nvme(&Disk::at("/a,b")).behind_port(),
            Device::edu().behind_bridge(),
            Device::edu(),
        ];
        let places = places(&devices);
        let addresses: Vec<_> = places.iter().map(|place| &*place.address).collect();
        assert_eq!(
            addresses,
            [
                "0000:00:08.0",
                "0000:01:00.0",
                "0000:02:00.0",
                "0000:04:01.0",
                "0000:00:0c.0"
            ]
        );
        let all = arguments(&devices).join(" ");
        for part in [
            "hubport,id=net0,hubid=3",
            "e1000e,netdev=net0,mac=52:54:00:00:03:00,addr=0x8",
            "edu,bus=port1",
            "pcie-pci-bridge,id=bridge3,bus=port3",
            "edu,bus=bridge3,addr=0x1",
            "file=/a,,b,id=disk2",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }
}
