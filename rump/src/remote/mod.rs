//! The kernel of another process.
//!
//! One process boots the kernel and serves others with [`Server`]; `rump kernel` is one
//! that does nothing else. A process that [`connect`]s is its client from then on: everything
//! of this crate that is a system call works there as it would with a kernel of its own,
//! sockets, reactors, addresses of interfaces. What is made of the kernel's own process is
//! not to be had: [`Link`](crate::iface::Link), [`Process`](crate::process::Process), the
//! packet filter.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::os::unix::net::UnixListener;
//!
//! // One process:
//! let kernel = rump::Kernel::builder().boot()?;
//! let listener = UnixListener::bind("/run/rump.sock")?;
//! rump::remote::Server::new(&kernel).serve(&listener)?;
//! # Ok(())
//! # }
//! # fn other() -> Result<(), Box<dyn std::error::Error>> {
//!
//! // Any other:
//! let kernel = rump::remote::connect("/run/rump.sock")?;
//! let listener = rump::net::TcpListener::bind("0.0.0.0:80")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who is who
//! A client is a process of the kernel: it has descriptors of its own, and can name no
//! other's. When it ends, however it does, all that it had open is closed. The child of
//! `fork(2)` is a process of its own with copies of its parent's descriptors, as with
//! Linux's own. A program that `execve(2)` starts is not a client, and begins anew, unless it
//! is told the number of a [`Successor`] and takes its place ([`succeed`]).
//!
//! Clients must be of the same user as the kernel's process, or root.
//!
//! # The protocol
//! The connection, a Unix stream socket, carries orders: to begin, to get a
//! segment for one more thread, to fork. Its end is the client's end.
//!
//! A *segment* is memory that one thread of the client's shares with one thread of the
//! kernel's process, its worker: one call at a time is put down in it, with
//! what its pointers point to. Whose turn it is stands in a word of it; the other side looks
//! for some microseconds, then sleeps in `futex(2)`. What the arguments of each call are
//! stands in one table (`table.rs`), by which both sides lay operands out, so that no place
//! and no pointer is ever sent.
//!
//! The segment is the kernel's, and cannot be made smaller; what it says is believed only as
//! far as it is checked (`call.rs`). A client sees its own segments and nothing else.
//!
//! Upstream's rump kernels have a protocol of their own for this (sysproxy): requests over
//! a socket, with a message back and forth for each operand.

mod call;
mod client;
mod order;
mod segment;
mod server;
mod table;

pub use server::Server;

use crate::kernel::{self, Down, Kernel};
use order::Order;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

/// Why a process did not become a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It has a kernel, or had one.
    #[error("this process has a rump kernel already, or had one: a process has one in its life")]
    HasKernel,
    /// It is the child of a process with a kernel.
    #[error(transparent)]
    Down(#[from] Down),
    /// The kernel's process did not answer as one.
    #[error("{place}: {error}")]
    Io {
        /// The socket.
        place: String,
        /// What was wrong with it.
        error: io::Error,
    },
}

/// Has this process use the kernel that listens at a Unix socket.
///
/// # Errors
/// [`ConnectError`]. After [`ConnectError::Io`] the process may try again.
pub fn connect(place: impl AsRef<Path>) -> Result<Kernel, ConnectError> {
    join(place.as_ref(), Order::Begin)
}

/// Has this process take the place of one that executed it: it has the descriptors of the
/// [`Successor`] of this number.
///
/// # Errors
/// [`ConnectError`]; `ESRCH` if there is none of that number, or it was taken or given up.
pub fn succeed(place: impl AsRef<Path>, number: u64) -> Result<Kernel, ConnectError> {
    join(place.as_ref(), Order::Continue(number))
}

fn join(place: &Path, order: Order) -> Result<Kernel, ConnectError> {
    let connect = || {
        client::connect(place, order).map_err(|error| ConnectError::Io {
            place: place.display().to_string(),
            error: explained(error),
        })
    };
    kernel::join(connect)
}

/// The descriptor of this client's connection, if it is one: what closes all descriptors has
/// to leave that alone.
pub fn descriptor() -> Option<RawFd> {
    client::descriptor()
}

/// A process of the kernel's for a program that this process, a client, is about to execute:
/// it has copies of the descriptors that are not closed then (`FD_CLOEXEC`), and waits ten
/// seconds for somebody who takes it over.
///
/// Dropping it gives it up, which is for an `execve(2)` that failed.
#[derive(Debug)]
pub struct Successor(u64);

impl Successor {
    /// Of this process.
    ///
    /// # Errors
    /// `NotConnected` if this is not a client; the connection's, and the kernel's.
    pub fn new() -> io::Result<Self> {
        client::copy().map(Self)
    }

    /// What the program needs to know for [`succeed`]. Nobody guesses it.
    pub fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        client::forget(self.0);
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPROTO) => io::Error::other("the kernel there is of another version"),
        _ => error,
    }
}
