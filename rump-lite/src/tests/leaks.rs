//! Nothing is left of what has been closed. `tests/kernel_leaks.rs` of the repository
//! measures the memory of a process that does the same.

use super::{Fd, accept, boot, connect, echo, listener, lock, receive, send, socket};
use crate::kqueue::Kqueue;
use rump_abi as abi;
use std::println;
use std::thread;

/// What there is of everything.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    lwps: usize,
    processes: usize,
    files: usize,
    sockets: usize,
    pipes: usize,
    kqueues: usize,
    connections: usize,
    lowest_descriptor: i32,
    /// Bytes that the host has given.
    memory: usize,
}

fn count() -> Count {
    let lowest_descriptor = socket(abi::AF_INET, abi::SOCK_DGRAM).0;
    let kernel = lock();
    Count {
        lwps: kernel.processes.lwps(),
        processes: kernel.processes.len(),
        files: kernel.files.len(),
        sockets: kernel.sockets.len(),
        pipes: kernel.pipes.len(),
        kqueues: kernel.kqueues.len(),
        connections: kernel.net.connections.len(),
        lowest_descriptor,
        memory: rump_hyper::memory::in_use(),
    }
}

/// One connection after the other, closed by the client first or by the server.
fn cycles(count: usize) {
    let (listener, address) = listener(abi::AF_INET);
    for number in 0..count {
        let client = connect(abi::AF_INET, abi::SOCK_STREAM, &address);
        let server = accept(&listener);
        send(&client, &[number as u8]);
        assert_eq!(receive::<1>(&server), [number as u8]);
        if number % 2 == 0 {
            drop((client, server));
        } else {
            drop((server, client));
        }
    }
}

#[test]
fn ten_thousand_connections_leave_nothing() {
    let _kernel = boot();
    cycles(1000);
    let before = count();
    cycles(10_000);
    assert_eq!(count(), before);
    println!("after 10000 cycles as before: {before:?}");
}

/// A thousand connections open at a time.
#[test]
fn many_open_connections_are_forgotten_when_closed() {
    let _kernel = boot();
    let all_at_once = || {
        let (listener, address) = listener(abi::AF_INET6);
        let mut pairs = std::vec::Vec::new();
        for _ in 0..1000 {
            let client = connect(abi::AF_INET6, abi::SOCK_STREAM, &address);
            pairs.push((client, accept(&listener)));
        }
        for (number, (client, server)) in pairs.iter().enumerate() {
            send(client, &number.to_ne_bytes());
            assert_eq!(receive::<8>(server), number.to_ne_bytes());
        }
    };
    all_at_once();
    let before = count();
    all_at_once();
    assert_eq!(count(), before);
}

/// Threads and processes come and go.
#[test]
fn lwps_and_processes_end() {
    let _kernel = boot();
    echo(abi::AF_INET);
    let before = count();
    for _ in 0..500 {
        let thread = thread::spawn(|| {
            // Implicitly, on an lwp for each call.
            echo(abi::AF_INET);
            // SAFETY: the thread has no lwp; it ends the one that it is given.
            #[allow(unsafe_code)]
            unsafe {
                assert_eq!(crate::lwp::rump_pub_lwproc_rfork(abi::RUMP_RFFD_CLEAR), 0);
                // Left open: the process closes it when it ends.
                core::mem::forget(listener(abi::AF_INET));
                crate::lwp::rump_pub_lwproc_releaselwp();
            }
        });
        thread.join().unwrap();
    }
    assert_eq!(count(), before);
}

/// Closing the two ends of everything that has ends, in any order.
#[test]
fn queues_and_pipes_end() {
    let _kernel = boot();
    let before = count();
    for round in 0..100 {
        let mut kernel = lock();
        let queue = kernel.kqueues.insert(Kqueue::default());
        let queue = Fd(kernel
            .open(1, crate::file::Object::Kqueue(queue), false, false)
            .unwrap());
        drop(kernel);
        let mut ends = [0; 2];
        // SAFETY: two numbers are written.
        #[allow(unsafe_code)]
        let made =
            unsafe { crate::syscall::descriptor::rump___sysimpl_pipe2(ends.as_mut_ptr(), 0) };
        assert_eq!(made, 0);
        let [reader, writer] = ends.map(Fd);
        for fd in [&reader, &writer] {
            let change = abi::kevent {
                ident: fd.0 as usize,
                filter: abi::EVFILT_READ,
                flags: abi::EV_ADD,
                fflags: 0,
                data: 0,
                udata: 0,
            };
            // SAFETY: one change is read, and no event written.
            #[allow(unsafe_code)]
            let result = unsafe {
                crate::syscall::event::rump___sysimpl_kevent(
                    queue.0,
                    &raw const change,
                    1,
                    core::ptr::null_mut(),
                    0,
                    core::ptr::null(),
                )
            };
            assert_eq!(result, 0);
        }
        send(&writer, b"through");
        assert_eq!(&receive::<7>(&reader), b"through");
        match round % 3 {
            0 => drop((queue, reader, writer)),
            1 => drop((reader, queue, writer)),
            _ => drop((writer, reader, queue)),
        }
    }
    assert_eq!(count(), before);
}
