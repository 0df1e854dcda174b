//! Network interfaces: what is behind them, and how they are set.
//!
//! [`Kernel::attach`](crate::Kernel::attach) makes an interface of the kernel over a
//! [`Backend`], such as a TAP interface of Linux ([`Tap`]); the [`Link`] that it returns
//! keeps both together.

mod backends;
pub mod link;

pub use backends::faults::{self, Faults};
pub use backends::pair::{self, Pair};
pub use backends::tee::{self, Tee};
pub use link::{Backend, Link, Tap};
