//! NetBSD's kernel as a library.
//!
//! A program that depends on this crate has NetBSD's TCP/IP stack inside its own
//! process. The kernel is compiled from a NetBSD tree that the user names (where there is
//! none, `rump-lite` stands in, a small kernel with the same interface); what remains
//! to do is to boot it:
//!
//! ```
//! use rump::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! let kernel = rump::Kernel::builder().cpus(2).boot()?;
//! println!("{}", kernel.identity()?);
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//! let (mut server, _) = listener.accept()?;
//! client.write_all(b"hello")?;
//! let mut greeting = [0; 5];
//! server.read_exact(&mut greeting)?;
//! assert_eq!(&greeting, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # State
//! ```text
//!  (nothing) ── Builder::boot ──> running ── Kernel::shutdown ──> down
//! ```
//! There is one kernel in a process, and no way back: it cannot be booted again, in no
//! state. Calls before boot and after shutdown fail with [`Down`](kernel::Down); so do
//! calls in the child of a fork, where the kernel's threads do not exist. A child that
//! goes on to exec, as [`std::process::Command`] makes it, is not concerned.
//!
//! # Threads
//! A kernel thread of NetBSD is an *lwp*, and every call needs one. Each thread of the
//! program gets its own at its first call and gives it back when it ends; nobody has to
//! know. [`lwp`] and [`process`] are for those who do.
//!
//! # Watching it
//! [`metrics`] has what the kernel counts, and [`sysctl`] its settings. Boot, shutdown and
//! what happens to interfaces are events of the crate `tracing` (and records of `log`,
//! where a program has no subscriber), under the target `rump`.
//!
//! # What it does not do
//! Names are looked up by the host until [`net::resolver`] has settings. Signals of the
//! kernel are ignored: writing to a closed connection is an error, never a signal.

#[cfg(feature = "fs")]
pub mod block;
pub mod descriptor;
pub mod error;
#[cfg(feature = "fs")]
pub mod fs;
pub mod iface;
pub mod kernel;
pub mod kqueue;
pub mod lwp;
pub mod metrics;
pub mod net;
#[cfg(feature = "npf")]
pub mod npf;
pub mod pci;
pub mod poll;
pub mod process;
pub mod reactor;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "server")]
pub mod server;
mod settings;
pub mod switch;
mod sys;
pub mod sysctl;

pub use error::{Errno, Lacking};
pub use kernel::{Builder, Kernel};
