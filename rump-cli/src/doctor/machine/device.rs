//! Devices of this machine: opened, or counted.

use crate::doctor::finding::Finding;
use std::fs::{File, read_dir};
use std::io::ErrorKind;
use std::path::Path;

/// A device that can be opened for reading and writing.
pub fn opens(path: &Path) -> Finding {
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Finding::found("opens"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::missing(format!("{} is not there", path.display()))
        }
        Err(error) => Finding::missing(format!("{} does not open ({error})", path.display())),
    }
}

/// The groups into which the IOMMU of the machine at `root` puts its devices.
pub fn iommu_groups(root: &Path) -> Finding {
    let groups = read_dir(root.join("sys/kernel/iommu_groups"))
        .map(|entries| entries.flatten().count())
        .unwrap_or(0);
    match groups {
        0 => Finding::missing("none; no device can be given to a program"),
        count => Finding::found(count.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_device_opens_or_it_is_said_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tun");
        assert!(opens(&path).detail.contains("is not there"));
        std::fs::create_dir(&path).unwrap();
        assert!(opens(&path).detail.contains("does not open"));
        assert_eq!(opens(Path::new("/dev/null")).status, Status::Found);
    }

    #[test]
    fn groups_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(iommu_groups(dir.path()).status, Status::Missing);
        let groups = dir.path().join("sys/kernel/iommu_groups");
        for group in ["0", "1"] {
            std::fs::create_dir_all(groups.join(group)).unwrap();
        }
        assert_eq!(iommu_groups(dir.path()), Finding::found("2"));
    }
}
