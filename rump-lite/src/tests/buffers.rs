//! `SO_SNDBUF` and `SO_RCVBUF` are what a connection holds.

use super::{Fd, accept, boot, connected, listener, socket};
use crate::syscall::descriptor::rump___sysimpl_read;
use crate::syscall::socket::{rump___sysimpl_sendto, rump___sysimpl_setsockopt};
use core::ffi::c_int;
use core::ptr::null;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use std::vec::Vec;

fn option<T>(socket: &Fd, level: c_int, name: c_int, value: T) -> c_int {
    let (value, length) = ((&raw const value).cast(), size_of::<T>() as u32);
    // SAFETY: a value of that length is read.
    unsafe { rump___sysimpl_setsockopt(socket.0, level, name, value, length) }
}

fn set(socket: &Fd, name: c_int, bytes: c_int) -> c_int {
    option(socket, abi::SOL_SOCKET, name, bytes)
}

/// How much a connection takes before anything is read, with buffers of these sizes.
fn held(send: usize, receive: usize) -> usize {
    let (listener, address) = listener(abi::AF_INET);
    assert_eq!(set(&listener, abi::SO_RCVBUF, receive as c_int), 0);
    let client = socket(abi::AF_INET, abi::SOCK_STREAM);
    assert_eq!(set(&client, abi::SO_SNDBUF, send as c_int), 0);
    connected(&client, &address);
    let _server = accept(&listener);
    let data: Vec<u8> = std::vec![7; 4096];
    let mut sum = 0;
    loop {
        // SAFETY: the data are read; no address is given.
        let sent = unsafe {
            rump___sysimpl_sendto(
                client.0,
                data.as_ptr().cast(),
                data.len(),
                abi::MSG_DONTWAIT,
                null(),
                0,
            )
        };
        match sent {
            -1 => break,
            sent => sum += sent as usize,
        }
    }
    assert_eq!(rump_hyper::errno(), Errno::AGAIN.0);
    sum
}

#[test]
fn a_connection_holds_what_its_buffers_do() {
    let _kernel = boot();
    const K: usize = 1024;
    for (send, receive) in [
        (64 * K, 64 * K),
        (200 * K, 64 * K),
        (64 * K, 200 * K),
        (200 * K, 200 * K),
    ] {
        let held = held(send, receive);
        // The sizes of receive buffers are powers of two, and room of less than the low-water
        // mark is not used.
        let most = send + receive.next_power_of_two();
        assert!(
            (send + receive - 4 * K..=most).contains(&held),
            "{send} + {receive}: {held}"
        );
    }
}

/// A window is told in units of some bytes, rounded down: it would shrink under segments that
/// are on their way, and smoltcp would not send again what was cut off them.
#[test]
fn all_that_was_taken_arrives() {
    let _kernel = boot();
    // What the other side's buffer holds, to the last byte.
    const PART: usize = 200 * 1024;
    const ALL: usize = 256 * 1024;
    let (listener, address) = listener(abi::AF_INET);
    assert_eq!(set(&listener, abi::SO_RCVBUF, PART as c_int), 0);
    let client = socket(abi::AF_INET, abi::SOCK_STREAM);
    assert_eq!(set(&client, abi::SO_SNDBUF, PART as c_int), 0);
    // Or the last segment would wait for the acknowledgement of the one before.
    assert_eq!(option(&client, abi::IPPROTO_TCP, abi::TCP_NODELAY, 1), 0);
    connected(&client, &address);
    let server = accept(&listener);
    let data: Vec<u8> = (0..ALL).map(|at| (at / 3 % 251) as u8).collect();
    for part in [&data[..PART], &data[PART..]] {
        // SAFETY: the data are read; no address is given.
        let sent = unsafe {
            let (bytes, flags) = (part.as_ptr().cast(), abi::MSG_DONTWAIT);
            rump___sysimpl_sendto(client.0, bytes, part.len(), flags, null(), 0)
        };
        assert_eq!(sent, part.len() as isize);
    }
    let wait = abi::timeval {
        tv_sec: 5,
        tv_usec: 0,
    };
    assert_eq!(option(&server, abi::SOL_SOCKET, abi::SO_RCVTIMEO, wait), 0);
    let mut read: Vec<u8> = std::vec![0; ALL];
    let mut length = 0;
    while length < ALL {
        // SAFETY: that many bytes can be written.
        let got = unsafe {
            rump___sysimpl_read(server.0, read[length..].as_mut_ptr().cast(), ALL - length)
        };
        assert!(
            got > 0,
            "{length} of {ALL}, then errno {}",
            rump_hyper::errno()
        );
        length += got as usize;
    }
    assert!(read == data);
}

#[test]
fn more_than_sbmax_is_refused() {
    let _kernel = boot();
    let socket = socket(abi::AF_INET, abi::SOCK_STREAM);
    for name in [abi::SO_SNDBUF, abi::SO_RCVBUF] {
        assert_eq!(set(&socket, name, 200 << 10), 0);
        assert_eq!(
            (set(&socket, name, 1 << 20), rump_hyper::errno()),
            (-1, Errno::NOBUFS.0)
        );
        assert_eq!(
            (set(&socket, name, 0), rump_hyper::errno()),
            (-1, Errno::INVAL.0)
        );
    }
}
