//! Who is on a link: the same as smoltcp knows, which does not tell. It is learned from the
//! same frames by the same rules, and forgotten after the same time.

use alloc::collections::BTreeMap;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr,
    IpProtocol, Ipv4Address, Ipv6Packet, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

/// smoltcp's `iface-neighbor-cache-count`.
const MOST: usize = 256;
/// How long one that is not heard of is remembered.
const LIFETIME: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Neighbors(BTreeMap<IpAddress, (EthernetAddress, Instant)>);

fn ethernet(address: RawHardwareAddress) -> Option<EthernetAddress> {
    let bytes: [u8; 6] = address.as_bytes().try_into().ok()?;
    let address = EthernetAddress(bytes);
    address.is_unicast().then_some(address)
}

/// An ARP packet, as an interface with some addresses sees it.
struct Arp {
    operation: ArpOperation,
    hardware: EthernetAddress,
    from: Ipv4Address,
    to: Ipv4Address,
    /// It is about an address of the interface's.
    for_us: bool,
    /// It comes from one of its nets.
    on_link: bool,
}

impl Arp {
    /// `None` if it comes from nobody.
    fn parse(own: &[IpCidr], packet: &[u8]) -> Option<Self> {
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: hardware,
            source_protocol_addr: from,
            target_protocol_addr: to,
            ..
        } = ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()?
        else {
            return None;
        };
        let is_somebody = IpAddress::Ipv4(from).is_unicast() && hardware.is_unicast();
        is_somebody.then(|| Self {
            operation,
            hardware,
            from,
            to,
            for_us: own.iter().any(|own| own.address() == IpAddress::Ipv4(to)),
            on_link: own
                .iter()
                .any(|own| own.contains_addr(&IpAddress::Ipv4(from))),
        })
    }
}

/// The answer to a host with an address of another net that asks for one of these, as a
/// router with several may do. smoltcp answers those of the own nets only.
pub(crate) fn answer(own: &[IpCidr], hardware: [u8; 6], packet: &[u8]) -> Option<ArpRepr> {
    let asked = Arp::parse(own, packet)?;
    let answered = asked.operation == ArpOperation::Request && asked.for_us && !asked.on_link;
    answered.then_some(ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(hardware),
        source_protocol_addr: asked.to,
        target_hardware_addr: asked.hardware,
        target_protocol_addr: asked.from,
    })
}

impl Neighbors {
    /// Those that are known.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = (IpAddress, EthernetAddress)> {
        let known = self.0.iter().filter(move |(_, (_, until))| *until > now);
        known.map(|(address, (hardware, _))| (*address, *hardware))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A packet has come from one.
    pub(crate) fn heard(&mut self, now: Instant, from: IpAddress, hardware: EthernetAddress) {
        if let Some((known, until)) = self.0.get_mut(&from)
            && *known == hardware
        {
            *until = now + LIFETIME;
        }
    }

    fn learn(&mut self, now: Instant, address: IpAddress, hardware: EthernetAddress) {
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(first) = first.map(|(address, _)| *address) {
                self.0.remove(&first);
            }
        }
        self.0.insert(address, (hardware, now + LIFETIME));
    }

    /// An ARP packet has come to an interface with these addresses.
    pub(crate) fn arp(&mut self, now: Instant, own: &[IpCidr], packet: &[u8]) {
        if let Some(heard) = Arp::parse(own, packet)
            && heard.for_us
            && heard.on_link
            && !matches!(heard.operation, ArpOperation::Unknown(_))
        {
            self.learn(now, IpAddress::Ipv4(heard.from), heard.hardware);
        }
    }

    /// An ICMPv6 packet has come.
    pub(crate) fn icmpv6(&mut self, now: Instant, packet: &[u8]) -> Option<()> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Icmpv6 {
            return None;
        }
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
        let sums = ChecksumCapabilities::ignored();
        let from_address = IpAddress::Ipv6(from);
        match Icmpv6Repr::parse(&from, &to, &message, &sums).ok()? {
            Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags,
                lladdr,
                target_addr,
            }) if IpAddress::Ipv6(target_addr).is_unicast() => {
                let known = self.iter(now).any(|(address, _)| address == from_address);
                if flags.contains(NdiscNeighborFlags::OVERRIDE) || !known {
                    self.learn(now, from_address, ethernet(lladdr?)?);
                }
            }
            Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
                target_addr,
                lladdr,
            }) if IpAddress::Ipv6(target_addr).is_unicast() && from_address.is_unicast() => {
                self.learn(now, from_address, ethernet(lladdr?)?);
            }
            _ => {}
        }
        Some(())
    }
}
