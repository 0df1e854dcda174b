//! A kernel in a process that does not start the programs: handing a listener over.
//!
//! The runner starts the program, connects to a Unix socket of the kernel's process, and
//! sends one message: [`HELLO`] with the filter's listener as its only descriptor
//! (`SCM_RIGHTS`). The kernel's process answers with a line, `ok` or what is wrong, answers the
//! programs' calls from then on, and closes the connection when the last of them is gone.
//! There is nothing else in the protocol: calls go through the listener, and everything that
//! they need comes from Linux. So a program costs as much as one of the kernel's own
//! process, and none can reach what another has.
//!
//! The kernel's process must be allowed to trace the programs. They are not its descendants,
//! so that with Yama (`kernel.yama.ptrace_scope`) other than 0 it takes `CAP_SYS_PTRACE`.

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What the message says, with the version of the protocol.
const HELLO: &[u8] = b"rump-seccomp 1\n";
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most descriptors that a message has (`SCM_MAX_FD` of Linux). There is room for all, so
/// that each is owned, and closed, here.
const MOST: usize = 253;
/// What Linux calls a listener in `/proc/self/fd`.
const LISTENER: &str = "anon_inode:seccomp notify";
/// The longest answer, in bytes.
const LONGEST: u64 = 256;

/// Hands a listener over to the process of a kernel, which answers from now on.
pub(crate) fn hand_over(stream: &UnixStream, listener: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [listener.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let parts = [IoSlice::new(HELLO)];
    sendmsg::<()>(
        stream.as_raw_fd(),
        &parts,
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, LONGEST)).read_line(&mut line)?;
    match line.trim() {
        "ok" => Ok(()),
        "" => Err(io::ErrorKind::UnexpectedEof.into()),
        refused => Err(io::Error::other(refused.to_string())),
    }
}

/// Takes a listener over, and says so; or why not.
pub(crate) fn take_over(mut stream: &UnixStream) -> io::Result<OwnedFd> {
    let taken = take(stream);
    match &taken {
        Ok(_) => writeln!(stream, "ok")?,
        Err(error) => {
            let line = error.to_string().replace('\n', " ");
            writeln!(stream, "{line}")?;
        }
    }
    taken
}

fn take(stream: &UnixStream) -> io::Result<OwnedFd> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let peer = getsockopt(stream, sockopt::PeerCredentials)?;
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    // Some more, so that a longer message is not taken for this one.
    let mut text = [0; 64];
    let mut space = cmsg_space!([RawFd; MOST]);
    let (length, mut fds) = {
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let mut fds = Vec::new();
        for one in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(some) = one {
                fds.extend(some.into_iter().map(own_descriptor));
            }
        }
        (message.bytes, fds)
    };
    if &text[..length] != HELLO {
        return Err(wrong("not rump-seccomp, or another version of it"));
    }
    let (Some(fd), true) = (fds.pop(), fds.is_empty()) else {
        return Err(wrong("not one descriptor came with the message"));
    };
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    if link.as_os_str() != LISTENER {
        return Err(wrong("the descriptor is no listener of a seccomp filter"));
    }
    Ok(fd)
}

#[allow(unsafe_code)]
fn own_descriptor(fd: RawFd) -> OwnedFd {
    // SAFETY: it has just come with a message, and is nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    /// What the kernel's side says to a message.
    fn says(text: &[u8], fds: &[RawFd]) -> String {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let rights = [ControlMessage::ScmRights(fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        let parts = [IoSlice::new(text)];
        sendmsg::<()>(ours.as_raw_fd(), &parts, rights, MsgFlags::empty(), None).unwrap();
        assert!(take_over(&theirs).is_err());
        drop(theirs);
        let mut line = String::new();
        (&ours).read_to_string(&mut line).unwrap();
        line
    }

    fn open() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn nothing_but_a_listener_is_taken() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = file.as_raw_fd();
        assert!(says(HELLO, &[]).contains("not one"));
        assert!(says(HELLO, &[fd]).contains("no listener"));
        assert!(says(b"GET / HTTP/1.1", &[fd]).contains("not rump-seccomp"));
        assert!(says(b"rump-seccomp 2\n", &[fd]).contains("another version"));
        assert!(says(b"rump-seccomp 1\nmore", &[fd]).contains("not rump-seccomp"));
        // However many come, none stays; other tests' own may come and go.
        let before = open();
        for _ in 0..100 {
            assert!(says(HELLO, &[fd; 253]).contains("not one"));
        }
        assert!(open() < before + 50);
    }

    #[test]
    fn the_runner_is_told_why() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kernel = std::thread::spawn(move || take_over(&theirs).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = hand_over(&ours, file.as_fd()).unwrap_err();
        assert!(error.to_string().contains("no listener"), "{error}");
        assert!(kernel.join().unwrap());
    }
}
