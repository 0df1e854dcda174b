//! Partitions: NetBSD's wedges, `dk(4)`.
//!
//! A wedge is a range of a disk's sectors with a name, and a device of its own, "dk0". The
//! kernel finds those that a GPT, an MBR or a disklabel(5) describes when it is asked to
//! [`discover`]; others are [made](add) by hand. Wedges are the kernel's: nothing is written
//! to the disk.

use super::BlockDevice;
use crate::sys::file as sys;
use rump_sys::abi::fs::{self, dkwedge_info};
use std::io;

/// A wedge of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wedge {
    /// Its device, "dk0".
    pub device: String,
    /// Its name: the label in a GPT, or else what the kernel made up.
    pub name: String,
    /// The disk it is of, "vbd0".
    pub parent: String,
    /// Its first sector on the disk.
    pub start: u64,
    /// How many sectors it has.
    pub sectors: u64,
    /// What is in it, "ffs", "msdos", "ext2fs"; may be empty.
    pub kind: String,
}

impl Wedge {
    /// Where a file system is mounted from, "/dev/dk0".
    pub fn path(&self) -> String {
        format!("/dev/{}", self.device)
    }

    /// What a [`BlockDevice`] is opened by, "/dev/rdk0".
    pub fn raw_path(&self) -> String {
        format!("/dev/r{}", self.device)
    }
}

impl From<&dkwedge_info> for Wedge {
    fn from(info: &dkwedge_info) -> Self {
        Self {
            device: sys::field_text(&info.dkw_devname),
            name: sys::field_text(&info.dkw_wname),
            parent: sys::field_text(&info.dkw_parent),
            start: info.dkw_offset.unsigned_abs(),
            sectors: info.dkw_size,
            kind: sys::field_text(&info.dkw_ptype),
        }
    }
}

/// Looks for partitions on a disk, by all methods of the kernel, and makes wedges of them;
/// returns all wedges that the disk has then.
///
/// # Errors
/// `EBADF` if the disk was opened to read; the driver's.
#[doc(alias = "DIOCMWEDGES")]
pub fn discover(disk: &BlockDevice) -> io::Result<Vec<Wedge>> {
    let mut unused = 0i32;
    sys::control(disk.file(), fs::DIOCMWEDGES, &mut unused)?;
    list(disk)
}

/// The wedges of a disk, by their place on it.
///
/// # Errors
/// The driver's.
#[doc(alias = "DIOCLWEDGES")]
pub fn list(disk: &BlockDevice) -> io::Result<Vec<Wedge>> {
    let wedges = sys::list_wedges(disk.file())?;
    let mut wedges: Vec<Wedge> = wedges.iter().map(Wedge::from).collect();
    wedges.sort_by_key(|wedge| wedge.start);
    Ok(wedges)
}

/// A field with a text, if that fits with a 0 behind it.
fn field<const SIZE: usize>(text: &str) -> io::Result<[u8; SIZE]> {
    let mut field = [0; SIZE];
    let bytes = text.as_bytes();
    if bytes.len() >= SIZE || bytes.contains(&0) {
        let text = format!("{text:?} is too long for a wedge, or has a 0 in it");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    field[..bytes.len()].copy_from_slice(bytes);
    Ok(field)
}

/// Makes a wedge of so many sectors, with a name that no other has.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) for a name or a wedge that is there;
/// `EINVAL` if it overlaps one; `EBADF` if the disk was opened to read.
#[doc(alias = "DIOCAWEDGE")]
pub fn add(
    disk: &BlockDevice,
    name: &str,
    start: u64,
    sectors: u64,
    kind: &str,
) -> io::Result<Wedge> {
    let whole = disk.size() / u64::from(disk.sector_size());
    if sectors == 0 || start.checked_add(sectors).is_none_or(|end| end > whole) {
        let text = format!("{sectors} sectors at {start} are not within the disk's {whole}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // The kernel does not see a wedge that has others in it.
    let overlaps =
        |other: &Wedge| other.start < start + sectors && start < other.start + other.sectors;
    if let Some(other) = list(disk)?
        .iter()
        .find(|other| other.name != name && overlaps(other))
    {
        let text = format!(
            "{sectors} sectors at {start} overlap {} ({:?})",
            other.device, other.name
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut info = dkwedge_info {
        dkw_devname: [0; 16],
        dkw_wname: field(name)?,
        dkw_parent: [0; 16],
        dkw_offset: start as i64,
        dkw_size: sectors,
        dkw_ptype: field(kind)?,
    };
    sys::control(disk.file(), fs::DIOCAWEDGE, &mut info)?;
    Ok(Wedge::from(&info))
}

/// Removes a wedge that nobody uses.
///
/// # Errors
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy); `ESRCH` if there is no such wedge.
#[doc(alias = "DIOCDWEDGE")]
pub fn remove(disk: &BlockDevice, wedge: &Wedge) -> io::Result<()> {
    let mut info = dkwedge_info {
        dkw_devname: field(&wedge.device)?,
        dkw_wname: [0; 128],
        dkw_parent: [0; 16],
        dkw_offset: 0,
        dkw_size: 0,
        dkw_ptype: [0; 32],
    };
    sys::control(disk.file(), fs::DIOCDWEDGE, &mut info)
}
