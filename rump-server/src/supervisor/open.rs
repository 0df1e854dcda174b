//! What is opened before privileges are given up, and giving them up.

use super::Error;
use crate::config::{Kind, NicPlan};
use crate::vfio;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen as listen_on,
    socket,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rump_hyper::linux::{Packet, Tap};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A NIC's descriptors. A card has none: it is made the user's, so that each worker can open it.
pub(super) fn nic(nic: &NicPlan, user: Option<(u32, u32)>) -> Result<Vec<OwnedFd>, Error> {
    let opened = match &nic.kind {
        Kind::Pci(card) => vfio::grant(card, user).map(|()| Vec::new()),
        Kind::Tap(name) => Tap::with_queues(name, nic.queues.into())
            .and_then(|tap| tap.files().map(|file| file.try_clone_to_owned()).collect()),
        Kind::Interface(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "interfaces are those of an image's kernel: `cargo rumprun service server` makes one",
        )),
        Kind::Packet(name) => {
            Packet::open(name).and_then(|packet| Ok(vec![packet.file().try_clone_to_owned()?]))
        }
    };
    opened.map_err(|source| Error::Nic {
        name: nic.name.clone(),
        source,
    })
}

/// As many descriptors as may be.
pub(super) fn raise_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Where applications connect. Everybody may: who they are decides what they get.
pub(super) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let make = || socket(AddressFamily::Unix, SockType::SeqPacket, flags, None);
    let file = make()?;
    let before = umask(Mode::from_bits_truncate(0o111));
    let bound = match bind(file.as_raw_fd(), &address) {
        // One that nobody listens on any more is replaced.
        Err(nix::Error::EADDRINUSE) if connect(make()?.as_raw_fd(), &address).is_err() => {
            std::fs::remove_file(path)?;
            bind(file.as_raw_fd(), &address)
        }
        other => other,
    };
    umask(before);
    bound?;
    listen_on(&file, Backlog::MAXCONN)?;
    Ok(file)
}

/// Where `rump ctl` connects: root, and the server's own user.
pub(super) fn control(path: &Path, user: Option<(u32, u32)>) -> io::Result<UnixListener> {
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path).or_else(|error| {
        if error.kind() != io::ErrorKind::AddrInUse || UnixStream::connect(path).is_ok() {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        UnixListener::bind(path)
    });
    umask(before);
    if let (Some((user, _)), true) = (user, Uid::effective().is_root()) {
        std::os::unix::fs::chown(path, Some(user), None)?;
    }
    bound
}

/// Becomes this user for good, if it is root; and nobody that it starts becomes more.
pub(super) fn drop_privileges(user: Option<(u32, u32)>) -> io::Result<()> {
    if let (Some((user, group)), true) = (user, Uid::effective().is_root()) {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        setgroups(&[group])?;
        setgid(group)?;
        setuid(user)?;
    }
    Ok(set_no_new_privs()?)
}
