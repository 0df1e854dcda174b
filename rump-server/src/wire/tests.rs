use super::icmp::About;
use super::samples::{V4, V6, ethernet, icmp, neighbour, tcp, udp};
use super::*;

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const HERE: &str = "10.0.0.1";
const THERE: &str = "10.0.0.2";
const HERE6: &str = "fd00::1";
const THERE6: &str = "fd00::2";

fn carries(frame: &[u8]) -> Result<Carries, Malformed> {
    match parse(&Frame::new(frame))?.payload {
        Payload::Ip(ip) => Ok(ip.carries),
        Payload::Arp(_) => panic!("ARP"),
    }
}

fn ports(protocol: Protocol, source: u16, destination: u16) -> Result<Carries, Malformed> {
    Ok(Carries::Ports(Ports {
        protocol,
        source,
        destination,
        reset: false,
    }))
}

fn v4(protocol: u8, payload: Vec<u8>) -> V4 {
    V4::new(HERE, THERE, protocol, payload)
}

fn v6(next: u8, payload: Vec<u8>) -> V6 {
    V6::new(HERE6, THERE6, next, payload)
}

#[test]
fn ports_are_found_behind_options_and_extension_headers() {
    let (segment, datagram) = (tcp(80, 5000, 0x10), udp(53, 6000, 3));
    let found_tcp = ports(Protocol::Tcp, 80, 5000);
    let found_udp = ports(Protocol::Udp, 53, 6000);
    for options in [vec![], vec![1, 1, 1, 0], vec![7, 4, 4, 0], vec![1; 40]] {
        let with = |packet: V4| {
            V4 {
                options: options.clone(),
                ..packet
            }
            .frame(A, B)
        };
        assert_eq!(carries(&with(v4(6, segment.clone()))), found_tcp);
        assert_eq!(carries(&with(v4(17, datagram.clone()))), found_udp);
    }
    // Of each kind: its number, what it is followed by, its length.
    let hop = |next| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next| vec![next, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = |next| {
        let mut header = vec![next, 4];
        header.resize(24, 0);
        header
    };
    type Header<'a> = (u8, &'a dyn Fn(u8) -> Vec<u8>);
    let chains: [&[Header<'_>]; 6] = [
        &[],
        &[(0, &hop)],
        &[(0, &hop), (60, &hop)],
        &[(43, &routing)],
        &[(51, &authentication)],
        &[(0, &hop), (43, &routing), (60, &hop), (51, &authentication)],
    ];
    for chain in chains {
        for (last, payload, found) in [(6, &segment, &found_tcp), (17, &datagram, &found_udp)] {
            let (mut next, mut packet) = (last, payload.clone());
            for (kind, header) in chain.iter().rev() {
                packet.splice(0..0, header(next));
                next = *kind;
            }
            assert_eq!(&carries(&v6(next, packet).frame(A, B)), found);
        }
    }
}

#[test]
fn what_is_not_whole_is_told() {
    use Malformed::*;
    let whole = v4(6, tcp(1, 2, 0)).frame(A, B);
    for len in 0..whole.len() {
        assert!(parse(&Frame::new(&whole[..len])).is_err(), "{len}");
    }
    let whole = v6(17, udp(1, 2, 0)).frame(A, B);
    for len in 0..whole.len() {
        assert!(parse(&Frame::new(&whole[..len])).is_err(), "{len}");
    }
    let bad = |at: usize, byte: u8| {
        let mut frame = v4(6, tcp(1, 2, 0)).frame(A, B);
        frame[at] = byte;
        parse(&Frame::new(&frame)).map(drop)
    };
    assert_eq!(bad(12, 0x81), Err(Ethertype));
    assert_eq!(bad(14, 0x65), Err(Length));
    assert_eq!(bad(14, 0x44), Err(Length));
    assert_eq!(bad(17, 19), Err(Length));
    assert_eq!(bad(17, 200), Err(Short));
    // A TCP header of 16 bytes, and one that is longer than the packet.
    assert_eq!(bad(46, 0x40), Err(Length));
    assert_eq!(bad(46, 0xf0), Err(Short));
    // Options whose length is none, or leads out.
    for options in [
        vec![7, 0, 0, 0],
        vec![7, 1, 0, 0],
        vec![7, 5, 0, 0],
        vec![1, 1, 1, 7],
    ] {
        let frame = V4 {
            options,
            ..v4(6, tcp(1, 2, 0))
        }
        .frame(A, B);
        assert_eq!(carries(&frame), Err(Length));
    }
    // Extension headers without end.
    let endless: Vec<u8> = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    assert_eq!(carries(&v6(60, endless).frame(A, B)), Err(Headers));
    // One that is longer than what is looked at.
    let mut long = vec![6, 100];
    long.resize(101 * 8, 0);
    long.extend(tcp(1, 2, 0));
    assert_eq!(carries(&v6(60, long).frame(A, B)), Err(Headers));
    // One that is longer than the packet.
    assert_eq!(
        carries(&v6(60, vec![6, 9, 0, 0, 0, 0, 0, 0]).frame(A, B)),
        Err(Short)
    );
}

#[test]
fn source_routes_are_seen() {
    let routed = |options| {
        let frame = V4 {
            options,
            ..v4(6, tcp(1, 2, 0))
        }
        .frame(A, B);
        match parse(&Frame::new(&frame)).unwrap().payload {
            Payload::Ip(ip) => ip.source_route,
            Payload::Arp(_) => unreachable!(),
        }
    };
    assert!(routed(vec![131, 3, 4, 0]));
    assert!(routed(vec![1, 137, 3, 4]));
    assert!(!routed(vec![7, 3, 4, 0]));
    // What is behind the end is nothing.
    assert!(!routed(vec![0, 131, 3, 4]));
    let header = vec![6, 0, 0, 0, 0, 0, 0, 0];
    let frame = v6(43, [header, tcp(1, 2, 0)].concat()).frame(A, B);
    let Payload::Ip(ip) = parse(&Frame::new(&frame)).unwrap().payload else {
        unreachable!()
    };
    assert!(ip.source_route);
}

#[test]
fn fragments_say_which_part_they_are() {
    let frame = |flags: u16, payload: Vec<u8>| {
        V4 {
            fragment: (7, flags),
            ..v4(17, payload)
        }
        .frame(A, B)
    };
    let part = |frame: &[u8]| match parse(&Frame::new(frame)).unwrap().payload {
        Payload::Ip(ip) => (ip.fragment, ip.carries),
        Payload::Arp(_) => unreachable!(),
    };
    let first = part(&frame(0x2000, udp(1, 2, 8)));
    let expected = Fragment {
        id: 7,
        offset: 0,
        len: 16,
        more: true,
    };
    assert_eq!(first.0, Some(expected));
    assert!(matches!(first.1, Carries::Ports(_)));
    let second = part(&frame(0x0002, vec![0; 5]));
    let expected = Fragment {
        id: 7,
        offset: 16,
        len: 5,
        more: false,
    };
    assert_eq!(second, (Some(expected), Carries::Later));
    // Not to be fragmented is no fragment.
    assert_eq!(part(&frame(0x4000, udp(1, 2, 8))).0, None);
    assert_eq!(carries(&frame(0x2000, vec![0; 4])), Err(Malformed::Tiny));

    let frame = |word: u16, payload: Vec<u8>| {
        let mut all = vec![17, 0];
        all.extend(word.to_be_bytes());
        all.extend([0, 0, 0, 9]);
        all.extend(payload);
        v6(44, all).frame(A, B)
    };
    let first = part(&frame(1, udp(1, 2, 8)));
    let expected = Fragment {
        id: 9,
        offset: 0,
        len: 16,
        more: true,
    };
    assert_eq!(first.0, Some(expected));
    let second = part(&frame(16, vec![0; 5]));
    let expected = Fragment {
        id: 9,
        offset: 16,
        len: 5,
        more: false,
    };
    assert_eq!(second, (Some(expected), Carries::Later));
    assert_eq!(carries(&frame(1, vec![0; 4])), Err(Malformed::Tiny));
    // A whole packet in a fragment (RFC 6946).
    assert!(matches!(
        carries(&frame(0, udp(1, 2, 0))),
        Ok(Carries::Ports(_))
    ));
}

#[test]
fn errors_tell_whose_packet_they_are_about() {
    let about = |frame: Vec<u8>| match carries(&frame) {
        Ok(Carries::Icmp(Icmp::Error(inner))) => Some(inner.about),
        _ => None,
    };
    let inside = |packet: V4| {
        let mut bytes = packet.packet();
        // Routers need not return more than this.
        bytes.truncate(20 + packet.options.len() + 8);
        v4(1, icmp(3, [0; 4], &bytes)).frame(A, B)
    };
    let expected = |protocol| {
        Some(About::Ports(Ports {
            protocol,
            source: 80,
            destination: 5000,
            reset: false,
        }))
    };
    assert_eq!(
        about(inside(v4(6, tcp(80, 5000, 0)))),
        expected(Protocol::Tcp)
    );
    assert_eq!(
        about(inside(v4(17, udp(80, 5000, 9)))),
        expected(Protocol::Udp)
    );
    let options = V4 {
        options: vec![1; 8],
        ..v4(17, udp(80, 5000, 9))
    };
    assert_eq!(about(inside(options)), expected(Protocol::Udp));
    assert_eq!(
        about(inside(v4(1, icmp(8, [0, 5, 0, 1], &[])))),
        Some(About::Echo(5))
    );
    assert_eq!(
        about(inside(v4(1, icmp(0, [0, 5, 0, 1], &[])))),
        Some(About::Unknown)
    );
    let later = V4 {
        fragment: (1, 5),
        ..v4(6, tcp(80, 5000, 0))
    };
    assert_eq!(about(inside(later)), Some(About::Unknown));
    assert_eq!(
        carries(&v4(1, icmp(3, [0; 4], &[0x45; 19])).frame(A, B)),
        Err(Malformed::Short)
    );

    let inside = |packet: V6| v6(58, icmp(1, [0; 4], &packet.packet())).frame(A, B);
    assert_eq!(
        about(inside(v6(6, tcp(80, 5000, 0)))),
        expected(Protocol::Tcp)
    );
    let behind = [vec![17, 0, 1, 4, 0, 0, 0, 0], udp(80, 5000, 1)].concat();
    assert_eq!(about(inside(v6(60, behind))), expected(Protocol::Udp));
    let later = [vec![17, 0, 0, 16, 0, 0, 0, 1], udp(80, 5000, 1)].concat();
    assert_eq!(about(inside(v6(44, later))), Some(About::Unknown));
    assert_eq!(
        about(inside(v6(58, icmp(128, [0, 5, 0, 1], &[])))),
        Some(About::Echo(5))
    );
}

#[test]
fn neighbours_say_one_address_or_none() {
    let read = |payload| carries(&v6(58, payload).frame(A, B));
    let target = "fd00::7".parse().unwrap();
    let asked = |link| Ok(Carries::Icmp(Icmp::Solicitation { target, link }));
    assert_eq!(read(neighbour(135, "fd00::7", None)), asked(None));
    assert_eq!(
        read(neighbour(135, "fd00::7", Some((1, A)))),
        asked(Some(A))
    );
    assert_eq!(read(neighbour(135, "fd00::7", Some((2, A)))), asked(None));
    let told = Icmp::Advertisement {
        target,
        link: Some(B),
    };
    assert_eq!(
        read(neighbour(136, "fd00::7", Some((2, B)))),
        Ok(Carries::Icmp(told))
    );
    let twice = |a: Mac, b: Mac| {
        let mut message = neighbour(136, "fd00::7", Some((2, a)));
        message.extend([2, 1]);
        message.extend(b.0);
        read(message)
    };
    assert_eq!(twice(A, B), Err(Malformed::Length));
    assert!(twice(A, A).is_ok());
    let mut none = neighbour(135, "fd00::7", Some((1, A)));
    none[25] = 0;
    assert_eq!(read(none), Err(Malformed::Length));
}

#[test]
fn an_answer_is_read_as_what_it_is() {
    let arp = Arp {
        operation: arp::REPLY,
        sender_mac: A,
        sender: HERE.parse().unwrap(),
        target_mac: B,
        target: THERE.parse().unwrap(),
    };
    let parsed = parse(&Frame::new(&arp::frame(&arp))).unwrap();
    assert_eq!((parsed.source, parsed.destination), (A, B));
    assert_eq!(parsed.payload, Payload::Arp(arp));

    let (own, asker) = (HERE6.parse().unwrap(), THERE6.parse().unwrap());
    let frame = icmp::advertise(A, own, B, asker);
    let told = Icmp::Advertisement {
        target: own,
        link: Some(A),
    };
    assert_eq!(carries(&frame), Ok(Carries::Icmp(told)));
    // With the checksum in it, the sum over all is that of nothing.
    let sum = rump_hyper::vif::offload::finish::sum(&frame[22..])
        + u64::from(u16::from_ne_bytes([0, 58]))
        + u64::from(32_u16.to_be());
    assert_eq!(rump_hyper::vif::offload::finish::fold(sum), 0xffff);
}

#[test]
fn other_protocols_are_other() {
    assert_eq!(carries(&v4(47, vec![0; 4]).frame(A, B)), Ok(Carries::Other));
    assert_eq!(carries(&v4(58, vec![0; 8]).frame(A, B)), Ok(Carries::Other));
    assert_eq!(carries(&v6(1, vec![0; 8]).frame(A, B)), Ok(Carries::Other));
    assert_eq!(carries(&v6(59, vec![]).frame(A, B)), Ok(Carries::Other));
    let tagged = ethernet(A, B, 0x8100, &[0; 40]);
    assert_eq!(
        parse(&Frame::new(&tagged)).map(drop),
        Err(Malformed::Ethertype)
    );
}

#[test]
fn addresses_are_read_and_written() {
    assert_eq!("02:00:00:00:00:0a".parse(), Ok(A));
    assert_eq!(A.to_string(), "02:00:00:00:00:0a");
    for wrong in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:0a:",
        "2:0:0:0:0:a",
        "02:00:00:00:00:0g",
    ] {
        assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
    }
}
