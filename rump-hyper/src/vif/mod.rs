//! Network interfaces: what stands between a kernel's interface and what is behind it.
//!
//! The kernel's side is one C header, `netbsd-src/kern/include/rump_vif.h`, whose
//! Rust form is [`abi`]. Behind an interface stands a [`Backend`]: something that takes
//! and brings batches of frames. Each frame says what is still to be done to it
//! ([`abi::Offload`]): its checksum may be incomplete, or it may be a TCP segment that
//! is longer than the link allows. Whoever can do such a thing says so ([`Offloads`]).
//!
//! | module | is |
//! |---|---|
//! | [`abi`] | the C interface |
//! | [`backend`] | the trait, and batches |
//! | [`buffer`] | memory for frames that arrive, which the kernel may keep for a while |
//! | [`flow`] | telling connections apart |
//! | [`offload`] | what can be left to whom; checking what others claim, and doing it |
//! | [`shape`] | bringing frames into the shape that the other side takes |
//! | [`lane`] | frames in a ring between two processes |
//! | [`shmif`] | the bus of NetBSD's shmif(4) |
//!
//! All of this is `no_std`. TAP interfaces of Linux are in `linux`.

pub mod abi;
pub mod backend;
pub mod buffer;
pub mod flow;
pub mod lane;
pub mod offload;
pub mod shape;
pub mod shmif;

pub use backend::{Backend, Batch, Received, Statistics, Transmit};
pub use buffer::{Buffer, Pool};
pub use offload::Offloads;
