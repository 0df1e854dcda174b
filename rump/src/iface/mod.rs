//! Network interfaces: what is behind them, and how they are set.
//!
//! [`Kernel::attach`](crate::Kernel::attach) makes an interface of the kernel over a
//! [`Backend`], such as a TAP interface of Linux ([`Tap`]); the [`Link`] that it returns
//! keeps both together.

pub mod link;

pub use link::{Backend, Link, Tap};
