//! Splices, counted and timed: what their replacement loses, and what it leaves behind. These
//! tests come one after another, so that they do not meet.

#[path = "common/bridge.rs"]
mod bridge;
mod common;
#[path = "common/stream.rs"]
mod stream;

use bridge::{Net, Result, advance, finish};
use common::Outcome;
use rump::iface::Splice;
use rump::metrics::Snapshot;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Mbufs that the kernel has, of all types.
fn mbufs() -> u64 {
    let all = Snapshot::take().unwrap();
    all.get("rump_mbufs").unwrap()
}

fn nothing_is_left_behind() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    let most = std::cell::Cell::new(0);
    let round = || -> Result<()> {
        let streams = net.streams()?;
        for _ in 0..10 {
            let tap = link.replace(Splice::over(lower.name())?)?;
            // What it cannot do is cut up and summed up in the kernel.
            lower.set_capabilities(0)?;
            advance(&streams, 1 << 18);
            most.set(most.get().max(mbufs()));
            lower.set_capabilities(lower.capabilities()?.possible)?;
            advance(&streams, 1 << 18);
            drop(link.replace(tap)?);
        }
        finish(streams)?;
        Ok(())
    };
    round()?;
    let settled = || {
        // Connections that were closed wait for a while, and hold some.
        let began = Instant::now();
        let mut least = u64::MAX;
        while began.elapsed() < Duration::from_secs(3) {
            least = least.min(mbufs());
            std::thread::sleep(Duration::from_millis(50));
        }
        least
    };
    let before = settled();
    for _ in 0..5 {
        round()?;
    }
    let after = settled();
    let most = most.get();
    println!("{before} mbufs before, {after} after 50 replacements more, {most} meanwhile");
    assert!(most > 20, "they are not counted");
    assert!(after <= before + 8, "{before} mbufs before, {after} after");
    Ok(())
}

/// Sends numbered datagrams evenly while the back end is replaced, and tells how many were
/// lost, and how long none came.
fn the_gap_is_short() -> Outcome {
    const EVERY: Duration = Duration::from_micros(200);
    const SWITCHES: u32 = 100;
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    let inside = rump::net::UdpSocket::bind(stream::at(&net.v4(), 0))?;
    inside.set_read_timeout(Some(Duration::from_secs(1)))?;
    let outside = std::net::UdpSocket::bind(format!("10.2.{}.1:0", net.number))?;
    outside.connect(inside.local_addr()?)?;
    let run = |switch: &dyn Fn() -> Result<()>| -> Result<(u64, u64, Duration)> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| -> io::Result<u64> {
                let mut number = 0_u64;
                let began = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    outside.send(&number.to_ne_bytes())?;
                    number += 1;
                    let next = EVERY * number as u32;
                    std::thread::sleep(next.saturating_sub(began.elapsed()));
                }
                outside.send(b"end")?;
                Ok(number)
            });
            let receiver = scope.spawn(|| -> io::Result<(u64, Duration)> {
                let (mut count, mut gap, mut last) = (0, Duration::ZERO, Instant::now());
                let mut buffer = [0; 16];
                loop {
                    if inside.recv(&mut buffer)? != 8 {
                        return Ok((count, gap));
                    }
                    gap = gap.max(last.elapsed());
                    last = Instant::now();
                    count += 1;
                }
            });
            let switched = switch();
            stop.store(true, Ordering::Relaxed);
            let sent = sender.join().unwrap()?;
            let (received, gap) = receiver.join().unwrap()?;
            switched?;
            Ok((sent, received, gap))
        })
    };
    let still = run(&|| {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    })?;
    let moving = run(&|| {
        for _ in 0..SWITCHES / 2 {
            std::thread::sleep(Duration::from_millis(10));
            let tap = link.replace(Splice::over(lower.name())?)?;
            std::thread::sleep(Duration::from_millis(10));
            drop(link.replace(tap)?);
        }
        Ok(())
    })?;
    for (what, (sent, received, gap)) in [("no switch", still), ("switches", moving)] {
        println!(
            "{what}: {} of {sent} datagrams lost, none for {gap:?}",
            sent - received
        );
    }
    let lost = moving.0 - moving.1;
    assert!(lost <= u64::from(SWITCHES) / 10, "{lost} lost");
    Ok(())
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            ("root::nothing_is_left_behind", nothing_is_left_behind),
            ("root::the_gap_is_short", the_gap_is_short),
        ],
        |_| Some("rump-lite has no other interfaces"),
    )
}
