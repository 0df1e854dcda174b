//! Network interfaces whose other end is in the host: `rump_vif.h`.
//!
//! A kernel compiled from a tree has them with the feature `net`, and rump-lite always
//! has; elsewhere [`rump_vif_create`] answers `ENOSYS`.

use crate::hyper::vif::abi::{Config, Name, Ops, Rx, Stats, Tx, Vif};
use core::ffi::{c_char, c_int, c_void};

crate::gate::functions! {
    here = any(rump_kernel = "lite", all(rump_kernel = "netbsd", feature = "net")),
    gated = rump_kernel = "image",
    absent = "There are no such interfaces in this build";
    /// Makes an interface. Until [`rump_vif_destroy`] returns, `ops` and what `host`
    /// points to must stay.
    fn rump_vif_create(ops: *const Ops, host: *mut c_void, config: *const Config, vif: *mut *mut Vif, name: *mut Name) -> c_int;
    /// Removes an interface; no other call for it may be under way.
    fn rump_vif_destroy(vif: *mut Vif);
    /// Takes frames in, at most `BATCH` of them.
    fn rump_vif_receive(vif: *mut Vif, frames: *const Rx, count: u32);
    /// Says what the host can do from now on.
    fn rump_vif_set_offloads(vif: *mut Vif, offloads: u32);
    /// Says whether there is a link.
    fn rump_vif_set_link(vif: *mut Vif, link: c_int);
    /// Reads the counters.
    fn rump_vif_get_stats(vif: *mut Vif, stats: *mut Stats);
    /// Sends a frame as if the stack had.
    fn rump_vif_send(vif: *mut Vif, frame: *const c_void, len: u32) -> c_int;
    /// Sends over the interface of this name from now on, and takes what comes to it;
    /// null: sends to the host.
    fn rump_vif_splice(vif: *mut Vif, name: *const c_char) -> c_int;
    /// Takes no more of what comes to the interface of this name.
    fn rump_vif_unsplice(vif: *mut Vif, name: *const c_char);
    /// Joins the host to the interface of this name, without the stack.
    fn rump_vif_through(vif: *mut Vif, name: *const c_char) -> c_int;
    /// Sends frames over that interface, at most `BATCH` of them; returns how many were taken.
    fn rump_vif_put(vif: *mut Vif, frames: *const Tx, count: u32) -> u32;
}

// Without those that make and remove an interface: whoever calls those of the program does.
crate::gate::export! {
    rump_vif_receive = rump_vif_receive;
    rump_vif_set_offloads = rump_vif_set_offloads;
    rump_vif_set_link = rump_vif_set_link;
    rump_vif_get_stats = rump_vif_get_stats;
    rump_vif_send = rump_vif_send;
    rump_vif_splice = rump_vif_splice;
    rump_vif_unsplice = rump_vif_unsplice;
    rump_vif_through = rump_vif_through;
    rump_vif_put = rump_vif_put;
}
