//! An application that rewrites the headers of frames that are in its ring, while the server
//! checks and sends them. What comes out beyond the TAP interface is judged by its bytes.

use crate::Outcome;
use crate::bare::{Bare, LINUX, PATIENCE, Server};
use fastrand::Rng;
use rump_hyper::linux::Packet;
use rump_hyper::vif::{Backend, Batch, Pool, Transmit, backend::Piece};
use rump_ring::control::{Protocol::Udp, Welcome};
use rump_ring::lane;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// What all payload of the hostile application's consists of.
const MARK: u8 = 0x42;
/// Ethernet, IP and UDP.
const HEADERS: usize = 42;
const PAYLOAD: usize = 300;
/// What a message of that length takes up in a ring, and how much of it is before the frame.
const MESSAGE: u64 = 16 + (HEADERS + PAYLOAD).next_multiple_of(16) as u64;
const BEFORE: u64 = 16;
/// So many frames are put in at a time.
const AT_A_TIME: usize = 16;
/// The last so many are rewritten.
const NEAR: u64 = 64;

/// The ring that an application sends into, as a part of a file.
struct Ring {
    file: File,
    start: u64,
    data: u64,
}

impl Ring {
    fn of(bare: &Bare) -> Self {
        let data = bare.welcome.data as usize;
        // The maker's lane is before it.
        Self {
            file: bare.memory.try_clone().unwrap().into(),
            start: (lane::size(data) + lane::size(0)) as u64,
            data: data as u64,
        }
    }

    /// Writes over the message of that number.
    fn write(&self, message: u64, offset: u64, bytes: &[u8]) {
        let at = (message * MESSAGE + BEFORE + offset) % self.data;
        let len = bytes.len().min((self.data - at) as usize);
        let written = self.file.write_all_at(&bytes[..len], self.start + at);
        written.unwrap();
    }
}

/// Whether the headers of a frame, where they stand without options, are of the application that
/// was told so and has this port of UDP: its ephemeral ports are its own, too, and messages of
/// ICMP and IGMP have none.
fn is_true(frame: &[u8], welcome: &Welcome, port: u16) -> bool {
    let own = frame[6..12] == welcome.mac && frame[26..30] == [10, 9, 0, 3];
    let from = u16::from_be_bytes([frame[34], frame[35]]);
    let may = match frame[23] {
        1 | 2 => true,
        17 => from == port || welcome.ports.contains(&from),
        6 => welcome.ports.contains(&from),
        _ => false,
    };
    frame[12..15] == [8, 0, 0x45] && own && may
}

/// Rewrites headers until it is to stop: with those of another, with parts of them, with
/// anything, and with the true ones again.
fn rewrite(ring: &Ring, sent: &AtomicU64, done: &AtomicBool, good: &[u8], forged: &[u8]) -> u64 {
    let mut random = Rng::with_seed(0x1b87_3c6e_f372_fe94);
    let mut writes = 0;
    while !done.load(Ordering::Relaxed) {
        let message = (sent.load(Ordering::Relaxed) + 2).saturating_sub(random.u64(..NEAR));
        match random.u8(..8) {
            0..3 => ring.write(message, 0, forged),
            3 => ring.write(message, 6, &forged[6..12]),
            4 => ring.write(message, 26, &forged[26..36]),
            5 => ring.write(message, random.u64(..HEADERS as u64), &[random.u8(..)]),
            _ => ring.write(message, 0, good),
        }
        writes += 1;
    }
    writes
}

pub fn rewriting() -> Outcome {
    let count = std::env::var("RUMP_SERVER_REWRITES").map_or(Ok(100_000), |text| text.parse());
    let count: u64 = count.map_err(|error| format!("RUMP_SERVER_REWRITES: {error}"))?;
    let server = Server::start("");
    let (victim, hostile) = (server.bare("one", "victim"), server.bare("two", "hostile"));
    assert_eq!(victim.claim(Udp, "0.0.0.0", 9), 0);
    assert_eq!(hostile.claim(Udp, "0.0.0.0", 10), 0);
    // Linux's end of the interface: what the server has sent.
    let wire = Packet::open(&server.tap)?;
    let datagram = hostile.datagram(("10.9.0.3", 10), (LINUX, 9), &[MARK; PAYLOAD]);
    let mut other = datagram.clone();
    other.from_mac = victim.welcome.mac;
    other.from = ("10.9.0.2".parse()?, 9);
    let ((good, offload), (forged, _)) = (datagram.frame(), other.frame());
    let ring = Ring::of(&hostile);
    let (sent, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (writes, passed, wrong) = std::thread::scope(|scope| {
        let (good, forged) = (&good[..], &forged[..]);
        let (sent, done) = (&sent, &done);
        let writer =
            scope.spawn(|| rewrite(&ring, sent, done, &good[..HEADERS], &forged[..HEADERS]));
        let listener = scope.spawn(|| {
            let (mut passed, mut wrong) = (0_u64, Vec::new());
            let mut batch = Batch::new(Pool::new(0));
            while !done.load(Ordering::Relaxed) {
                wire.receive(0, &mut batch).unwrap();
                for frame in batch.take_all() {
                    let bytes = frame.bytes();
                    if bytes.len() != HEADERS + PAYLOAD || bytes.last() != Some(&MARK) {
                        continue;
                    }
                    passed += 1;
                    if !is_true(bytes, &hostile.welcome, 10) {
                        wrong.push(bytes[..HEADERS].to_vec());
                    }
                }
            }
            (passed, wrong)
        });
        let pieces = [Piece::new(good)];
        let frames = vec![Transmit::new(&pieces, offload); AT_A_TIME];
        let start = Instant::now();
        while sent.load(Ordering::Relaxed) < count && start.elapsed() < 6 * PATIENCE {
            let took = hostile.end.send_all(0, &frames, PATIENCE);
            // Nothing was written where the server would complain of it.
            let took = took.expect("the server goes on") as u64;
            sent.fetch_add(took, Ordering::Relaxed);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        done.store(true, Ordering::Relaxed);
        wire.wake();
        let writes = writer.join().expect("no panic");
        let (passed, wrong) = listener.join().expect("no panic");
        (writes, passed, wrong)
    });
    let counters = server.application("hostile").counters;
    println!(
        "{} frames, headers written {writes} times meanwhile: {passed} passed; {:?}",
        sent.into_inner(),
        counters.dropped
    );
    assert!(
        wrong.is_empty(),
        "{} of {passed}: {:x?}",
        wrong.len(),
        wrong[0]
    );
    // Both were there to be judged.
    let refused = |reason: &str| counters.dropped.get(reason).copied().unwrap_or_default();
    assert!(passed > 0 && refused("source-mac") > 0, "{counters:?}");
    assert!(server.application("victim").counters.sent.0 == 0);
    Ok(())
}
