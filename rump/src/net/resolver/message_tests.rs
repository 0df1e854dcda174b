//! Answers as servers give them, and as attackers might.
//!
//! `RUMP_DNS_FUZZ=10000000 cargo test -p rump resolver` reads so many of those at random.

use super::*;
use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA, CNAME};

const ID: u16 = 0x1234;
const NAME: &str = "www.example.org";

/// An answer with these records.
fn answer(records: &[(&'static str, RData<'static>)]) -> Packet<'static> {
    let mut packet = Packet::new_reply(ID);
    packet.questions.push(Question::new(
        Name::new(NAME).unwrap(),
        Kind::V4.of_question(),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    for (name, data) in records {
        packet.answers.push(ResourceRecord::new(
            Name::new(name).unwrap(),
            CLASS::IN,
            60,
            data.clone(),
        ));
    }
    packet
}

fn v4(address: [u8; 4]) -> RData<'static> {
    RData::A(A {
        address: u32::from_be_bytes(address),
    })
}

fn alias(name: &'static str) -> RData<'static> {
    RData::CNAME(CNAME(Name::new(name).unwrap()))
}

fn read(packet: &Packet<'_>) -> Reply {
    let bytes = packet.build_bytes_vec_compressed().unwrap();
    reply(&bytes, ID, NAME, Kind::V4)
}

fn addresses_of(addresses: &[[u8; 4]]) -> Reply {
    Reply::Addresses(addresses.iter().map(|it| IpAddr::from(*it)).collect())
}

#[test]
fn addresses_are_read() {
    let packet = answer(&[
        ("WWW.example.ORG", v4([10, 0, 0, 1])),
        (NAME, v4([10, 0, 0, 2])),
        ("other.example.org", v4([10, 0, 0, 3])),
        (NAME, RData::AAAA(AAAA { address: 1 })),
    ]);
    assert_eq!(read(&packet), addresses_of(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
}

#[test]
fn aliases_are_followed_and_end() {
    let chain = [
        ("b.example.org", v4([10, 0, 0, 1])),
        (NAME, alias("a.example.org")),
        ("a.example.org", alias("b.example.org")),
    ];
    assert_eq!(read(&answer(&chain)), addresses_of(&[[10, 0, 0, 1]]));
    let circle = [
        (NAME, alias("a.example.org")),
        ("a.example.org", alias(NAME)),
    ];
    assert_eq!(read(&answer(&circle)), addresses_of(&[]));
}

#[test]
fn what_answers_something_else_is_no_answer() {
    let right = answer(&[(NAME, v4([10, 0, 0, 1]))]);
    let mut packet = right.clone();
    packet.set_id(ID + 1);
    assert_eq!(read(&packet), Reply::Other);
    let mut packet = right.clone();
    packet.questions[0].qname = Name::new("www.example.com").unwrap();
    assert_eq!(read(&packet), Reply::Other);
    let mut packet = right.clone();
    packet.questions.clear();
    assert_eq!(read(&packet), Reply::Other);
    let question = question(ID, NAME, Kind::V4).unwrap();
    assert_eq!(reply(&question, ID, NAME, Kind::V4), Reply::Other);
    let bytes = right.build_bytes_vec().unwrap();
    assert_eq!(reply(&bytes, ID, NAME, Kind::V6), Reply::Other);
}

#[test]
fn errors_and_cuts_are_told_apart() {
    let mut packet = answer(&[]);
    assert_eq!(read(&packet), addresses_of(&[]));
    *packet.rcode_mut() = RCODE::NameError;
    assert_eq!(read(&packet), Reply::NoName);
    *packet.rcode_mut() = RCODE::ServerFailure;
    assert!(matches!(read(&packet), Reply::Failed(_)));
    packet.set_flags(PacketFlag::TRUNCATION);
    assert_eq!(read(&packet), Reply::Truncated);
}

/// 12 bytes do not make the decoder set hundreds of megabytes aside.
#[test]
fn counts_are_not_believed() {
    let mut bytes = vec![0xff; 12];
    bytes[..2].copy_from_slice(&ID.to_be_bytes());
    bytes[2..4].copy_from_slice(&[0x80, 0]);
    assert_eq!(reply(&bytes, ID, NAME, Kind::V4), Reply::Other);
}

#[test]
fn host_names() {
    let long = "x".repeat(64);
    for wrong in ["", ".", "a..b", "a b", "ä", "a.", "-\n", &long] {
        assert!(!is_host_name(wrong), "{wrong:?}");
    }
    let longest = [&"x".repeat(63)[..]; 4].join(".");
    assert!(is_host_name(&longest[..253]) && !is_host_name(&longest));
    assert!(is_host_name("a-b.c_d.0"));
}

#[test]
fn fuzz() {
    let count = std::env::var("RUMP_DNS_FUZZ").map_or(Ok(100_000), |text| text.parse::<u64>());
    let count = count.expect("RUMP_DNS_FUZZ is a number");
    let whole = answer(&[
        (NAME, alias("a.example.org")),
        ("a.example.org", alias("b.example.org")),
        ("b.example.org", v4([10, 0, 0, 1])),
    ]);
    let compressed = whole.build_bytes_vec_compressed().unwrap();
    let plain = whole.build_bytes_vec().unwrap();
    // Vigna's xorshift64*: the same inputs in every run.
    let mut state = 0x6b8b_4567_327b_23c6_u64;
    let mut random = move |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % limit
    };
    let (mut read, mut with_addresses) = (0_u64, 0_u64);
    for round in 0..count {
        let mut bytes = if round % 2 == 0 { &compressed } else { &plain }.clone();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len().max(1));
            match random(4) {
                0 => bytes.truncate(at),
                1 => bytes.extend((0..random(40)).map(|byte| byte as u8)),
                // Pointers of names to anywhere.
                2 if at + 1 < bytes.len() => {
                    bytes[at] = 0xc0;
                    bytes[at + 1] = random(256) as u8;
                }
                _ if at < bytes.len() => bytes[at] = random(256) as u8,
                _ => {}
            }
        }
        match reply(&bytes, ID, NAME, Kind::V4) {
            Reply::Other => continue,
            Reply::Addresses(found) if !found.is_empty() => with_addresses += 1,
            _ => {}
        }
        read += 1;
    }
    println!("{count} answers read: {read} to the question, {with_addresses} with addresses");
    assert!(read > count / 10 && with_addresses > count / 100);
}
