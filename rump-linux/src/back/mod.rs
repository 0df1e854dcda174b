//! Kernels and hosts that come with the crate, each behind a feature.

#[cfg(feature = "in-process")]
pub mod in_process;
#[cfg(feature = "linux-host")]
pub mod linux;
#[cfg(feature = "linux-host")]
mod watch;
