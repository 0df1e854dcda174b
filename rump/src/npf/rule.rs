//! Rules: what they do, with which packets. The words are those of npf.conf(5).

use super::error::Error;
use crate::iface::Interface;
use ipnet::IpNet;
use rump_sys::abi;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// What IP carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of IPv4.
    Icmp,
    /// ICMP of IPv6.
    Icmp6,
    /// Another, by its number at IANA.
    Number(u8),
}

impl Protocol {
    /// Its number at IANA.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => abi::IPPROTO_TCP as u8,
            Self::Udp => abi::IPPROTO_UDP as u8,
            Self::Icmp => abi::IPPROTO_ICMP as u8,
            Self::Icmp6 => abi::IPPROTO_ICMPV6 as u8,
            Self::Number(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Icmp6 => f.write_str("ipv6-icmp"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Flags of TCP's header (RFC 9293, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data comes.
    pub const FIN: Self = Self(0x01);
    /// A connection begins.
    pub const SYN: Self = Self(0x02);
    /// A connection is reset.
    pub const RST: Self = Self(0x04);
    /// Data is to be passed on at once.
    pub const PSH: Self = Self(0x08);
    /// Something is acknowledged.
    pub const ACK: Self = Self(0x10);
    /// There is urgent data.
    pub const URG: Self = Self(0x20);
    /// Congestion was experienced.
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced.
    pub const CWR: Self = Self(0x80);

    /// What is set in the first segment of a connection, of those that tell it from others:
    /// "S/SAFR".
    pub(super) const FIRST: (Self, Self) = (Self::SYN, Self(0x01 | 0x02 | 0x04 | 0x10));

    pub(super) fn bits(self) -> u8 {
        self.0
    }
}

impl std::ops::BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |(place, _): &(usize, char)| self.0 >> place & 1 != 0;
        let letters = "FSRPAUEW".chars().enumerate().filter(set);
        letters
            .map(|(_, letter)| letter)
            .try_for_each(|it| write!(f, "{it}"))
    }
}

/// Where a packet comes from, or goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// An address, or all with the same prefix.
    Net(IpNet),
    /// What is in the [`Table`](super::Table) of this name.
    Table(String),
}

impl Host {
    /// What is in the [`Table`](super::Table) of this name.
    pub fn table(name: impl Into<String>) -> Self {
        Self::Table(name.into())
    }
}

impl From<IpNet> for Host {
    fn from(net: IpNet) -> Self {
        Self::Net(net)
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Net(address.into())
    }
}

impl From<Ipv4Addr> for Host {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::V4(address).into()
    }
}

impl From<Ipv6Addr> for Host {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::V6(address).into()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => write!(f, "{net}"),
            Self::Table(name) => write!(f, "<{name}>"),
        }
    }
}

/// Ports of TCP or UDP, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }
}

impl From<RangeInclusive<u16>> for Ports {
    fn from(ports: RangeInclusive<u16>) -> Self {
        Self {
            first: *ports.start(),
            last: *ports.end(),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Which packets a rule is about. What is empty is not asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    pub(super) family: Option<Family>,
    protocols: Vec<Protocol>,
    pub(super) from: Vec<Host>,
    pub(super) from_ports: Vec<Ports>,
    pub(super) to: Vec<Host>,
    pub(super) to_ports: Vec<Ports>,
    /// Which are set, and of which.
    pub(super) flags: Option<(TcpFlags, TcpFlags)>,
    pub(super) icmp_type: Option<u8>,
    pub(super) icmp_code: Option<u8>,
    pub(super) stateful: bool,
}

impl Matcher {
    /// The protocols, also where something else says which they must be.
    pub(super) fn protocols(&self) -> Vec<Protocol> {
        if !self.protocols.is_empty() {
            self.protocols.clone()
        } else if self.flags.is_some() {
            vec![Protocol::Tcp]
        } else if self.from_ports.is_empty() && self.to_ports.is_empty() {
            Vec::new()
        } else {
            vec![Protocol::Tcp, Protocol::Udp]
        }
    }

    pub(super) fn is_for(&self, protocol: Protocol) -> bool {
        self.protocols()
            .iter()
            .any(|own| own.number() == protocol.number())
    }

    /// Whether all protocols are among some.
    fn only(&self, some: &[Protocol]) -> bool {
        let among = |own: &Protocol| some.iter().any(|it| it.number() == own.number());
        let protocols = self.protocols();
        !protocols.is_empty() && protocols.iter().all(among)
    }
}

/// What becomes of packets, and of which.
///
/// A rule that is told nothing more than [`pass`](Self::pass) or [`block`](Self::block) is
/// about every packet. What is told several times of addresses, ports or protocols means
/// any of them. Of the rules that match a packet the *last* counts, unless one before it
/// says [`finally`](Self::finally).
///
/// ```
/// use rump::npf::{Protocol, Rule};
///
/// let rule = Rule::block()
///     .inbound()
///     .protocol(Protocol::Tcp)
///     .to_port(22)
///     .to_port(8000..=8100)
///     .return_rst();
/// assert_eq!(rule.to_string(), "block return-rst in proto tcp to any port 22, 8000-8100");
/// ```
#[derive(Clone)]
pub struct Rule {
    pass: bool,
    /// `NPF_RULE_*`, but for passing, direction and state.
    attributes: u32,
    direction: u32,
    interface: Option<String>,
    matcher: Matcher,
}

impl Rule {
    fn new(pass: bool) -> Self {
        Self {
            pass,
            attributes: 0,
            direction: abi::npf::NPF_RULE_IN | abi::npf::NPF_RULE_OUT,
            interface: None,
            matcher: Matcher::default(),
        }
    }

    /// Lets packets through.
    pub fn pass() -> Self {
        Self::new(true)
    }

    /// Drops packets.
    pub fn block() -> Self {
        Self::new(false)
    }

    /// Only packets that come in.
    #[must_use]
    #[doc(alias = "in")]
    pub fn inbound(mut self) -> Self {
        self.direction = abi::npf::NPF_RULE_IN;
        self
    }

    /// Only packets that leave.
    #[must_use]
    #[doc(alias = "out")]
    pub fn outbound(mut self) -> Self {
        self.direction = abi::npf::NPF_RULE_OUT;
        self
    }

    /// Only packets on this interface.
    #[must_use]
    pub fn on(mut self, interface: &Interface) -> Self {
        self.interface = Some(interface.name().into());
        self
    }

    /// Rules behind this one do not count for packets that it matches.
    #[must_use]
    #[doc(alias = "final")]
    pub fn finally(mut self) -> Self {
        self.attributes |= abi::npf::NPF_RULE_FINAL;
        self
    }

    /// Only packets of this version of IP.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.matcher.family = Some(family);
        self
    }

    /// Only packets of this protocol.
    #[must_use]
    #[doc(alias = "proto")]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.matcher.protocols.push(protocol);
        self
    }

    /// Only packets that come from there.
    #[must_use]
    pub fn from(mut self, host: impl Into<Host>) -> Self {
        self.matcher.from.push(host.into());
        self
    }

    /// Only packets that go there.
    #[must_use]
    pub fn to(mut self, host: impl Into<Host>) -> Self {
        self.matcher.to.push(host.into());
        self
    }

    /// Only packets from this port; of TCP and UDP, if no protocol is told.
    #[must_use]
    pub fn from_port(mut self, ports: impl Into<Ports>) -> Self {
        self.matcher.from_ports.push(ports.into());
        self
    }

    /// Only packets to this port; of TCP and UDP, if no protocol is told.
    #[must_use]
    pub fn to_port(mut self, ports: impl Into<Ports>) -> Self {
        self.matcher.to_ports.push(ports.into());
        self
    }

    /// Only segments of TCP that have exactly these flags set, of those flags.
    #[must_use]
    pub fn flags(mut self, set: TcpFlags, of: TcpFlags) -> Self {
        self.matcher.flags = Some((set, of));
        self
    }

    /// Only messages of ICMP of this type. The protocol says of which ICMP.
    #[must_use]
    pub fn icmp_type(mut self, number: u8) -> Self {
        self.matcher.icmp_type = Some(number);
        self
    }

    /// Only messages of ICMP with this code.
    #[must_use]
    #[doc(alias = "code")]
    pub fn icmp_code(mut self, number: u8) -> Self {
        self.matcher.icmp_code = Some(number);
        self
    }

    /// Lets through what belongs to the connection that a packet begins, in both
    /// directions and before any rule is looked at, on whatever interface. Of TCP the
    /// packet must be the first segment of a connection, unless [`flags`](Self::flags) says
    /// otherwise.
    #[must_use]
    pub fn stateful(mut self) -> Self {
        self.matcher.stateful = true;
        self
    }

    /// Answers blocked segments of TCP with a reset. The answer is a packet that leaves:
    /// rules are about it as about others.
    #[must_use]
    pub fn return_rst(mut self) -> Self {
        self.attributes |= abi::npf::NPF_RULE_RETRST;
        self
    }

    /// Answers blocked datagrams of UDP with ICMP's "administratively prohibited". The
    /// answer is a packet that leaves: rules are about it as about others.
    #[must_use]
    pub fn return_icmp(mut self) -> Self {
        self.attributes |= abi::npf::NPF_RULE_RETICMP;
        self
    }

    /// Both of [`return_rst`](Self::return_rst) and [`return_icmp`](Self::return_icmp).
    #[must_use]
    #[doc(alias = "return")]
    pub fn returning(self) -> Self {
        self.return_rst().return_icmp()
    }

    /// `NPF_RULE_*`.
    pub(super) fn attributes(&self) -> u32 {
        let mut attributes = self.attributes | self.direction;
        if self.pass {
            attributes |= abi::npf::NPF_RULE_PASS;
        }
        if self.matcher.stateful {
            attributes |= abi::npf::NPF_RULE_STATEFUL;
        }
        attributes
    }

    pub(super) fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    pub(super) fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// That this rule cannot be.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::Rule {
            rule: self.to_string(),
            problem: problem.into(),
        }
    }

    /// Whether what it says makes sense together.
    pub(super) fn check(&self) -> Result<(), Error> {
        use Protocol::{Icmp, Icmp6, Tcp, Udp};
        let matcher = &self.matcher;
        let mut ports = matcher.from_ports.iter().chain(&matcher.to_ports);
        let has_ports = !matcher.from_ports.is_empty() || !matcher.to_ports.is_empty();
        let problem = if let Some(empty) = ports.find(|it| it.first > it.last) {
            format!("there are no ports {empty}")
        } else if has_ports && !matcher.only(&[Tcp, Udp]) {
            "only tcp and udp have ports".into()
        } else if matcher.flags.is_some() && !matcher.only(&[Tcp]) {
            "only tcp has flags".into()
        } else if matcher.flags.is_some_and(|(set, of)| set.0 & !of.0 != 0) {
            "flags must be set that are not looked at".into()
        } else if matcher.icmp_code.is_some() && matcher.icmp_type.is_none() {
            "a code belongs to a type of icmp".into()
        } else if matcher.icmp_type.is_some() && !matcher.only(&[Icmp]) && !matcher.only(&[Icmp6]) {
            "a type belongs to the protocol icmp, or to ipv6-icmp".into()
        } else if !self.pass && matcher.stateful {
            "what is blocked has no state".into()
        } else if self.pass && self.attributes & !abi::npf::NPF_RULE_FINAL != 0 {
            "what passes is not answered".into()
        } else {
            return Ok(());
        };
        Err(self.wrong(problem))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use abi::npf::{
            NPF_RULE_FINAL, NPF_RULE_IN, NPF_RULE_OUT, NPF_RULE_RETICMP, NPF_RULE_RETRST,
        };
        let matcher = &self.matcher;
        f.write_str(if self.pass { "pass" } else { "block" })?;
        if matcher.stateful {
            f.write_str(" stateful")?;
        }
        match self.attributes & (NPF_RULE_RETRST | NPF_RULE_RETICMP) {
            0 => {}
            NPF_RULE_RETRST => f.write_str(" return-rst")?,
            NPF_RULE_RETICMP => f.write_str(" return-icmp")?,
            _ => f.write_str(" return")?,
        }
        match self.direction {
            NPF_RULE_IN => f.write_str(" in")?,
            NPF_RULE_OUT => f.write_str(" out")?,
            _ => {}
        }
        if self.attributes & NPF_RULE_FINAL != 0 {
            f.write_str(" final")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " on {interface}")?;
        }
        match matcher.family {
            Some(Family::Inet) => f.write_str(" family inet4")?,
            Some(Family::Inet6) => f.write_str(" family inet6")?,
            None => {}
        }
        if !matcher.protocols.is_empty() {
            write!(f, " proto {}", list(&matcher.protocols))?;
        }
        if let Some((set, of)) = matcher.flags {
            write!(f, " flags {set}/{of}")?;
        }
        if let Some(number) = matcher.icmp_type {
            write!(f, " icmp-type {number}")?;
        }
        if let Some(number) = matcher.icmp_code {
            write!(f, " code {number}")?;
        }
        for (word, hosts, ports) in [
            ("from", &matcher.from, &matcher.from_ports),
            ("to", &matcher.to, &matcher.to_ports),
        ] {
            match (hosts.is_empty(), ports.is_empty()) {
                (true, true) => {}
                (true, false) => write!(f, " {word} any port {}", list(ports))?,
                (false, true) => write!(f, " {word} {}", list(hosts))?,
                (false, false) => write!(f, " {word} {} port {}", list(hosts), list(ports))?,
            }
        }
        if matcher.from.is_empty()
            && matcher.to.is_empty()
            && matcher.from_ports.is_empty()
            && matcher.to_ports.is_empty()
        {
            f.write_str(" all")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({self})")
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(", ")
}
