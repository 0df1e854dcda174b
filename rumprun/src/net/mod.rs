//! The network of an image whose kernel has no driver of its own for the card: virtio-net
//! behind the kernel's interface `vif0`.
//!
//! | module | is |
//! |---|---|
//! | [`virtio`] | a virtio-net device as a back end |
//! | [`queue`] | the queues that it shares with the device |
//! | `counters` | what a back end counts |
//! | `port` | an interface of the kernel, and the thread that brings what comes |
//! | `configure` | its addresses and routes |

#[cfg(feature = "image")]
pub mod configure;
pub(crate) mod counters;
#[cfg(feature = "image")]
pub mod port;
pub mod queue;
pub mod virtio;
