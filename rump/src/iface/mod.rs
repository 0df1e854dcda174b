//! Network interfaces: what is behind them, and how they are set.
//!
//! [`Kernel::attach`](crate::Kernel::attach) makes an interface of the kernel over a
//! [`Backend`], such as a TAP interface of Linux ([`Tap`]); the [`Link`] that it returns
//! keeps both together. Every interface, of whatever kind, is an [`Interface`], which has
//! addresses, an MTU, counters. [`route`] is about where packets go, [`neighbor`] about who
//! is on a link, and [`monitor`] tells what becomes of all this.
//!
//! ```no_run
//! use rump::iface::{Interface, Tap, route};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = rump::Kernel::builder().boot()?;
//! let net = kernel.attach(Tap::open("tap0")?)?;
//! net.add_address("10.0.0.2/24".parse()?)?;
//! route::add_default("10.0.0.1".parse()?)?;
//! for interface in Interface::list()? {
//!     println!("{interface}: MTU {}, {:?}", interface.mtu()?, interface.addresses()?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! All of this is said to the kernel by ioctl(2), sysctl(3) and route(4); nothing is kept
//! here.

mod address;
mod autoconf;
mod backends;
#[cfg(feature = "bridge")]
mod bridge;
mod capabilities;
pub(crate) mod detection;
#[cfg(feature = "dhcp")]
pub mod dhcp;
mod error;
mod interface;
pub mod link;
pub mod monitor;
pub mod neighbor;
pub mod route;
mod sockaddr;
mod statistics;
#[cfg(feature = "vlan")]
mod vlan;

pub use address::Address;
pub use backends::card::{self, Card};
pub use backends::faults::{self, Faults};
pub use backends::pair::{self, Pair};
pub use backends::splice::{self, Splice};
pub use backends::tee::{self, Tee};
#[cfg(feature = "bridge")]
pub use bridge::Bridge;
pub use capabilities::Capabilities;
pub use error::Error;
pub use interface::{Interface, LinkState};
pub use ipnet::{self, IpNet};
pub use link::{Backend, Link, Packet, Shm, Shmif, Tap};
pub use statistics::Statistics;
#[cfg(feature = "vlan")]
pub use vlan::Vlan;
