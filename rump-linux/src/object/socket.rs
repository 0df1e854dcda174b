//! A socket of the kernel's, and what the kernel does not know of it.

use super::KernelFd;
use crate::lock::Mutex;
use crate::raw::net::SOCK_STREAM;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use rump_abi as abi;

/// Numbers are Linux's.
pub(crate) struct Socket {
    pub(crate) fd: KernelFd,
    pub(crate) domain: u32,
    pub(crate) kind: u32,
    pub(crate) protocol: u32,
    pub(crate) state: Mutex<State>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) listening: bool,
    /// `connect(2)` was called or it came from `accept(2)`.
    pub(crate) connected: bool,
    /// The result of a `connect(2)` that did not wait was not told yet.
    pub(crate) connecting: bool,
    /// The stream's `shutdown(2)` for writing was called.
    pub(crate) shut_for_writing: bool,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` in nanoseconds.
    pub(crate) receive_timeout: Option<u64>,
    pub(crate) send_timeout: Option<u64>,
    /// Options that nothing but the program reads.
    pub(crate) kept: BTreeMap<(u32, u32), Vec<u8>>,
}

impl Socket {
    /// Ends a stream in order: what was sent so far is the last. Whether some of that has
    /// not arrived yet, so that the socket is still needed.
    fn finish(&self) -> bool {
        if !self.is_stream() || !self.state.lock().connected {
            return false;
        }
        let kernel = &self.fd.kernel;
        let mut linger = [0; 8];
        let told = kernel.getsockopt(self.fd.number, abi::SOL_SOCKET, abi::SO_LINGER, &mut linger);
        let [on, _, _, _, seconds @ ..] = linger;
        if told.is_ok() && on != 0 && seconds == [0; 4] {
            // It is to be broken off.
            return false;
        }
        if self.fd.has(abi::FIONREAD) {
            // As Linux does where the program leaves something unread. An error is that of a
            // connection that is over already.
            let at_once = [1, 0, 0, 0, 0, 0, 0, 0];
            let _ = kernel.setsockopt(self.fd.number, abi::SOL_SOCKET, abi::SO_LINGER, &at_once);
            return false;
        }
        // Again and again, which changes nothing; a connection that is over says so.
        self.fd.has(abi::FIONWRITE) && kernel.shutdown(self.fd.number, abi::SHUT_WR).is_ok()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }
}

/// What a socket was made as, in Linux's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketKind {
    /// `AF_INET` or `AF_INET6`.
    pub domain: u32,
    /// `SOCK_STREAM` and so on, without flags.
    pub kind: u32,
    /// `IPPROTO_TCP` and so on.
    pub protocol: u32,
    /// Whether it is a stream that has been connected, or is about to be.
    pub is_connected_stream: bool,
}

impl super::Description {
    /// What a socket was made as; `None` of what is no socket.
    pub fn socket_kind(&self) -> Option<SocketKind> {
        self.socket().map(|socket| SocketKind {
            domain: socket.domain,
            kind: socket.kind,
            protocol: socket.protocol,
            is_connected_stream: socket.is_stream() && socket.state.lock().connected,
        })
    }

    /// To be called when nobody has it open any more: ends a connection in order, and says
    /// whether something that was sent has not arrived yet. The description is to be kept for
    /// as long as it says so.
    ///
    /// Dropping it earlier leaves the rest to the kernel, which is good enough as long as the
    /// kernel goes on.
    pub fn finish(&self) -> bool {
        self.socket().is_some_and(Socket::finish)
    }
}
