//! Programs that are killed in the middle of calls: nothing of them stays in the kernel.
//!
//! The kernel and the supervisor are in this process, where they can be counted.
//! `RUMP_TEST_LONG=1` kills 1,000 of them.

use super::common::{self, Outcome};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use rump::descriptor::AsDescriptor;
use rump::net::UdpSocket;
use rump_linux::back::in_process::InProcess;
use rump_seccomp::Supervisor;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Waits in calls, and is busy in others.
pub fn victim() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = listener.local_addr().unwrap();
    let mut silent = TcpStream::connect(name).unwrap();
    let (full, _) = listener.accept().unwrap();
    let mut busy = TcpStream::connect(name).unwrap();
    let (mut other, _) = listener.accept().unwrap();
    thread::spawn(move || listener.accept());
    thread::spawn(move || silent.read(&mut [0; 16]).map(|_| silent));
    thread::spawn(move || (&full).write_all(&vec![0; 1 << 24]).map(|()| full));
    thread::spawn(move || while busy.write_all(&[1; 3000]).is_ok() {});
    // What is busy has a child, too, which is left to end by itself.
    let _ = std::process::Command::new("true").status();
    while other.read(&mut [0; 4000]).is_ok() {}
}

/// The number that the kernel's next descriptor gets.
fn lowest_descriptor() -> std::io::Result<i32> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.as_descriptor().as_raw())
}

/// The names of this process's threads; each that calls the kernel has an lwp.
fn threads() -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        // It may have ended meanwhile.
        if let Ok(name) = std::fs::read_to_string(thread?.path().join("comm")) {
            names.push(name.trim().into());
        }
    }
    names.sort();
    Ok(names)
}

fn enter() {
    let _ = rump::process::id();
}

fn kill_some(supervisor: &Supervisor, count: u64) -> Outcome {
    let program = std::env::current_exe()?;
    let arguments = ["RUMP_TEST_ROLE=victim".as_ref(), program.as_os_str()];
    for number in 0..count {
        let (child, programs) = supervisor.spawn(OsStr::new("env"), &arguments)?;
        // From before its first call to when all of it waits.
        thread::sleep(Duration::from_micros(number * 7919 % 40_000));
        kill(child.pid(), Signal::SIGKILL)?;
        waitpid(child.pid(), None)?;
        drop(programs);
    }
    let limit = Instant::now() + Duration::from_secs(10);
    while supervisor.count() > 0 && Instant::now() < limit {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(supervisor.count(), 0, "sockets are left");
    Ok(())
}

/// Of the names of threads, in order, those that were not there before.
fn more(after: &[String], before: &[String]) -> Vec<String> {
    let mut before = before.to_vec();
    let is_new = |name: &&String| {
        let known = before.iter().position(|other| other == *name);
        known.map(|at| before.swap_remove(at)).is_none()
    };
    after.iter().filter(is_new).cloned().collect()
}

pub fn test() -> Outcome {
    common::boot();
    let count = if std::env::var_os("RUMP_TEST_LONG").is_some() {
        1000
    } else {
        50
    };
    let supervisor = Supervisor::new(Arc::new(InProcess), enter)?;
    kill_some(&supervisor, 10)?;
    // Calls of those that are gone are ended within some periods of 10 ms.
    thread::sleep(Duration::from_millis(500));
    let before = (lowest_descriptor()?, threads()?);
    kill_some(&supervisor, count)?;
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let after = (lowest_descriptor()?, threads()?);
        // One that was about to end before has ended.
        if after.0 == before.0 && more(&after.1, &before.1).is_empty() {
            return Ok(());
        }
        if Instant::now() > limit {
            return Err(format!("next descriptor and threads: {before:?}, now {after:?}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
