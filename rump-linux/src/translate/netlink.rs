//! rtnetlink(7): what a request is answered, of the kernel's interfaces and their addresses.
//!
//! Links and addresses can be asked for, one link by its number or name. Nothing can be
//! changed, and routes and neighbours are not told (`EOPNOTSUPP`). Whatever the program wrote
//! is bytes: no length leads out of them.

use crate::errno::Errno;
use crate::interfaces::{Address, Interface, family};
use crate::raw::errno::{EOPNOTSUPP, EPERM};
use crate::raw::if_arp::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use crate::raw::netlink::*;
use alloc::vec::Vec;
use core::net::IpAddr;

const HEADER: usize = size_of::<nlmsghdr>();
const LINK: usize = size_of::<ifinfomsg>();
const ATTRIBUTE: usize = 4;
/// What everything is aligned to.
const ALIGN: usize = 4;
/// Bytes of one datagram, at most: what programs have room for at the least.
const MOST: usize = 3500;
/// `IF_OPER_UNKNOWN`, as of the loopback interface, `IF_OPER_DOWN` and `IF_OPER_UP` of
/// `<linux/if.h>`.
const UNKNOWN: u8 = 0;
const DOWN: u8 = 2;
const UP: u8 = 6;
/// `IFF_RUNNING` and `IFF_LOWER_UP`.
const RUNNING: u32 = 0x40;
const LOWER_UP: u32 = 0x1_0000;

/// A request's header.
#[derive(Clone, Copy)]
struct Header {
    kind: u16,
    flags: u32,
    sequence: u32,
}

/// Messages of this kernel's, as datagrams.
struct Answer {
    datagrams: Vec<Vec<u8>>,
    to: u32,
}

impl Answer {
    fn message(&mut self, header: Header, kind: u16, flags: u32, body: &[u8]) {
        let length = HEADER + body.len();
        let last = self.datagrams.pop_if(|last| last.len() + length <= MOST);
        let mut message = last.unwrap_or_default();
        message.extend_from_slice(&(length as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags as u16).to_ne_bytes());
        message.extend_from_slice(&header.sequence.to_ne_bytes());
        message.extend_from_slice(&self.to.to_ne_bytes());
        message.extend_from_slice(body);
        message.resize(message.len().next_multiple_of(ALIGN), 0);
        self.datagrams.push(message);
    }

    /// `NLMSG_ERROR`, which is also an acknowledgement; with the request.
    fn error(&mut self, header: Header, errno: u32, request: &[u8]) {
        let mut body = (-(errno as i32)).to_ne_bytes().to_vec();
        body.extend_from_slice(&request[..request.len().min(MOST / 2)]);
        self.message(header, NLMSG_ERROR as u16, 0, &body);
    }
}

fn attribute(body: &mut Vec<u8>, kind: u32, value: &[u8]) {
    body.extend_from_slice(&((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
    body.extend_from_slice(&(kind as u16).to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(ALIGN), 0);
}

fn link(one: &Interface) -> Vec<u8> {
    let kind = if one.is_loopback() {
        ARPHRD_LOOPBACK
    } else {
        ARPHRD_ETHER
    };
    let mut body = Vec::from([0, 0]);
    body.extend_from_slice(&(kind as u16).to_ne_bytes());
    let runs = one.flags & RUNNING != 0;
    let more = if runs { LOWER_UP } else { 0 };
    for word in [one.index, one.flags | more, 0] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    attribute(&mut body, IFLA_IFNAME as u32, &[one.name(), &[0]].concat());
    attribute(&mut body, IFLA_MTU as u32, &one.mtu.to_ne_bytes());
    attribute(&mut body, IFLA_TXQLEN as u32, &1000u32.to_ne_bytes());
    let state = match runs {
        _ if one.is_loopback() => UNKNOWN,
        true => UP,
        false => DOWN,
    };
    attribute(&mut body, IFLA_OPERSTATE as u32, &[state]);
    let hardware: Option<[u8; 6]> = one.hardware.or(one.is_loopback().then_some([0; 6]));
    if let Some(hardware) = hardware {
        attribute(&mut body, IFLA_ADDRESS as u32, &hardware);
        let broadcast = if one.is_loopback() { [0; 6] } else { [0xff; 6] };
        attribute(&mut body, IFLA_BROADCAST as u32, &broadcast);
    }
    body
}

fn scope(one: &Address) -> rt_scope_t {
    match one.address {
        address if address.is_loopback() => rt_scope_t::RT_SCOPE_HOST,
        IpAddr::V6(address) if address.is_unicast_link_local() => rt_scope_t::RT_SCOPE_LINK,
        _ => rt_scope_t::RT_SCOPE_UNIVERSE,
    }
}

fn address(interface: &Interface, one: &Address) -> Vec<u8> {
    let flags = IFA_F_PERMANENT;
    let scope = scope(one) as u8;
    let mut body = Vec::from([family(one.address) as u8, one.prefix, flags as u8, scope]);
    body.extend_from_slice(&interface.index.to_ne_bytes());
    match one.address {
        IpAddr::V4(address) => {
            let octets = address.octets();
            attribute(&mut body, IFA_ADDRESS as u32, &octets);
            attribute(&mut body, IFA_LOCAL as u32, &octets);
            if let Some(broadcast) = one.broadcast {
                attribute(&mut body, IFA_BROADCAST as u32, &broadcast.octets());
            }
            let name = [interface.name(), &[0]].concat();
            attribute(&mut body, IFA_LABEL as u32, &name);
        }
        IpAddr::V6(address) => attribute(&mut body, IFA_ADDRESS as u32, &address.octets()),
    }
    attribute(&mut body, IFA_FLAGS as u32, &flags.to_ne_bytes());
    body
}

/// The value of an attribute behind a structure.
fn find(body: &[u8], behind: usize, kind: u32) -> Option<&[u8]> {
    let mut rest = body.get(behind..)?;
    while let Some(header) = rest.first_chunk::<ATTRIBUTE>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = rest.get(ATTRIBUTE..length)?;
        if u32::from(u16::from_ne_bytes([header[2], header[3]])) == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(ALIGN)..)?;
    }
    None
}

/// The link that is asked for by its number, or else by its name.
fn asked<'a>(interfaces: &'a [Interface], body: &[u8]) -> Result<&'a Interface, Errno> {
    let index = body.get(4..8).and_then(|index| index.first_chunk());
    let index = index
        .copied()
        .map(u32::from_ne_bytes)
        .ok_or(Errno::EINVAL)?;
    let name = find(body, LINK, IFLA_IFNAME as u32);
    let name = name.map(|name| name.strip_suffix(&[0]).unwrap_or(name));
    let found = match (index, name) {
        (0, None) => return Err(Errno::EINVAL),
        (0, Some(name)) => interfaces.iter().find(|one| one.name() == name),
        _ => interfaces.iter().find(|one| one.index == index),
    };
    found.ok_or(Errno::ENODEV)
}

/// The datagrams that answer one of a program's, whose socket has this number.
pub(crate) fn answer(request: &[u8], to: u32, interfaces: &[Interface]) -> Vec<Vec<u8>> {
    let mut answer = Answer {
        datagrams: Vec::new(),
        to,
    };
    let mut rest = request;
    while let Some(words) = rest.first_chunk::<HEADER>() {
        let [length, kind, sequence, _] = words.as_chunks::<4>().0 else {
            break;
        };
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(body) = rest.get(HEADER..length) else {
            break;
        };
        let header = Header {
            kind: u16::from_ne_bytes([kind[0], kind[1]]),
            flags: u16::from_ne_bytes([kind[2], kind[3]]).into(),
            sequence: u32::from_ne_bytes(*sequence),
        };
        one(&mut answer, header, &rest[..length], body, interfaces);
        rest = rest
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
    }
    answer.datagrams
}

fn one(answer: &mut Answer, header: Header, request: &[u8], body: &[u8], interfaces: &[Interface]) {
    let is_request = header.flags & NLM_F_REQUEST != 0;
    if !is_request || u32::from(header.kind) < NLMSG_MIN_TYPE {
        if header.flags & NLM_F_ACK != 0 {
            answer.error(header, 0, request);
        }
        return;
    }
    let dumps = header.flags & NLM_F_DUMP != 0;
    let get_link = RTM_GETLINK as u16;
    let get_address = RTM_GETADDR as u16;
    let of = body.first().copied().unwrap_or(0);
    match header.kind {
        kind if kind == get_link && dumps => {
            for one in interfaces {
                answer.message(header, RTM_NEWLINK as u16, NLM_F_MULTI, &link(one));
            }
        }
        kind if kind == get_link => match asked(interfaces, body) {
            Ok(one) => return answer.message(header, RTM_NEWLINK as u16, 0, &link(one)),
            Err(errno) => return answer.error(header, errno.0, request),
        },
        kind if kind == get_address && dumps => {
            for interface in interfaces {
                for one in &interface.addresses {
                    if of == 0 || u32::from(of) == family(one.address) {
                        let body = address(interface, one);
                        answer.message(header, RTM_NEWADDR as u16, NLM_F_MULTI, &body);
                    }
                }
            }
        }
        // Kinds come in fours: new, delete, get, set.
        kind if kind % 4 == 2 => return answer.error(header, EOPNOTSUPP, request),
        _ => return answer.error(header, EPERM, request),
    }
    answer.message(header, NLMSG_DONE as u16, NLM_F_MULTI, &0i32.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const ADDRESS: usize = size_of::<ifaddrmsg>();

    fn interfaces() -> Vec<Interface> {
        let address = |text: &str, prefix| Address {
            address: text.parse().unwrap(),
            prefix,
            broadcast: None,
        };
        let one = |name: &[u8], index, flags, addresses| Interface {
            name: core::array::from_fn(|at| name.get(at).copied().unwrap_or(0)),
            index,
            flags,
            mtu: 1500,
            hardware: (index == 2).then_some([2, 0, 0, 0, 0, 1]),
            addresses,
        };
        vec![
            one(
                b"lo0",
                1,
                9,
                vec![address("127.0.0.1", 8), address("::1", 128)],
            ),
            one(
                b"vif0",
                2,
                3,
                vec![address("10.0.0.2", 24), address("fe80::1", 64)],
            ),
        ]
    }

    fn request(kind: u32, flags: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&(kind as u16).to_ne_bytes());
        bytes.extend_from_slice(&((flags | NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(&7u32.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    /// The kinds of the messages, and the bodies of those.
    fn read(datagrams: &[Vec<u8>]) -> Vec<(u32, Vec<u8>)> {
        let mut messages = Vec::new();
        for mut rest in datagrams.iter().map(Vec::as_slice) {
            while let Some(header) = rest.first_chunk::<HEADER>() {
                let length = u32::from_ne_bytes(*header.first_chunk().unwrap()) as usize;
                assert_eq!(header[8..], [7, 0, 0, 0, 99, 0, 0, 0]);
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                messages.push((kind.into(), rest[HEADER..length].to_vec()));
                rest = &rest[length.next_multiple_of(ALIGN)..];
            }
            assert!(rest.is_empty());
        }
        messages
    }

    #[test]
    fn links_and_addresses() {
        let all = interfaces();
        let links = read(&answer(
            &request(RTM_GETLINK as u32, NLM_F_DUMP, &[0; LINK]),
            99,
            &all,
        ));
        let kinds: Vec<u32> = links.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [RTM_NEWLINK as u32, RTM_NEWLINK as u32, NLMSG_DONE]);
        assert_eq!(
            find(&links[1].1, LINK, IFLA_IFNAME as u32),
            Some(&b"vif0\0"[..])
        );
        let told = answer(
            &request(RTM_GETADDR as u32, NLM_F_DUMP, &[0; ADDRESS]),
            99,
            &all,
        );
        assert_eq!(read(&told).len(), 5);
        let mut v6 = [0; ADDRESS];
        v6[0] = 10;
        let told = read(&answer(
            &request(RTM_GETADDR as u32, NLM_F_DUMP, &v6),
            99,
            &all,
        ));
        assert_eq!(told.len(), 3);
        assert_eq!(told[1].1[..4], [10, 64, 128, 253]);
    }

    #[test]
    fn one_link() {
        let all = interfaces();
        let ask = |body: &[u8]| read(&answer(&request(RTM_GETLINK as u32, 0, body), 99, &all));
        let mut by_index = [0; LINK];
        by_index[4] = 2;
        assert_eq!(ask(&by_index)[0].0, RTM_NEWLINK as u32);
        let mut by_name = vec![0; LINK];
        attribute(&mut by_name, IFLA_IFNAME as u32, b"lo0\0");
        assert_eq!(ask(&by_name)[0].1[4], 1);
        by_index[4] = 3;
        assert_eq!(ask(&by_index)[0].0, NLMSG_ERROR);
        assert_eq!(ask(&[])[0].1[..4], (-22i32).to_ne_bytes());
        let told = read(&answer(&request(26, NLM_F_DUMP, &[0; 12]), 99, &all));
        assert_eq!(told[0].1[..4], (-95i32).to_ne_bytes());
        let told = read(&answer(&request(RTM_NEWADDR as u32, 0, &[0; 8]), 99, &all));
        assert_eq!(told[0].1[..4], (-1i32).to_ne_bytes());
    }

    /// Anything may come; what is answered is whole.
    #[test]
    fn hostile_requests() {
        let all = interfaces();
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u8
        };
        for round in 0..200_000u32 {
            let kind = [18, 22, 26, 2, 16, next().into()][round as usize % 6];
            let flags = u32::from(next()) << 8 & NLM_F_DUMP | u32::from(next() & 4);
            let body: Vec<u8> = (0..next() % 64).map(|_| next() % 40).collect();
            let mut bytes = request(kind, flags, &body);
            for _ in 0..next() % 4 {
                let at = usize::from(next()) % bytes.len();
                // The sequence stays, by which the test knows its answers.
                if !(8..12).contains(&at) {
                    bytes[at] = next();
                }
            }
            bytes.truncate(bytes.len() - usize::from(next()) % 3);
            for datagram in answer(&bytes, 99, &all) {
                assert!(datagram.len() <= MOST + HEADER && datagram.len() % ALIGN == 0);
            }
        }
    }
}
