//! The machine below a program that is its own kernel.
//!
//! An *image* is an ordinary static Linux program with this crate in its link: it boots
//! by PVH on QEMU and Xen, or by Multiboot2 (GRUB), and runs the program in ring 0 beside the
//! kernel. `cargo rumprun` makes it. This crate is what the program stands on:
//!
//! | module | is |
//! |---|---|
//! | [`boot`] | the entry point, what the loader says, the first thread, the other CPUs |
//! | [`cpu`] | a CPU's tables, registers, local APIC, and the data that is its own |
//! | [`trap`] | exceptions, interrupts, system calls |
//! | [`memory`] | physical memory, the kernel's heap, the program's address space |
//! | [`sched`] | threads: switching, sleeping, priorities |
//! | [`time`], [`random`] | clocks and timers; random bytes |
//! | [`acpi`] | what the firmware says of the machine |
//! | [`sync`] | the lock below all others |
//! | [`pci`], [`net`] | devices on the bus; the network through virtio-net |
//! | `block` | disks of the kernel's that the platform drives |
//! | [`xen`] | what a guest of Xen's has beside, or instead |
//! | [`console`], [`exit`] | the way out: text, and the end |
//! | [`host`] | the hypercalls of a rump kernel on all of this |
//! | `kernel` | booting the rump kernel, with the machine's devices |
//! | [`process`] | the program's view: Linux's system calls |
//!
//! # One address space, one ring
//!
//! Physical memory is mapped at its own address, so that what the kernel allocates is
//! what a device sees; page 0 is not mapped. The program lies where it was linked, its
//! other mappings in a window of their own, on demand. Nothing protects the kernel from
//! the program; guard pages, W^X and the null page catch mistakes.
//!
//! # What every piece of code may rely on
//!
//! - The program and the precompiled `core` use the red zone: whatever interrupts comes
//!   in on a stack of its own (IST), and leaves 128 bytes alone when it goes on on the
//!   stack of the thread ([`trap`]).
//! - The kernel uses general registers and xmm0 to xmm15, which every entry saves. What
//!   is beyond (the upper halves, x87, MXCSR, masks) is the program's, and changes only
//!   where threads are switched.
//! - A [`sync::Lock`] is held with interrupts off and for a short time. Who waits for one
//!   answers other CPUs meanwhile, so that a CPU may wait for all others with a lock held.
//! - The GS base is the CPU's own data; the FS base is the program's.
//!
//! # On a host
//!
//! Without the feature `image` all of it compiles for a Linux process, where the parts that
//! are logic only (parsers, allocators, the table of areas) have their tests.
#![no_std]
#![allow(unsafe_code)]
// The documentation is for who reads the code as well.
#![allow(rustdoc::private_intra_doc_links)]
// Much of it is only called by an image's first code.
#![cfg_attr(not(feature = "image"), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub(crate) mod block;
pub mod boot;
mod bytes;
pub mod console;
pub mod cpu;
pub mod exit;
pub mod host;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "image")]
pub mod kernel;
pub mod memory;
pub mod net;
pub mod pci;
pub mod process;
pub mod random;
pub mod sched;
pub mod sync;
pub mod time;
pub mod trap;
pub mod xen;
