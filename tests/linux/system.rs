//! Linux's system calls on either of two systems: this Linux, or the personality.

use rump_linux::back::{in_process::InProcess, linux::LinuxHost};
use rump_linux::raw::{general::*, net};
use rump_linux::{Process, Rules};
use std::sync::Arc;

/// Whom a scenario runs on.
pub enum System {
    Linux,
    Rump(Process),
}

/// The address of something, as an argument.
pub fn at<T: ?Sized>(value: &mut T) -> u64 {
    std::ptr::from_mut(value).cast::<u8>().expose_provenance() as u64
}

impl System {
    /// The personality over the kernel of this process.
    pub fn rump() -> Self {
        Self::Rump(Process::new(
            Arc::new(InProcess),
            Arc::new(LinuxHost),
            Rules::default(),
        ))
    }

    /// A system call: its result, or a negative errno.
    pub fn call<const N: usize>(&self, number: u32, arguments: [u64; N]) -> i64 {
        let mut all = [0; 6];
        all[..N].copy_from_slice(&arguments);
        match self {
            Self::Rump(process) => process.call(number, all),
            Self::Linux => rump_linux::Host::call(&LinuxHost, number, all),
        }
    }

    pub fn socket(&self, v6: bool, kind: u32) -> u64 {
        let domain = if v6 { net::AF_INET6 } else { net::AF_INET };
        let fd = self.call(__NR_socket, [domain.into(), kind.into(), 0]);
        assert!(fd >= 0, "socket: {fd}");
        fd as u64
    }

    pub fn close(&self, fd: u64) -> i64 {
        self.call(__NR_close, [fd])
    }

    pub fn close_all(&self, fds: &[u64]) {
        for fd in fds {
            self.close(*fd);
        }
    }

    /// Binds to a free port of the loopback address: what it is bound to.
    pub fn bind(&self, fd: u64, v6: bool) -> (i64, Vec<u8>) {
        let mut name = loopback(v6, 0);
        let length = name.len() as u64;
        let result = self.call(__NR_bind, [fd, at(&mut name[..]), length]);
        (result, self.name(__NR_getsockname, fd).1)
    }

    /// `getsockname(2)` or `getpeername(2)`.
    pub fn name(&self, number: u32, fd: u64) -> (i64, Vec<u8>) {
        let mut name = vec![0u8; 128];
        let mut length = 128i32;
        let result = self.call(number, [fd, at(&mut name[..]), at(&mut length)]);
        name.truncate(if result == 0 { length as usize } else { 0 });
        (result, name)
    }

    pub fn connect(&self, fd: u64, name: &[u8]) -> i64 {
        let mut name = name.to_vec();
        let length = name.len() as u64;
        self.call(__NR_connect, [fd, at(&mut name[..]), length])
    }

    /// What `poll(2)` says of one descriptor after so many milliseconds at most.
    pub fn poll(&self, fd: u64, events: u32, timeout: i32) -> (i64, i16) {
        let mut entry = pollfd {
            fd: fd as i32,
            events: events as i16,
            revents: 0,
        };
        let result = self.call(__NR_poll, [at(&mut entry), 1, timeout as u64]);
        (result, entry.revents)
    }

    pub fn send(&self, fd: u64, data: &[u8]) -> i64 {
        let mut data = data.to_vec();
        let flags = u64::from(net::MSG_NOSIGNAL | net::MSG_DONTWAIT);
        let length = data.len() as u64;
        self.call(__NR_sendto, [fd, at(&mut data[..]), length, flags, 0, 0])
    }

    pub fn receive(&self, fd: u64, length: usize, flags: u32) -> (i64, Vec<u8>) {
        let mut data = vec![0u8; length];
        let result = self.call(
            __NR_recvfrom,
            [fd, at(&mut data[..]), length as u64, flags.into(), 0, 0],
        );
        data.truncate(result.clamp(0, length as i64) as usize);
        (result, data)
    }

    pub fn option(&self, fd: u64, level: u32, name: u32) -> (i64, i32) {
        let (mut value, mut length) = (0i32, 4i32);
        let arguments = [
            fd,
            level.into(),
            name.into(),
            at(&mut value),
            at(&mut length),
        ];
        (self.call(__NR_getsockopt, arguments), value)
    }

    pub fn set_option(&self, fd: u64, level: u32, name: u32, mut value: i32) -> i64 {
        self.call(
            __NR_setsockopt,
            [fd, level.into(), name.into(), at(&mut value), 4],
        )
    }

    /// A listener, a connection to it, and its other end.
    pub fn pair(&self) -> [u64; 3] {
        let listener = self.socket(false, net::SOCK_STREAM);
        let (_, name) = self.bind(listener, false);
        assert_eq!(self.call(__NR_listen, [listener, 8]), 0);
        let client = self.socket(false, net::SOCK_STREAM);
        assert_eq!(self.connect(client, &name), 0);
        let server = self.call(__NR_accept, [listener, 0, 0]);
        assert!(server >= 0, "accept: {server}");
        [listener, client, server as u64]
    }
}

/// The loopback address with a port in host order.
pub fn loopback(v6: bool, port: u16) -> Vec<u8> {
    let mut name = if v6 { vec![0; 28] } else { vec![0; 16] };
    let family = if v6 { net::AF_INET6 } else { net::AF_INET };
    name[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    name[2..4].copy_from_slice(&port.to_be_bytes());
    if v6 {
        name[23] = 1;
    } else {
        name[4..8].copy_from_slice(&[127, 0, 0, 1]);
    }
    name
}
