//! A dynamic Linux program with the kernel in its own process, by `LD_PRELOAD`.
//!
//! The library stands in front of the C library's functions that make system calls about
//! descriptors (`symbols`). Those about sockets of the internet families are answered by
//! [`rump_linux`] over the kernel that is linked to this library; all others go on to Linux.
//! The kernel boots when the program first needs it, with the interface that the variable
//! `RUMP_RUN_SETUP` describes ([`rump_run::Setup`]).
//!
//! # What it cannot do
//! - **Static programs** go past it. So do the C library's own calls: names are resolved on the
//!   host's network. Calls that a program makes by instructions of its own do not (`dispatch`), but
//!   after one that makes a thread or a process, or ends a handler, those of that thread do until
//!   its next call of a function about a socket.
//! - A child of **`fork(2)`** has no kernel: calls about its parent's sockets fail with `EIO`.
//!   It can close them, and put descriptors of its own in their place.
//! - Programs that are executed afterwards boot a kernel of their own, for which the interface
//!   must be free.
//! - Connections of a program that a signal ends, or `_exit(2)`, end without a word.
//!
//! With the kernel of another process ([`rump::remote`]) the last three are different: children
//! have their parent's sockets, and epoll instances of their own with the same members; a program
//! that is executed has the sockets that are not closed then (`exec`), if it loads this library,
//! as dynamic programs without other rights than their user's do; and the kernel goes on when the
//! program ends.
//!
//! `rump run` without `--in-process` can do all of that.

/// A heap of the library's own: a handler of the program's may interrupt the program's, locks
/// and all, and call the kernel.
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod actions;
mod answer;
mod child;
mod dispatch;
mod exec;
mod fork;
mod guarded;
mod held;
mod hidden;
mod host;
mod inherited;
mod inside;
mod interfaces;
mod kernel;
mod next;
mod owned;
mod signals;
mod streams;
mod symbols;
mod threads;
