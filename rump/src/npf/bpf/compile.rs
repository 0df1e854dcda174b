//! What a rule says of packets, as clauses of a program.

use super::{Alternative, Program, Step, TooLong, abi};
use crate::npf::rule::{Family, Host, Matcher, Ports, Protocol, TcpFlags};
use ipnet::IpNet;

const MEMORY: u16 = abi::BPF_LD | abi::BPF_MEM;
const WORD: u16 = abi::BPF_LD | abi::BPF_W | abi::BPF_ABS;
const AND: u16 = abi::BPF_ALU | abi::BPF_AND | abi::BPF_K;
/// The offset of the payload of IP, for loads relative to it.
const PAYLOAD: Step = Step::Do(abi::BPF_LDX | abi::BPF_MEM, abi::BPF_MW_L4OFF);
const PAYLOAD_BYTE: u16 = abi::BPF_LD | abi::BPF_B | abi::BPF_IND;
const PAYLOAD_HALF: u16 = abi::BPF_LD | abi::BPF_H | abi::BPF_IND;

/// Says in the argument of a look-up that it is for the source.
const TABLE_SOURCE: u32 = 1 << 31;

/// RFC 9293, 3.1: the byte of a TCP header that has the flags.
const TCP_FLAGS: u32 = 13;

/// Which of the two addresses or ports of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

/// Makes the program for what a rule matches; `table` gives the number of a table. `None`
/// is a rule for every packet.
pub(in crate::npf) fn compile(
    matcher: &Matcher,
    table: impl Fn(&str) -> u32,
) -> Result<Option<Vec<u8>>, TooLong> {
    let mut program = Program::default();
    if let Some(family) = matcher.family {
        program.clause(&[vec![version(), family_is(family)]])?;
    }
    let protocols: Vec<Alternative> = matcher
        .protocols()
        .into_iter()
        .map(|it| vec![protocol(), protocol_is(it, true)])
        .collect();
    if !protocols.is_empty() {
        program.clause(&protocols)?;
    }
    for (end, hosts) in [(End::From, &matcher.from), (End::To, &matcher.to)] {
        if !hosts.is_empty() {
            let alternatives: Vec<_> = hosts.iter().map(|it| host(it, end, &table)).collect();
            program.clause(&alternatives)?;
        }
    }
    for (end, ports) in [
        (End::From, &matcher.from_ports),
        (End::To, &matcher.to_ports),
    ] {
        if !ports.is_empty() {
            let alternatives: Vec<_> = ports.iter().map(|it| port(*it, end)).collect();
            program.clause(&alternatives)?;
        }
    }
    if let Some(wanted) = matcher.flags {
        program.clause(&[flags(wanted)])?;
    } else if matcher.stateful && (protocols.is_empty() || matcher.is_for(Protocol::Tcp)) {
        // The state of a connection of TCP begins with its first segment.
        let other = vec![protocol(), protocol_is(Protocol::Tcp, false)];
        program.clause(&[other, flags(TcpFlags::FIRST)])?;
    }
    for (offset, number) in [(0, matcher.icmp_type), (1, matcher.icmp_code)] {
        if let Some(number) = number {
            program.clause(&[vec![
                PAYLOAD,
                Step::Do(PAYLOAD_BYTE, offset),
                Step::If(abi::BPF_JEQ, number.into(), true),
            ]])?;
        }
    }
    program.finish()
}

fn version() -> Step {
    Step::Do(MEMORY, abi::BPF_MW_IPVER)
}

fn family_is(family: Family) -> Step {
    let version = match family {
        Family::Inet => 4,
        Family::Inet6 => 6,
    };
    Step::If(abi::BPF_JEQ, version, true)
}

fn protocol() -> Step {
    Step::Do(MEMORY, abi::BPF_MW_L4PROTO)
}

fn protocol_is(protocol: Protocol, wanted: bool) -> Step {
    Step::If(abi::BPF_JEQ, protocol.number().into(), wanted)
}

fn host(host: &Host, end: End, table: impl Fn(&str) -> u32) -> Alternative {
    match host {
        Host::Net(net) => address(net, end),
        Host::Table(name) => {
            let source = if end == End::From { TABLE_SOURCE } else { 0 };
            vec![
                Step::Do(abi::BPF_LD | abi::BPF_IMM, table(name) | source),
                Step::Do(abi::BPF_MISC | abi::BPF_COP, abi::NPF_COP_TABLE),
                Step::If(abi::BPF_JEQ, 0, false),
            ]
        }
    }
}

/// RFC 791, 3.1, and RFC 8200, 3, say where the addresses are.
fn address(net: &IpNet, end: End) -> Alternative {
    let (family, bytes, offset) = match net {
        IpNet::V4(net) => {
            let bytes = net.network().octets().to_vec();
            (Family::Inet, bytes, if end == End::From { 12 } else { 16 })
        }
        IpNet::V6(net) => {
            let bytes = net.network().octets().to_vec();
            (Family::Inet6, bytes, if end == End::From { 8 } else { 24 })
        }
    };
    let mut steps = vec![version(), family_is(family)];
    let mut left = u32::from(net.prefix_len());
    for (word, offset) in bytes.chunks_exact(4).zip((offset..).step_by(4)) {
        if left == 0 {
            break;
        }
        let mask = u32::MAX << (32 - left.min(32));
        steps.push(Step::Do(WORD, offset));
        if mask != u32::MAX {
            steps.push(Step::Do(AND, mask));
        }
        let word = word
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
        steps.push(Step::If(abi::BPF_JEQ, word, true));
        left = left.saturating_sub(32);
    }
    steps
}

/// The ports are the first of a TCP header and of a UDP header.
fn port(ports: Ports, end: End) -> Alternative {
    let offset = if end == End::From { 0 } else { 2 };
    let mut steps = vec![PAYLOAD, Step::Do(PAYLOAD_HALF, offset)];
    let (first, last) = (u32::from(ports.first), u32::from(ports.last));
    if first == last {
        steps.push(Step::If(abi::BPF_JEQ, first, true));
    } else {
        steps.push(Step::If(abi::BPF_JGE, first, true));
        steps.push(Step::If(abi::BPF_JGT, last, false));
    }
    steps
}

fn flags(wanted: (TcpFlags, TcpFlags)) -> Alternative {
    let (set, of) = wanted;
    vec![
        PAYLOAD,
        Step::Do(PAYLOAD_BYTE, TCP_FLAGS),
        Step::Do(AND, of.bits().into()),
        Step::If(abi::BPF_JEQ, set.bits().into(), true),
    ]
}
