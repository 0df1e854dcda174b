use super::arrive::Arrival;
use super::*;
use crate::wire::samples::{V4, V6, icmp, neighbour, tcp, udp};
use crate::wire::{Arp, Frame, Payload, Protocol, arp, parse};
use rump_hyper::vif::abi::{DATA_VALID, GSO_TCPV4, NEEDS_CSUM, Offload};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub(super) const WEB: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(super) const DB: Mac = Mac([2, 0, 0, 0, 0, 2]);
pub(super) const PEER: Mac = Mac([2, 0, 0, 0, 0, 9]);
pub(super) const NIC: Nic = Nic(0);
const OTHER: Nic = Nic(1);
const GROUP6: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
const GRACE: Duration = Duration::from_secs(10);

/// Two applications of one host, one of another on the same NIC, one on another NIC.
pub(super) struct World {
    pub(super) table: Table<()>,
    pub(super) now: Instant,
    pub(super) a: Slot,
    pub(super) b: Slot,
    pub(super) c: Slot,
    pub(super) d: Slot,
}

pub(super) fn host(name: &str, nic: Nic, mac: Mac, addresses: &[&str]) -> Host {
    let mut host = Host::new(name, nic, mac, 32768..=65535, 512);
    host.addresses = addresses
        .iter()
        .map(|address| (address.parse().unwrap(), 24))
        .collect();
    host
}

pub(super) fn claim(protocol: Protocol, address: &str, port: u16) -> Claim {
    Claim {
        protocol,
        address: address.parse().unwrap(),
        port,
    }
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let mut table = Table::new(vec![
            host("web", NIC, WEB, &["10.0.0.2", "fd00::2", "10.0.0.4"]),
            host("db", NIC, DB, &["10.0.0.3", "fd00::3"]),
            host("far", OTHER, WEB, &["10.1.0.2"]),
        ]);
        let mut join = |host: usize, label: &str, ticket| {
            let candidate = Candidate {
                label: label.into(),
                user: 0,
                ticket,
                had: None,
                end: (),
            };
            table.join(HostId(host), candidate, now, GRACE).unwrap()
        };
        let (a, b, c, d) = (
            join(0, "a", 1),
            join(0, "b", 2),
            join(1, "c", 3),
            join(2, "d", 4),
        );
        use Protocol::{Tcp, Udp};
        for (slot, claims) in [
            (
                a,
                [
                    claim(Tcp, "0.0.0.0", 80),
                    claim(Tcp, "::", 80),
                    claim(Udp, "10.0.0.2", 53),
                ],
            ),
            (
                b,
                [
                    claim(Tcp, "10.0.0.2", 81),
                    claim(Udp, "10.0.0.4", 53),
                    claim(Udp, "::", 53),
                ],
            ),
            (
                c,
                [
                    claim(Tcp, "10.0.0.3", 80),
                    claim(Tcp, "::", 80),
                    claim(Udp, "0.0.0.0", 68),
                ],
            ),
        ] {
            for claim in claims {
                table.claim(slot, claim).unwrap();
            }
        }
        Self {
            table,
            now,
            a,
            b,
            c,
            d,
        }
    }

    /// Who gets a frame from the wire, by their labels.
    fn wire(&self, frame: &[u8]) -> Result<String, Reason> {
        match self.table.from_wire(NIC, &Frame::new(frame), self.now)? {
            Arrival::To(delivery) => Ok(self.who(&delivery)),
            Arrival::Answer(_) => Ok("answer".into()),
        }
    }

    fn who(&self, delivery: &Delivery) -> String {
        let mut all = BTreeSet::new();
        self.table.deliver(delivery, |_, application| {
            assert!(all.insert(application.label.clone()), "twice");
        });
        all.into_iter().collect()
    }

    /// Where a frame of an application's goes.
    fn send(&self, slot: Slot, frame: &[u8]) -> Result<String, Reason> {
        self.send_with(slot, frame, Offload::default())
    }

    fn send_with(&self, slot: Slot, frame: &[u8], claim: Offload) -> Result<String, Reason> {
        let departure = self
            .table
            .from_application(slot, &Frame::new(frame), claim, self.now)?;
        let mut text = String::new();
        if departure.wire {
            text.push_str("wire ");
        }
        if departure.answer.is_some() {
            text.push_str("answer ");
        }
        if let Some(local) = departure.local {
            text.push_str(&self.who(&local));
        }
        Ok(text.trim_end().into())
    }
}

fn to_web(protocol: u8, payload: Vec<u8>) -> Vec<u8> {
    V4::new("10.0.0.9", "10.0.0.2", protocol, payload).frame(WEB, PEER)
}

fn to_web6(next: u8, payload: Vec<u8>) -> Vec<u8> {
    V6::new("fd00::9", "fd00::2", next, payload).frame(WEB, PEER)
}

fn from_web(protocol: u8, payload: Vec<u8>) -> Vec<u8> {
    V4::new("10.0.0.2", "10.0.0.9", protocol, payload).frame(PEER, WEB)
}

fn from_web6(next: u8, payload: Vec<u8>) -> Vec<u8> {
    V6::new("fd00::2", "fd00::9", next, payload).frame(PEER, WEB)
}

fn ask(sender_mac: Mac, sender: &str, target: &str) -> Vec<u8> {
    let mut frame = arp::frame(&Arp {
        operation: arp::REQUEST,
        sender_mac,
        sender: sender.parse().unwrap(),
        target_mac: Mac::default(),
        target: target.parse().unwrap(),
    });
    frame[..6].copy_from_slice(&Mac::BROADCAST.0);
    frame
}

/// The packet that an error is about.
fn about(kind: u8, source: &str, destination: &str, payload: Vec<u8>) -> Vec<u8> {
    V4::new(source, destination, kind, payload).packet()
}

#[test]
fn frames_from_the_wire_go_to_their_owner() {
    let world = World::new();
    let lease = |slot| *world.table.leases_of(slot)[0].start();
    let (in_a, in_b) = (lease(world.a), lease(world.b));
    let second = |payload| V4::new("10.0.0.9", "10.0.0.4", 17, payload).frame(WEB, PEER);
    let unreachable = |inner: Vec<u8>| to_web(1, icmp(3, [0; 4], &inner));
    let unreachable6 = |inner: V6| to_web6(58, icmp(1, [0; 4], &inner.packet()));
    let rows: &[(&str, Vec<u8>, Result<&str, Reason>)] = &[
        (
            "a claim of all addresses",
            to_web(6, tcp(9, 80, 2)),
            Ok("a"),
        ),
        ("the same in IPv6", to_web6(6, tcp(9, 80, 2)), Ok("a")),
        ("a claim of one address", to_web(6, tcp(9, 81, 2)), Ok("b")),
        (
            "which is no claim in IPv6",
            to_web6(6, tcp(9, 81, 2)),
            Ok("a"),
        ),
        ("nor of UDP", to_web(17, udp(9, 81, 2)), Ok("a")),
        ("one port, one address", to_web(17, udp(9, 53, 2)), Ok("a")),
        ("one port, another address", second(udp(9, 53, 2)), Ok("b")),
        (
            "one port, another family",
            to_web6(17, udp(9, 53, 2)),
            Ok("b"),
        ),
        ("a lease", to_web(6, tcp(9, in_a, 16)), Ok("a")),
        ("another's", to_web6(17, udp(9, in_b, 1)), Ok("b")),
        (
            "nobody's port is the first one's",
            to_web(6, tcp(9, 7, 2)),
            Ok("a"),
        ),
        (
            "one request, one answer",
            to_web(1, icmp(8, [0, 1, 0, 1], &[])),
            Ok("a"),
        ),
        (
            "the same in IPv6",
            to_web6(58, icmp(128, [0, 1, 0, 1], &[])),
            Ok("a"),
        ),
        (
            "an echo that nobody asked for",
            to_web(1, icmp(0, [0, 1, 0, 1], &[])),
            Ok("ab"),
        ),
        (
            "an error",
            unreachable(about(6, "10.0.0.2", "10.0.0.9", tcp(81, 9, 0))),
            Ok("b"),
        ),
        (
            "of a leased port",
            unreachable(about(17, "10.0.0.2", "10.0.0.9", udp(in_b, 9, 0))),
            Ok("b"),
        ),
        (
            "about another host",
            unreachable(about(6, "10.0.0.3", "10.0.0.9", tcp(80, 9, 0))),
            Ok("ab"),
        ),
        (
            "in IPv6",
            unreachable6(V6::new("fd00::2", "fd00::9", 17, udp(53, 9, 0))),
            Ok("b"),
        ),
        (
            "a router tells",
            to_web6(58, icmp(134, [0; 4], &[0; 8])),
            Ok("ab"),
        ),
        ("IGMP and the like", to_web(2, vec![0; 8]), Ok("ab")),
        (
            "a group",
            V4::new("10.0.0.9", "224.0.0.251", 17, udp(1, 5353, 1))
                .frame(Mac([1, 0, 94, 0, 0, 251]), PEER),
            Ok("abc"),
        ),
        (
            "all",
            V4::new("10.0.0.9", "255.255.255.255", 17, udp(68, 67, 1)).frame(Mac::BROADCAST, PEER),
            Ok("abc"),
        ),
        (
            "another host",
            V4::new("10.0.0.9", "10.0.0.3", 6, tcp(9, 80, 2)).frame(DB, PEER),
            Ok("c"),
        ),
        (
            "a stranger",
            V4::new("10.0.0.9", "10.0.0.7", 6, tcp(9, 80, 2)).frame(PEER, Mac([2; 6])),
            Err(Reason::Nobody),
        ),
        ("who is it", ask(PEER, "10.0.0.9", "10.0.0.2"), Ok("answer")),
        (
            "the other one",
            ask(PEER, "10.0.0.9", "10.0.0.3"),
            Ok("answer"),
        ),
        (
            "is it taken",
            ask(PEER, "0.0.0.0", "10.0.0.4"),
            Ok("answer"),
        ),
        (
            "not here",
            ask(PEER, "10.0.0.9", "10.1.0.2"),
            Err(Reason::Nobody),
        ),
        ("I am there", ask(PEER, "10.0.0.9", "10.0.0.9"), Ok("abc")),
        (
            "our own come back",
            ask(WEB, "10.0.0.2", "10.0.0.9"),
            Err(Reason::SourceMac),
        ),
        (
            "from a group",
            V4::new("10.0.0.9", "10.0.0.2", 6, tcp(9, 80, 2)).frame(WEB, GROUP6),
            Err(Reason::SourceMac),
        ),
        (
            "who is it in IPv6",
            V6::new(
                "fd00::9",
                "ff02::1:ff00:2",
                58,
                neighbour(135, "fd00::2", Some((1, PEER))),
            )
            .frame(GROUP6, PEER),
            Ok("answer"),
        ),
        (
            "is it taken in IPv6",
            V6::new("::", "ff02::1:ff00:2", 58, neighbour(135, "fd00::2", None))
                .frame(GROUP6, PEER),
            Ok("answer"),
        ),
        (
            "not here in IPv6",
            V6::new(
                "fd00::9",
                "ff02::1:ff00:7",
                58,
                neighbour(135, "fd00::7", None),
            )
            .frame(GROUP6, PEER),
            Err(Reason::Nobody),
        ),
        (
            "an answer",
            to_web6(58, neighbour(136, "fd00::9", Some((2, PEER)))),
            Ok("ab"),
        ),
        (
            "cut off",
            to_web(6, tcp(9, 80, 2))[..40].to_vec(),
            Err(Reason::Short),
        ),
    ];
    for (what, frame, expected) in rows {
        assert_eq!(world.wire(frame), expected.map(String::from), "{what}");
    }
}

#[test]
fn echoes_go_to_who_asked() {
    let world = World::new();
    let asked = world.send(world.b, &from_web(1, icmp(8, [0, 7, 0, 1], &[])));
    assert_eq!(asked, Ok("wire".into()));
    assert_eq!(
        world.wire(&to_web(1, icmp(0, [0, 7, 0, 1], &[]))),
        Ok("b".into())
    );
    assert_eq!(
        world.wire(&to_web6(58, icmp(129, [0, 7, 0, 1], &[]))),
        Ok("ab".into())
    );
    let inner = about(1, "10.0.0.2", "10.0.0.9", icmp(8, [0, 7, 0, 1], &[]));
    assert_eq!(
        world.wire(&to_web(1, icmp(11, [0; 4], &inner))),
        Ok("b".into())
    );
    world
        .send(world.a, &from_web6(58, icmp(128, [0, 7, 0, 1], &[])))
        .unwrap();
    assert_eq!(
        world.wire(&to_web6(58, icmp(129, [0, 7, 0, 1], &[]))),
        Ok("a".into())
    );
}

/// What it is, who sends it, the frame, and where it goes.
type Sent = (&'static str, Slot, Vec<u8>, Result<&'static str, Reason>);

#[test]
fn only_what_is_true_is_sent() {
    use Reason::{
        Arp as FalseArp, Ethertype, Icmp, IcmpError, Neighbour, Nobody, SourceAddress, SourceMac,
        SourcePort, SourceRoute, TooLong,
    };
    let mut world = World::new();
    let lease = |slot| *world.table.leases_of(slot)[0].start();
    let (in_a, in_b) = (lease(world.a), lease(world.b));
    let b6 = |next, payload| from_web6(next, payload);
    let near = |next, payload| {
        V6 {
            hops: 255,
            ..V6::new("fd00::2", "ff02::1", next, payload)
        }
        .frame(GROUP6, WEB)
    };
    let unspecified = |payload| V6::new("::", "ff02::1:ff00:2", 58, payload).frame(GROUP6, WEB);
    let inner = |port| about(17, "10.0.0.9", "10.0.0.2", udp(9, port, 0));
    let complain = |port| from_web(1, icmp(3, [0; 4], &inner(port)));
    let tells = |mac, address| {
        arp::frame(&Arp {
            operation: arp::REPLY,
            sender_mac: mac,
            sender: address,
            target_mac: PEER,
            target: "10.0.0.9".parse().unwrap(),
        })
    };
    let with_source = |mac: Mac, mut frame: Vec<u8>| {
        frame[6..12].copy_from_slice(&mac.0);
        frame
    };
    let routed = V4 {
        options: vec![131, 3, 4, 0],
        ..V4::new("10.0.0.2", "10.0.0.9", 6, tcp(80, 9, 2))
    };
    let dhcp = |source: &str| {
        V4::new(source, "255.255.255.255", 17, udp(68, 67, 9)).frame(Mac::BROADCAST, DB)
    };
    let (a, b, c) = (world.a, world.b, world.c);
    let rows: Vec<Sent> = vec![
        ("its port", a, from_web(6, tcp(80, 9, 2)), Ok("wire")),
        (
            "on its other address",
            a,
            V4::new("10.0.0.4", "10.0.0.9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Ok("wire"),
        ),
        ("its port in IPv6", a, b6(6, tcp(80, 9, 2)), Ok("wire")),
        (
            "another's port",
            b,
            from_web(6, tcp(80, 9, 2)),
            Err(SourcePort),
        ),
        (
            "another's, to refuse",
            b,
            from_web(6, tcp(80, 9, 4)),
            Err(SourcePort),
        ),
        (
            "nobody's port",
            a,
            from_web(6, tcp(7, 9, 2)),
            Err(SourcePort),
        ),
        (
            "nobody's, to refuse",
            a,
            from_web(6, tcp(7, 9, 0x14)),
            Ok("wire"),
        ),
        (
            "which is for the first",
            b,
            from_web(6, tcp(7, 9, 0x14)),
            Err(SourcePort),
        ),
        (
            "its port on one address",
            b,
            from_web(17, udp(53, 9, 2)),
            Err(SourcePort),
        ),
        (
            "on another",
            b,
            V4::new("10.0.0.4", "10.0.0.9", 17, udp(53, 9, 2)).frame(PEER, WEB),
            Ok("wire"),
        ),
        ("its lease", a, from_web(17, udp(in_a, 9, 2)), Ok("wire")),
        (
            "another's lease",
            a,
            b6(6, tcp(in_b, 9, 2)),
            Err(SourcePort),
        ),
        (
            "another host's address",
            a,
            V4::new("10.0.0.3", "10.0.0.9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Err(SourceAddress),
        ),
        (
            "a stranger's",
            a,
            V4::new("10.0.0.9", "10.0.0.9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Err(SourceAddress),
        ),
        (
            "a stranger's in IPv6",
            a,
            V6::new("fd00::3", "fd00::9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Err(SourceAddress),
        ),
        (
            "its link-local address",
            a,
            V6::new("fe80::ff:fe00:1", "fd00::9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Ok("wire"),
        ),
        (
            "another's",
            a,
            V6::new("fe80::ff:fe00:2", "fd00::9", 6, tcp(80, 9, 2)).frame(PEER, WEB),
            Err(SourceAddress),
        ),
        (
            "another host's MAC",
            a,
            with_source(DB, from_web(6, tcp(80, 9, 2))),
            Err(SourceMac),
        ),
        (
            "a VLAN",
            a,
            {
                let mut frame = from_web(6, tcp(80, 9, 2));
                frame[12] = 0x81;
                frame[13] = 0;
                frame
            },
            Err(Ethertype),
        ),
        ("GRE", a, from_web(47, vec![0; 8]), Err(Reason::Protocol)),
        (
            "a source route",
            a,
            routed.frame(PEER, WEB),
            Err(SourceRoute),
        ),
        (
            "its echo",
            b,
            from_web(1, icmp(0, [0, 1, 0, 1], &[])),
            Ok("wire"),
        ),
        (
            "a redirect",
            a,
            from_web(1, icmp(5, [0; 4], &[0; 28])),
            Err(Neighbour),
        ),
        (
            "a timestamp",
            a,
            from_web(1, icmp(13, [0; 4], &[0; 12])),
            Err(Icmp),
        ),
        ("nobody's port is not reachable", a, complain(7), Ok("wire")),
        ("its own is not", a, complain(53), Ok("wire")),
        ("another's is not", b, complain(53), Err(IcmpError)),
        (
            "what it has not got",
            a,
            from_web(
                1,
                icmp(3, [0; 4], &about(17, "10.0.0.8", "10.0.0.2", udp(9, 7, 0))),
            ),
            Err(IcmpError),
        ),
        (
            "what was for another",
            a,
            from_web(
                1,
                icmp(3, [0; 4], &about(17, "10.0.0.9", "10.0.0.3", udp(9, 7, 0))),
            ),
            Err(IcmpError),
        ),
        ("who is it", a, ask(WEB, "10.0.0.2", "10.0.0.9"), Ok("wire")),
        (
            "who is the other here",
            a,
            ask(WEB, "10.0.0.2", "10.0.0.3"),
            Ok("answer"),
        ),
        (
            "is it taken",
            a,
            ask(WEB, "0.0.0.0", "10.0.0.2"),
            Ok("wire"),
        ),
        (
            "I am here",
            a,
            ask(WEB, "10.0.0.2", "10.0.0.2"),
            Ok("wire c"),
        ),
        (
            "it is there",
            a,
            tells(WEB, "10.0.0.4".parse().unwrap()),
            Ok("wire"),
        ),
        (
            "I am another",
            a,
            ask(WEB, "10.0.0.3", "10.0.0.3"),
            Err(FalseArp),
        ),
        (
            "another is here",
            a,
            with_source(WEB, ask(DB, "10.0.0.2", "10.0.0.2")),
            Err(FalseArp),
        ),
        (
            "it is elsewhere",
            a,
            tells(WEB, "10.0.0.9".parse().unwrap()),
            Err(FalseArp),
        ),
        (
            "who is it in IPv6",
            a,
            near(58, neighbour(135, "fd00::9", Some((1, WEB)))),
            Ok("wire c"),
        ),
        (
            "who is the other in IPv6",
            a,
            near(58, neighbour(135, "fd00::3", Some((1, WEB)))),
            Ok("answer"),
        ),
        (
            "to another's MAC",
            a,
            near(58, neighbour(135, "fd00::9", Some((1, DB)))),
            Err(Neighbour),
        ),
        (
            "from afar",
            a,
            {
                let mut frame = near(58, neighbour(135, "fd00::9", None));
                frame[21] = 64;
                frame
            },
            Err(Neighbour),
        ),
        (
            "is it taken in IPv6",
            a,
            unspecified(neighbour(135, "fd00::2", None)),
            Ok("wire c"),
        ),
        (
            "is another taken",
            a,
            unspecified(neighbour(135, "fd00::9", None)),
            Err(SourceAddress),
        ),
        (
            "it is here",
            a,
            near(58, neighbour(136, "fd00::2", Some((2, WEB)))),
            Ok("wire c"),
        ),
        (
            "another is here in IPv6",
            a,
            near(58, neighbour(136, "fd00::3", Some((2, WEB)))),
            Err(Neighbour),
        ),
        (
            "it is at another's",
            a,
            near(58, neighbour(136, "fd00::2", Some((2, DB)))),
            Err(Neighbour),
        ),
        (
            "a router",
            a,
            near(58, icmp(133, [0; 4], &[])),
            Ok("wire c"),
        ),
        (
            "I am one",
            a,
            near(58, icmp(134, [0; 4], &[0; 8])),
            Err(Neighbour),
        ),
        (
            "a redirect in IPv6",
            a,
            near(58, icmp(137, [0; 4], &[0; 32])),
            Err(Neighbour),
        ),
        ("without an address", c, dhcp("0.0.0.0"), Ok("wire ab")),
        (
            "whose port it is not",
            a,
            with_source(WEB, dhcp("0.0.0.0")),
            Err(SourcePort),
        ),
        (
            "other things",
            c,
            V4::new("0.0.0.0", "10.0.0.9", 6, tcp(80, 9, 2)).frame(PEER, DB),
            Err(SourceAddress),
        ),
        (
            "to another host here",
            a,
            V4::new("10.0.0.2", "10.0.0.3", 6, tcp(80, 80, 2)).frame(DB, WEB),
            Ok("c"),
        ),
        (
            "to who shares its host",
            a,
            V4::new("10.0.0.2", "10.0.0.4", 17, udp(53, 53, 2)).frame(WEB, WEB),
            Ok("b"),
        ),
        (
            "to itself",
            a,
            V4::new("10.0.0.2", "10.0.0.2", 6, tcp(80, 80, 2)).frame(WEB, WEB),
            Err(Nobody),
        ),
        (
            "to all",
            a,
            V4::new("10.0.0.2", "10.0.0.255", 17, udp(53, 9, 2)).frame(Mac::BROADCAST, WEB),
            Ok("wire bc"),
        ),
        ("too long", a, from_web(17, udp(53, 9, 1473)), Err(TooLong)),
        (
            "as long as can be",
            a,
            from_web(17, udp(53, 9, 1472)),
            Ok("wire"),
        ),
    ];
    for (what, slot, frame, expected) in rows {
        assert_eq!(
            world.send(slot, &frame),
            expected.map(String::from),
            "{what}"
        );
    }
    // On another NIC the same addresses are not the same.
    let frame = V4::new("10.1.0.2", "10.0.0.3", 1, icmp(0, [0; 4], &[])).frame(DB, WEB);
    assert_eq!(world.send(world.d, &frame), Ok("wire".into()));
    world.table.leave(a);
    assert_eq!(world.send(a, &from_web(6, tcp(80, 9, 2))), Err(Nobody));
}

#[test]
fn work_is_left_only_where_it_belongs() {
    let world = World::new();
    let segment = from_web(6, [tcp(80, 9, 16), vec![0; 4000]].concat());
    let plain = from_web(17, udp(53, 9, 100));
    let cut = Offload {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };
    let sum = |csum_start, csum_offset| Offload {
        flags: NEEDS_CSUM,
        csum_start,
        csum_offset,
        ..Offload::default()
    };
    let rows = [
        ("a large segment", &segment, cut, Ok("wire")),
        (
            "whose header is longer",
            &segment,
            Offload {
                hdr_len: 9999,
                ..cut
            },
            Ok("wire"),
        ),
        (
            "whose pieces are too long",
            &segment,
            Offload {
                gso_size: 1461,
                ..cut
            },
            Err(Reason::TooLong),
        ),
        (
            "that was verified",
            &segment,
            Offload {
                flags: DATA_VALID,
                ..cut
            },
            Err(Reason::Offload),
        ),
        (
            "too long as it is",
            &segment,
            sum(34, 16),
            Err(Reason::TooLong),
        ),
        ("a checksum", &plain, sum(34, 6), Ok("wire")),
        (
            "of the other protocol",
            &plain,
            sum(34, 16),
            Err(Reason::Offload),
        ),
        ("over an address", &plain, sum(14, 12), Err(Reason::Offload)),
        ("over the port", &plain, sum(34, 0), Err(Reason::Offload)),
        ("from elsewhere", &plain, sum(36, 4), Err(Reason::Offload)),
        ("outside", &plain, sum(1000, 6), Err(Reason::Offload)),
        (
            "cut up",
            &plain,
            Offload {
                csum_offset: 6,
                ..cut
            },
            Err(Reason::Offload),
        ),
    ];
    for (what, frame, claim, expected) in rows {
        let result = world.send_with(world.a, frame, claim);
        assert_eq!(result, expected.map(String::from), "{what}");
    }
    let claim = Offload {
        hdr_len: 9999,
        ..cut
    };
    let departure = world
        .table
        .from_application(world.a, &Frame::new(&segment), claim, world.now);
    assert_eq!(departure.unwrap().offload, cut);
    let claim = Offload {
        flags: DATA_VALID,
        ..Offload::default()
    };
    let departure = world
        .table
        .from_application(world.a, &Frame::new(&plain), claim, world.now);
    assert_eq!(departure.unwrap().offload, Offload::default());
    let ask = ask(WEB, "10.0.0.2", "10.0.0.9");
    assert_eq!(
        world.send_with(world.a, &ask, sum(22, 6)),
        Err(Reason::Offload)
    );
    let icmp = from_web(1, icmp(0, [0; 4], &[0; 8]));
    assert_eq!(
        world.send_with(world.a, &icmp, sum(34, 2)),
        Err(Reason::Offload)
    );
}

#[test]
fn fragments_follow_their_first() {
    let mut world = World::new();
    let part = |to: &str, id, at: u16, payload: &[u8]| {
        V4 {
            fragment: (id, at),
            ..V4::new("10.0.0.9", to, 17, payload.to_vec())
        }
        .frame(WEB, PEER)
    };
    let whole = udp(9, 53, 2992);
    let more = 0x2000;
    assert_eq!(
        world.wire(&part("10.0.0.4", 5, 185, &whole[1480..])),
        Ok("ab".into())
    );
    assert_eq!(
        world.wire(&part("10.0.0.4", 5, more, &whole[..1480])),
        Ok("b".into())
    );
    assert_eq!(
        world.wire(&part("10.0.0.4", 5, more | 185, &whole[1480..2960])),
        Ok("b".into())
    );
    assert_eq!(
        world.wire(&part("10.0.0.4", 6, 185, &whole[1480..])),
        Ok("ab".into())
    );
    assert_eq!(
        world.wire(&part("10.0.0.2", 5, 185, &whole[1480..])),
        Ok("ab".into())
    );
    world.now += Duration::from_secs(31);
    assert_eq!(
        world.wire(&part("10.0.0.4", 5, 370, &whole[2960..])),
        Ok("ab".into())
    );
    // However many there are, the latest are known.
    for id in 0..1000 {
        world
            .wire(&part("10.0.0.4", id, more, &whole[..1480]))
            .unwrap();
        assert_eq!(
            world.wire(&part("10.0.0.4", id, 185, &whole[1480..])),
            Ok("b".into())
        );
    }
}

#[test]
fn fragments_are_sent_in_order_without_overlap() {
    let world = World::new();
    let part = |id, at: u16, payload: &[u8]| {
        V4 {
            fragment: (id, at),
            ..V4::new("10.0.0.2", "10.0.0.9", 17, payload.to_vec())
        }
        .frame(PEER, WEB)
    };
    let whole = udp(53, 9, 2992);
    let more = 0x2000;
    let fails = Err(Reason::Fragment);
    let passes = || Ok(String::from("wire"));
    assert_eq!(
        world.send(world.a, &part(1, 185, &whole[1480..2960])),
        fails
    );
    assert_eq!(world.send(world.a, &part(1, more, &whole[..8])), passes());
    // Over what was sent; then the packet is no more.
    assert_eq!(
        world.send(world.a, &part(1, more, &whole[..1480])),
        passes()
    );
    assert_eq!(
        world.send(world.a, &part(1, more | 184, &whole[1472..2952])),
        fails
    );
    assert_eq!(world.send(world.a, &part(1, 185, &whole[1480..])), fails);
    // As it should be.
    assert_eq!(
        world.send(world.a, &part(2, more, &whole[..1480])),
        passes()
    );
    assert_eq!(
        world.send(world.a, &part(2, more | 185, &whole[1480..2960])),
        passes()
    );
    assert_eq!(world.send(world.a, &part(2, 370, &whole[2960..])), passes());
    assert_eq!(world.send(world.a, &part(2, 370, &whole[2960..])), fails);
    // Not a multiple of 8; too short for ports; another's port; what another has begun.
    assert_eq!(world.send(world.a, &part(3, more, &whole[..1479])), fails);
    assert_eq!(
        world.send(world.a, &part(3, more, &whole[..4])),
        Err(Reason::Tiny)
    );
    let others = udp(81, 9, 2992);
    assert_eq!(
        world.send(world.a, &part(3, more, &others[..1480])),
        Err(Reason::SourcePort)
    );
    let mine = *world.table.leases_of(world.b)[0].start();
    assert_eq!(
        world.send(world.a, &part(4, more, &whole[..1480])),
        passes()
    );
    assert_eq!(
        world.send(world.b, &part(4, more, &udp(mine, 9, 1472))),
        fails
    );
    assert_eq!(
        world.send(world.b, &part(5, more, &udp(mine, 9, 1472))),
        passes()
    );
    assert_eq!(world.send(world.b, &part(4, 185, &whole[1480..])), fails);
    // It would be longer than a packet can be.
    assert_eq!(
        world.send(world.b, &part(6, more, &udp(mine, 9, 1472))),
        passes()
    );
    for at in 1..44 {
        assert_eq!(
            world.send(world.b, &part(6, more | (at * 185), &[0; 1480])),
            passes()
        );
    }
    assert_eq!(world.send(world.b, &part(6, 44 * 185, &[0; 1000])), fails);
}

#[test]
fn ports_are_given_once() {
    use Protocol::{Tcp, Udp};
    let mut world = World::new();
    let (a, b) = (world.a, world.b);
    let rows = [
        ("again", a, claim(Tcp, "0.0.0.0", 80), Ok(())),
        (
            "of all, as another",
            b,
            claim(Tcp, "0.0.0.0", 80),
            Err(Refusal::InUse),
        ),
        (
            "of one, where another has all",
            b,
            claim(Tcp, "10.0.0.4", 80),
            Err(Refusal::InUse),
        ),
        (
            "of all, where another has one",
            a,
            claim(Tcp, "0.0.0.0", 81),
            Err(Refusal::InUse),
        ),
        ("of another one", a, claim(Tcp, "10.0.0.4", 81), Ok(())),
        ("another protocol", b, claim(Udp, "0.0.0.0", 80), Ok(())),
        ("another family", a, claim(Tcp, "::", 81), Ok(())),
        (
            "its own, of all and one",
            a,
            claim(Tcp, "10.0.0.2", 80),
            Ok(()),
        ),
        (
            "not its host's",
            a,
            claim(Tcp, "10.0.0.3", 82),
            Err(Refusal::NotHere),
        ),
        ("none", a, claim(Tcp, "0.0.0.0", 0), Err(Refusal::NotHere)),
        (
            "another's lease",
            b,
            claim(Udp, "0.0.0.0", 32768),
            Err(Refusal::InUse),
        ),
        ("its own lease", a, claim(Udp, "0.0.0.0", 32768), Ok(())),
    ];
    for (what, slot, claim, expected) in rows {
        assert_eq!(world.table.claim(slot, claim), expected, "{what}");
    }
    assert!(
        !world.table.release(b, claim(Tcp, "0.0.0.0", 80)),
        "not its own"
    );
    assert!(world.table.release(a, claim(Tcp, "0.0.0.0", 80)));
    assert_eq!(world.table.claim(b, claim(Tcp, "10.0.0.4", 80)), Ok(()));
    assert_eq!(
        world.table.claim(b, claim(Tcp, "10.0.0.2", 80)),
        Err(Refusal::InUse)
    );
    world.table.leave(a);
    assert_eq!(world.table.claim(b, claim(Tcp, "10.0.0.2", 80)), Ok(()));
    assert_eq!(
        world.table.claim(a, claim(Tcp, "10.0.0.2", 1)),
        Err(Refusal::NoHost)
    );
}

#[test]
fn claims_are_bounded() {
    let mut world = World::new();
    let mut granted = 0;
    for port in 1024..32768 {
        granted += usize::from(
            world
                .table
                .claim(world.d, claim(Protocol::Udp, "::", port))
                .is_ok(),
        );
    }
    assert_eq!(granted, 4096);
    assert!(
        world
            .table
            .release(world.d, claim(Protocol::Udp, "::", 1024))
    );
    assert_eq!(
        world.table.claim(world.d, claim(Protocol::Udp, "::", 9000)),
        Ok(())
    );
}

#[test]
fn users_have_what_they_may() {
    let now = Instant::now();
    let mut web = host("web", NIC, WEB, &["10.0.0.2"]);
    web.users = Some(vec![100, 101]);
    web.rights = vec![
        Right {
            protocol: Some(Protocol::Tcp),
            ports: 80..=81,
            users: vec![100],
        },
        Right {
            protocol: None,
            ports: 8000..=8000,
            users: vec![101],
        },
    ];
    web.most = 3;
    let db = host("db", NIC, DB, &["10.0.0.3"]);
    let mut table = Table::new(vec![web, db]);
    assert_eq!(table.find("web", 100), Ok(HostId(0)));
    assert_eq!(table.find("web", 0), Err(Refusal::NotAllowed));
    assert_eq!(table.find("", 0), Ok(HostId(1)));
    assert_eq!(table.find("", 100), Err(Refusal::NoHost));
    assert_eq!(table.find("www", 100), Err(Refusal::NoHost));
    let mut join = |user, ticket| {
        let candidate = Candidate {
            label: String::new(),
            user,
            ticket,
            had: None,
            end: (),
        };
        table.join(HostId(0), candidate, now, GRACE)
    };
    let (first, second) = (join(100, 1).unwrap(), join(101, 2).unwrap());
    assert!(join(100, 3).is_ok());
    assert_eq!(join(100, 4), Err(Refusal::NoMore));
    let rows = [
        (first, Protocol::Tcp, 80, true),
        (second, Protocol::Tcp, 81, false),
        (first, Protocol::Udp, 80, false),
        (first, Protocol::Tcp, 8000, false),
        (second, Protocol::Udp, 8000, true),
        (second, Protocol::Udp, 8001, true),
        (second, Protocol::Udp, 1023, false),
    ];
    for (slot, protocol, port, granted) in rows {
        let result = table.claim(slot, claim(protocol, "0.0.0.0", port));
        let expected = if granted {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        };
        assert_eq!(result, expected, "{protocol:?} {port}");
    }
}

#[test]
fn leases_do_not_meet() {
    let mut world = World::new();
    let mut all = BTreeSet::new();
    for slot in [world.a, world.b] {
        for ports in world.table.leases_of(slot) {
            all.extend(ports);
        }
    }
    assert_eq!(all.len(), 1024);
    // Somebody has bound a port that was nobody's: its block is not lent to others.
    let bound = claim(Protocol::Tcp, "0.0.0.0", 40000);
    world.table.claim(world.b, bound).unwrap();
    while let Ok(ports) = world.table.lease(world.a) {
        assert!(!ports.contains(&40000));
        for port in ports {
            assert!(all.insert(port), "{port} twice");
        }
    }
    assert_eq!(all.len(), 32768 - 512);
    assert!(world.table.lease(world.b).unwrap().contains(&40000));
    world.table.leave(world.a);
    assert!(world.table.lease(world.b).is_ok());
}

#[test]
fn who_comes_back_has_what_it_had() {
    let mut world = World::new();
    let (now, claims, leases) = (
        world.now,
        world.table.claims_of(world.a),
        world.table.leases_of(world.a),
    );
    let mut table = Table::<()>::new(vec![host(
        "web",
        NIC,
        WEB,
        &["10.0.0.2", "10.0.0.4", "fd00::2"],
    )]);
    let until = now + GRACE;
    let a = table.expect(HostId(0), ("a".into(), 0, 1), until);
    table
        .restore(a, claims.clone(), leases.clone(), Some(until))
        .unwrap();
    let candidate = |ticket, user| Candidate {
        label: "new".into(),
        user,
        ticket,
        had: None,
        end: (),
    };
    // Another does not get what is kept, whatever ticket it shows as whoever.
    let other = table.join(HostId(0), candidate(7, 0), now, GRACE).unwrap();
    let thief = table.join(HostId(0), candidate(1, 5), now, GRACE).unwrap();
    assert!(![a, other].contains(&thief));
    assert_eq!(table.claim(other, claims[0]), Err(Refusal::InUse));
    assert!(!table.leases_of(other).contains(&leases[0]));
    // It is back, says some of its claims, and loses the others in time.
    let back = table.join(HostId(0), candidate(1, 0), now, GRACE).unwrap();
    assert_eq!(back, a);
    assert_eq!(table.leases_of(a), leases);
    table.claim(a, claims[0]).unwrap();
    assert!(table.expire(now + GRACE / 2).is_empty());
    assert_eq!(table.claims_of(a), claims);
    assert!(table.expire(now + GRACE * 2).is_empty());
    assert_eq!(table.claims_of(a), claims[..1]);
    // Who does not come is not waited for.
    let late = table.expect(HostId(0), ("late".into(), 0, 9), until);
    table
        .restore(late, [claim(Protocol::Udp, "::", 9)], [], Some(until))
        .unwrap();
    assert_eq!(
        table.claim(other, claim(Protocol::Udp, "::", 9)),
        Err(Refusal::InUse)
    );
    assert_eq!(table.expire(until), [late]);
    assert_eq!(table.claim(other, claim(Protocol::Udp, "::", 9)), Ok(()));
    // What does not fit is refused.
    assert!(table.restore(other, [claims[0]], [], None).is_err());
    assert!(table.restore(other, [], [leases[0].clone()], None).is_err());
    assert!(table.restore(other, [], [5..=7], None).is_err());
    world.table.leave(world.d);
}

/// A server that comes after one that has left nothing behind.
#[test]
fn nobody_refuses_what_may_be_for_who_comes_back() {
    let World { table, now, .. } = &mut World::new();
    let settled = *now + GRACE;
    table.settles_at(settled);
    let to = |table: &Table<()>, port, now| {
        let frame = V4::new("10.0.0.9", "10.0.0.2", 6, tcp(9, port, 2)).frame(WEB, PEER);
        table.from_wire(NIC, &Frame::new(&frame), now).map(drop)
    };
    assert_eq!(to(table, 80, *now), Ok(()));
    assert_eq!(to(table, 8080, *now), Err(Reason::Nobody));
    assert_eq!(to(table, 8080, settled), Ok(()));
    // Who has had ports gets them again, but not from somebody who has them.
    let mut join = |ticket, had: Option<std::ops::RangeInclusive<u16>>, now| {
        let candidate = Candidate {
            label: "back".into(),
            user: 0,
            ticket,
            had,
            end: (),
        };
        let slot = table.join(HostId(0), candidate, now, GRACE).unwrap();
        table.leases_of(slot)
    };
    assert_eq!(join(11, Some(40_960..=41_471), *now), [40_960..=41_471]);
    let other = join(12, Some(40_960..=41_471), *now);
    assert_eq!(other.len(), 1);
    assert_ne!(other[0], 40_960..=41_471);
    // Odd ones are those of nobody.
    assert_eq!(join(13, Some(40_961..=41_471), *now).len(), 1);
    // Who is new has what others are the least likely to have had.
    assert_eq!(join(14, None, *now), [65_024..=65_535]);
    assert_eq!(join(15, None, settled), [33_792 + 1024..=34_303 + 1024]);
    // Where one comes back, others are given time to.
    let late = settled - Duration::from_secs(1);
    assert_eq!(join(16, Some(50_176..=50_687), late), [50_176..=50_687]);
    assert_eq!(to(table, 8080, settled), Err(Reason::Nobody));
    assert_eq!(to(table, 8080, late + GRACE), Ok(()));
}

#[test]
fn who_is_away_is_not_spoken_for() {
    let mut world = World::new();
    assert_eq!(
        world.table.moved(world.a, true, world.now),
        Err(Refusal::Away)
    );
    world.table.moved(world.c, true, world.now).unwrap();
    let to_db = V4::new("10.0.0.9", "10.0.0.3", 6, tcp(9, 80, 2)).frame(DB, PEER);
    // What was under way.
    assert_eq!(world.wire(&to_db), Ok("c".into()));
    world.now += Duration::from_millis(101);
    assert_eq!(world.wire(&to_db), Err(Reason::Away));
    assert_eq!(
        world.wire(&ask(PEER, "10.0.0.9", "10.0.0.3")),
        Err(Reason::Nobody)
    );
    assert_eq!(
        world.send(world.a, &ask(WEB, "10.0.0.2", "10.0.0.3")),
        Ok("wire".into())
    );
    let to_db = V4::new("10.0.0.2", "10.0.0.3", 6, tcp(80, 80, 2)).frame(DB, WEB);
    assert_eq!(world.send(world.a, &to_db), Ok("wire".into()));
    let own = V4::new("10.0.0.3", "10.0.0.9", 6, tcp(80, 9, 2)).frame(PEER, DB);
    assert_eq!(world.send(world.c, &own), Err(Reason::Away));
    let candidate = Candidate {
        label: "e".into(),
        user: 0,
        ticket: 5,
        had: None,
        end: (),
    };
    let joined = world.table.join(HostId(1), candidate, world.now, GRACE);
    assert_eq!(joined, Err(Refusal::Away));
    // Its port stays its own.
    assert_eq!(world.table.claims_of(world.c).len(), 3);
    world.table.moved(world.c, false, world.now).unwrap();
    assert_eq!(world.send(world.c, &own), Ok("wire".into()));
    // Who goes for good leaves nothing behind.
    world.table.moved(world.c, true, world.now).unwrap();
    world.table.leave(world.c);
    let candidate = Candidate {
        label: "e".into(),
        user: 0,
        ticket: 5,
        had: None,
        end: (),
    };
    assert!(
        world
            .table
            .join(HostId(1), candidate, world.now, GRACE)
            .is_ok()
    );
}

#[test]
fn the_answer_is_of_the_host_that_was_asked_for() {
    let world = World::new();
    let frame = ask(PEER, "10.0.0.9", "10.0.0.3");
    let arrival = world.table.from_wire(NIC, &Frame::new(&frame), world.now);
    let Ok(Arrival::Answer(answer)) = arrival else {
        panic!("{arrival:?}");
    };
    let parsed = parse(&Frame::new(&answer)).unwrap();
    assert_eq!((parsed.source, parsed.destination), (DB, PEER));
    let Payload::Arp(arp) = parsed.payload else {
        panic!()
    };
    assert_eq!((arp.sender_mac, arp.target_mac), (DB, PEER));
    assert_eq!(
        IpAddr::from(arp.sender),
        "10.0.0.3".parse::<IpAddr>().unwrap()
    );
}

#[test]
fn every_drop_is_counted_by_its_reason() {
    let counters = Counters::default();
    for (count, reason) in Reason::ALL.iter().enumerate() {
        counters.dropped(*reason, count as u64);
    }
    let drops: Vec<_> = counters.drops().collect();
    assert_eq!(drops.len(), Reason::ALL.len() - 1);
    for (reason, count) in &drops {
        assert_eq!(Reason::ALL[*count as usize], *reason);
    }
    let again = Counters::default();
    let named: Vec<_> = drops
        .iter()
        .map(|(reason, count)| (reason.name().to_string(), *count))
        .collect();
    again.restore((1, 2), (3, 4), &named);
    assert_eq!(again.drops().collect::<Vec<_>>(), drops);
    assert_eq!((again.taken.get(), again.brought.get()), ((1, 2), (3, 4)));
}

/// What is under way goes on in the table of the next worker, where applications have other
/// numbers.
#[test]
fn another_table_goes_on_with_what_is_under_way() {
    let part = |from: &str, to: &str, macs: (Mac, Mac), id, at: u16, payload: &[u8]| {
        V4 {
            fragment: (id, at),
            ..V4::new(from, to, 17, payload.to_vec())
        }
        .frame(macs.0, macs.1)
    };
    let more = 0x2000;
    let sent = |id, at, payload: &[u8]| part("10.0.0.2", "10.0.0.9", (PEER, WEB), id, at, payload);
    let came = |id, at, payload: &[u8]| part("10.0.0.9", "10.0.0.4", (WEB, PEER), id, at, payload);
    let (out, back) = (udp(53, 9, 1500), udp(9, 53, 1500));
    let before = World::new();
    let began = before.send(before.a, &sent(1, more, &out[..1480]));
    assert_eq!(began, Ok("wire".into()));
    assert_eq!(before.wire(&came(5, more, &back[..1480])), Ok("b".into()));
    let asked = before.send(before.b, &from_web(1, icmp(8, [0, 7, 0, 1], &[])));
    assert_eq!(asked, Ok("wire".into()));

    let mut after = World::new();
    // Those of before come in another order.
    let (first, second) = (after.a, after.b);
    let tickets = [(1, second), (2, first)];
    let slot = |ticket| {
        let known = tickets.iter().find(|known| known.0 == ticket);
        known.map(|known| known.1)
    };
    let text = serde_json::to_vec(
        &before
            .table
            .under_way(before.table.host(HostId(0)), before.now),
    );
    let under_way: UnderWay = serde_json::from_slice(&text.unwrap()).unwrap();
    after.table.resume_host(under_way, slot, after.now);
    let parts = before.table.parts_sent(before.a, before.now);
    assert_eq!(parts.len(), 1);
    after.table.resume_parts(second, parts, after.now);

    let echo = to_web(1, icmp(0, [0, 7, 0, 1], &[]));
    assert_eq!(after.wire(&echo), Ok("a".into()));
    assert_eq!(after.wire(&came(5, 185, &back[1480..])), Ok("a".into()));
    // The rest of what was begun, once, and nothing of what was not.
    let rest = sent(1, 185, &out[1480..]);
    assert_eq!(after.send(first, &rest), Err(Reason::Fragment));
    assert_eq!(after.send(second, &rest), Ok("wire".into()));
    assert_eq!(after.send(second, &rest), Err(Reason::Fragment));
    // It is as old as it was.
    after.now += Duration::from_secs(31);
    assert_eq!(after.wire(&came(5, 185, &back[1480..])), Ok("ab".into()));
}
