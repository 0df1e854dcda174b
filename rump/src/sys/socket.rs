//! The socket system calls, each behind a safe function.
//!
//! Buffers come as slices, addresses as [`RawAddress`] and options as types of
//! [`OptionValue`], so that what the kernel is told about memory is always what the
//! borrow says. Lengths are clamped: Linux transfers at most 0x7ffff000 bytes a call, and
//! NetBSD refuses what does not fit a signed length instead of shortening it.
#![allow(unsafe_code)]

use crate::descriptor::{BorrowedDescriptor, OwnedDescriptor};
use crate::net::address::RawAddress;
use crate::sys;
use rump_sys::{abi, syscalls};
use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{MaybeUninit, offset_of, size_of};
use std::ptr;

/// The most bytes that one call is asked to move; what Linux moves at most.
const TRANSFER_LIMIT: usize = 0x7fff_f000;

/// The most buffers in one vectored call (`IOV_MAX` of `<sys/syslimits.h>`).
const IOV_LIMIT: usize = 1024;

// std guarantees that its slices have the layout of the host's iovec; the kernel's has
// to be the same for them to be passed on as they are.
const _: () = {
    assert!(size_of::<IoSlice<'_>>() == size_of::<abi::iovec>());
    assert!(offset_of!(abi::iovec, iov_base) == 0);
    assert!(offset_of!(abi::iovec, iov_len) == size_of::<*mut c_void>());
};

/// A type that socket options are made of.
///
/// # Safety
/// Plain data without padding, for which every pattern of bits is a value.
pub(crate) unsafe trait OptionValue: Copy {}

// SAFETY: integers have no padding and no invalid patterns.
unsafe impl OptionValue for u8 {}
// SAFETY: as above.
unsafe impl OptionValue for c_int {}
// SAFETY: as above.
unsafe impl OptionValue for c_uint {}
// SAFETY: two integers of the same size.
unsafe impl OptionValue for abi::linger {}
// SAFETY: two structures of one u32 each.
unsafe impl OptionValue for abi::ip_mreq {}
// SAFETY: five integers of four bytes.
unsafe impl OptionValue for abi::ipv6_mreq {}
/// `struct timeval` with its tail padding as a field.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Timeval {
    pub(crate) seconds: i64,
    pub(crate) microseconds: c_int,
    pub(crate) padding: u32,
}
const _: () = {
    assert!(size_of::<Timeval>() == size_of::<abi::timeval>());
    assert!(offset_of!(Timeval, seconds) == offset_of!(abi::timeval, tv_sec));
    assert!(offset_of!(Timeval, microseconds) == offset_of!(abi::timeval, tv_usec));
};
// SAFETY: integers only, and the padding of the C structure is one of them.
unsafe impl OptionValue for Timeval {}

/// `socket(2)`.
pub(crate) fn socket(family: c_int, kind: c_int) -> io::Result<OwnedDescriptor> {
    // SAFETY: takes integers only.
    sys::call(|| unsafe { syscalls::socket(family, kind, 0) }).map(OwnedDescriptor::adopt)
}

/// `socket(2)` for packets of this protocol.
pub(crate) fn raw(family: c_int, protocol: c_int) -> io::Result<OwnedDescriptor> {
    let kind = abi::SOCK_RAW | abi::SOCK_CLOEXEC;
    // SAFETY: takes integers only.
    sys::call(|| unsafe { syscalls::socket(family, kind, protocol) }).map(OwnedDescriptor::adopt)
}

/// `bind(2)`.
pub(crate) fn bind(socket: BorrowedDescriptor<'_>, address: &RawAddress) -> io::Result<()> {
    // SAFETY: the address is readable for its length as long as the borrow lasts.
    sys::call(|| unsafe { syscalls::bind(socket.as_raw(), address.as_ptr(), address.len()) })
        .map(drop)
}

/// `listen(2)`.
pub(crate) fn listen(socket: BorrowedDescriptor<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: takes integers only.
    sys::call(|| unsafe { syscalls::listen(socket.as_raw(), backlog) }).map(drop)
}

/// `paccept(2)`, again when it is interrupted.
///
/// Not `accept(2)`, whose socket would inherit the nonblocking mode of the listener.
pub(crate) fn accept(socket: BorrowedDescriptor<'_>) -> io::Result<(OwnedDescriptor, RawAddress)> {
    let mut peer = RawAddress::empty();
    let descriptor = sys::retry(|| {
        peer = RawAddress::empty();
        let (address, len) = peer.as_mut_parts();
        // SAFETY: `len` says how much room there is at `address`; both are `peer`'s,
        // which outlives the call. A null signal mask changes nothing.
        unsafe {
            syscalls::paccept(
                socket.as_raw(),
                address,
                len,
                ptr::null(),
                abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE,
            )
        }
    })?;
    Ok((OwnedDescriptor::adopt(descriptor), peer))
}

/// `connect(2)`.
pub(crate) fn connect(socket: BorrowedDescriptor<'_>, address: &RawAddress) -> io::Result<()> {
    // SAFETY: the address is readable for its length as long as the borrow lasts.
    sys::call(|| unsafe { syscalls::connect(socket.as_raw(), address.as_ptr(), address.len()) })
        .map(drop)
}

/// `getsockname(2)`.
pub(crate) fn local_address(socket: BorrowedDescriptor<'_>) -> io::Result<RawAddress> {
    let mut local = RawAddress::empty();
    let (address, len) = local.as_mut_parts();
    // SAFETY: `len` says how much room there is at `address`; both are `local`'s.
    sys::call(|| unsafe { syscalls::getsockname(socket.as_raw(), address, len) })?;
    Ok(local)
}

/// `getpeername(2)`.
pub(crate) fn peer_address(socket: BorrowedDescriptor<'_>) -> io::Result<RawAddress> {
    let mut peer = RawAddress::empty();
    let (address, len) = peer.as_mut_parts();
    // SAFETY: `len` says how much room there is at `address`; both are `peer`'s.
    sys::call(|| unsafe { syscalls::getpeername(socket.as_raw(), address, len) })?;
    Ok(peer)
}

/// `recvfrom(2)` without the address.
pub(crate) fn recv(
    socket: BorrowedDescriptor<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> io::Result<usize> {
    let len = buffer.len().min(TRANSFER_LIMIT);
    let data = buffer.as_mut_ptr().cast();
    // SAFETY: `data` is writable for `len` bytes by the exclusive borrow; a null
    // address is not written to.
    let received = sys::call(|| unsafe {
        syscalls::recvfrom(
            socket.as_raw(),
            data,
            len,
            flags,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    })?;
    Ok(received as usize)
}

/// `recvfrom(2)`.
pub(crate) fn recv_from(
    socket: BorrowedDescriptor<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, RawAddress)> {
    let mut from = RawAddress::empty();
    let len = buffer.len().min(TRANSFER_LIMIT);
    let data = buffer.as_mut_ptr().cast();
    let (address, address_len) = from.as_mut_parts();
    // SAFETY: `data` is writable for `len` bytes by the exclusive borrow, and
    // `address_len` says how much room there is at `address`.
    let received = sys::call(|| unsafe {
        syscalls::recvfrom(socket.as_raw(), data, len, flags, address, address_len)
    })?;
    Ok((received as usize, from))
}

/// `readv(2)`.
pub(crate) fn recv_vectored(
    socket: BorrowedDescriptor<'_>,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let count = buffers.len().min(IOV_LIMIT) as c_int;
    let slices: *const abi::iovec = buffers.as_mut_ptr().cast();
    // SAFETY: the layouts are the same (asserted above); the slices are writable by the
    // exclusive borrow, and `count` is at most their number.
    let received = sys::call(|| unsafe { syscalls::readv(socket.as_raw(), slices, count) })?;
    Ok(received as usize)
}

/// `sendto(2)` to the peer of a connected socket; never raises SIGPIPE.
pub(crate) fn send(socket: BorrowedDescriptor<'_>, buffer: &[u8]) -> io::Result<usize> {
    let len = buffer.len().min(TRANSFER_LIMIT);
    let data = buffer.as_ptr().cast();
    // SAFETY: `data` is readable for `len` bytes by the borrow; there is no address.
    let sent = sys::call(|| unsafe {
        syscalls::sendto(
            socket.as_raw(),
            data,
            len,
            abi::MSG_NOSIGNAL,
            ptr::null(),
            0,
        )
    })?;
    Ok(sent as usize)
}

/// `sendto(2)`; never raises SIGPIPE.
pub(crate) fn send_to(
    socket: BorrowedDescriptor<'_>,
    buffer: &[u8],
    to: &RawAddress,
) -> io::Result<usize> {
    let len = buffer.len().min(TRANSFER_LIMIT);
    let data = buffer.as_ptr().cast();
    // SAFETY: `data` is readable for `len` bytes and the address for its length, both
    // by the borrows.
    let sent = sys::call(|| unsafe {
        syscalls::sendto(
            socket.as_raw(),
            data,
            len,
            abi::MSG_NOSIGNAL,
            to.as_ptr(),
            to.len(),
        )
    })?;
    Ok(sent as usize)
}

/// `sendmsg(2)` to the peer of a connected socket; never raises SIGPIPE, as `writev(2)`
/// might.
pub(crate) fn send_vectored(
    socket: BorrowedDescriptor<'_>,
    buffers: &[IoSlice<'_>],
) -> io::Result<usize> {
    let slices: *const abi::iovec = buffers.as_ptr().cast();
    let message = abi::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: slices.cast_mut(),
        msg_iovlen: buffers.len().min(IOV_LIMIT) as c_int,
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    };
    // SAFETY: the layouts are the same (asserted above), the slices are readable by the
    // borrow, their number is at least `msg_iovlen`, and sendmsg(2) does not write to them.
    let sent =
        sys::call(|| unsafe { syscalls::sendmsg(socket.as_raw(), &message, abi::MSG_NOSIGNAL) })?;
    Ok(sent as usize)
}

/// `shutdown(2)`.
pub(crate) fn shutdown(socket: BorrowedDescriptor<'_>, how: c_int) -> io::Result<()> {
    // SAFETY: takes integers only.
    sys::call(|| unsafe { syscalls::shutdown(socket.as_raw(), how) }).map(drop)
}

/// `setsockopt(2)`.
pub(crate) fn set_option<T: OptionValue>(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    let data = (&raw const value).cast();
    // SAFETY: `value` is readable for its size, and has no padding (`OptionValue`).
    sys::call(|| unsafe {
        syscalls::setsockopt(socket.as_raw(), level, name, data, size_of::<T>() as c_uint)
    })
    .map(drop)
}

/// `getsockopt(2)`.
///
/// # Errors
/// Also [`io::ErrorKind::InvalidData`] if the kernel's value has another size.
pub(crate) fn option<T: OptionValue>(
    socket: BorrowedDescriptor<'_>,
    level: c_int,
    name: c_int,
) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as c_uint;
    // SAFETY: `value` is writable for the size that `len` names.
    sys::call(|| unsafe {
        syscalls::getsockopt(
            socket.as_raw(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    if len as usize != size_of::<T>() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "socket option {name:#x} of level {level:#x} has {len} bytes, not {}",
                size_of::<T>()
            ),
        ));
    }
    // SAFETY: it was zeroed, the kernel wrote all of it, and any pattern is a value
    // (`OptionValue`).
    Ok(unsafe { value.assume_init() })
}

/// `FIONBIO` of `ioctl(2)`.
pub(crate) fn set_nonblocking(socket: BorrowedDescriptor<'_>, nonblocking: bool) -> io::Result<()> {
    let mut on = c_int::from(nonblocking);
    let argument: *mut c_void = (&raw mut on).cast();
    // SAFETY: FIONBIO reads an int, which `argument` points to.
    sys::call(|| unsafe { syscalls::ioctl(socket.as_raw(), abi::FIONBIO as c_ulong, argument) })
        .map(drop)
}
