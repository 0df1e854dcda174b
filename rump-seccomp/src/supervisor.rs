//! What holds the parts together.

use crate::client::Clients;
use crate::destination::IsHosts;
use crate::interruptions::Interruptions;
use crate::launch::{Child, launch};
use crate::listener::Listener;
use crate::placeholders::Placeholders;
use crate::remote;
use crate::seats::Seats;
use crate::watcher::Watcher;
use rump_linux::Kernel;
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) placeholders: Arc<Placeholders>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) interruptions: Arc<Interruptions>,
    pub(crate) clients: Clients,
    /// Which destinations are the host's; none if there is no such function.
    pub(crate) is_hosts: Option<Box<IsHosts>>,
    /// Run by each thread before it calls the kernel.
    pub(crate) enter: fn(),
}

/// Answers the calls of programs.
pub struct Supervisor(Arc<Shared>);

/// The programs that descend from one that was started.
pub struct Programs(Arc<Listener>);

impl Supervisor {
    /// One for this kernel. `enter` is run by each thread before it calls the kernel: it may
    /// give the thread an lwp of its own.
    ///
    /// # Errors
    /// Of making threads and descriptors, here and in the kernel.
    pub fn new(kernel: Arc<dyn Kernel>, enter: fn()) -> io::Result<Self> {
        let placeholders = Placeholders::new(enter)?;
        let watcher = Watcher::new(&kernel, &placeholders, enter)?;
        Ok(Self(Arc::new(Shared {
            kernel,
            placeholders,
            watcher,
            interruptions: Interruptions::new(enter)?,
            clients: Clients::default(),
            is_hosts: None,
            enter,
        })))
    }

    /// Leaves what programs connect or send to some destinations to the host's network: to
    /// name servers, for example. Before the first program is started; later it has no effect.
    #[must_use]
    pub fn to_host(
        mut self,
        is_hosts: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.is_hosts = Some(Box::new(is_hosts));
        }
        self
    }

    /// Starts a program, which is looked for in `PATH`, with these arguments and this
    /// process's environment, directory and descriptors.
    ///
    /// It runs without privileges of files that it executes (`PR_SET_NO_NEW_PRIVS`). That it
    /// cannot be executed shows by its status, 127, and by [`Child::exec_error`].
    ///
    /// # Errors
    /// Of `fork(2)`; of `seccomp(2)`, which refuses if this process itself runs under a
    /// supervisor, or if Linux is older than 5.9; of `pidfd_getfd(2)`, `EPERM` if this process
    /// may not trace its children.
    pub fn spawn(&self, program: &OsStr, arguments: &[&OsStr]) -> io::Result<(Child, Programs)> {
        let (child, listener) = launch(program, arguments)?;
        Ok((child, self.serve(listener)?))
    }

    /// Takes the programs over that somebody has started with [`spawn_remote`] and tells of
    /// by this connection. The connection is to be closed when they have hung up, and not
    /// before.
    ///
    /// # Errors
    /// `InvalidData` if the message is none of [`spawn_remote`]'s, `PermissionDenied` if it is
    /// neither from this user nor from root. The other side is told.
    pub fn take_over(&self, stream: &UnixStream) -> io::Result<Programs> {
        self.serve(remote::take_over(stream)?)
    }

    /// Answers what comes to the listener of a filter.
    fn serve(&self, listener: OwnedFd) -> io::Result<Programs> {
        let listener = Arc::new(Listener::new(listener));
        Seats::start(self.0.clone(), listener.clone())?;
        Ok(Programs(listener))
    }

    /// How many sockets of the kernel's are open, or still have something to send.
    pub fn count(&self) -> usize {
        self.0.placeholders.count()
    }

    /// Waits until there are no more of them, at most so long; how many are left. To be
    /// called before the kernel ends: what programs sent last may not have arrived.
    pub fn wait_closed(&self, limit: Duration) -> usize {
        self.0.placeholders.wait(limit)
    }
}

/// Starts a program as [`Supervisor::spawn`] does, whose calls the supervisor at the other
/// end of this connection answers ([`Supervisor::take_over`]). It closes the connection
/// when all of them are gone, or if it is gone itself: every call that would be notified then
/// answers `ENOSYS`, also `read(2)` of a file.
///
/// # Errors
/// As [`Supervisor::spawn`]; what the other side refused. The program is killed then.
pub fn spawn_remote(
    stream: &UnixStream,
    program: &OsStr,
    arguments: &[&OsStr],
) -> io::Result<Child> {
    let (child, listener) = launch(program, arguments)?;
    if let Err(error) = remote::hand_over(stream, listener.as_fd()) {
        child.kill();
        return Err(error);
    }
    Ok(child)
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Supervisor").field(&self.count()).finish()
    }
}

/// `poll(2)` of it says `POLLHUP` when the last of them is gone, whatever it is asked for.
impl AsFd for Programs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Programs").field(&self.0).finish()
    }
}
