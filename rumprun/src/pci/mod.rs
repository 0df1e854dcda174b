//! PCI: PCI Local Bus 3.0, PCI Express 5.0.
//!
//! | module | is |
//! |---|---|
//! | [`config`] | configuration space, by ports or in memory |
//! | [`scan`] | which functions there are |
//! | [`bars`], [`assign`] | their regions |
//! | [`capability`] | the list of what they can do |
//! | [`msi`] | interrupts by messages |
//! | [`function`] | a function given to the kernel |
//!
//! What a device says of itself is input: lists are bounded, and offsets are checked.

pub mod assign;
pub mod bars;
pub mod capability;
pub mod config;
pub mod function;
pub mod msi;
pub mod scan;

pub use config::Location;
pub use scan::{Found, functions};
