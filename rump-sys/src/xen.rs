//! Cables to other domains of Xen's, which an image's platform makes: pages that both have, and
//! an event channel; and what dom0 orders by xenstore (`docs/services.md`).
//!
//! Only an image has them; elsewhere each function answers `ENOSYS`. Errors are NetBSD's.

use core::ffi::c_int;

/// A cable, as the platform tells of it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cable {
    /// Its number here.
    pub id: u64,
    /// A page that this side writes, as far as the two agree, and one that the other does; both
    /// may write to both. They are zero at first, and there until [`rump_xen_forget`].
    pub outgoing: *mut u8,
    /// See above.
    pub incoming: *mut u8,
    /// The other side's domain.
    pub domain: u32,
    /// The Ethernet address that Xen's tools have given the interface.
    pub address: [u8; 6],
    /// Zero.
    pub pad: [u8; 2],
}

impl Cable {
    /// None.
    pub const NONE: Self = Self {
        id: 0,
        outgoing: core::ptr::null_mut(),
        incoming: core::ptr::null_mut(),
        domain: 0,
        address: [0; 6],
        pad: [0; 2],
    };
}

/// How many bytes of a page of control are the two sides'; what follows is the platform's.
pub const CONTROL: usize = 2304;

crate::gate::functions! {
    here = any(),
    gated = rump_kernel = "image",
    absent = "There are no other domains";
    /// Offers cables to front ends of network interfaces whose back ends are here.
    fn rump_xen_offer() -> c_int;
    /// The next front end that wants one, waited for until there is one.
    fn rump_xen_accept(cable: *mut Cable) -> c_int;
    /// Connects by the network interface of this number, or by the first that can be (negative).
    /// `ENXIO` if there is none; `EAGAIN` if its back end is not ready.
    fn rump_xen_connect(number: c_int, cable: *mut Cable) -> c_int;
    /// Has the other side look.
    fn rump_xen_ring(id: u64) -> c_int;
    /// Waits until the other side rings; `ENXIO` when the cable is closed. One thread does.
    fn rump_xen_wait(id: u64) -> c_int;
    /// Makes memory of so many bytes for both, zero, of which there is one. The other side can
    /// map it at once.
    fn rump_xen_share(id: u64, len: usize, memory: *mut *mut u8) -> c_int;
    /// Maps the memory of so many bytes that the other side has shared.
    fn rump_xen_map(id: u64, len: usize, memory: *mut *mut u8) -> c_int;
    /// Closes a cable, at both ends. Its memory stays.
    fn rump_xen_close(id: u64) -> c_int;
    /// Closes it, and lets go of its memory, which nobody here uses any more.
    fn rump_xen_forget(id: u64) -> c_int;
    /// Hears what dom0 orders, from here on: the text of the domain's node `control/rump-ctl`, each
    /// time that it is written.
    fn rump_xen_listen() -> c_int;
    /// The next order, waited for until there is one: its first bytes, and how many these are.
    fn rump_xen_order(text: *mut u8, room: usize, len: *mut usize) -> c_int;
    /// Says something in the domain's node `data/rump-ctl/NAME`, where it is when this returns, in UTF-8 and at most 1,024 bytes;
    /// the name is of letters and digits.
    fn rump_xen_say(name: *const u8, len: usize, text: *const u8, text_len: usize) -> c_int;
}
