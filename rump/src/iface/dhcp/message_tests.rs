//! Answers as servers give them, and as attackers might.
//!
//! `RUMP_DHCP_FUZZ=10000000 cargo test -p rump dhcp` reads so many of those at random.

use super::*;

const TRANSACTION: u32 = 0x1234_5678;
const SERVER_ID: u8 = 54;
const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// An answer of a server with these options.
fn answer(kind: DhcpMessageType, address: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
    let options: Vec<_> = options
        .iter()
        .map(|(kind, data)| DhcpOption { kind: *kind, data })
        .collect();
    let message = DhcpRepr {
        message_type: kind,
        transaction_id: TRANSACTION,
        secs: 0,
        client_hardware_address: EthernetAddress(HARDWARE),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: address.into(),
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: true,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &options,
    };
    let mut bytes = vec![0; message.buffer_len()];
    message
        .emit(&mut DhcpPacket::new_unchecked(&mut bytes[..]))
        .unwrap();
    bytes
}

const USUAL: &[(u8, &[u8])] = &[
    (SERVER_ID, &[10, 0, 0, 1]),
    (option::SUBNET_MASK, &[255, 255, 255, 0]),
    (option::ROUTER, &[10, 9, 9, 9, 10, 0, 0, 254]),
    (
        option::DOMAIN_SERVER,
        &[10, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 2],
    ),
    (option::DOMAIN_NAME, b"example.org\0"),
    (option::INTERFACE_MTU, &[5, 120]),
    (option::LEASE_TIME, &[0, 0, 14, 16]),
];

/// The usual options with one changed.
fn with(kind: u8, data: &'static [u8]) -> Option<Terms> {
    let mut options: Vec<(u8, &[u8])> = USUAL.to_vec();
    options.retain(|(own, _)| *own != kind);
    options.push((kind, data));
    read(&answer(DhcpMessageType::Ack, [10, 0, 0, 5], &options))
}

fn read(bytes: &[u8]) -> Option<Terms> {
    match reply(bytes, TRANSACTION, HARDWARE)? {
        Reply::Ack(terms) | Reply::Offer(terms) => Some(terms),
        Reply::Nak(_) => None,
    }
}

fn usual() -> Vec<u8> {
    answer(DhcpMessageType::Ack, [10, 0, 0, 5], USUAL)
}

#[test]
fn what_a_server_says_is_read() {
    let terms = read(&usual()).unwrap();
    assert_eq!(terms.address, "10.0.0.5/24".parse().unwrap());
    assert_eq!(terms.server, Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(
        terms.router,
        Some(Ipv4Addr::new(10, 0, 0, 254)),
        "the one on the link"
    );
    let servers = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Ipv4Addr::from);
    assert_eq!(terms.name_servers, servers);
    assert_eq!(terms.domain.as_deref(), Some("example.org"));
    assert_eq!(terms.mtu, Some(1400));
    let seconds = |time: Option<Duration>| time.unwrap().as_secs();
    assert_eq!(seconds(terms.duration), 3600);
    assert_eq!((seconds(terms.renew), seconds(terms.rebind)), (1800, 3150));
}

#[test]
fn addresses_that_no_host_has_are_refused() {
    let wrong: [[u8; 4]; 8] = [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [240, 1, 2, 3],
        [0, 1, 2, 3],
        [10, 0, 0, 0],
        [10, 0, 0, 255],
    ];
    for address in wrong {
        let bytes = answer(DhcpMessageType::Ack, address, USUAL);
        assert_eq!(read(&bytes), None, "{address:?}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused_or_left_out() {
    assert_eq!(with(option::SUBNET_MASK, &[255, 0, 255, 0]), None);
    assert_eq!(with(option::SUBNET_MASK, &[0; 4]), None);
    assert_eq!(with(option::SUBNET_MASK, &[255; 3]), None);
    assert_eq!(with(option::LEASE_TIME, &[0; 4]), None);
    assert_eq!(with(option::LEASE_TIME, &[1]), None);
    assert_eq!(with(SERVER_ID, &[0; 4]), None);
    for wrong in [&b"../../etc"[..], b"a b", b"", &[0xff, 0xfe]] {
        assert_eq!(with(option::DOMAIN_NAME, wrong).unwrap().domain, None);
    }
    assert_eq!(with(option::INTERFACE_MTU, &[0, 68]).unwrap().mtu, None);
    assert_eq!(with(option::ROUTER, &[10, 0, 0, 5]).unwrap().router, None);
    let for_ever = with(option::LEASE_TIME, &[0xff; 4]).unwrap();
    assert_eq!((for_ever.duration, for_ever.renew), (None, None));
    // Renewal after the end.
    let terms = with(option::RENEWAL_TIME, &[1, 0, 0, 0]).unwrap();
    assert_eq!(terms.renew, Some(Duration::from_secs(1800)));
}

#[test]
fn without_a_mask_it_is_that_of_the_class() {
    let options = [USUAL[0], USUAL[6]];
    for (address, prefix) in [
        ([10, 0, 0, 5], 8),
        ([172, 16, 0, 5], 16),
        ([192, 168, 0, 5], 24),
    ] {
        let bytes = answer(DhcpMessageType::Offer, address, &options);
        assert_eq!(read(&bytes).unwrap().address.prefix_len(), prefix);
    }
}

#[test]
fn what_is_for_others_is_left_alone() {
    let bytes = usual();
    assert_eq!(reply(&bytes, TRANSACTION + 1, HARDWARE), None);
    assert_eq!(reply(&bytes, TRANSACTION, [2, 0, 0, 0, 0, 2]), None);
    let nak = answer(DhcpMessageType::Nak, [0; 4], &USUAL[..1]);
    assert_eq!(
        reply(&nak, TRANSACTION, HARDWARE),
        Some(Reply::Nak(Ipv4Addr::new(10, 0, 0, 1)))
    );
    let request = Request {
        kind: DhcpMessageType::Discover,
        transaction: TRANSACTION,
        hardware: HARDWARE,
        elapsed: Duration::from_secs(70_000),
        client: Ipv4Addr::UNSPECIFIED,
        wanted: None,
        server: None,
        host_name: Some("box"),
    };
    let bytes = request.bytes().unwrap();
    assert_eq!(bytes[240..243], [53, 1, 1], "the kind comes first");
    assert!(bytes.len() >= SHORTEST);
    assert_eq!(reply(&bytes, TRANSACTION, HARDWARE), None);
}

#[test]
fn fuzz() {
    let count = std::env::var("RUMP_DHCP_FUZZ").map_or(Ok(200_000), |text| text.parse::<u64>());
    let count = count.expect("RUMP_DHCP_FUZZ is a number");
    let whole = usual();
    // Vigna's xorshift64*: the same inputs in every run.
    let mut state = 0x6b8b_4567_327b_23c6_u64;
    let mut random = move |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % limit
    };
    let mut taken = 0_u64;
    for _ in 0..count {
        let mut bytes = whole.clone();
        for _ in 0..1 + random(4) {
            // Options are where it matters, and the address.
            let at = match random(4) {
                0 => 16 + random(4),
                1 => random(bytes.len().max(1)),
                _ => 240 + random(whole.len() - 240),
            };
            match random(8) {
                0 => bytes.truncate(at),
                _ if at < bytes.len() => bytes[at] = random(256) as u8,
                _ => {}
            }
        }
        let Some(terms) = read(&bytes) else { continue };
        taken += 1;
        // Whatever was taken can be used.
        assert!(is_host(&terms.address.addr()) && terms.address.prefix_len() > 0);
        assert!(terms.router.is_none_or(|it| terms.address.contains(&it)));
        assert!(terms.name_servers.iter().all(is_host));
        assert!(terms.duration != Some(Duration::ZERO));
        assert!(terms.renew <= terms.rebind && terms.rebind <= terms.duration);
    }
    println!("{count} answers read: {taken} taken");
    assert!(taken > count / 10 && taken < count);
}
