//! A socket of the kernel's, and what the kernel does not know of it.

use super::KernelFd;
use crate::raw::net::SOCK_STREAM;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use spin::Mutex;

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
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` in nanoseconds.
    pub(crate) receive_timeout: Option<u64>,
    pub(crate) send_timeout: Option<u64>,
    /// Options that nothing but the program reads.
    pub(crate) kept: BTreeMap<(u32, u32), Vec<u8>>,
}

impl Socket {
    pub(crate) fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }
}
