//! The Linux personality: Linux system calls on a NetBSD rump kernel.
//!
//! [`Process::call`] takes a system call as Linux's x86-64 ABI has it, number and six
//! arguments, and returns what Linux would: a result, or a negative errno. What it is about
//! decides who answers: sockets of the internet families are the [`Kernel`]'s; event and
//! timer descriptors and epoll are this crate's own; everything else is the [`Host`]'s.
//! The crate does not know where it runs.
//!
//! # What a runner has to do
//! - Implement [`Host`] (or take `back::linux::LinuxHost`), and hand in a [`Kernel`]
//!   (`back::in_process::InProcess` for the one in this process; its threads should have an
//!   lwp each, or each call costs one).
//! - Route system calls here: every row of [`table::TABLE`]. What is not in the table is
//!   passed to the host as it is; a runner can ask [`table::find`] and not intercept those.
//!   Descriptors are shared by number, so calls on descriptors that the process does not
//!   know ([`Process::owns`]) need not come here either.
//! - Signals: a thread that waits tells the host its [`Waker`](wait::Waker)
//!   ([`Host::asleep`]). A waker makes a system call of the kernel, so a signal handler
//!   must not use it; it notes that there was a signal and lets another thread wake. Then
//!   [`Host::awake`] says so, and the call ends with `EINTR`; restarting (`SA_RESTART`) is
//!   the runner's. Signals must not be handled in the middle of a call and call back into
//!   here, as the table is behind a spin lock: a runner has them wait until the call ends.
//! - A runner in another process than its programs leaves the numbers of descriptors to
//!   Linux: [`Keeper`], [`Process::kept`]. What follows does not concern it.
//! - `fork`: [`Process::fork`] gives the child's table over the same descriptions; the
//!   kernel must be reachable from the child. `execve`: [`Process::exec`], or [`inherit`] where
//!   the new image has a process of its own.
//!
//! # How waiting works
//! Descriptors of the kernel are always nonblocking; waiting is done here, in the kernel's
//! `poll(2)` and `kevent(2)`, together with a *doorbell*, a pipe of the kernel's that is
//! written to when something else happens: an event descriptor was written, the host's
//! descriptors are ready ([`Host::watch`]), a signal came. Who has only one socket to wait for
//! something from, in `recv(2)` or `accept(2)`, sleeps on that ([`Kernel::arrival`]), where the
//! kernel can do so.
//!
//! # Differences from Linux
//! See [`differences`].
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "linux-host"))]
extern crate std;

pub mod back;
mod calls;
pub mod differences;
pub mod errno;
pub mod host;
pub mod inherit;
pub mod interfaces;
pub mod kernel;
pub mod lock;
pub mod memory;
mod object;
mod piece;
pub mod process;
pub mod still;
pub mod table;
mod translate;
pub mod wait;

pub use calls::interface::is_about_interfaces;
pub use calls::socket::tells_of_interfaces;
pub use errno::{Errno, Failure};
pub use host::{File, Host, Keeper, MakeWatched, Slot, Watched};
pub use kernel::Kernel;
pub use memory::{Fault, Memory};
pub use object::{Description, SocketKind};
pub use process::{Process, Rules, Side};
pub use still::Still;

/// Linux's numbers and structures.
pub mod raw {
    pub use linux_raw_sys::{errno, general, if_arp, ioctl, net, netlink};

    /// What those lack.
    pub mod lacking {
        /// `CLOSE_RANGE_UNSHARE` of `<linux/close_range.h>`.
        pub const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
        /// `CLOSE_RANGE_CLOEXEC` of `<linux/close_range.h>`.
        pub const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;
        /// `MSG_WAITFORONE` of `<linux/socket.h>`.
        pub const MSG_WAITFORONE: u32 = 0x10000;
    }
}
