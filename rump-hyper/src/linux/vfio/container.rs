//! The IOMMU as this process has it: groups of devices in one container, and in it the
//! kernel's memory.
//!
//! There is one container while there is a device. When the last group leaves it, Linux
//! takes all of it back, so that the group can go to another driver; the next device
//! makes a new one, with the same window.

use super::error::Error;
use super::{chain, ioctl};
use crate::host::Host;
use crate::linux::{LinuxHost, pages};
use crate::pci::window::{ALIGN, Window};
use std::boxed::Box;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::vec::Vec;
use std::{format, io};
use vfio_bindings::bindings::vfio as abi;

/// Where VFIO's files are.
pub(super) const FILES: &str = "/dev/vfio";

/// How many bits an address has at most: there is no driver for less than 32, and more
/// than the IOMMU has are in no range.
const BITS: u32 = 64;

/// How much of the kernel's memory must have room at least.
const LEAST: u64 = 32 << 20;

/// A group, in the container as long as this lives.
#[derive(Debug)]
pub(super) struct Group {
    number: u32,
    /// Before the container: the last group to be closed is out of it then.
    file: File,
    container: Arc<Container>,
}

#[derive(Debug)]
struct Container {
    file: Arc<File>,
}

static CURRENT: Mutex<Vec<Weak<Group>>> = Mutex::new(Vec::new());

fn current() -> MutexGuard<'static, Vec<Weak<Group>>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: PathBuf, hint: &'static str) -> Result<File, Error> {
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    opened.map_err(|source| Error::Open { path, hint, source })
}

fn failed(what: &'static str, object: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let object = object.into();
    move |source| Error::Vfio {
        what,
        object,
        source,
    }
}

impl Group {
    /// The group of that number, for a device of it.
    pub(super) fn open(number: u32, address: &str) -> Result<Arc<Self>, Error> {
        let mut groups = current();
        groups.retain(|group| group.strong_count() > 0);
        let known: Vec<_> = groups.iter().filter_map(Weak::upgrade).collect();
        if let Some(group) = known.iter().find(|group| group.number == number) {
            return Ok(group.clone());
        }
        let path = Path::new(FILES).join(number.to_string());
        let hint = "; the group's file belongs to root unless you give it away (chown, or a udev rule for the subsystem vfio), and only one process can have it open";
        let file = open(path, hint)?;
        let name = format!("IOMMU group {number}");
        let status =
            ioctl::group_status(file.as_fd()).map_err(failed("asking for the state", &name))?;
        if status & abi::VFIO_GROUP_FLAGS_VIABLE == 0 {
            return Err(Error::NotViable {
                address: address.into(),
                group: number,
            });
        }
        let container = match known.first() {
            Some(group) => {
                let container = group.container.clone();
                ioctl::set_container(file.as_fd(), container.file.as_fd())
                    .map_err(failed("adding to the container", &name))?;
                container
            }
            None => Container::with(&file, &name)?,
        };
        let group = Arc::new(Self {
            number,
            file,
            container,
        });
        groups.push(Arc::downgrade(&group));
        Ok(group)
    }

    pub(super) fn device(&self, address: &str) -> Result<File, Error> {
        ioctl::device(self.file.as_fd(), address).map_err(failed("opening", address))
    }
}

impl Container {
    fn with(group: &File, name: &str) -> Result<Arc<Self>, Error> {
        let path = Path::new(FILES).join("vfio");
        let object = path.display().to_string();
        let hint = "; VFIO needs the kernel module vfio-pci (modprobe vfio-pci)";
        let file = Arc::new(open(path, hint)?);
        let version =
            ioctl::api_version(file.as_fd()).map_err(failed("asking for the version", &object))?;
        let kind = abi::VFIO_TYPE1v2_IOMMU;
        let known = ioctl::has_iommu(file.as_fd(), kind)
            .map_err(failed("asking for the type of IOMMU", &object))?;
        if version != abi::VFIO_API_VERSION as i32 || !known {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            return Err(failed("version 0 with an IOMMU of type 1", &object)(source));
        }
        ioctl::set_container(group.as_fd(), file.as_fd())
            .map_err(failed("adding to a container", name))?;
        ioctl::set_iommu(file.as_fd(), kind).map_err(failed("choosing the IOMMU", &object))?;
        let info = ioctl::iommu_info(file.as_fd())
            .map_err(failed("asking for ranges of addresses", &object))?;
        let container = file.clone();
        pages::give_to_devices(move |room| {
            let ranges = ranges(&info);
            let [start, used, all] = [room.start, room.used, room.all].map(|size| size as u64);
            let window = choose(room.window, &ranges, start, used, all)?;
            let mapper = move |start: usize, len: usize| map(&container, window, start, len);
            Ok::<_, Error>((window, Box::new(mapper) as pages::Mapper))
        })
        .map_err(memlock)?;
        Ok(Arc::new(Self { file }))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        pages::take_from_devices();
    }
}

/// The ranges of addresses that the IOMMU translates. An old Linux does not tell them.
fn ranges(info: &[u8]) -> Vec<(u64, u64)> {
    let word = |at| chain::u32_at(info, at).unwrap_or(0);
    let told = (word(4) & abi::VFIO_IOMMU_INFO_CAPS != 0)
        .then(|| chain::find(info, word(16), abi::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE))
        .flatten()
        .map(chain::pairs);
    // 39 bits are the least of Intel's, and x86's messages lie below 4 GiB.
    told.filter(|ranges| !ranges.is_empty())
        .unwrap_or_else(|| [(0, 0xfedf_ffff), (0xfef0_0000, (1 << 39) - 1)].to_vec())
}

fn choose(
    old: Option<Window>,
    ranges: &[(u64, u64)],
    start: u64,
    used: u64,
    all: u64,
) -> Result<Window, Error> {
    let needed = used.max(LEAST);
    let none = Error::NoWindow { needed, bits: BITS };
    let Some(old) = old else {
        return Window::choose(start, needed, all, ranges, BITS).ok_or(none);
    };
    let first = old.start.wrapping_add(old.offset);
    let inside = |&(low, high): &(u64, u64)| low <= first && first + (old.len - 1) <= high;
    debug_assert!(first.is_multiple_of(ALIGN));
    if ranges.iter().any(inside) {
        Ok(old)
    } else {
        Err(none)
    }
}

fn map(container: &File, window: Window, start: usize, len: usize) -> io::Result<()> {
    let (address, len) = (start as u64, len as u64);
    let bus = window
        .translate(address, len)
        .ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the arena, which is the kernel's alone, and whose drivers tell devices
    // what to write to. It stays mapped as long as the process lives.
    let mapped = unsafe { ioctl::map_dma(container.as_fd(), address, bus, len) };
    if let Err(error) = &mapped {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            let text = format!(
                "rump: {} KiB more of the kernel's memory cannot be locked for DMA ({error}; RLIMIT_MEMLOCK is {} KiB): from now on what lies elsewhere is copied\n",
                len >> 10,
                limit() >> 10
            );
            LinuxHost::console(text.as_bytes());
        });
    }
    mapped
}

/// `RLIMIT_MEMLOCK`, in bytes.
fn limit() -> u64 {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK);
    limit.map_or(0, |(soft, _)| soft)
}

/// Says what an `ENOMEM` means.
fn memlock(error: Error) -> Error {
    let locked =
        matches!(&error, Error::Memory(source) if source.raw_os_error() == Some(libc::ENOMEM));
    if !locked {
        return error;
    }
    Error::Memlock {
        limit: limit(),
        needed: pages::accessible() as u64,
    }
}
