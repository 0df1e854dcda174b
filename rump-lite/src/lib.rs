//! A small rump kernel in Rust: the reference that NetBSD's is held against, and what
//! runs where there is no NetBSD.
//!
//! It exports the C interface that `rump-sys` calls in a NetBSD rump kernel: booting,
//! processes and lwps, and the system calls of sockets, descriptors, poll, kqueue and
//! sysctl, with NetBSD's structures, constants and error numbers. It runs on the same
//! hypercalls, rumpuser(3), that `rump-hyper` defines. TCP, and the formats of the other
//! protocols, are smoltcp's.
//!
//! It is not NetBSD, and does not say so: `kern.version` begins with "rump-lite". What
//! only NetBSD has, or nobody needed here, is an error ("not supported"), and the console
//! tells once what it was.
//!
//! | module | is |
//! |---|---|
//! | `boot`, `lwp`, `process` | rump(3), rump_lwproc(3), processes and their descriptors |
//! | `syscall` | the system calls as C sees them: pointers in, error numbers out |
//! | `kernel`, `wait` | the lock that all is under, and sleeping |
//! | `file`, `pipe`, `poll`, `kqueue`, `sysctl` | open files, and waiting for them |
//! | `socket` | sockets, their options and addresses |
//! | `net` | interfaces, and which packet is for which connection |
//! | `hypercall` | what the host is asked for |
//!
//! # What is here and what is not
//! TCP, UDP and ICMP over IPv4 and IPv6, on the loopback interface `lo0`, which has all of
//! 127/8 and ::1, and on Ethernet interfaces whose other end is in the host (`vif0`, …), by
//! the C interface `rump_vif.h`. These have addresses and an MTU, and reach the hosts of
//! their own nets, and others by the routes that were set. IP packets are not sent in
//! fragments, nor put together. There are no local or raw sockets, no urgent data, no control
//! messages, no file systems and no signals.
//!
//! # Linking
//! A program needs no function of this crate. It is enough that the crate is in the link,
//! with one that defines the hypercalls.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot;
mod file;
mod hypercall;
mod kernel;
mod kqueue;
mod lwp;
mod net;
mod pipe;
mod poll;
mod process;
mod slab;
mod socket;
mod syscall;
mod sysctl;
#[cfg(test)]
mod tests;
mod user;
mod wait;
