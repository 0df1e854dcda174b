//! Interfaces whose other end is in the host, which is the test here: frames of every kind
//! of wrong, and many that come and go.

use super::frames::{HERE, arp, ipv4, tcp, udp};
use super::{accept, boot, bound, checked, listener_at, lock, receive};
use crate::hypercall;
use crate::net::vif::{rump_vif_create, rump_vif_destroy, rump_vif_receive};
use crate::syscall::descriptor::rump___sysimpl_read;
use crate::syscall::socket::rump___sysimpl_shutdown;
use core::ffi::c_void;
use core::ptr::null_mut;
use fastrand::Rng;
use rump_abi as abi;
use rump_hyper::vif::abi::{Config, DATA_VALID, NAME_SIZE, Offload, Ops, Rx, Tx, VERSION, Vif};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Repr, TcpControl,
    TcpPacket,
};
use std::collections::VecDeque;
use std::println;
use std::sync::Mutex;
use std::vec::Vec;

pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
const THERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 2);

/// How many frames the kernel has handed to the host, and the last of them.
static SENT: Mutex<(usize, VecDeque<Vec<u8>>)> = Mutex::new((0, VecDeque::new()));
/// How many of them are kept.
const KEPT: usize = 1000;

unsafe extern "C" fn transmit(_: *mut c_void, _: u32, frames: *const Tx, count: u32) {
    let mut sent = SENT.lock().unwrap();
    for index in 0..count as usize {
        // SAFETY: so many frames of one part each, as rump-lite makes them, by the interface.
        let bytes = unsafe {
            let part = &*(*frames.add(index)).parts;
            core::slice::from_raw_parts(part.base.cast::<u8>(), part.len)
        };
        sent.0 += 1;
        sent.1.push_back(bytes.into());
        if sent.1.len() > KEPT {
            sent.1.pop_front();
        }
    }
}

/// How many frames the kernel has sent in all.
pub(super) fn sent() -> usize {
    SENT.lock().unwrap().0
}

/// The frames it has sent since it had sent so many, as far as they are kept.
pub(super) fn sent_since(before: usize) -> Vec<Vec<u8>> {
    let sent = SENT.lock().unwrap();
    let new = sent.0 - before;
    let old = sent.1.len().saturating_sub(new);
    sent.1.iter().skip(old).cloned().collect()
}

unsafe extern "C" fn state(_: *mut c_void, _: u32, _: u32) {}

static OPS: Ops = Ops { transmit, state };

pub(super) struct Link(*mut Vif);

impl Link {
    /// An interface with the address 10.9.0.1/24.
    pub(super) fn new() -> Self {
        let config = Config {
            version: VERSION,
            unit: -1,
            mtu: 0,
            offloads: 0,
            address: MAC,
            link: 1,
            pad: 0,
        };
        let (mut vif, mut name) = (null_mut(), [0; NAME_SIZE]);
        // SAFETY: the table is a static, and there are places for the answers.
        let error =
            unsafe { rump_vif_create(&raw const OPS, null_mut(), &config, &mut vif, &mut name) };
        assert_eq!(error, 0);
        let mut request = [0; size_of::<abi::ifaliasreq>()];
        for (to, byte) in request.iter_mut().zip(name) {
            *to = byte as u8;
        }
        let inet = abi::AF_INET as u8;
        request[16..24].copy_from_slice(&[16, inet, 0, 0, 10, 9, 0, 1]);
        request[48..56].copy_from_slice(&[16, inet, 0, 0, 255, 255, 255, 0]);
        lock().configure(abi::SIOCAIFADDR, &mut request).unwrap();
        Self(vif)
    }

    pub(super) fn receive(&self, frame: &mut [u8], flags: u8) {
        let rx = Rx {
            data: frame.as_mut_ptr(),
            len: frame.len() as u32,
            room: frame.len() as u32,
            offload: Offload {
                flags,
                ..Offload::default()
            },
            ..Rx::EMPTY
        };
        // SAFETY: the interface is there as long as this value, and so is the frame.
        unsafe { rump_vif_receive(self.0, &raw const rx, 1) };
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and removed once.
        unsafe { rump_vif_destroy(self.0) };
    }
}

/// An echo request to the interface, in a frame.
fn echo_request() -> Vec<u8> {
    let message = Icmpv4Repr::EchoRequest {
        ident: 1,
        seq_no: 2,
        data: b"are you there",
    };
    ipv4(THERE, IpProtocol::Icmp, message.buffer_len(), |payload| {
        let sums = ChecksumCapabilities::default();
        message.emit(&mut Icmpv4Packet::new_unchecked(payload), &sums);
    })
}

/// How many frames the kernel sends when it is given one.
fn answers(link: &Link, frame: &[u8]) -> usize {
    let before = sent();
    link.receive(&mut frame.to_vec(), 0);
    sent() - before
}

#[test]
fn echo_requests_are_answered_if_they_are_right() {
    let _kernel = boot();
    let link = Link::new();
    let right = echo_request();
    assert_eq!(answers(&link, &right), 1);
    for at in [
        0,           // for another station
        14 + 10,     // the checksum of the header
        14 + 16,     // to another address
        14 + 20 + 2, // the checksum of the message
        right.len() - 1,
    ] {
        let mut wrong = right.clone();
        wrong[at] ^= 4;
        assert_eq!(answers(&link, &wrong), 0, "byte {at}");
    }
    for length in 0..right.len() {
        assert_eq!(answers(&link, &right[..length]), 0, "{length} bytes");
    }
}

#[test]
fn whoever_asks_for_the_address_is_answered() {
    let _kernel = boot();
    let link = Link::new();
    for from in [THERE, Ipv4Address::new(172, 16, 0, 1)] {
        let before = sent();
        assert_eq!(answers(&link, &arp(from)), 1, "{from}");
        let answer = &sent_since(before)[0];
        // To whom, from whom, a reply, and whose address it tells.
        assert_eq!((&answer[..6], &answer[6..12]), (&THEIRS[..], &MAC[..]));
        assert_eq!(answer[20..22], [0, 2]);
        assert_eq!(
            (&answer[22..28], &answer[28..32]),
            (&MAC[..], &HERE.octets()[..])
        );
        assert_eq!(answer[38..42], from.octets());
    }
    let mut nonsense = arp(Ipv4Address::BROADCAST);
    assert_eq!(answers(&link, &nonsense), 0);
    nonsense = arp(THERE);
    nonsense[41] ^= 8;
    assert_eq!(answers(&link, &nonsense), 0, "for another host");
}

#[test]
fn malformed_frames_are_survived() {
    let _kernel = boot();
    let count = 200_000;
    let seed = hypercall::random() | 1;
    println!("seed {seed:#x}");
    let mut random = Rng::with_seed(seed);
    let link = Link::new();
    let arp = arp(THERE);
    // A neighbour solicitation, as far as it matters here: IPv6, ICMPv6, type 135.
    let mut solicitation = [MAC, THEIRS].concat();
    solicitation.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
    solicitation.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    solicitation.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]);
    solicitation.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    solicitation.extend([0; 16]);
    assert_eq!(answers(&link, &arp), 1);
    let (_listener, port) = listener_at(HERE);
    let (datagrams, address) = bound(abi::AF_INET, abi::SOCK_DGRAM);
    // A connection from there, so that segments meet one.
    let before = sent();
    link.receive(
        &mut tcp((THERE, 5000), port, TcpControl::Syn, 1000, None, &[]),
        0,
    );
    let answer = sent_since(before).pop().expect("an answer");
    let number = TcpPacket::new_unchecked(&answer[34..]).seq_number() + 1;
    let segment =
        |control, data: &[u8]| tcp((THERE, 5000), port, control, 1001, Some(number), data);
    // What says that a datagram of ours met nobody.
    let quote = [address.port().to_be_bytes(), [0, 9], [0, 16], [0, 0]].concat();
    let message = Icmpv4Repr::DstUnreachable {
        reason: Icmpv4DstUnreachable::PortUnreachable,
        header: Ipv4Repr {
            src_addr: HERE,
            dst_addr: THERE,
            next_header: IpProtocol::Udp,
            payload_len: 16,
            hop_limit: 64,
        },
        data: &quote,
    };
    let unreachable = ipv4(THERE, IpProtocol::Icmp, message.buffer_len(), |payload| {
        let sums = ChecksumCapabilities::default();
        message.emit(&mut Icmpv4Packet::new_unchecked(payload), &sums);
    });
    let seeds = [
        echo_request(),
        arp.clone(),
        solicitation,
        tcp((THERE, 5001), port, TcpControl::Syn, 7, None, &[]),
        segment(TcpControl::None, &[]),
        segment(TcpControl::Psh, &[7; 300]),
        segment(TcpControl::Fin, &[]),
        segment(TcpControl::Rst, &[]),
        udp(THERE, address.port(), b"datagram"),
        udp(THERE, 9, b"nobody"),
        unreachable,
    ];
    for _ in 0..count {
        let mut frame = seeds[random.usize(..seeds.len())].clone();
        match random.usize(..4) {
            0 => frame.truncate(random.usize(..frame.len() + 1)),
            1 => frame.extend((0..random.usize(..64)).map(|_| random.u8(..))),
            _ => {}
        }
        for _ in 0..random.usize(..6) {
            if !frame.is_empty() {
                let at = random.usize(..frame.len());
                frame[at] = random.u8(..);
            }
        }
        // Half of them as if a host had verified them: they get further.
        let flags = if random.usize(..2) == 0 {
            DATA_VALID
        } else {
            0
        };
        link.receive(&mut frame, flags);
    }
    println!("{count} frames of {} kinds", seeds.len());
    drop(datagrams);
    // Frames that changed the neighbour's address are forgotten by another.
    link.receive(&mut arp.clone(), 0);
    assert_eq!(answers(&link, &echo_request()), 1);
}

/// The other side's `FIN` comes twice; the answer to the second one meets nobody there, who
/// says so: what came before is there to be read, and then its end.
#[test]
fn a_reset_after_both_ends_is_no_error() {
    let _kernel = boot();
    let link = Link::new();
    link.receive(&mut arp(THERE), 0);
    let (listener, port) = listener_at(HERE);
    let give = |control, sequence, acknowledged, data: &[u8]| {
        let before = sent();
        let mut frame = tcp((THERE, 5002), port, control, sequence, acknowledged, data);
        link.receive(&mut frame, 0);
        sent_since(before).pop()
    };
    let answer = give(TcpControl::Syn, 1000, None, &[]).expect("an answer");
    let number = TcpPacket::new_unchecked(&answer[34..]).seq_number() + 1;
    give(TcpControl::None, 1001, Some(number), &[]);
    let server = accept(&listener);
    // SAFETY: takes numbers.
    checked(unsafe { rump___sysimpl_shutdown(server.0, abi::SHUT_WR) });
    give(TcpControl::Fin, 1001, Some(number + 1), b"all");
    give(TcpControl::Fin, 1001, Some(number + 1), b"all").expect("acknowledged again");
    give(TcpControl::Rst, 1005, None, &[]);
    assert_eq!(&receive::<3>(&server), b"all");
    let mut byte = [0_u8];
    // SAFETY: the byte is written.
    let end = unsafe { rump___sysimpl_read(server.0, byte.as_mut_ptr().cast(), 1) };
    assert_eq!(checked(end), 0);
}

#[test]
fn a_thousand_interfaces_leave_nothing() {
    let _kernel = boot();
    drop(Link::new());
    let count = || {
        let kernel = lock();
        (
            kernel.net.interfaces.iter().count(),
            kernel.processes.lwps(),
        )
    };
    let before = count();
    for _ in 0..1000 {
        let link = Link::new();
        assert_eq!(answers(&link, &echo_request()), 1);
        drop(link);
    }
    assert_eq!(count(), before);
}
