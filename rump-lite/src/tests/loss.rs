//! Packets that get lost: what time has to put right.

use super::{Fd, accept, boot, checked, connect, listener, lock, receive, send};
use crate::syscall::descriptor::rump___sysimpl_read;
use crate::syscall::socket::rump___sysimpl_setsockopt;
use core::ffi::c_int;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use std::time::{Duration, Instant};

fn lose(packets: usize) {
    lock().net.lose = packets;
}

fn set(socket: &Fd, level: c_int, name: c_int, value: c_int) {
    // SAFETY: an int is read.
    checked(unsafe {
        rump___sysimpl_setsockopt(socket.0, level, name, (&raw const value).cast(), 4)
    });
}

#[test]
fn lost_segments_are_sent_again() {
    let _kernel = boot();
    let (listener, address) = listener(abi::AF_INET);
    let begin = Instant::now();
    // The SYN, its answer, data, and a FIN.
    lose(1);
    let client = connect(abi::AF_INET, abi::SOCK_STREAM, &address);
    let server = accept(&listener);
    lose(1);
    send(&client, b"first");
    send(&client, b"second");
    assert_eq!(&receive::<11>(&server), b"firstsecond");
    lose(1);
    drop(client);
    // SAFETY: one byte can be written.
    let end = unsafe { rump___sysimpl_read(server.0, [0u8; 1].as_mut_ptr().cast(), 1) };
    assert_eq!(end, 0);
    let took = begin.elapsed();
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn a_peer_that_is_gone_is_noticed_by_keepalive() {
    let _kernel = boot();
    let (listener, address) = listener(abi::AF_INET6);
    let client = connect(abi::AF_INET6, abi::SOCK_STREAM, &address);
    let _server = accept(&listener);
    // In half seconds.
    set(&client, abi::IPPROTO_TCP, abi::TCP_KEEPIDLE, 1);
    set(&client, abi::IPPROTO_TCP, abi::TCP_KEEPINTVL, 1);
    set(&client, abi::IPPROTO_TCP, abi::TCP_KEEPCNT, 2);
    set(&client, abi::SOL_SOCKET, abi::SO_KEEPALIVE, 1);
    std::thread::sleep(Duration::from_secs(3));
    send(&client, b"still there");
    lose(usize::MAX);
    // SAFETY: one byte can be written.
    let failed = unsafe { rump___sysimpl_read(client.0, [0u8; 1].as_mut_ptr().cast(), 1) };
    lose(0);
    assert_eq!((failed, rump_hyper::errno()), (-1, Errno::TIMEDOUT.0));
}
