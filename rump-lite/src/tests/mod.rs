//! Tests on a kernel that runs, which look at its state from within.
//!
//! They are made with the system calls that programs make, and run one after the other,
//! because they count what there is.
#![allow(unsafe_code)]

mod absent;
mod buffers;
mod flood;
mod frames;
mod fuzz;
mod leaks;
mod link;
mod loss;
mod routing;

use crate::kernel::{self, Guard};
use crate::socket::address::{Family, Name, Room};
use crate::syscall::descriptor::{rump___sysimpl_close, rump___sysimpl_read, rump___sysimpl_write};
use crate::syscall::socket::{
    rump___sysimpl_accept, rump___sysimpl_bind, rump___sysimpl_connect, rump___sysimpl_getsockname,
    rump___sysimpl_listen, rump___sysimpl_socket,
};
use core::ffi::c_int;
use core::mem::size_of;
use core::ptr::null_mut;
use rump_abi as abi;
use smoltcp::wire::IpEndpoint;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The running kernel, for one test at a time.
struct Alone(#[allow(dead_code)] MutexGuard<'static, ()>);

fn boot() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: may be called more than once.
    assert_eq!(unsafe { crate::boot::rump_init() }, 0);
    if crate::lwp::current().is_none() {
        // SAFETY: the kernel has booted, and the first process is always there.
        assert_eq!(unsafe { crate::lwp::rump_pub_lwproc_newlwp(1) }, 0);
    }
    let mut kernel = lock();
    *kernel.descriptor_limit(1).unwrap() = 4096;
    crate::boot::rumpns_maxfiles.store(8192, core::sync::atomic::Ordering::Relaxed);
    Alone(turn)
}

fn lock() -> Guard {
    kernel::lock().expect("the kernel has booted")
}

fn checked<R: PartialEq + From<i8> + core::fmt::Debug + Copy>(result: R) -> R {
    assert_ne!(result, R::from(-1), "errno {}", rump_hyper::errno());
    result
}

/// A descriptor of the kernel.
struct Fd(c_int);

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the number is this value's.
        checked(unsafe { rump___sysimpl_close(self.0) });
    }
}

/// An address as the system calls take it.
struct Address {
    bytes: Room,
    length: u32,
}

impl Address {
    fn localhost(family: c_int) -> Self {
        let family = match family {
            abi::AF_INET => Family::Inet,
            _ => Family::Inet6,
        };
        let mut bytes = [0; size_of::<Room>()];
        let address = crate::net::localhost(family.unspecified());
        let length = family.write(IpEndpoint::new(address, 0), &mut bytes);
        Self {
            bytes,
            length: length as u32,
        }
    }

    fn port(&self) -> u16 {
        match Name::parse(&self.bytes[..self.length as usize]) {
            Ok(Name::V4(_, port) | Name::V6(_, port)) => port,
            other => panic!("{other:?}"),
        }
    }
}

fn socket(family: c_int, kind: c_int) -> Fd {
    // SAFETY: takes numbers.
    Fd(checked(unsafe { rump___sysimpl_socket(family, kind, 0) }))
}

/// A socket bound to a port of its own on this host.
fn bound(family: c_int, kind: c_int) -> (Fd, Address) {
    let (socket, mut address) = (socket(family, kind), Address::localhost(family));
    // SAFETY: the address is read, then written, for its length.
    unsafe {
        checked(rump___sysimpl_bind(
            socket.0,
            address.bytes.as_ptr().cast(),
            address.length,
        ));
        checked(rump___sysimpl_getsockname(
            socket.0,
            address.bytes.as_mut_ptr().cast(),
            &raw mut address.length,
        ));
    }
    (socket, address)
}

fn listener(family: c_int) -> (Fd, Address) {
    let (socket, address) = bound(family, abi::SOCK_STREAM);
    // SAFETY: takes numbers.
    checked(unsafe { rump___sysimpl_listen(socket.0, 128) });
    (socket, address)
}

/// A listener on this address, and its port.
fn listener_at(address: smoltcp::wire::Ipv4Address) -> (Fd, u16) {
    let socket = socket(abi::AF_INET, abi::SOCK_STREAM);
    let mut bytes = [0; size_of::<Room>()];
    let length = Family::Inet.write(IpEndpoint::new(address.into(), 0), &mut bytes) as u32;
    let mut address = Address { bytes, length };
    // SAFETY: the address is read, then written, for its length.
    unsafe {
        checked(rump___sysimpl_bind(
            socket.0,
            address.bytes.as_ptr().cast(),
            address.length,
        ));
        checked(rump___sysimpl_listen(socket.0, 128));
        checked(rump___sysimpl_getsockname(
            socket.0,
            address.bytes.as_mut_ptr().cast(),
            &raw mut address.length,
        ));
    }
    (socket, address.port())
}

fn connect(family: c_int, kind: c_int, address: &Address) -> Fd {
    let socket = socket(family, kind);
    connected(&socket, address);
    socket
}

fn connected(socket: &Fd, address: &Address) {
    // SAFETY: the address is read for its length.
    checked(unsafe {
        rump___sysimpl_connect(socket.0, address.bytes.as_ptr().cast(), address.length)
    });
}

fn accept(listener: &Fd) -> Fd {
    // SAFETY: no address is asked for.
    Fd(checked(unsafe {
        rump___sysimpl_accept(listener.0, null_mut(), null_mut())
    }))
}

fn send(to: &Fd, bytes: &[u8]) {
    // SAFETY: the slice is read.
    let sent = checked(unsafe { rump___sysimpl_write(to.0, bytes.as_ptr().cast(), bytes.len()) });
    assert_eq!(sent as usize, bytes.len());
}

fn receive<const N: usize>(from: &Fd) -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the array is written.
    let got = checked(unsafe { rump___sysimpl_read(from.0, bytes.as_mut_ptr().cast(), N) });
    assert_eq!(got as usize, N);
    bytes
}

/// A connection that works.
fn echo(family: c_int) {
    let (listener, address) = listener(family);
    let client = connect(family, abi::SOCK_STREAM, &address);
    let server = accept(&listener);
    send(&client, b"ping");
    assert_eq!(&receive::<4>(&server), b"ping");
    send(&server, b"pong");
    assert_eq!(&receive::<4>(&client), b"pong");
}
