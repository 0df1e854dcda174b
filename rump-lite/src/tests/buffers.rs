//! `SO_SNDBUF` and `SO_RCVBUF` are what a connection holds.

use super::{Fd, accept, boot, connected, listener, socket};
use crate::syscall::socket::{rump___sysimpl_sendto, rump___sysimpl_setsockopt};
use core::ffi::c_int;
use core::ptr::null;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use std::vec::Vec;

fn set(socket: &Fd, name: c_int, bytes: c_int) -> c_int {
    // SAFETY: an int is read.
    unsafe {
        rump___sysimpl_setsockopt(
            socket.0,
            abi::SOL_SOCKET,
            name,
            (&raw const bytes).cast(),
            4,
        )
    }
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
