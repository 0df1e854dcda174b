//! Disks for other domains.

use crate::sys::offers;
use std::io;
use std::path::Path;

/// Offers a disk of the kernel to other domains of the Xen that this image runs on, by its
/// character device ("/dev/rld0d"), to read and write: for good, under a name by which their
/// configuration chooses it.
///
/// ```text
/// disk = [ "vdev=xvda,backend=NAME OF THIS DOMAIN,target=NAME OF THE DISK" ]
/// ```
///
/// Only what is offered is reached by others, and a disk that one of them may write by no other
/// at the same time. The names have 1 to 64 letters, digits and punctuation of ASCII, without
/// commas, quotes and backslashes. How their systems see it, and what a front end can and cannot
/// do, is in `docs/services.md`.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported) if this is no image on Xen;
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if a disk is offered under that name;
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no name; as
/// [`BlockDevice::open`](super::BlockDevice::open).
pub fn offer(name: &str, path: impl AsRef<Path>) -> io::Result<()> {
    told(name, offers::offer(name, path.as_ref(), true))
}

/// Offers a disk to be read.
///
/// # Errors
/// As [`offer`].
pub fn offer_read_only(name: &str, path: impl AsRef<Path>) -> io::Result<()> {
    told(name, offers::offer(name, path.as_ref(), false))
}

/// Says why there are no offers here.
fn told(name: &str, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| match error.kind() {
        kind @ io::ErrorKind::Unsupported => io::Error::new(
            kind,
            format!(
                "the disk {name} cannot be offered: that is for images on Xen \
                 (cargo rumprun build --target xen-pvh)"
            ),
        ),
        _ => error,
    })
}
