//! Unmodified Linux programs as clients of a rump kernel that lives in another process.
//!
//! The program may be static or dynamic, and may fork, execute others and daemonise: a
//! seccomp filter, which all its descendants inherit, stops the system calls that are about
//! internet sockets and notifies this side of them (`seccomp_unotify(2)`). The calls are
//! answered by [`rump_linux`], over whatever kernel is handed in.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump_linux::back::in_process::InProcess;
//! use rump_seccomp::Supervisor;
//! use std::{sync::Arc, time::Duration};
//!
//! let _kernel = rump::Kernel::builder().boot()?;
//! // Each thread of the supervisor's gets an lwp by its first call.
//! let enter = || drop(rump::lwp::enter());
//! let supervisor = Supervisor::new(Arc::new(InProcess), enter)?;
//! let (child, _programs) = supervisor.spawn("true".as_ref(), &[])?;
//! nix::sys::wait::waitpid(child.pid(), None)?;
//! assert!(child.exec_error().is_none());
//! assert_eq!(supervisor.wait_closed(Duration::from_secs(1)), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Placeholders
//! A socket of the kernel's has a *placeholder* in the program: one end of a Linux socket
//! pair, whose other end is here. Linux numbers it, duplicates it, inherits it over `fork(2)`
//! and `execve(2)`, passes it on in messages and closes it; nothing of that is followed here.
//! Which placeholder a descriptor is, is asked at each call (it is a link in
//! `/proc/TID/fd`), and when the last copy is closed, however that happens, the other end
//! hangs up and the kernel's socket is closed.
//!
//! The placeholder is as ready as the kernel's socket: while there is something to read, a
//! byte lies in it; while nothing can be written, it is full; at the end of the stream its
//! peer's side is shut. So `poll(2)`, `select(2)`, `epoll(7)`, with their signal masks, their
//! edges and everything else that can be waited for with them, stay with Linux, and cost
//! what they always cost.
//!
//! # Who does what
//! - [`Supervisor::spawn`] starts a program under the filter and gets its listener;
//! - *seats*, threads that each answer one call at a time, receive notifications: there is
//!   always one that is free;
//! - the *keeper* hears placeholders hang up; the *watcher* hears from the kernel that
//!   sockets became ready;
//! - while calls wait, a thread looks every 10 ms whether a signal waits for one of the
//!   waiting threads, or it is gone: Linux tells nobody of either.
//!
//! # Limits
//! - This is no security boundary: a program that wants to can reach the host's network, for
//!   example by changing an argument while its call is looked at.
//! - `poll(2)` of a broken connection says `POLLIN`, `POLLOUT` and `POLLRDHUP`, and neither
//!   `POLLERR` nor `POLLHUP`; urgent data is not told as `POLLPRI`.
//! - `io_uring(7)` and system calls of other architectures answer `ENOSYS`.
//! - A signal ends a waiting call after 10 ms, at most some more where very many wait.
//! - Linux before 5.19 wakes a thread for a signal also while its call is being answered; what the
//!   call did is then lost. The same Linux can do no more than 5.9 for all of the above.
//! - The runner must be allowed to trace the program: setuid programs and those that are not
//!   dumpable (`PR_SET_DUMPABLE`) need a runner with `CAP_SYS_PTRACE`.
//!
//! seccomp(2), seccomp_unotify(2), pidfd_getfd(2), process_vm_readv(2), unix(7)

mod client;
mod destination;
mod filter;
mod interruptions;
mod launch;
mod listener;
mod placeholder;
mod placeholders;
mod remote;
mod seat;
mod seats;
mod supervisor;
mod watcher;

pub use launch::Child;
pub use supervisor::{Programs, Supervisor, spawn_remote};
