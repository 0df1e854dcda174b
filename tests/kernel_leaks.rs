//! What was closed is gone: descriptors, lwps and memory after many connections.

mod common;

use common::Outcome;
use rump::descriptor::AsDescriptor;
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::process::{self, Process};
use std::io::{self, Read, Write};
use std::thread;

fn main() {
    common::run_on_kernel_in_turn([
        ("leaks::connections", connections),
        ("leaks::open_connections", open_connections),
        ("leaks::threads_and_processes", threads_and_processes),
    ]);
}

/// How many connections one after the other. On NetBSD some of them take seconds, when a
/// port comes round whose last connection is still in `TIME_WAIT`.
fn cycles() -> usize {
    match rump_sys::kernel::KIND {
        rump_sys::kernel::Kind::Lite => 10_000,
        _ => 1000,
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

fn one_after_the_other(count: usize) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for number in 0..count {
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&[number as u8])?;
        server.read_exact(&mut [0])?;
        // Both sides come to be the one in TIME_WAIT.
        if number % 2 == 0 {
            drop((client, server));
        } else {
            drop((server, client));
        }
    }
    Ok(())
}

fn connections() -> Outcome {
    leaves_nothing("connections", 8192, || one_after_the_other(cycles()))
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
