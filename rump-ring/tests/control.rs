//! Control messages: what is encoded is decoded, and whatever else comes is refused.
//! `RUMP_RING_FUZZ` says how many datagrams of each kind are tried.
#![cfg(not(loom))]

use fastrand::Rng;
use proptest::prelude::*;
use rump_ring::control::{
    Code, Farewell, Hello, MOST, MOST_ADDRESSES, Malformed, Protocol, Text, ToApplication,
    ToServer, Welcome,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

fn text<const N: usize>() -> impl Strategy<Value = Text<N>> {
    "[^\\p{Cc}]{0,250}".prop_map(|text| Text::cut(&text))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(|address| IpAddr::V6(address).to_canonical()),
        Just(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Just(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    ]
}

fn net() -> impl Strategy<Value = (IpAddr, u8)> {
    (address(), 0_u8..=128).prop_map(|(address, prefix)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (address, prefix.min(most))
    })
}

fn ports() -> impl Strategy<Value = RangeInclusive<u16>> {
    (1_u16.., 1_u16..).prop_map(|(a, b)| a.min(b)..=a.max(b))
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn to_server() -> impl Strategy<Value = ToServer> {
    let ports = (1..=u16::MAX).prop_flat_map(|first| (Just(first), first..=u16::MAX));
    let ports = prop::option::of(ports.prop_map(|(first, last)| first..=last));
    let hello = (
        any::<u32>(),
        text(),
        text(),
        any::<u16>(),
        any::<u128>(),
        ports,
    );
    let port = || (protocol(), address(), any::<u16>());
    prop_oneof![
        hello.prop_map(|(version, host, label, queues, ticket, ports)| {
            ToServer::Hello(Hello {
                version,
                host,
                label,
                queues,
                ticket,
                ports,
            })
        }),
        (any::<u32>(), port()).prop_map(|(id, (protocol, address, port))| ToServer::Claim {
            id,
            protocol,
            address,
            port
        }),
        port().prop_map(|(protocol, address, port)| ToServer::Release {
            protocol,
            address,
            port
        }),
        any::<u32>().prop_map(|id| ToServer::Lease { id }),
        any::<(u32, bool)>().prop_map(|(id, direct)| ToServer::Moved { id, direct }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let numbers = (any::<u32>(), any::<[u8; 6]>(), any::<u32>(), any::<u16>());
    let gateways = (any::<Option<Ipv4Addr>>(), any::<Option<Ipv6Addr>>());
    let addresses = prop::collection::vec(net(), 0..=MOST_ADDRESSES);
    (
        numbers,
        any::<u32>(),
        any::<u128>(),
        ports(),
        gateways,
        addresses,
    )
        .prop_map(
            |((version, mac, mtu, queues), data, ticket, ports, gateways, addresses)| Welcome {
                version,
                mac,
                mtu,
                queues,
                data,
                ticket,
                ports,
                gateway: gateways.0.filter(|router| !router.is_unspecified()),
                gateway6: gateways
                    .1
                    .filter(|router| !router.is_unspecified() && router.to_ipv4_mapped().is_none()),
                addresses,
            },
        )
}

fn to_application() -> impl Strategy<Value = ToApplication> {
    let code = prop::sample::select(vec![
        Code::NoSuchHost,
        Code::NotAllowed,
        Code::TooMany,
        Code::Version,
        Code::Misbehaved,
        Code::Ending,
    ]);
    prop_oneof![
        welcome().prop_map(ToApplication::Welcome),
        any::<u32>().prop_map(|id| ToApplication::Granted { id }),
        any::<(u32, i32)>().prop_map(|(id, errno)| ToApplication::Refused { id, errno }),
        (any::<u32>(), ports()).prop_map(|(id, ports)| ToApplication::Leased { id, ports }),
        any::<bool>().prop_map(|direct| ToApplication::Order { direct }),
        (code, text()).prop_map(|(code, text)| ToApplication::Farewell(Farewell { code, text })),
    ]
}

fn cases() -> u32 {
    let told = std::env::var("RUMP_RING_FUZZ").ok();
    let told = told.map(|count| count.parse().expect("RUMP_RING_FUZZ: a number"));
    told.unwrap_or(if cfg!(miri) { 100 } else { 200_000 })
}

/// What is decoded is encoded to the same bytes again.
fn is_refused_or_exact(bytes: &[u8]) {
    if let Ok(message) = ToServer::decode(bytes) {
        assert_eq!(message.encode(), bytes, "{message:?}");
    }
    if let Ok(message) = ToApplication::decode(bytes) {
        assert_eq!(message.encode(), bytes, "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_to_a_server_arrives(message in to_server()) {
        let bytes = message.encode();
        prop_assert!(bytes.len() <= MOST);
        prop_assert_eq!(ToServer::decode(&bytes), Ok(message));
        prop_assert_eq!(ToApplication::decode(&bytes), Err(Malformed));
        for len in 0..bytes.len() {
            prop_assert_eq!(ToServer::decode(&bytes[..len]), Err(Malformed));
        }
    }

    #[test]
    fn what_is_told_to_an_application_arrives(message in to_application()) {
        let mut bytes = message.encode();
        prop_assert!(bytes.len() <= MOST);
        prop_assert_eq!(ToApplication::decode(&bytes), Ok(message));
        prop_assert_eq!(ToServer::decode(&bytes), Err(Malformed));
        for len in 0..bytes.len() {
            prop_assert_eq!(ToApplication::decode(&bytes[..len]), Err(Malformed));
        }
        bytes.push(0);
        prop_assert_eq!(ToApplication::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn texts_are_cut_where_a_character_ends(text in "\\PC{0,40}") {
        let cut = Text::<16>::cut(&text);
        prop_assert!(text.starts_with(cut.as_str()));
        prop_assert!(cut.as_str().len() > 12 || cut.as_str() == text);
        prop_assert_eq!(Text::<16>::new(&text).is_ok(), text.len() <= 16);
    }
}

#[test]
fn datagrams_of_random_bytes() {
    const KINDS: [u16; 13] = [0, 1, 2, 3, 4, 5, 6, 257, 258, 259, 260, 261, 262];
    let mut random = Rng::with_seed(7);
    let mut bytes = vec![0; MOST + 8];
    let mut decoded = 0_u32;
    for _ in 0..cases() {
        let len = match random.usize(..64) {
            0 => random.usize(..MOST + 8),
            _ => random.usize(..130),
        };
        // Small numbers and zeros are likelier to be taken for lengths and flags.
        let mask = [0xff, 0x0f, 0x01][random.usize(..3)];
        for word in bytes[..len].chunks_mut(8) {
            let new = random.u64(..).to_le_bytes();
            word.iter_mut()
                .zip(new)
                .for_each(|(to, byte)| *to = byte & mask);
        }
        if len >= 2 && random.usize(..8) > 0 {
            bytes[..2].copy_from_slice(&KINDS[random.usize(..KINDS.len())].to_le_bytes());
        }
        is_refused_or_exact(&bytes[..len]);
        decoded += u32::from(ToServer::decode(&bytes[..len]).is_ok());
    }
    assert!(cfg!(miri) || decoded > cases() / 2000, "{decoded}");
}

#[test]
fn datagrams_that_were_damaged() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut good = Vec::new();
    for _ in 0..if cfg!(miri) { 4 } else { 500 } {
        good.push(
            to_server()
                .new_tree(&mut runner)
                .unwrap()
                .current()
                .encode(),
        );
        good.push(
            to_application()
                .new_tree(&mut runner)
                .unwrap()
                .current()
                .encode(),
        );
    }
    let mut random = Rng::with_seed(11);
    for _ in 0..cases() {
        let mut bytes = good[random.usize(..good.len())].clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..bytes.len());
            match random.usize(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.usize(..8),
                2 => bytes.insert(at, random.u8(..)),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        is_refused_or_exact(&bytes);
    }
}

#[test]
fn what_a_terminal_would_obey_is_no_text() {
    assert_eq!(Text::<32>::new("a\u{1b}[2J"), Err(Malformed));
    assert_eq!(Text::<32>::cut("a\u{1b}[2J").as_str(), "a [2J");
    assert_eq!(Text::<4>::cut("aé€").as_str(), "aé");
}
