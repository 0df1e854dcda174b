//! What stands in the program for a socket of the kernel's: one end of a socket pair, as
//! ready as that socket is.
//!
//! | the kernel's socket | the pair |
//! |---|---|
//! | has something to read | a byte (a *token*) lies in the program's end |
//! | cannot be written | the program's end has sent more than it may (it is *plugged*) |
//! | has come to its end | our end is shut for sending |
//! | is closed, because | the program's end is closed for good, and ours hangs up |
//!
//! Tokens are sent, and plugs pulled, from our end; to take tokens back and to plug, the
//! program's end is needed, and a copy of it is fetched. Both happen only while a call of the
//! program on this very descriptor is being answered.
//!
//! [`Placeholder::follow`] may be called at any time by anyone. It asks the kernel and sets
//! the pair accordingly, under a lock, so that an answer of the kernel's that is older than
//! what another saw never wins.

use crate::client::Client;
use crate::watcher::Watcher;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, setsockopt, shutdown,
    socketpair, sockopt,
};
use nix::sys::stat::fstat;
use rump_linux::Description;
use rump_linux::raw::general::{O_NONBLOCK, POLLIN, POLLOUT};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// The smallest buffer that Linux gives, so that a plug is small, too.
const BUFFER: usize = 1;
/// More than what may be sent into that (unix(7): a quarter of the buffer) before the
/// other end reads.
const PLUG: [u8; 2048] = [0; 2048];

pub(crate) struct Placeholder {
    pub(crate) description: Arc<Description>,
    /// Of the program's end.
    pub(crate) inode: u64,
    pub(crate) ours: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A token lies in the program's end.
    token: bool,
    plugged: bool,
    ended: bool,
}

/// The descriptor by which the program just called.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) client: &'a Client,
    pub(crate) fd: i32,
}

impl Placeholder {
    /// One for a description, and the end for the program.
    pub(crate) fn new(description: Arc<Description>) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        setsockopt(&ours, sockopt::SndBuf, &BUFFER)?;
        setsockopt(&theirs, sockopt::SndBuf, &BUFFER)?;
        if description.flags() & O_NONBLOCK != 0 {
            // For F_GETFL, which Linux answers.
            fcntl(&theirs, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let placeholder = Self {
            description,
            inode: fstat(&theirs)?.st_ino,
            ours,
            state: Mutex::default(),
        };
        Ok((Arc::new(placeholder), theirs))
    }

    /// Makes the pair as ready as the kernel's socket.
    ///
    /// With `news`, the program hears of it even if it was ready before: edges of
    /// `epoll(7)`. Without a caller, what takes the program's end is left for later. Returns
    /// whether it cannot be written, which the watcher then waits for.
    pub(crate) fn follow(
        &self,
        watcher: &Watcher,
        news: bool,
        caller: Option<Caller<'_>>,
    ) -> io::Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = self.description.readable_and_writable();
        let ready = ready.map_err(|errno| io::Error::from_raw_os_error(errno.0 as i32))?;
        let (reads, writes) = (ready & POLLIN != 0, ready & POLLOUT != 0);
        if reads && !state.ended && (news || !state.token) {
            // One that is full of tokens is ready.
            ignore_full(send(self.ours.as_raw_fd(), &[0], quietly()))?;
            state.token = true;
        }
        if writes && state.plugged {
            empty(&self.ours)?;
            state.plugged = false;
        }
        let take = !reads && state.token && !state.ended;
        let plug = !writes && !state.plugged;
        if let (Some(caller), true) = (caller, take || plug)
            && let Some(theirs) = self.theirs(caller)
        {
            if take {
                empty(&theirs)?;
                state.token = false;
            }
            if plug {
                ignore_full(send(theirs.as_raw_fd(), &PLUG, quietly()))?;
                state.plugged = true;
                watcher.wait_to_write(self)?;
            }
        }
        Ok(state.plugged)
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.ended {
            shutdown(self.ours.as_raw_fd(), Shutdown::Write)?;
            state.ended = true;
        }
        Ok(())
    }

    /// A copy of the program's end, unless the program has put something else in its place
    /// meanwhile.
    fn theirs(&self, caller: Caller<'_>) -> Option<OwnedFd> {
        let copy = caller.client.copy(caller.fd).ok()?;
        (fstat(&copy).ok()?.st_ino == self.inode).then_some(copy)
    }
}

fn quietly() -> MsgFlags {
    MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL
}

fn ignore_full(sent: nix::Result<usize>) -> io::Result<()> {
    match sent {
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        // The other end is gone, and ours is about to hang up.
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Throws away what lies in an end.
fn empty(end: &OwnedFd) -> io::Result<()> {
    let mut room = [0; 4096];
    loop {
        match recv(end.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::EAGAIN | Errno::ECONNRESET) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
