//! What was closed is gone: descriptors, lwps and memory after many connections.

mod common;

use common::Outcome;
use rump::descriptor::AsDescriptor;
use rump::iface::Pair;
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::process::{self, Process};
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

fn main() {
    common::run_on_kernel_in_turn([
        ("leaks::connections", connections),
        ("leaks::reset_connections", reset_connections),
        ("leaks::failed_connections", failed_connections),
        ("leaks::open_connections", open_connections),
        ("leaks::threads_and_processes", threads_and_processes),
        ("leaks::interfaces", interfaces),
    ]);
}

/// How many connections one after the other.
const CYCLES: usize = 10_000;

/// What connections that wait in `TIME_WAIT` may hold, in KiB. They are all that remains,
/// and NetBSD keeps the whole socket of each, about 5 KiB, for some seconds.
fn waiting() -> usize {
    match rump_sys::kernel::KIND {
        rump_sys::kernel::Kind::Lite => 0,
        _ => 6 * CYCLES,
    }
}

/// The number that the next descriptor gets.
fn lowest_descriptor() -> io::Result<i32> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.as_descriptor().as_raw())
}

/// Resident memory of this process in KiB (`VmRSS` of proc(5)).
fn resident() -> io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

/// Does something twice; the second time may leave nothing that the first has not.
fn leaves_nothing(what: &str, most: usize, work: impl Fn() -> io::Result<()>) -> Outcome {
    work()?;
    let (descriptor, before) = (lowest_descriptor()?, resident()?);
    work()?;
    let grown = resident()?.saturating_sub(before);
    println!("{what}: {grown} KiB more than {before} KiB resident");
    assert_eq!(lowest_descriptor()?, descriptor, "descriptors are left");
    assert!(grown < most, "{grown} KiB more than {before} KiB");
    Ok(())
}

fn one_after_the_other(
    close: impl Fn(usize, TcpStream, TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7777")?;
    let address = listener.local_addr()?;
    for number in 0..CYCLES {
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&[number as u8])?;
        server.read_exact(&mut [0])?;
        close(number, client, server)?;
    }
    Ok(())
}

/// Both sides come to be the one in `TIME_WAIT`.
fn connections() -> Outcome {
    leaves_nothing("connections", 8192 + waiting(), || {
        one_after_the_other(|number, client, server| {
            if number % 2 == 0 {
                drop((client, server));
            } else {
                drop((server, client));
            }
            Ok(())
        })
    })
}

/// No side waits.
fn reset_connections() -> Outcome {
    leaves_nothing("reset connections", 2048, || {
        one_after_the_other(|number, client, server| {
            let (first, second) = if number % 2 == 0 {
                (client, server)
            } else {
                (server, client)
            };
            first.set_linger(Some(Duration::ZERO))?;
            drop((first, second));
            Ok(())
        })
    })
}

/// To port 0, which the kernel refuses at once.
fn failed_connections() -> Outcome {
    leaves_nothing("failed connections", 1024, || {
        for _ in 0..CYCLES {
            let error = TcpStream::connect("127.0.0.1:0").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        }
        Ok(())
    })
}

fn open_connections() -> Outcome {
    leaves_nothing("open connections", 8192, || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut open = Vec::new();
        for _ in 0..1000 {
            let client = TcpStream::connect(address)?;
            open.push((client, listener.accept()?.0));
        }
        for (number, (client, server)) in open.iter_mut().enumerate() {
            client.write_all(&number.to_be_bytes())?;
            let mut bytes = [0; 8];
            server.read_exact(&mut bytes)?;
            assert_eq!(usize::from_be_bytes(bytes), number);
        }
        Ok(())
    })
}

fn threads_and_processes() -> Outcome {
    leaves_nothing("threads and processes", 4096, || {
        for _ in 0..1000 {
            let thread = thread::spawn(|| -> io::Result<()> {
                let here = process::id()?;
                let other = Process::with_descriptors()?;
                assert_ne!(other.enter(process::id)??, here);
                Ok(())
            });
            thread.join().expect("the thread does not panic")?;
        }
        Ok(())
    })
}

/// The host's threads and descriptors of this process.
fn of_the_host() -> io::Result<[usize; 2]> {
    let count = |folder| Ok::<_, io::Error>(std::fs::read_dir(folder)?.count());
    Ok([count("/proc/self/task")?, count("/proc/self/fd")?])
}

/// Those of a back end come with it, and go with it.
fn interfaces() -> Outcome {
    let kernel = common::boot();
    // With many, NetBSD 7.99.34 can find a circle in its list of IPv6 addresses
    // (in6_update_ifa), and never return.
    let old = kernel.identity()?.release.starts_with("7.");
    let pairs = if old { 2 } else { 500 };
    let attach = || -> io::Result<()> {
        for _ in 0..pairs {
            let (one, other) = Pair::new();
            let one = kernel.attach(one).map_err(io::Error::other)?;
            let other = kernel.attach(other).map_err(io::Error::other)?;
            one.add_address("10.30.0.1/24".parse().map_err(io::Error::other)?)?;
            other.set_up(true)?;
            // Somebody is asked for.
            UdpSocket::bind("10.30.0.1:0")?.send_to(b"anybody?", "10.30.0.9:9")?;
        }
        Ok(())
    };
    attach()?;
    let before = of_the_host()?;
    leaves_nothing(&format!("{} interfaces", 2 * pairs), 4096, attach)?;
    let after = of_the_host()?;
    println!("{before:?} threads and descriptors of the host, then {after:?}");
    assert_eq!(before, after);
    Ok(())
}
