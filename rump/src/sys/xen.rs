//! Cables to other domains of Xen's, and orders of dom0's: `rump_sys::xen`.
//!
//! None of this calls the kernel, and no thread needs an lwp for it.
#![allow(unsafe_code)]

use crate::error::Errno;
use rump_ring::Shared;
use rump_sys::xen as raw;
use std::ffi::c_int;
use std::io;
use std::ptr::{NonNull, null_mut};

fn check(errno: c_int) -> io::Result<()> {
    Errno::check(errno)?;
    Ok(())
}

/// Offers cables to front ends whose back ends are here.
pub(crate) fn offer() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { raw::rump_xen_offer() })
}

/// Hears what dom0 orders.
pub(crate) fn listen() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { raw::rump_xen_listen() })
}

/// Waits for the next order; the first 4,096 bytes of it.
pub(crate) fn order() -> io::Result<Vec<u8>> {
    let (mut text, mut len) = (vec![0; 4096], 0);
    // SAFETY: both are written during the call, the first up to its length.
    check(unsafe { raw::rump_xen_order(text.as_mut_ptr(), text.len(), &mut len) })?;
    text.truncate(len);
    Ok(text)
}

/// Says something, in a node of this name.
pub(crate) fn say(name: &str, text: &str) -> io::Result<()> {
    // SAFETY: both are read during the call, so long each.
    check(unsafe { raw::rump_xen_say(name.as_ptr(), name.len(), text.as_ptr(), text.len()) })
}

/// A cable. Dropping it lets go of its memory.
#[derive(Debug)]
pub(crate) struct Cable(raw::Cable);

// SAFETY: the functions may be called from any thread, with a number that is this one's; its pages
// are reached as `Shared`.
unsafe impl Send for Cable {}
// SAFETY: as above.
unsafe impl Sync for Cable {}

impl Cable {
    fn made(make: impl FnOnce(*mut raw::Cable) -> c_int) -> io::Result<Self> {
        let mut cable = raw::Cable::NONE;
        check(make(&mut cable))?;
        Ok(Self(cable))
    }

    /// Waits for the next front end that wants one.
    pub(crate) fn accept() -> io::Result<Self> {
        // SAFETY: it is written there during the call.
        Self::made(|cable| unsafe { raw::rump_xen_accept(cable) })
    }

    /// Connects by a network interface, or by any that can be one.
    pub(crate) fn connect(number: Option<u16>) -> io::Result<Self> {
        let number = number.map_or(-1, c_int::from);
        // SAFETY: as above.
        Self::made(|cable| unsafe { raw::rump_xen_connect(number, cable) })
    }

    /// The Ethernet address that Xen's tools have given it.
    pub(crate) fn address(&self) -> [u8; 6] {
        self.0.address
    }

    /// The domain at the other end.
    pub(crate) fn domain(&self) -> u32 {
        self.0.domain
    }

    /// Memory for messages that go, and that come; as long as this is there.
    pub(crate) fn control(&self) -> [Shared; 2] {
        [self.0.outgoing, self.0.incoming].map(|page| shared(page, raw::CONTROL))
    }

    /// Has the other side look.
    pub(crate) fn ring(&self) {
        // SAFETY: a number. One that is closed has nobody who would look.
        unsafe { raw::rump_xen_ring(self.0.id) };
    }

    /// Waits until the other side rings; false when it is closed. One thread does.
    pub(crate) fn wait(&self) -> bool {
        // SAFETY: a number.
        unsafe { raw::rump_xen_wait(self.0.id) == 0 }
    }

    /// Makes memory for both; it is there as long as this.
    pub(crate) fn share(&self, len: usize) -> io::Result<Shared> {
        let mut memory = null_mut();
        // SAFETY: it is written there during the call.
        check(unsafe { raw::rump_xen_share(self.0.id, len, &mut memory) })?;
        Ok(shared(memory, len))
    }

    /// Maps what the other side has made; it is there as long as this.
    pub(crate) fn map(&self, len: usize) -> io::Result<Shared> {
        let mut memory = null_mut();
        // SAFETY: as above.
        check(unsafe { raw::rump_xen_map(self.0.id, len, &mut memory) })?;
        Ok(shared(memory, len))
    }

    /// Closes it at both ends. Its memory stays.
    pub(crate) fn close(&self) {
        // SAFETY: a number; one that is closed stays so.
        unsafe { raw::rump_xen_close(self.0.id) };
    }
}

fn shared(start: *mut u8, len: usize) -> Shared {
    let start = NonNull::new(start).unwrap_or(NonNull::dangling());
    // SAFETY: pages that the platform has for this cable until it is forgotten, to which nobody
    // has a reference. Whoever keeps it keeps the cable.
    unsafe { Shared::new(start.cast::<u64>().cast(), len) }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // SAFETY: whoever has memory of it keeps this.
        unsafe { raw::rump_xen_forget(self.0.id) };
    }
}
