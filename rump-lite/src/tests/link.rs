//! Interfaces whose other end is in the host, which is the test here: frames of every kind
//! of wrong, and many that come and go.

use super::fuzz::Random;
use super::{boot, lock};
use crate::hypercall;
use crate::net::vif::{rump_vif_create, rump_vif_destroy, rump_vif_receive};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use rump_abi as abi;
use rump_hyper::vif::abi::{Config, DATA_VALID, NAME_SIZE, Offload, Ops, Rx, Tx, VERSION, Vif};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr};
use std::println;
use std::vec::Vec;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Frames that the kernel has handed to the host.
static SENT: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn transmit(_: *mut c_void, _: u32, _: *const Tx, count: u32) {
    SENT.fetch_add(count as usize, Ordering::Relaxed);
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

    fn receive(&self, frame: &mut [u8], flags: u8) {
        let rx = Rx {
            data: frame.as_mut_ptr(),
            len: frame.len() as u32,
            room: frame.len() as u32,
            lease: null_mut(),
            offload: Offload {
                flags,
                ..Offload::default()
            },
            pad: [0; 6],
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
    let sums = ChecksumCapabilities::default();
    let message = Icmpv4Repr::EchoRequest {
        ident: 1,
        seq_no: 2,
        data: b"are you there",
    };
    let ip = Ipv4Repr {
        src_addr: [10, 9, 0, 2].into(),
        dst_addr: [10, 9, 0, 1].into(),
        next_header: IpProtocol::Icmp,
        payload_len: message.buffer_len(),
        hop_limit: 64,
    };
    let mut frame = [MAC, THEIRS].concat();
    frame.extend([8, 0]);
    frame.resize(14 + ip.buffer_len() + message.buffer_len(), 0);
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.emit(&mut packet, &sums);
    message.emit(
        &mut Icmpv4Packet::new_unchecked(packet.payload_mut()),
        &sums,
    );
    frame
}

/// How many frames the kernel sends when it is given one.
fn answers(link: &Link, frame: &[u8]) -> usize {
    let before = SENT.load(Ordering::Relaxed);
    link.receive(&mut frame.to_vec(), 0);
    SENT.load(Ordering::Relaxed) - before
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
fn malformed_frames_are_survived() {
    let _kernel = boot();
    let count = 200_000;
    let seed = hypercall::random() | 1;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let link = Link::new();
    let mut arp = [[0xff; 6], THEIRS].concat();
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(THEIRS);
    arp.extend([10, 9, 0, 2, 0, 0, 0, 0, 0, 0, 10, 9, 0, 1]);
    // A neighbour solicitation, as far as it matters here: IPv6, ICMPv6, type 135.
    let mut solicitation = [MAC, THEIRS].concat();
    solicitation.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
    solicitation.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    solicitation.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]);
    solicitation.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    solicitation.extend([0; 16]);
    let seeds = [echo_request(), arp.clone(), solicitation];
    assert_eq!(answers(&link, &arp), 1);
    for _ in 0..count {
        let mut frame = seeds[random.below(seeds.len())].clone();
        match random.below(4) {
            0 => frame.truncate(random.below(frame.len() + 1)),
            1 => frame.extend((0..random.below(64)).map(|_| random.next() as u8)),
            _ => {}
        }
        for _ in 0..random.below(6) {
            if !frame.is_empty() {
                let at = random.below(frame.len());
                frame[at] = random.next() as u8;
            }
        }
        // Half of them as if a host had verified them: they get further.
        let flags = if random.below(2) == 0 { DATA_VALID } else { 0 };
        link.receive(&mut frame, flags);
    }
    println!("{count} frames");
    assert_eq!(answers(&link, &echo_request()), 1);
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
