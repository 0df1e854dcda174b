//! What programs are told of interfaces: netdevice(7), rtnetlink(7), `IP_PKTINFO`. The loopback
//! interface is asked about, whatever it is called.

use super::system::{System, at, loopback};
use rump_linux::raw::{general::*, ioctl::*, net, netlink::*};

const DATAGRAM: u32 = net::SOCK_DGRAM;
/// `IFF_UP`, `IFF_LOOPBACK`, `IFF_RUNNING`.
const FLAGS: u32 = 0x49;

type Request = [u8; 40];

fn word(bytes: &[u8], place: usize) -> u32 {
    u32::from_ne_bytes(bytes[place..place + 4].try_into().unwrap())
}

/// The record of the interface with 127.0.0.1 (`SIOCGIFCONF`).
fn lo(s: &System, fd: u64) -> Request {
    let mut room = [0u8; 4000];
    let mut conf = [room.len() as u64, at(&mut room)];
    assert_eq!(
        s.call(__NR_ioctl, [fd, SIOCGIFCONF.into(), at(&mut conf)]),
        0
    );
    let records = &room[..conf[0] as u32 as usize];
    let mut records = records.as_chunks::<40>().0.iter();
    *records.find(|one| one[20..24] == [127, 0, 0, 1]).unwrap()
}

/// What each request tells, also of an interface that is not there.
pub fn requests(s: &System) -> Vec<i64> {
    let fd = s.socket(false, DATAGRAM);
    let v6 = s.socket(true, net::SOCK_STREAM);
    let lo = lo(s, fd);
    let mut seen = Vec::new();
    let mut unknown: Request = [0; 40];
    unknown[..4].copy_from_slice(b"nope");
    // Without an end.
    let mut long: Request = [b'x'; 40];
    for request in [
        SIOCGIFFLAGS,
        SIOCGIFADDR,
        SIOCGIFDSTADDR,
        SIOCGIFNETMASK,
        SIOCGIFMETRIC,
        SIOCGIFHWADDR,
        SIOCGIFMTU,
        SIOCGIFINDEX,
    ] {
        for fd in [fd, v6] {
            let mut told = lo;
            let request = u64::from(request);
            seen.push(s.call(__NR_ioctl, [fd, request, at(&mut told)]));
            match request as u32 {
                SIOCGIFFLAGS => seen.push((word(&told, 16) & FLAGS).into()),
                SIOCGIFMTU => seen.push((word(&told, 16) > 1000).into()),
                SIOCGIFINDEX => {
                    let mut back = told;
                    back[..16].fill(0);
                    let name = u64::from(SIOCGIFNAME);
                    seen.push(s.call(__NR_ioctl, [fd, name, at(&mut back)]));
                    seen.push((back[..16] == lo[..16]).into());
                }
                _ => seen.extend(told[16..24].iter().map(|byte| i64::from(*byte))),
            }
            seen.push(s.call(__NR_ioctl, [fd, request, at(&mut unknown)]));
            seen.push(s.call(__NR_ioctl, [fd, request, at(&mut long)]));
            seen.push(s.call(__NR_ioctl, [fd, request, 1]));
        }
    }
    let mut index = [0u8; 40];
    index[16..20].copy_from_slice(&99_999u32.to_ne_bytes());
    seen.push(s.call(__NR_ioctl, [fd, SIOCGIFNAME.into(), at(&mut index)]));
    // How much room is wanted, and too little.
    let mut length = [4000u64, 0];
    seen.push(s.call(__NR_ioctl, [fd, SIOCGIFCONF.into(), at(&mut length)]));
    seen.push((length[0] as u32 >= 40).into());
    let mut room = [0u8; 40];
    let mut little = [39, at(&mut room)];
    seen.push(s.call(__NR_ioctl, [fd, SIOCGIFCONF.into(), at(&mut little)]));
    seen.push((little[0] as u32).into());
    s.close_all(&[fd, v6]);
    seen
}

fn request(kind: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend((kind as u16).to_ne_bytes());
    bytes.extend(((flags | NLM_F_REQUEST) as u16).to_ne_bytes());
    bytes.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// The messages of what is answered until the end of it: kinds, flags, bodies.
fn ask(s: &System, fd: u64, mut request: Vec<u8>) -> Vec<(u32, u32, Vec<u8>)> {
    let length = request.len() as u64;
    let sent = s.call(__NR_sendto, [fd, at(&mut request[..]), length, 0, 0, 0]);
    assert_eq!(sent, length as i64);
    let mut messages = Vec::new();
    loop {
        let mut room = [0u8; 16_384];
        let received = s.call(__NR_recvfrom, [fd, at(&mut room), 16_384, 0, 0, 0]);
        let mut rest = &room[..usize::try_from(received).unwrap()];
        while rest.len() >= 16 {
            let length = word(rest, 0) as usize;
            let (kind, flags) = (word(rest, 4) & 0xffff, word(rest, 4) >> 16);
            assert_eq!(word(rest, 8), 5);
            messages.push((kind, flags, rest[16..length].to_vec()));
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        let (kind, flags, _) = messages.last().unwrap();
        if *kind == NLMSG_DONE || flags & NLM_F_MULTI == 0 {
            return messages;
        }
    }
}

fn attribute(body: &[u8], behind: usize, kind: u32) -> Option<&[u8]> {
    let mut rest = &body[behind..];
    while rest.len() >= 4 {
        let (length, found) = (word(rest, 0) as usize & 0xffff, word(rest, 0) >> 16);
        if found == kind {
            return Some(&rest[4..length]);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Links and addresses, one link, refusals, and how they are received.
pub fn netlink(s: &System) -> Vec<i64> {
    let kind = u64::from(net::SOCK_RAW | O_CLOEXEC);
    let fd = s.call(__NR_socket, [net::AF_NETLINK.into(), kind, 0]) as u64;
    let mut seen = vec![s.call(__NR_socket, [net::AF_NETLINK.into(), 1, 0])];
    let mut name = [0u8; 12];
    name[0] = 16;
    seen.push(s.call(__NR_bind, [fd, at(&mut name), 12]));
    let mut length = 12i32;
    seen.push(s.call(__NR_getsockname, [fd, at(&mut name), at(&mut length)]));
    seen.extend([i64::from(name[0]), length.into()]);
    seen.push((word(&name, 4) != 0).into());
    seen.push(s.poll(fd, POLLIN, 0).1.into());

    let links = ask(s, fd, request(RTM_GETLINK as u32, NLM_F_DUMP, &[0; 16]));
    let is_lo = |body: &[u8]| word(body, 8) & 8 != 0;
    let (_, flags, lo) = links
        .iter()
        .find(|one| one.2.len() > 16 && is_lo(&one.2))
        .unwrap();
    let index = word(lo, 4);
    seen.extend([i64::from(*flags), i64::from(word(lo, 0) >> 16)]);
    seen.push((word(lo, 8) & FLAGS).into());
    for kind in [
        IFLA_ADDRESS as u32,
        IFLA_BROADCAST as u32,
        IFLA_OPERSTATE as u32,
    ] {
        let value = attribute(lo, 16, kind).unwrap();
        seen.extend(value.iter().map(|byte| i64::from(*byte)));
    }
    let lo_name = attribute(lo, 16, IFLA_IFNAME as u32).unwrap().to_vec();
    let mtu = attribute(lo, 16, IFLA_MTU as u32).unwrap();
    seen.push((word(mtu, 0) > 1000).into());

    let mut v4 = [0; 8];
    v4[0] = net::AF_INET as u8;
    let addresses = ask(s, fd, request(RTM_GETADDR as u32, NLM_F_DUMP, &v4));
    let local = |body: &[u8]| attribute(body, 8, IFA_LOCAL as u32) == Some(&[127, 0, 0, 1]);
    let (_, _, address) = addresses
        .iter()
        .find(|one| one.2.len() > 8 && local(&one.2))
        .unwrap();
    seen.extend(address[..4].iter().map(|byte| i64::from(*byte)));
    seen.push((word(address, 4) == index).into());
    let label = attribute(address, 8, IFA_LABEL as u32).unwrap();
    seen.push((label == lo_name).into());
    seen.push(addresses.last().unwrap().0.into());

    // One link by its number and by its name, and one that is not there.
    let mut by_index = [0; 16];
    by_index[4..8].copy_from_slice(&index.to_ne_bytes());
    let told = ask(s, fd, request(RTM_GETLINK as u32, 0, &by_index));
    seen.extend([
        told.len() as i64,
        i64::from(told[0].0),
        i64::from(told[0].1),
    ]);
    by_index[4..8].copy_from_slice(&9999u32.to_ne_bytes());
    let told = ask(s, fd, request(RTM_GETLINK as u32, 0, &by_index));
    seen.extend([i64::from(told[0].0), i64::from(word(&told[0].2, 0) as i32)]);
    let told = ask(s, fd, request(NLMSG_NOOP, NLM_F_ACK, &[]));
    seen.extend([i64::from(told[0].0), i64::from(word(&told[0].2, 0) as i32)]);

    // An answer stays while it is looked at, and what does not fit is lost.
    let mut again = request(RTM_GETLINK as u32, NLM_F_DUMP, &[0; 16]);
    let size = again.len() as u64;
    s.call(__NR_sendto, [fd, at(&mut again[..]), size, 0, 0, 0]);
    seen.push(s.poll(fd, POLLIN, 1000).1.into());
    let looks = u64::from(net::MSG_PEEK | net::MSG_TRUNC);
    let whole = s.call(__NR_recvfrom, [fd, 0, 0, looks, 0, 0]);
    seen.push((whole > 100).into());
    let mut little = [0u8; 20];
    let got = s.call(__NR_recvfrom, [fd, at(&mut little), 20, 0, 0, 0]);
    seen.push(got);
    s.close(fd);
    seen
}

/// `IP_PKTINFO` and `IP_RECVTTL`, both ways.
pub fn packet_information(s: &System) -> Vec<i64> {
    let [one, other] = [(); 2].map(|()| s.socket(false, DATAGRAM));
    let mut seen = Vec::new();
    let index = {
        let mut lo = lo(s, one);
        s.call(__NR_ioctl, [one, SIOCGIFINDEX.into(), at(&mut lo)]);
        word(&lo, 16)
    };
    let (_, name) = s.bind(other, false);
    for option in [net::IP_PKTINFO, net::IP_RECVTTL] {
        let mut on = 1i32;
        let arguments = [other, 0, option.into(), at(&mut on), 4];
        seen.push(s.call(__NR_setsockopt, arguments));
        let mut length = 4i32;
        let arguments = [other, 0, option.into(), at(&mut on), at(&mut length)];
        seen.push(s.call(__NR_getsockopt, arguments));
        seen.push(on.into());
    }
    for from in [None, Some([127, 0, 0, 1])] {
        let mut data = *b"x";
        let mut vector = [at(&mut data), 1];
        let mut to = name.clone();
        let mut control = [0u8; 32];
        control[0] = 28;
        control[12] = net::IP_PKTINFO as u8;
        control[20..24].copy_from_slice(&from.unwrap_or_default());
        let length = if from.is_some() { 32 } else { 0 };
        let mut message = [
            at(&mut to[..]),
            16,
            at(&mut vector),
            1,
            at(&mut control),
            length,
            0,
        ];
        seen.push(s.call(__NR_sendmsg, [one, at(&mut message), 0]));
        let mut control = [0u8; 128];
        let mut sender = loopback(false, 0);
        let mut message = [
            at(&mut sender[..]),
            16,
            at(&mut vector),
            1,
            at(&mut control),
            128,
            0,
        ];
        seen.push(s.call(__NR_recvmsg, [other, at(&mut message), 0]));
        seen.push(message[5] as i64);
        // In whichever order.
        let mut parts: Vec<Vec<i64>> = Vec::new();
        let mut rest = &control[..message[5] as usize];
        while rest.len() >= 16 {
            let length = word(rest, 0) as usize;
            let mut part = vec![word(rest, 8).into(), word(rest, 12).into()];
            let mut data = rest[16..length].to_vec();
            if word(rest, 12) == net::IP_PKTINFO {
                part.push((word(&data, 0) == index).into());
                data.drain(..4);
            }
            part.extend(data.iter().map(|byte| i64::from(*byte)));
            parts.push(part);
            rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
        }
        parts.sort();
        seen.extend(parts.concat());
    }
    s.close_all(&[one, other]);
    seen
}
