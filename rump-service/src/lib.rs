//! Programs of images that serve other guests of Xen's: `cargo rumprun service NAME` makes an
//! image of each, and xl's configuration (docs/services.md).
//!
//! | feature and module | serves |
//! |---|---|
//! | `dns` | DNS and DHCP: dnsmasq(8) from the image's root |
//! | `network` | a network: front ends of network interfaces, joined by a bridge |
//! | `server` | the network server, to applications in other images |
//! | `storage` | disks: front ends of block devices |
//!
//! Each module has the whole program, whose last words are its status; what is different about
//! one's own is written anew, as the API of the crate `rump` is all that it needs. The devices
//! themselves are the platform's: it serves whatever xl gives to the domain.

#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "network")]
pub mod network;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "storage")]
pub mod storage;
