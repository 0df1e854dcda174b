//! Routing messages of every kind of wrong.

use super::link::Link;
use super::{Fd, boot, lock, socket};
use crate::hypercall;
use crate::syscall::descriptor::{rump___sysimpl_read, rump___sysimpl_write};
use core::mem::{offset_of, size_of};
use fastrand::Rng;
use rump_abi::{self as abi, rt_msghdr};
use rump_hyper::errno::Errno;
use std::println;
use std::vec::Vec;

/// A message about 10.1.0.0/16 by the router 10.9.0.9.
fn message(kind: u8) -> Vec<u8> {
    let inet = abi::AF_INET as u8;
    let mut bytes = std::vec![0; size_of::<rt_msghdr>()];
    let mut sockaddr = |address: [u8; 4]| {
        bytes.extend([16, inet, 0, 0]);
        bytes.extend(address);
        bytes.extend([0; 8]);
    };
    sockaddr([10, 1, 0, 0]);
    sockaddr([10, 9, 0, 9]);
    sockaddr([255, 255, 0, 0]);
    let length = bytes.len() as u16;
    let bits = abi::RTA_DST | abi::RTA_GATEWAY | abi::RTA_NETMASK;
    let flags = abi::RTF_UP | abi::RTF_GATEWAY | abi::RTF_STATIC;
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(rt_msghdr, rtm_msglen), &length.to_ne_bytes());
    put(offset_of!(rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
    put(offset_of!(rt_msghdr, rtm_type), &[kind]);
    put(offset_of!(rt_msghdr, rtm_flags), &flags.to_ne_bytes());
    put(offset_of!(rt_msghdr, rtm_addrs), &bits.to_ne_bytes());
    bytes
}

fn write(socket: &Fd, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: the slice is read.
    match unsafe { rump___sysimpl_write(socket.0, bytes.as_ptr().cast(), bytes.len()) } {
        -1 => Err(Errno(rump_hyper::errno())),
        _ => Ok(()),
    }
}

#[test]
fn malformed_messages_are_survived() {
    let _kernel = boot();
    let socket = socket(abi::AF_ROUTE, abi::SOCK_RAW);
    let (add, delete) = (message(abi::RTM_ADD), message(abi::RTM_DELETE));
    assert_eq!(write(&socket, &add), Err(Errno::NETUNREACH));
    assert_eq!(write(&socket, &delete), Err(Errno::SRCH));
    let link = Link::new();
    // One that was not told of the link.
    drop(socket);
    let socket = self::socket(abi::AF_ROUTE, abi::SOCK_RAW);
    assert_eq!(write(&socket, &add), Ok(()));
    assert_eq!(write(&socket, &add), Err(Errno::EXIST));
    assert_eq!(lock().net.routes.iter().count(), 1);
    let seed = hypercall::random() | 1;
    println!("seed {seed:#x}");
    let mut random = Rng::with_seed(seed);
    let (count, mut taken) = (100_000, 0);
    for _ in 0..count {
        let mut bytes = message(1 + random.usize(..4) as u8);
        match random.usize(..4) {
            0 => bytes.truncate(random.usize(..bytes.len() + 1)),
            1 => bytes.extend((0..random.usize(..64)).map(|_| random.u8(..))),
            _ => {}
        }
        if random.usize(..2) == 0 && bytes.len() > 1 {
            let length = bytes.len() as u16;
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
        }
        for _ in 0..random.usize(..5) {
            if bytes.len() > 4 {
                // Past the length, and past the version most of the time.
                let at = 2 + random.usize(..bytes.len() - 2);
                bytes[at] = random.u8(..);
            }
        }
        if write(&socket, &bytes).is_ok() {
            taken += 1;
            let mut answer = [0u8; 512];
            let length =
                // SAFETY: the array is written.
                unsafe { rump___sysimpl_read(socket.0, answer.as_mut_ptr().cast(), answer.len()) };
            assert!(length >= size_of::<rt_msghdr>() as isize);
        }
    }
    let dump = lock().dump_routes(abi::AF_UNSPEC);
    assert!(!dump.is_empty());
    println!("{count} messages, {taken} taken");
    assert!(taken > count / 100, "{taken}");
    // They go with their interface.
    drop(link);
    assert_eq!(lock().net.routes.iter().count(), 0);
}
