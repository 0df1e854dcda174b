//! The packet filter: NetBSD's `npf(7)`.
//!
//! [`Kernel::npf`](crate::Kernel::npf) opens it. A [`Ruleset`] is made of [`Group`]s of
//! [`Rule`]s and of [`Table`]s, in the words of npf.conf(5); [`Npf::load`] puts all of it in
//! force at once, and [`Npf::enable`] begins to look at packets.
//!
//! ```
//! use rump::iface::Interface;
//! use rump::net::{TcpListener, TcpStream};
//! use rump::npf::{Group, Protocol, Rule, Ruleset};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Netbsd { return Ok(()) }
//! let kernel = rump::Kernel::builder().boot()?;
//! let npf = kernel.npf()?;
//! let (open, closed) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
//!
//! // Of the rules that match a packet, the last counts.
//! let rules = Ruleset::new()
//!     .group(
//!         Group::on(&Interface::named("lo0")?)
//!             .rule(Rule::pass())
//!             .rule(
//!                 Rule::block()
//!                     .inbound()
//!                     .protocol(Protocol::Tcp)
//!                     .to_port(closed.local_addr()?.port())
//!                     .return_rst(),
//!             ),
//!     )
//!     .default_rule(Rule::block());
//! npf.load(&rules)?;
//! npf.enable()?;
//!
//! TcpStream::connect(open.local_addr()?)?;
//! let error = TcpStream::connect(closed.local_addr()?).unwrap_err();
//! assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
//! assert_eq!(npf.statistics()?.blocked_by_rule, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//! - The kernel keeps rules, tables and whether packets are looked at; an [`Npf`] is only a
//!   way to it, and may be dropped.
//! - A ruleset is loaded as a whole or not at all. Connections that stateful rules began go
//!   on over it; [`Npf::flush`] ends them too.
//! - Packets that the kernel sends to itself are looked at twice on lo0, as they leave and
//!   as they come in.
//! - What drops a packet as it leaves tells its sender: a call of the program's own fails
//!   with `ENETUNREACH` then. What drops it as it comes in is silent, unless the rule is to
//!   answer.
//! - What blocks everything blocks neighbour discovery, without which there is no IPv6 on a
//!   link: let messages of [`Protocol::Icmp6`] of the types 135 and 136 pass. ARP is not
//!   looked at.
//! - Rules become programs of bpf(4) here, which the kernel checks once more.
//!
//! It needs the feature `npf`, and a NetBSD kernel: rump-lite has no packet filter. Of NAT
//! and of dynamic rules it has nothing yet.

mod bpf;
mod dictionary;
mod error;
mod rule;
mod ruleset;
mod statistics;
mod table;

pub use error::Error;
pub use ipnet::IpNet;
pub use rule::{Family, Host, Ports, Protocol, Rule, TcpFlags};
pub use ruleset::{Group, Ruleset};
pub use statistics::Statistics;
pub use table::{ActiveTable, Table};

use crate::error::Errno;
use crate::sys::npf::Device;
use dictionary::{Dictionary, nvlist, plist};
use rump_sys::abi::npf as abi;
use std::io;

/// The versions (`NPF_VERSION`) that this was written for. The later of them speaks in
/// nvlists.
const VERSIONS: [i32; 2] = [abi::plist::VERSION, abi::nvlist::VERSION];

/// The packet filter of the kernel.
pub struct Npf {
    device: Device,
    version: i32,
}

impl Npf {
    pub(crate) fn open() -> Result<Self, Error> {
        let device = Device::open().map_err(|source| match Errno::of(&source) {
            Some(Errno::ENOSYS | Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => {
                Error::Unsupported { source }
            }
            _ => Error::operation("be opened")(source),
        })?;
        let version = device
            .version()
            .map_err(Error::operation("tell its version"))?;
        if !VERSIONS.contains(&version) {
            return Err(Error::Version { version });
        }
        let installed = rump_sys::kernel::KIND == rump_sys::kernel::Kind::Prefix;
        if installed && version == abi::plist::VERSION {
            // It takes pointers into the kernel for granted.
            let source = io::Error::other("NetBSD 7 installs it for tests of its own only");
            return Err(Error::Unsupported { source });
        }
        Ok(Self { device, version })
    }

    /// `NPF_VERSION` of the kernel's tree.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Begins to look at packets. Nothing happens if it does already.
    ///
    /// # Errors
    /// [`Error::Operation`].
    #[doc(alias = "IOC_NPF_SWITCH")]
    pub fn enable(&self) -> Result<(), Error> {
        match self.device.switch(true) {
            Err(error) if Errno::of(&error) == Some(Errno::EEXIST) => return Ok(()),
            result => result.map_err(Error::operation("be enabled"))?,
        }
        tracing::info!("npf enabled");
        Ok(())
    }

    /// Lets all packets pass, from now on. Rules and tables stay for the next
    /// [`enable`](Self::enable).
    ///
    /// # Errors
    /// [`Error::Operation`].
    pub fn disable(&self) -> Result<(), Error> {
        let disabled = self.device.switch(false);
        disabled.map_err(Error::operation("be disabled"))?;
        tracing::info!("npf disabled");
        Ok(())
    }

    /// Whether it looks at packets.
    ///
    /// # Errors
    /// [`Error::Operation`]; [`Error::Answer`].
    #[doc(alias = "IOC_NPF_SAVE")]
    pub fn is_enabled(&self) -> Result<bool, Error> {
        const OPERATION: &str = "tell its configuration";
        let answer = self
            .device
            .save(self.version)
            .map_err(Error::operation(OPERATION))?;
        let active = self.read(OPERATION, &answer)?.bool("active");
        active.ok_or(Error::Answer {
            operation: OPERATION,
            problem: "it does not say whether it is active",
        })
    }

    /// Puts a ruleset in force instead of the one before, as a whole or not at all.
    ///
    /// # Errors
    /// [`Error::Rule`] and [`Error::Table`] for what cannot be; [`Error::Refused`] if the
    /// kernel does not want it, for instance because a prefix is in a table twice. The
    /// ruleset before stays in force then.
    #[doc(alias = "IOC_NPF_LOAD")]
    pub fn load(&self, rules: &Ruleset) -> Result<(), Error> {
        self.submit(&rules.encode(self.version)?)?;
        tracing::info!("npf ruleset loaded");
        Ok(())
    }

    /// Takes all rules and tables away and forgets all connections, so that packets pass
    /// even while it is enabled.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn flush(&self) -> Result<(), Error> {
        self.submit(&ruleset::nothing(self.version))?;
        tracing::info!("npf flushed");
        Ok(())
    }

    /// What it has counted since boot.
    ///
    /// # Errors
    /// [`Error::Operation`].
    #[doc(alias = "IOC_NPF_STATS")]
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let counters = self.device.statistics();
        counters
            .map(|counters| Statistics::new(&counters))
            .map_err(Error::operation("tell its statistics"))
    }

    /// The table of this name in the ruleset in force. Whether there is one is found out
    /// when it is used.
    ///
    /// ```
    /// use rump::npf::{Host, Rule, Ruleset, Table};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Netbsd { return Ok(()) }
    /// # let kernel = rump::Kernel::builder().boot()?;
    /// let npf = kernel.npf()?;
    /// npf.load(
    ///     &Ruleset::new()
    ///         .table(Table::tree("banned"))
    ///         .default_rule(Rule::block().inbound().from(Host::table("banned")).finally())
    ///         .default_rule(Rule::pass()),
    /// )?;
    /// let banned = npf.table("banned");
    /// banned.add("192.0.2.0/24".parse::<rump::npf::IpNet>()?)?;
    /// assert!(banned.contains([192, 0, 2, 77])?);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "IOC_NPF_TABLE")]
    pub fn table(&self, name: &str) -> ActiveTable<'_> {
        ActiveTable::new(self, name)
    }

    fn submit(&self, configuration: &Dictionary) -> Result<(), Error> {
        const OPERATION: &str = "load a ruleset";
        let bytes = if self.version == abi::nvlist::VERSION {
            nvlist::pack(configuration)
        } else {
            plist::write(configuration).into_bytes()
        };
        let answer = self
            .device
            .load(self.version, &bytes)
            .map_err(Error::operation(OPERATION))?;
        let answer = self.read(OPERATION, &answer)?;
        match answer.number("errno") {
            Some(0) => Ok(()),
            Some(number) => Err(Error::Refused {
                source: Errno::from_raw(i32::try_from(number).unwrap_or(i32::MAX)),
                place: place(&answer),
            }),
            None => Err(Error::Answer {
                operation: OPERATION,
                problem: "it does not say how it went",
            }),
        }
    }

    fn read(&self, operation: &'static str, answer: &[u8]) -> Result<Dictionary, Error> {
        let read = if self.version == abi::nvlist::VERSION {
            nvlist::unpack(answer)
        } else {
            plist::read(answer)
        };
        read.map_err(|problem| Error::Answer { operation, problem })
    }
}

/// Where in its source the kernel refused something, without the folders.
fn place(answer: &Dictionary) -> Option<String> {
    let file = answer.text("source-file")?;
    let file = file.rsplit('/').next().unwrap_or(file);
    let line = answer.number("source-line")?;
    Some(format!("{file}:{line}"))
}

impl std::fmt::Debug for Npf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Npf")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
