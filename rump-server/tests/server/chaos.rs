//! A client that writes what it pleases, while another works.

use crate::Outcome;
use crate::bare::{Bare, LINUX, PATIENCE, Server, hail, linux, port};
use fastrand::Rng;
use nix::sys::socket::{MsgFlags, send};
use rump_ring::control::Protocol::Udp;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes into the memory of its rings: counts, lengths, headers, anything.
fn memory(bare: &Bare, file: &std::fs::File, random: &mut Rng) -> u64 {
    const WRITES: u64 = 200;
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    // Good frames between, so that there is something to spoil.
    for _ in 0..4 {
        let (frame, offload) = bare
            .datagram(("10.9.0.3", 9), (LINUX, 9), &[0; 300])
            .frame();
        let pieces = [rump_hyper::vif::backend::Piece::new(&frame)];
        let _ = bare
            .end
            .send(0, &[rump_hyper::vif::Transmit::new(&pieces, offload)]);
    }
    for _ in 0..WRITES {
        let value = match random.u64(..4) {
            0 => random.u64(..),
            1 => random.u64(..4096) * 16,
            2 => random.u64(..2),
            _ => u64::MAX,
        };
        // Where counts stand, at the start of the lanes, most of all.
        let at = match random.u64(..4) {
            0 => random.u64(..8) * 64,
            1 => len / 2 + random.u64(..8) * 64,
            2 => random.u64(..65_536),
            _ => random.u64(..len),
        };
        let _ = file.write_all_at(&value.to_ne_bytes(), (at & !7).min(len - 8));
    }
    WRITES
}

/// Sends messages that are none, and some that are.
fn messages(socket: &OwnedFd, random: &mut Rng) -> u64 {
    const MESSAGES: u64 = 20;
    for _ in 0..MESSAGES {
        let mut bytes = vec![0; random.usize(..80) + 1];
        bytes.fill_with(|| random.u8(..));
        if random.u8(..4) > 0 && bytes.len() > 2 {
            bytes[0] = random.u8(..6);
            bytes[1] = 0;
        }
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        if send(socket.as_raw_fd(), &bytes, flags).is_err() {
            break;
        }
    }
    MESSAGES
}

/// Does it until no signal has come between.
fn again<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.unwrap(),
        }
    }
}

pub fn chaos() -> Outcome {
    let server = Server::start("");
    let count = std::env::var("RUMP_SERVER_CHAOS").map_or(Ok(60_000), |text| text.parse::<u64>());
    let count = count.map_err(|error| format!("RUMP_SERVER_CHAOS: {error}"))?;
    let worker = server.status().worker;
    let good = server.bare("one", "good");
    assert_eq!(good.claim(Udp, "0.0.0.0", 9), 0);
    let socket = linux(LINUX);
    let done = AtomicBool::new(false);
    let (tried, rounds) = std::thread::scope(|scope| {
        let rounds = scope.spawn(|| {
            let mut rounds = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let data = rounds.to_le_bytes();
                again(|| socket.send_to(&data, ("10.9.0.2", 9)));
                let came = good.receive(PATIENCE, |datagram| datagram.data == data);
                let Some(datagram) = came.last() else {
                    let status = server.status();
                    panic!("round {rounds}: nothing comes; {status:?}");
                };
                let to = (LINUX, port(&socket));
                good.send(&good.datagram(("10.9.0.2", 9), to, &datagram.data));
                let mut bytes = [0; 100];
                let (len, from) = again(|| socket.recv_from(&mut bytes));
                assert_eq!(
                    (&bytes[..len], from.to_string()),
                    (&data[..], "10.9.0.2:9".into())
                );
                rounds += 1;
            }
            rounds
        });
        let mut random = Rng::with_seed(0x6b8b_4567_327b_23c6);
        let mut tried = 0;
        while tried < count {
            let Ok(bad) = Bare::connect(&server, "two", "bad", random.u64(..).into()) else {
                continue;
            };
            let file = std::fs::File::from(bad.memory.try_clone().unwrap());
            for _ in 0..3 {
                tried += memory(&bad, &file, &mut random);
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            tried += messages(&bad.socket, &mut random);
            // Strangers, too.
            if let Ok(stranger) = hail(&server.socket()) {
                tried += messages(&stranger, &mut random);
            }
        }
        done.store(true, Ordering::Relaxed);
        (tried, rounds.join())
    });
    let rounds = rounds.map_err(|_| "the other application's traffic was harmed")?;
    println!("{tried} writes and messages at random; {rounds} rounds of the other meanwhile");
    assert!(rounds > 100);
    assert_eq!(server.status().worker, worker, "the worker has not died");
    Ok(())
}
