//! The hypercalls of NetBSD's rump kernel, in Rust.
//!
//! A rump kernel is NetBSD's kernel code as a library. What it cannot do itself
//! (memory, threads, sleeping, time, files) it asks of a *hypervisor* through
//! some sixty C functions, rumpuser(3). This crate is that hypervisor, for a
//! Linux process and, over the [`Host`](host::Host) trait, for anything else
//! that can run Rust: whoever implements the trait calls
//! [`export_hypercalls!`] and has the C symbols.
//!
//! | layer | is |
//! |---|---|
//! | [`hypercall`] | the functions as C calls them: pointers in, errnos out |
//! | [`sync`], [`bio`], [`params`], [`console`], [`memory`], [`modules`] | the logic, `no_std` and `alloc` |
//! | [`vif::abi`], [`claims`] | what interfaces, and claims to ports, are to kernel and host |
//! | [`pci`] | devices for the kernel: its buses, their interrupts, memory that they reach |
//! | [`upcall`] | the way back into the kernel, and who gives up its virtual CPU when |
//! | [`host`] | what is needed of the machine below |
//! | `linux` | a Linux process as that machine (feature `std`) |
//!
//! A program does not call most of this. What it uses is: [`params::set`] before
//! the kernel boots, [`console`], [`memory`], [`stats()`], `errno()` after a
//! raw system call, and `forked()`.
//!
//! # Virtual CPUs
//!
//! A thread in the kernel holds one of a few virtual CPUs, and NetBSD's code
//! relies on not being interrupted while it does. A hypercall that may block
//! gives the virtual CPU up first and takes one back afterwards; one that is
//! called from the scheduler, or with a spin mutex held, must not. Which is
//! which is rumpuser(3)'s to say; [`upcall::wrap`] and [`sync::cv`] are where it
//! is done, and the tests in `tests/rules.rs` hold each hypercall to it.
//!
//! # Speed
//!
//! The kernel's network stack hands every packet from the caller to a soft
//! interrupt thread and from there to the receiver. Hand-offs are what loopback
//! traffic costs, so: an uncontended lock is one compare-and-swap and a signal
//! to nobody is one load; a thread that waits is woken by a word of its own, and
//! without a system call if it has not gone to sleep; and waiters spin in a way
//! that gives way to others before they sleep ([`sync::spin`]).
//!
//! # Numbers
//!
//! Hypercalls return NetBSD's errnos; hosts translate theirs. Signals likewise.
//!
//! # Failure
//!
//! A panic of the kernel prints the console's last lines and aborts. A Rust
//! panic in a hypercall aborts with its message; it never unwinds into C.
//!
//! # Known limits
//!
//! - One kernel in a process, for the life of the process.
//! - The kernel's threads do not survive fork(2); `forked()` tells a child that
//!   it must not call the kernel.
//! - The remote kernel's hypercalls ([`hypercall::sp_init`]) say "not here".
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod abi;
pub mod bio;
pub mod claims;
mod cold;
pub mod console;
pub mod errno;
pub mod host;
pub mod hypercall;
#[cfg(all(feature = "std", not(loom)))]
pub mod linux;
pub mod memory;
pub mod modules;
pub mod params;
pub mod pci;
pub mod primitive;
mod stats;
pub mod sync;
pub mod upcall;
pub mod vif;

#[cfg(all(feature = "std", not(loom)))]
pub use linux::{errno, forked};
pub use stats::{Stats, stats};
