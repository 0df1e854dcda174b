//! What stands below: NetBSD's system calls, in NetBSD's terms.
//!
//! Numbers, flags and structures are those of [`rump_abi`]. Buffers are this crate's own
//! memory. All descriptors that come from here are in nonblocking mode or are asked with
//! [`MSG_DONTWAIT`](rump_abi::MSG_DONTWAIT), so that only [`Kernel::poll`],
//! [`Kernel::kevent`] and [`Kernel::arrival`] ever wait.

use crate::errno::Failure;
use rump_abi::arrival::Bell;
use rump_abi::{kevent, pollfd};

/// What a system call comes to; the error has NetBSD's number.
pub type Answer<T> = Result<T, Failure>;

/// The room that a message is received into.
#[derive(Debug)]
pub struct Room<'a> {
    /// For the data.
    pub data: &'a mut [u8],
    /// For the address of the sender (`struct sockaddr`).
    pub name: &'a mut [u8],
    /// For control messages (`struct cmsghdr`).
    pub control: &'a mut [u8],
}

/// What was received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Bytes of data.
    pub length: usize,
    /// Bytes of address.
    pub name: usize,
    /// Bytes of control messages.
    pub control: usize,
    /// `MSG_TRUNC` and so on.
    pub flags: i32,
}

/// A change of a kqueue that is about a descriptor (`EV_SET(2)`).
pub fn change(fd: i32, filter: u32, flags: u32, udata: u64) -> kevent {
    kevent {
        ident: fd as usize,
        filter,
        flags,
        fflags: 0,
        data: 0,
        udata: udata as isize,
    }
}

/// A NetBSD kernel: section 2 of its manual.
#[allow(missing_docs)]
pub trait Kernel: Send + Sync {
    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Answer<i32>;
    fn bind(&self, fd: i32, name: &[u8]) -> Answer<()>;
    fn connect(&self, fd: i32, name: &[u8]) -> Answer<()>;
    fn listen(&self, fd: i32, backlog: i32) -> Answer<()>;
    /// `paccept(2)`: the descriptor, and how long the peer's address is.
    fn accept(&self, fd: i32, name: &mut [u8], flags: i32) -> Answer<(i32, usize)>;
    fn getsockname(&self, fd: i32, name: &mut [u8]) -> Answer<usize>;
    fn getpeername(&self, fd: i32, name: &mut [u8]) -> Answer<usize>;
    fn sendmsg(
        &self,
        fd: i32,
        data: &[u8],
        name: &[u8],
        control: &[u8],
        flags: i32,
    ) -> Answer<usize>;
    fn recvmsg(&self, fd: i32, room: Room<'_>, flags: i32) -> Answer<Received>;
    fn getsockopt(&self, fd: i32, level: i32, name: i32, value: &mut [u8]) -> Answer<usize>;
    fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Answer<()>;
    fn shutdown(&self, fd: i32, how: i32) -> Answer<()>;
    fn fcntl(&self, fd: i32, command: i32, argument: usize) -> Answer<i32>;
    /// `argument` has the size that is part of `request`.
    fn ioctl(&self, fd: i32, request: u64, argument: &mut [u8]) -> Answer<i32>;
    /// `SIOCGIFCONF` by a socket: a `struct ifreq` for each address of an interface, and one
    /// for the interface, as many as there is room for; how many bytes.
    fn interfaces(&self, fd: i32, room: &mut [u8]) -> Answer<usize>;
    fn read(&self, fd: i32, data: &mut [u8]) -> Answer<usize>;
    fn write(&self, fd: i32, data: &[u8]) -> Answer<usize>;
    fn pipe2(&self, flags: i32) -> Answer<[i32; 2]>;
    /// `timeout` in milliseconds; negative waits without end.
    fn poll(&self, fds: &mut [pollfd], timeout: i32) -> Answer<usize>;
    /// Waits, on the descriptor of a socket, until `room` bytes can be received (or fewer, if
    /// `SO_RCVLOWAT` says so), or there is something else to tell, or the bell rings: for a
    /// kernel that can do it without [`poll`](Self::poll). One thread at a time waits with
    /// a bell.
    ///
    /// # Errors
    /// `ENOSYS` from one that cannot, at once.
    fn arrival(&self, fd: i32, room: u64, bell: &Bell) -> Answer<()> {
        let _ = (fd, room, bell);
        Err(Failure(rump_abi::ENOSYS))
    }
    /// Wakes who waits so with a bell, which was rung before.
    fn ring(&self, bell: &Bell) {
        let _ = bell;
    }
    fn kqueue(&self) -> Answer<i32>;
    /// `timeout` in nanoseconds; `None` waits without end.
    fn kevent(
        &self,
        kq: i32,
        changes: &[kevent],
        events: &mut [kevent],
        timeout: Option<u64>,
    ) -> Answer<usize>;
    fn close(&self, fd: i32);
}
