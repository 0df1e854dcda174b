//! `rump::metrics`: what was done is what was counted.

mod common;

use common::Outcome;
use rump::metrics::{Kind, Snapshot};
use rump::net::{TcpListener, TcpStream, UdpSocket};
use std::io::{Read, Write};
use std::sync::Barrier;
use std::thread;

fn main() {
    common::run_on_kernel_in_turn([
        ("metrics::names_are_those_of_prometheus", names),
        ("metrics::connections_and_bytes", connections_and_bytes),
        ("metrics::datagrams_to_nobody", datagrams_to_nobody),
        ("metrics::lwps_of_threads", lwps_of_threads),
        ("metrics::mbufs_in_buffers", mbufs_in_buffers),
    ]);
}

/// Whether this kernel counts; rump-lite leaves most of it out.
fn counts(snapshot: &Snapshot, name: &str) -> bool {
    let there = snapshot.get(name).is_some();
    assert!(
        there || common::kernel_name() == "rump-lite",
        "NetBSD has {name}"
    );
    there
}

fn names() -> Outcome {
    let snapshot = Snapshot::take()?;
    assert!(snapshot.get("rump_hypercall_sleeps_total").is_some());
    for metric in &snapshot {
        let name = metric.name;
        assert!(name.starts_with("rump_"), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        assert!(
            metric.help.ends_with('.') && !metric.help.contains('\n'),
            "{name}"
        );
    }
    // Those of one name stand together: each is announced once.
    let text = snapshot.to_string();
    let mut announced: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let before = announced.len();
    announced.sort_unstable();
    announced.dedup();
    assert_eq!(announced.len(), before);
    Ok(())
}

fn connections_and_bytes() -> Outcome {
    const BYTES: usize = 100_000;
    let before = Snapshot::take()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..3 {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        let sender = thread::spawn(move || client.write_all(&[7; BYTES]));
        let mut received = Vec::new();
        server.read_to_end(&mut received)?;
        assert_eq!(received.len(), BYTES);
        sender.join().map_err(|_| "the sender panicked")??;
    }
    let since = Snapshot::take()?.since(&before);
    if !counts(&since, "rump_tcp_accepts_total") {
        return Ok(());
    }
    assert_eq!(since.get("rump_tcp_accepts_total"), Some(3));
    assert_eq!(since.get("rump_tcp_connection_attempts_total"), Some(3));
    assert_eq!(
        since.get("rump_tcp_sent_bytes_total"),
        Some(3 * BYTES as u64)
    );
    assert_eq!(
        since.get("rump_tcp_received_bytes_total"),
        Some(3 * BYTES as u64)
    );
    assert_eq!(since.get("rump_tcp_retransmitted_segments_total"), Some(0));
    let lo0 = |name: &str| {
        let of = |metric: &&rump::metrics::Metric| {
            metric.name == name && metric.label == Some(("interface", "lo0".into()))
        };
        since.iter().find(of).map_or(0, |metric| metric.value)
    };
    assert!(lo0("rump_interface_sent_bytes_total") > 3 * BYTES as u64);
    assert_eq!(
        lo0("rump_interface_sent_total"),
        lo0("rump_interface_received_total")
    );
    Ok(())
}

fn datagrams_to_nobody() -> Outcome {
    let before = Snapshot::take()?;
    let gone = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..5 {
        // Not connected, so nobody is told that nobody is there.
        socket.send_to(b"hello", gone)?;
    }
    let since = Snapshot::take()?.since(&before);
    if counts(&since, "rump_udp_no_port_total") {
        assert_eq!(since.get("rump_udp_no_port_total"), Some(5));
        assert_eq!(since.get("rump_udp_sent_total"), Some(5));
    }
    Ok(())
}

fn lwps_of_threads() -> Outcome {
    const THREADS: usize = 8;
    let before = Snapshot::take()?;
    let (here, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let during = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let called = rump::process::id();
                here.wait();
                done.wait();
                called
            });
        }
        here.wait();
        let during = Snapshot::take();
        done.wait();
        during
    })?;
    if counts(&before, "rump_lwps") {
        let lwps = |snapshot: &Snapshot| snapshot.get("rump_lwps").unwrap_or(0);
        assert_eq!(lwps(&during), lwps(&before) + THREADS as u64);
        assert!(
            during.get("rump_processes") >= Some(2),
            "the kernel's, and init's"
        );
    }
    Ok(())
}

fn mbufs_in_buffers() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (_server, _) = listener.accept()?;
    let before = Snapshot::take()?;
    client.write_all(&[7; 64 << 10])?;
    let after = Snapshot::take()?;
    if counts(&before, "rump_mbufs") {
        assert!(
            after.get("rump_mbufs") > before.get("rump_mbufs"),
            "{before}{after}"
        );
    }
    Ok(())
}
