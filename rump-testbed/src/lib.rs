//! Tests that run in a Linux guest: drivers that drive a device over VFIO need an IOMMU and
//! hardware, and QEMU has both, without KVM and without root.
//!
//! # A test that runs in the guest
//! A test file with `harness = false` describes a guest and names its tests:
//!
//! ```no_run
//! use rump_testbed::{Guest, Outcome, Test, inside};
//!
//! fn attaches() -> Outcome {
//!     let address = inside::device("e1000e")?;        // this is in the guest
//!     inside::bind(&address, "vfio-pci")?;
//!     // ... rump::pci::attach(&address) ...
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let guest = Guest::new().cpus(2).memory(256).e1000e(0).e1000e(0);
//!     rump_testbed::run(guest, [Test::new("qemu::attaches", attaches)])
//! }
//! ```
//!
//! `cargo test -- qemu` boots the guest once for the file and has it run this same program
//! again for each test. What a test prints, how it ends and what the guest's kernel logs
//! meanwhile come back as its result. A fault of the IOMMU fails the test, unless it is
//! there to cause one ([`Test::faults`]).
//!
//! A guest by itself is [`Guest::boot`] and [`Running::run`], or [`Guest::run`] for one
//! program. Where QEMU, a kernel or a static busybox is missing, such tests are skipped with
//! the reason; with `RUMP_TEST_REQUIRE=qemu` they fail.
//!
//! # How it works
//! The guest is a kernel of this machine's and an archive that is unpacked into its memory:
//! busybox, modules, the programs with their libraries (`initramfs`). Its first process
//! (`init.sh`) takes commands from a port of a virtio console and answers by three of them
//! (`ports`). The serial console is for what nobody asked for: the kernel's errors and
//! panics. QEMU ends with the process that started it, and so does all that is in it.
//!
//! A limit of time is for a machine with nothing else to do; on a busy one it is longer
//! (`pace`, [`inside::patience`]).
//!
//! # What is known to be weak
//! - TCG only: KVM would be faster, but wants another interrupt controller for the IOMMU's
//!   sake, and nobody has tried.
//! - With TCG, what a device does to memory and what a CPU does are ordered more strictly
//!   than hardware orders them: a missing barrier in a driver does not show here.
//! - QEMU's NVMe completes a command whose data the IOMMU has refused as a success: tests
//!   look at the data, and [`Report::faults`] at the log, not only at the status.
//! - A process that a test leaves behind lives on in the guest, and may say something while
//!   another test runs.

mod device;
mod error;
mod guest;
mod hotplug;
mod initramfs;
pub mod inside;
mod modules;
mod pace;
mod parts;
mod ports;
mod program;
mod qemu;
mod report;
mod running;
mod shell;
mod suite;

pub use device::{Device, Disk, Nic, Place};
pub use error::{Console, Error};
pub use guest::{Guest, Iommu};
pub use parts::{Bare, Missing, bare, kernel};
pub use report::{Fault, Report, faults};
pub use running::Running;
pub use suite::{Outcome, Test, run, trial, trials};
