//! Addresses of what routers announce: stateless autoconfiguration (SLAAC, RFC 4862).
//!
//! The kernel does it: it makes addresses of the prefixes that a router announces, keeps
//! them for as long as they are announced, and takes the router as the default one. What is
//! done here is to tell it on which interface, and to ask the routers to announce
//! themselves at once (a router solicitation, RFC 4861, 4.1), which `rtsol(8)` does on
//! NetBSD. Since NetBSD 10 the kernel leaves all of it to a program, and says so.
//!
//! # What is known to be weak
//! Name servers that are announced (RFC 8106) are not taken over.

use super::address::Address;
use super::error::Error;
use super::interface::Interface;
use crate::descriptor::AsDescriptor;
use crate::error::Errno;
use crate::net::address::RawAddress;
use crate::sys::interface::{self as raw, Argument};
use crate::sys::socket;
use crate::sysctl;
use rump_sys::abi::{self, earlier};
use std::ffi::c_uint;
use std::io;
use std::mem::offset_of;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

/// Only kernels that do it have this.
const NODE: &str = "net.inet6.ip6.accept_rtadv";

/// `MAX_RTR_SOLICITATIONS` and `RTR_SOLICITATION_INTERVAL` (RFC 4861, 10).
const SOLICITATIONS: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(4);

/// All routers on a link (RFC 4291, 2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

impl Interface {
    /// Whether it takes addresses and routers of what is announced on its link.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the kernel leaves that to programs.
    pub fn accepts_router_advertisements(&self) -> Result<bool, Error> {
        let flags = self.nd6_flags().map_err(self.not_asked())?;
        Ok(flags & ACCEPT == ACCEPT)
    }

    /// Sets whether it takes addresses and routers of what is announced on its link; not by
    /// default. What it has of announcements stays until its time is over.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the kernel leaves that to programs.
    #[doc(alias("SIOCSIFINFO_FLAGS", "ND6_IFF_ACCEPT_RTADV"))]
    pub fn accept_router_advertisements(&self, accept: bool) -> Result<(), Error> {
        self.set_nd6_flags(ACCEPT, accept)
            .map_err(self.not_asked())?;
        tracing::info!(interface = self.name(), accept, "router advertisements");
        Ok(())
    }

    /// Turns it on, asks the routers on its link what to be, and waits until it has an
    /// address of it. The kernel goes on to listen to them.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the kernel leaves that to programs; `ETIMEDOUT` if no router has
    /// announced a prefix within this time.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let kernel = rump::Kernel::builder().boot()?;
    /// let link = kernel.attach(rump::iface::Tap::open("tap0")?)?;
    /// for address in link.autoconfigure(Duration::from_secs(12))? {
    ///     println!("{}", address.net());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn autoconfigure(&self, within: Duration) -> Result<Vec<Address>, Error> {
        let began = Instant::now();
        self.accept_router_advertisements(true)?;
        self.set_up(true)?;
        let mut sent = 0;
        while began.elapsed() < within {
            if sent < SOLICITATIONS && began.elapsed() >= INTERVAL * sent {
                sent += 1;
                if let Err(error) = self.solicit() {
                    // The link may come.
                    tracing::debug!(interface = self.name(), %error, "router solicitation");
                }
            }
            let mut addresses = self.addresses()?;
            addresses.retain(|own| own.is_autoconfigured() && own.is_ready());
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(self.not_asked()(Errno::ETIMEDOUT.into()))
    }

    /// Whether it gets an IPv6 address for its link when it is turned on.
    pub(super) fn has_automatic_link_local(&self) -> io::Result<bool> {
        Ok(self.nd6_flags()? & earlier::ND6_IFF_AUTO_LINKLOCAL != 0)
    }

    /// Sets that.
    pub(super) fn automatic_link_local(&self, automatic: bool) -> io::Result<()> {
        self.set_nd6_flags(earlier::ND6_IFF_AUTO_LINKLOCAL, automatic)
    }

    fn set_nd6_flags(&self, which: u32, set: bool) -> io::Result<()> {
        let old = self.nd6_flags()?;
        let flags = if set { old | which } else { old & !which };
        let mut argument = self.in6_ndireq();
        argument.put(FLAGS, &flags.to_ne_bytes());
        raw::request(abi::AF_INET6, earlier::SIOCSIFINFO_FLAGS, &mut argument)
    }

    fn not_asked(&self) -> impl FnOnce(io::Error) -> Error {
        |source| Error::Interface {
            interface: self.name().into(),
            operation: "be configured by routers".into(),
            source,
        }
    }

    fn in6_ndireq(&self) -> Argument {
        Argument::named::<earlier::in6_ndireq>(self.raw_name())
    }

    fn nd6_flags(&self) -> io::Result<u32> {
        match sysctl::node(NODE) {
            Err(sysctl::Error::Unknown { .. }) => return Err(Errno::EOPNOTSUPP.into()),
            node => drop(node?),
        }
        let mut argument = self.in6_ndireq();
        raw::request(abi::AF_INET6, earlier::SIOCGIFINFO_IN6, &mut argument)?;
        Ok(u32::from_ne_bytes(argument.get(FLAGS)))
    }

    /// Sends a router solicitation.
    fn solicit(&self) -> io::Result<()> {
        let index = c_uint::from(self.index()?);
        let raw = socket::raw(abi::AF_INET6, abi::IPPROTO_ICMPV6)?;
        let set = |name, value: c_uint| {
            socket::set_option(raw.as_descriptor(), abi::IPPROTO_IPV6, name, value)
        };
        set(abi::IPV6_MULTICAST_IF, index)?;
        // What has come over a router is not believed (RFC 4861, 6.1.1).
        set(abi::IPV6_MULTICAST_HOPS, 255)?;
        // Type, code, checksum (the kernel's), and 4 bytes that are 0.
        let mut message = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        if let Some(hardware) = self.hardware_address()? {
            // Source link-layer address: type, and length in units of 8 bytes.
            message.extend_from_slice(&[1, 1]);
            message.extend_from_slice(&hardware);
        }
        let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, index);
        socket::send_to(
            raw.as_descriptor(),
            &message,
            &RawAddress::encode(&to.into()),
        )?;
        Ok(())
    }
}

/// ICMPv6 type (RFC 4861, 4.1).
const ROUTER_SOLICITATION: u8 = 133;

/// Whatever the node says.
const ACCEPT: u32 = earlier::ND6_IFF_ACCEPT_RTADV | earlier::ND6_IFF_OVERRIDE_RTADV;

const FLAGS: usize = offset_of!(earlier::in6_ndireq, ndi) + offset_of!(earlier::nd_ifinfo, flags);
