//! The PCI functions of the host, as Linux's sysfs describes them (sysfs-bus-pci(5) of
//! Linux's ABI documentation).
//!
//! Its files are Linux's, but names in it come from drivers: what is not as documented is
//! left out.

use super::{Address, Error};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where Linux has them.
const DEVICES: &str = "/sys/bus/pci/devices";

/// A PCI function of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostDevice {
    /// Where it is.
    pub address: Address,
    /// Who made it.
    pub vendor: u16,
    /// Which of the vendor's devices it is.
    pub device: u16,
    /// Class, subclass and programming interface: `0x020000` is Ethernet.
    pub class: u32,
    /// Its IOMMU group: the devices of a group are used together or not at all. `None`
    /// where there is no IOMMU.
    pub group: Option<u32>,
    /// Linux's driver that has it: `vfio-pci` if it can be attached.
    pub driver: Option<String>,
}

/// The PCI functions of the host, by address.
///
/// # Errors
/// sysfs is not there. A host without PCI has none.
///
/// ```no_run
/// for device in rump::pci::list()? {
///     println!("{} {:04x}:{:04x} {:?}", device.address, device.vendor, device.device, device.driver);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn list() -> io::Result<Vec<HostDevice>> {
    list_in(Path::new(DEVICES))
}

fn list_in(folder: &Path) -> io::Result<Vec<HostDevice>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut devices: Vec<_> = entries
        .filter_map(|entry| {
            let address = entry.ok()?.file_name().to_str()?.parse().ok()?;
            read(folder, address)
        })
        .collect();
    devices.sort_by_key(|device| device.address);
    Ok(devices)
}

/// The function at an address.
pub(super) fn find(address: Address) -> Result<HostDevice, Error> {
    read(Path::new(DEVICES), address).ok_or(Error::Absent { address })
}

fn read(folder: &Path, address: Address) -> Option<HostDevice> {
    let folder = folder.join(address.to_string());
    let id = |name| u16::try_from(number(&folder.join(name))?).ok();
    Some(HostDevice {
        address,
        vendor: id("vendor")?,
        device: id("device")?,
        class: number(&folder.join("class")).filter(|class| class >> 24 == 0)?,
        group: link(&folder.join("iommu_group")).and_then(|name| name.parse().ok()),
        driver: link(&folder.join("driver")),
    })
}

/// A number of one line, `0x` and digits.
fn number(path: &Path) -> Option<u32> {
    let text = fs::read_to_string(path).ok()?;
    let digits = text
        .strip_suffix('\n')
        .unwrap_or(&text)
        .strip_prefix("0x")?;
    let sound = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The last part of where a link leads.
fn link(path: &Path) -> Option<String> {
    let target: PathBuf = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rump-pci-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn device(folder: &Folder, name: &str, files: [&str; 3]) -> PathBuf {
        let path = folder.0.join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in ["vendor", "device", "class"].into_iter().zip(files) {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    #[test]
    fn devices_are_listed_in_order() {
        let folder = folder("order");
        device(
            &folder,
            "0000:00:1f.2",
            ["0x8086\n", "0x2922\n", "0x010601\n"],
        );
        let bound = device(
            &folder,
            "0000:00:03.0",
            ["0x8086\n", "0x10d3\n", "0x020000\n"],
        );
        symlink("../../../bus/pci/drivers/vfio-pci", bound.join("driver")).unwrap();
        symlink("../../../kernel/iommu_groups/7", bound.join("iommu_group")).unwrap();
        let devices = list_in(&folder.0).unwrap();
        let addresses: Vec<_> = devices.iter().map(|d| d.address.to_string()).collect();
        assert_eq!(addresses, ["0000:00:03.0", "0000:00:1f.2"]);
        assert_eq!(devices[0].class, 0x02_0000);
        assert_eq!(devices[0].group, Some(7));
        assert_eq!(devices[0].driver.as_deref(), Some("vfio-pci"));
        assert_eq!((devices[1].group, &devices[1].driver), (None, &None));
    }

    #[test]
    fn what_is_not_as_documented_is_left_out() {
        let folder = folder("garbage");
        device(&folder, "not-an-address", ["0x1\n"; 3]);
        device(&folder, "0000:00:01.0", ["", "0x1\n", "0x1\n"]);
        device(&folder, "0000:00:02.0", ["0x10000\n", "0x1\n", "0x1\n"]);
        device(&folder, "0000:00:03.0", ["0x1\n", "0x+1\n", "0x1\n"]);
        device(&folder, "0000:00:04.0", ["0x1\n", "0x1\n", "0x1000000\n"]);
        let odd = device(&folder, "0000:00:05.0", ["0x1\n"; 3]);
        symlink("/..", odd.join("driver")).unwrap();
        symlink("groups/-1", odd.join("iommu_group")).unwrap();
        let devices = list_in(&folder.0).unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!((devices[0].group, &devices[0].driver), (None, &None));
        assert_eq!(list_in(&folder.0.join("none")).unwrap(), []);
    }
}
