//! Raw bindings to a NetBSD rump kernel.
//!
//! The build script compiles the kernel from the user's NetBSD tree (or takes an
//! installed one) with `rumprun-build` and links it whole. This crate declares what the
//! safe crate `rump` calls in it, and says what was linked:
//!
//! - [`kernel`]: which kernel, which release, which components, and the counts that
//!   are compared with the running kernel;
//! - [`abi`]: constants and structures, proven against the headers of the tree in use;
//! - [`syscalls`]: the system calls under the symbols that the tree has for them;
//! - [`arrival`]: waiting for something to receive;
//! - [`claims`]: asking before a port is taken;
//! - [`control`]: booting, and the calls that manage processes and lwps;
//! - [`lite`]: what rump-lite tells beyond what NetBSD does;
//! - [`drivers`]: the drivers that `RUMP_DRIVERS` put into it;
//! - [`memory`]: memory that the kernel leaves to the program;
//! - [`offers`]: disks that an image offers to other domains;
//! - [`pci`]: devices of the host, for the kernel's drivers;
//! - [`mod@stats`]: what the kernel's hypercalls have counted;
//! - [`upcalls`]: how the kernel of an image calls its program;
//! - [`vbd`]: disks whose other end is in the host;
//! - [`vif`]: network interfaces whose other end is in the host;
//! - [`xen`]: cables to other domains of Xen's.
//!
//! Where no tree is named and none is found, `rump-lite` is linked, the reference
//! kernel (feature `lite`, on by default). In a build without a kernel
//! (`RUMP_KERNEL=none`, and on docs.rs) everything compiles and links; each call answers
//! `ENOSYS`. With `RUMP_KERNEL=image` the calls are those of the kernel that `cargo rumprun`
//! puts into the link.
//!
//! # Settings
//! `NETBSD_SRC` names the tree; `RUMP_PREFIX` an installed rump kernel;
//! `RUMP_KERNEL=netbsd|prefix|lite|image|none` chooses. Cargo features choose components,
//! `RUMP_DRIVERS` drivers; [`DRIVERS`] says which there are.
//!
//! # Metadata
//! Packages that depend on this one directly find in their build scripts:
//! `DEP_RUMP_KERNEL`, `DEP_RUMP_RELEASE`, `DEP_RUMP_COMPONENTS` and `DEP_RUMP_DRIVERS`
//! (comma-separated) and `DEP_RUMP_LINK_SET_ENTRIES`.
#![no_std]
#![allow(unsafe_code)]

// Defines the hypercalls that the kernel's objects refer to.
pub use rump_hyper as hyper;

pub use rump_abi as abi;
// Linked only where it is the kernel.
#[cfg(rump_kernel = "lite")]
use rump_lite as _;

pub mod arrival;
pub mod blkio;
pub mod claims;
pub mod control;
pub mod drivers;
#[cfg(rump_kernel = "none")]
mod fallback;
mod gate;
pub mod kernel;
pub mod lite;
pub mod memory;
pub mod offers;
pub mod pci;
pub mod stats;
pub mod syscalls;
pub mod upcalls;
pub mod vbd;
pub mod vif;
pub mod xen;

pub use drivers::DRIVERS;

/// What the headers of the tree in use say; see `build/proof.rs`.
#[cfg(rump_kernel = "netbsd")]
mod proof {
    include!(concat!(env!("OUT_DIR"), "/proof.rs"));
}
