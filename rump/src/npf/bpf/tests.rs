//! Rules are compiled, and the programs run over packets.

use super::machine::{Packet, matches};
use super::{TooLong, abi, compile};
use crate::npf::{Family, Host, IpNet, Protocol, Rule, TcpFlags};
use std::net::IpAddr;

const A: &str = "10.1.2.3";
const B: &str = "10.9.8.7";
const A6: &str = "fd00:1:2:3::4";
const B6: &str = "2001:db8::ffff:5";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A segment or datagram between ports, long enough for a header of TCP.
fn ports(from: u16, to: u16, flags: TcpFlags) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.resize(20, 0);
    bytes[13] = flags.bits();
    bytes
}

fn tcp(from: &str, to: &str, from_port: u16, to_port: u16) -> Packet {
    Packet::new(
        ip(from),
        ip(to),
        6,
        &ports(from_port, to_port, TcpFlags::SYN),
    )
}

fn udp(from: &str, to: &str, from_port: u16, to_port: u16) -> Packet {
    Packet::new(
        ip(from),
        ip(to),
        17,
        &ports(from_port, to_port, TcpFlags::SYN),
    )
}

fn segment(flags: TcpFlags) -> Packet {
    Packet::new(ip(A), ip(B), 6, &ports(1, 2, flags))
}

/// Whether a rule matches a packet, where table 7 has the source and no other has anything.
fn hits(rule: &Rule, packet: &Packet) -> bool {
    rule.check().unwrap();
    let code = compile(rule.matcher(), |name| name.parse().unwrap()).unwrap();
    matches(code.as_deref(), packet, &|table, source| {
        table == 7 && source
    })
}

#[test]
fn a_rule_about_nothing_has_no_program() {
    assert_eq!(compile(Rule::pass().matcher(), |_| 0), Ok(None));
    assert_eq!(compile(Rule::block().inbound().matcher(), |_| 0), Ok(None));
    // Of all packets, not only those of TCP.
    let stateful = Rule::pass().protocol(Protocol::Udp).stateful();
    let udp_alone = Rule::pass().protocol(Protocol::Udp);
    assert_eq!(
        compile(stateful.matcher(), |_| 0),
        compile(udp_alone.matcher(), |_| 0)
    );
}

#[test]
fn families_and_protocols() {
    let four = Rule::pass().family(Family::Inet);
    let six = Rule::pass().family(Family::Inet6);
    assert!(hits(&four, &tcp(A, B, 1, 2)) && !hits(&four, &tcp(A6, B6, 1, 2)));
    assert!(!hits(&six, &tcp(A, B, 1, 2)) && hits(&six, &tcp(A6, B6, 1, 2)));
    let both = Rule::pass()
        .protocol(Protocol::Udp)
        .protocol(Protocol::Number(47));
    assert!(hits(&both, &udp(A, B, 1, 2)));
    assert!(hits(&both, &Packet::new(ip(A6), ip(B6), 47, &[])));
    assert!(!hits(&both, &tcp(A, B, 1, 2)));
}

#[test]
fn addresses() {
    for (text, is_source) in [
        ("10.1.2.3/32", true),
        ("10.1.2.2/31", true),
        ("10.1.2.0/24", true),
        ("10.1.99.0/16", false),
        ("10.0.0.0/8", true),
        ("0.0.0.0/0", true),
        ("10.1.2.4/32", false),
        ("10.1.2.4/31", false),
        ("11.0.0.0/8", false),
        ("::/0", false),
    ] {
        // What is behind the prefix does not count.
        let expected = is_source || text == "10.1.99.0/16";
        assert_eq!(
            hits(&Rule::pass().from(net(text)), &tcp(A, B, 1, 2)),
            expected,
            "{text}"
        );
        assert_eq!(
            hits(&Rule::pass().to(net(text)), &tcp(B, A, 1, 2)),
            expected,
            "{text}"
        );
    }
    for (text, expected) in [
        ("fd00:1:2:3::4/128", true),
        ("fd00:1:2:3::5/128", false),
        ("fd00:1:2:3::5/127", true),
        ("fd00:1:2:3::5/127", true),
        ("fd00:1:2:3::/64", true),
        ("fd00:1:2:2::/63", true),
        ("fd00:1:2:2::/64", false),
        ("fd00:1:3::/48", false),
        ("fd00::/16", true),
        ("fd00::/8", true),
        ("fe00::/8", false),
        ("::/0", true),
        ("0.0.0.0/0", false),
    ] {
        assert_eq!(
            hits(&Rule::pass().from(net(text)), &tcp(A6, B6, 1, 2)),
            expected,
            "{text}"
        );
        assert_eq!(
            hits(&Rule::pass().to(net(text)), &tcp(B6, A6, 1, 2)),
            expected,
            "{text}"
        );
    }
    // Any of several, and both ends.
    let rule = Rule::pass()
        .from(ip("10.0.0.1"))
        .from(net("fd00::/16"))
        .from(ip(A))
        .to(net("2001:db8::/32"))
        .to(net("10.9.0.0/16"));
    assert!(hits(&rule, &tcp(A, B, 1, 2)) && hits(&rule, &tcp(A6, B6, 1, 2)));
    assert!(!hits(&rule, &tcp(B, A, 1, 2)) && !hits(&rule, &tcp(B6, A6, 1, 2)));
}

#[test]
fn tables_are_asked_of_the_right_address() {
    let packet = tcp(A, B, 1, 2);
    assert!(hits(&Rule::pass().from(Host::table("7")), &packet));
    assert!(!hits(&Rule::pass().from(Host::table("6")), &packet));
    assert!(!hits(&Rule::pass().to(Host::table("7")), &packet));
    assert!(hits(&Rule::pass().to(Host::table("7")).to(ip(B)), &packet));
}

#[test]
fn port_numbers() {
    let rule = Rule::pass().to_port(22).to_port(8000..=8100);
    for (port, expected) in [
        (22, true),
        (21, false),
        (23, false),
        (7999, false),
        (8000, true),
        (8050, true),
        (8100, true),
        (8101, false),
    ] {
        for packet in [tcp(A, B, 22, port), udp(A6, B6, 22, port)] {
            assert_eq!(hits(&rule, &packet), expected, "{port}");
        }
    }
    let only_tcp = Rule::pass()
        .protocol(Protocol::Tcp)
        .from_port(53)
        .to_port(0..=u16::MAX);
    assert!(hits(&only_tcp, &tcp(A, B, 53, 1)));
    assert!(!hits(&only_tcp, &tcp(A, B, 1, 53)));
    assert!(!hits(&only_tcp, &udp(A, B, 53, 1)));
    // No ports in another protocol, and none in a packet that is cut off.
    assert!(!hits(
        &rule,
        &Packet::new(ip(A), ip(B), 132, &ports(1, 22, TcpFlags::SYN))
    ));
    assert!(!hits(&rule, &Packet::new(ip(A), ip(B), 6, &[0, 0, 0])));
}

#[test]
fn flags_and_state() {
    let reset = Rule::pass().flags(TcpFlags::RST, TcpFlags::RST);
    assert!(hits(&reset, &segment(TcpFlags::RST | TcpFlags::ACK)));
    assert!(!hits(&reset, &segment(TcpFlags::ACK)));
    assert!(!hits(&reset, &udp(A, B, 1, 2)));
    for (rule, other) in [
        (Rule::pass().stateful(), true),
        (Rule::pass().protocol(Protocol::Tcp).stateful(), false),
        (Rule::pass().to_port(2).stateful(), true),
    ] {
        assert!(hits(&rule, &segment(TcpFlags::SYN | TcpFlags::ECE)));
        assert!(!hits(&rule, &segment(TcpFlags::SYN | TcpFlags::ACK)));
        assert!(!hits(&rule, &segment(TcpFlags::ACK)));
        assert_eq!(hits(&rule, &udp(A, B, 1, 2)), other, "{rule}");
    }
    let any = Rule::pass().stateful().flags(TcpFlags::ACK, TcpFlags::ACK);
    assert!(hits(&any, &segment(TcpFlags::SYN | TcpFlags::ACK)));
}

#[test]
fn icmp() {
    let echo = Rule::pass().protocol(Protocol::Icmp).icmp_type(8);
    let port = Rule::pass()
        .protocol(Protocol::Icmp)
        .icmp_type(3)
        .icmp_code(3);
    let message = |kind, code| Packet::new(ip(A), ip(B), 1, &[kind, code, 0, 0]);
    assert!(hits(&echo, &message(8, 0)) && !hits(&echo, &message(0, 8)));
    assert!(hits(&port, &message(3, 3)) && !hits(&port, &message(3, 1)));
    let solicitation = Rule::pass().protocol(Protocol::Icmp6).icmp_type(135);
    assert!(hits(
        &solicitation,
        &Packet::new(ip(A6), ip(B6), 58, &[135, 0, 0, 0])
    ));
    assert!(!hits(
        &solicitation,
        &Packet::new(ip(A), ip(B), 1, &[135, 0, 0, 0])
    ));
}

#[test]
fn a_program_has_its_limits() {
    let many = |count: u32| {
        let rule = (0..count).fold(Rule::pass(), |rule, i| {
            rule.from(std::net::Ipv4Addr::from(i))
        });
        compile(rule.matcher(), |_| 0)
    };
    // Four instructions an address, and a jump from the first of them to behind the last.
    assert!(many(64).is_ok());
    assert_eq!(many(65).map(drop), Err(TooLong));
    let both = (0..63).fold(Rule::pass(), |rule, i| {
        let address = std::net::Ipv4Addr::from(i);
        rule.from(address).to(address)
    });
    let code = compile(both.matcher(), |_| 0).unwrap().unwrap();
    assert!(code.len() / 8 <= abi::BPF_MAXINSNS);
    let more = (0..32).fold(both, |rule, port| rule.to_port(port));
    assert_eq!(compile(more.matcher(), |_| 0).map(drop), Err(TooLong));
    let (first, last) = (
        tcp("0.0.0.0", "0.0.0.62", 1, 2),
        tcp("0.0.0.62", "0.0.0.0", 1, 2),
    );
    for (packet, expected) in [
        (first, true),
        (last, true),
        (tcp(A, "0.0.0.1", 1, 2), false),
    ] {
        assert_eq!(matches(Some(&code), &packet, &|_, _| false), expected);
    }
}
