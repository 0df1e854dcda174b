//! Cables between processes: here both ends are in one, and Linux is at the other end over
//! TAP, in a network namespace that this process makes for itself. The benchmark
//! `shm/stream` has a kernel in each of two processes.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use patch::Patch;
use rump::Errno;
use rump::iface::{Link, Shm, Tap};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use stream::BothWays;

/// Both ends of a cable.
fn cable() -> Result<(Shm, Shm), Box<dyn std::error::Error>> {
    let (one, other) = UnixStream::pair()?;
    Ok((Shm::offer(one)?, Shm::accept(other)?))
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn transfers() -> Outcome {
    let (near, far) = cable()?;
    let link = common::boot().attach(near)?;
    let tap = Tap::open("shm%d")?;
    let name = tap.name().to_string();
    netns::ip(&format!("address add 10.7.1.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    let patch = Patch::new(far, tap);
    link.add_address("10.7.1.2/24".parse()?)?;
    let stream = BothWays::start("10.7.1.2")?;
    stream.advance(8 << 20);
    stream.finish()?;
    let stats = link.stats()?;
    assert!(stats.rx_large > 100 && stats.tx_large > 100, "{stats:?}");
    assert_eq!(link.malformed(), 0);
    // The other side goes away.
    drop(patch);
    is_lost(&link, Errno::ENXIO);
    Ok(())
}

fn is_lost(link: &Link, errno: Errno) {
    wait("the loss is noticed", || link.error().is_some());
    assert_eq!(link.error(), Some(errno));
    wait("the link is lost", || !link.has_link());
}

/// The other side tells counts that cannot be, and the end of its socket.
fn other_side_is_hostile() -> Outcome {
    for (at, errno) in [(LANE, Some(Errno::EBADMSG)), (64, None)] {
        let (one, other) = UnixStream::pair()?;
        let link = common::boot().attach(Shm::offer(one)?)?;
        let memory = take_over(&other)?;
        memory.write_at(&(u64::MAX / 2).to_ne_bytes(), at)?;
        match errno {
            Some(errno) => is_lost(&link, errno),
            // What is wrong with the other direction is noticed where it is used.
            None => {
                link.add_address("10.7.2.1/24".parse()?)?;
                let socket = rump::net::UdpSocket::bind("10.7.2.1:0")?;
                socket.set_broadcast(true)?;
                // When the room that there was at first is used up.
                wait("what is sent is lost", || {
                    for _ in 0..100 {
                        let _ = socket.send_to(&[0; 1400], "10.7.2.255:9");
                    }
                    link.send_drops() > 0
                });
            }
        }
        // Whatever it says on the socket means that it is gone.
        let (one, other) = UnixStream::pair()?;
        link.replace(Shm::offer(one)?)?;
        assert!(link.has_link());
        (&other).write_all(b"x")?;
        is_lost(&link, Errno::ENXIO);
    }
    Ok(())
}

/// Where the second lane begins; the first has its taken count at 64.
const LANE: u64 = 256 + (4 << 20);

/// The memory.
fn take_over(socket: &UnixStream) -> Result<File, Box<dyn std::error::Error>> {
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut bytes = [0; 16];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(files) = part {
            let path = format!("/proc/self/fd/{}", files[0]);
            return Ok(File::options().read(true).write(true).open(path)?);
        }
    }
    Err("no descriptors".into())
}

/// Not all that comes over a socket is a cable.
fn something_else_is_offered() -> Outcome {
    let refused = |offer: &dyn Fn(&UnixStream) -> nix::Result<()>| -> Outcome {
        let (one, other) = UnixStream::pair()?;
        other.set_read_timeout(Some(Duration::from_secs(5)))?;
        offer(&one)?;
        one.shutdown(Shutdown::Write)?;
        let error = Shm::accept(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        Ok(())
    };
    let send = |socket: &UnixStream, greeting: &[u8], files: &[RawFd]| {
        let files = (!files.is_empty()).then_some(ControlMessage::ScmRights(files));
        let parts = [IoSlice::new(greeting)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, files.as_slice(), flags, None).map(drop)
    };
    let memory = File::from(memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING)?);
    memory.set_len(2 * LANE)?;
    let fd = memory.as_raw_fd();
    refused(&|_| Ok(()))?;
    refused(&|socket| send(socket, b"hello", &[fd]))?;
    refused(&|socket| send(socket, b"rump shm 2", &[]))?;
    refused(&|socket| send(socket, b"rump shm 2", &[fd, fd]))?;
    // It could be cut off.
    refused(&|socket| send(socket, b"rump shm 2", &[fd]))?;
    refused(&|socket| {
        let (null, _) = UnixStream::pair().unwrap();
        let null = null.as_raw_fd();
        send(socket, b"rump shm 2", &[null])
    })
}

fn main() {
    common::run_with_interfaces([
        ("root::transfers", transfers),
        ("other_side_is_hostile", other_side_is_hostile),
        ("something_else_is_offered", something_else_is_offered),
    ])
}
