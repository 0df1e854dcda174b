//! Interfaces whose other end is in the host: `rump_vif.h`, as `netbsd-src/kern/libvif` has
//! it for NetBSD.
//!
//! Frames are copied when they come. Their checksums are verified by the host or here, and
//! what smoltcp sends has its checksums; segments larger than the MTU are taken, and none
//! are sent. What has been sent is handed to the host in batches when the kernel is left
//! (`Guard::flush`), without the lock, by one thread at a time.
#![allow(unsafe_code, clippy::missing_safety_doc)]

use super::device::Frame;
use super::interface::Interface;
use super::{LOOPBACK, Stack, is_loopback, neighbors, packet};
use crate::hypercall::{self, Cv};
use crate::kernel::{self, Kernel};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::without_provenance_mut;
use rump_hyper::errno::Errno;
use rump_hyper::vif::abi;
use smoltcp::wire::{ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol};

/// `RUMP_VIF_RX_CSUM`, `RUMP_VIF_RX_LRO4`, `RUMP_VIF_RX_LRO6`: what is used of that which a
/// host offers.
const USED: u32 = 0x0700;
/// What an interface has if its maker does not say.
const MTU: usize = 1500;
/// How many frames wait for the host at most.
const QUEUE: usize = 4096;

/// The host's end of an interface.
pub(crate) struct Vif {
    ops: abi::Ops,
    host: *mut c_void,
    pub(crate) address: [u8; 6],
    pub(crate) link: bool,
    offers: u32,
    pub(crate) stats: abi::Stats,
    /// A thread hands frames to the host.
    sending: bool,
    /// Signalled when it has.
    idle: Arc<Cv>,
}

// SAFETY: the host takes calls from any thread, by the interface.
unsafe impl Send for Vif {}

impl Vif {
    /// Tells the host whether frames are to flow, and what of its offers is used.
    pub(crate) fn tell_state(&self, up: bool) {
        let flags = if up { abi::UP } else { 0 };
        // SAFETY: the table and the host live as long as the interface; this neither
        // blocks nor calls the kernel.
        unsafe { (self.ops.state)(self.host, flags, self.offers & USED) };
    }
}

/// Frames on their way to the host.
pub(crate) struct Outgoing {
    interface: usize,
    ops: abi::Ops,
    host: *mut c_void,
    frames: VecDeque<Frame>,
}

impl Outgoing {
    /// Hands them over.
    pub(crate) fn transmit(&self) {
        let parts: Vec<abi::Part> = self
            .frames
            .iter()
            .map(|frame| abi::Part {
                base: frame.whole().as_ptr().cast_mut().cast(),
                len: frame.whole().len(),
            })
            .collect();
        let frames: Vec<abi::Tx> = parts
            .iter()
            .map(|part| abi::Tx {
                parts: part,
                nparts: 1,
                len: part.len as u32,
                offload: abi::Offload::default(),
                pad: [0; 6],
            })
            .collect();
        for batch in frames.chunks(abi::BATCH) {
            // SAFETY: the interface is not removed while it is marked as sending, and what
            // is handed over lives until the call returns.
            unsafe { (self.ops.transmit)(self.host, 0, batch.as_ptr(), batch.len() as u32) };
        }
    }
}

impl Stack {
    /// Frames that no thread hands to the host yet.
    pub(crate) fn take_outgoing(&mut self) -> Option<Outgoing> {
        for (number, interface) in self.interfaces.iter_mut() {
            let Some(vif) = &mut interface.vif else {
                continue;
            };
            if vif.sending || interface.device.is_empty() {
                continue;
            }
            let mut frames = interface.device.take_all();
            let count = frames.len() as u64;
            if !interface.up {
                vif.stats.tx_dropped += count;
                continue;
            }
            if frames.len() > QUEUE {
                vif.stats.tx_dropped += (frames.len() - QUEUE) as u64;
                frames.truncate(QUEUE);
            }
            vif.stats.tx_batches += frames.len().div_ceil(abi::BATCH) as u64;
            vif.stats.tx_frames += frames.len() as u64;
            let bytes: usize = frames.iter().map(|frame| frame.whole().len()).sum();
            vif.stats.tx_bytes += bytes as u64;
            vif.sending = true;
            return Some(Outgoing {
                interface: number,
                ops: vif.ops,
                host: vif.host,
                frames,
            });
        }
        None
    }

    /// The host has them.
    pub(crate) fn has_sent(&mut self, batch: Outgoing) {
        let interface = &mut self.interfaces[batch.interface];
        for frame in batch.frames {
            interface.device.recycle(frame);
        }
        if let Some(vif) = &mut interface.vif {
            vif.sending = false;
            // SAFETY: the variable is the interface's own.
            unsafe { vif.idle.handle().signal() };
        }
        self.outgoing = true;
    }

    fn is_taken(&self, name: &str) -> bool {
        self.interfaces.iter().any(|(_, other)| other.name == name)
    }

    /// The name of a new interface.
    fn vif_name(&self, unit: c_int) -> Result<String, Errno> {
        if unit >= 0 {
            let name = format!("vif{unit}");
            return if self.is_taken(&name) {
                Err(Errno::EXIST)
            } else {
                Ok(name)
            };
        }
        (0..)
            .map(|unit: c_int| format!("vif{unit}"))
            .find(|name| !self.is_taken(name))
            .ok_or(Errno::NOSPC)
    }
}

impl Kernel {
    /// Takes a frame in; `verified` if its checksum is known to be right.
    fn receive_frame(&mut self, number: usize, bytes: &[u8], verified: bool) {
        if !self.take_frame(number, bytes, verified)
            && let Some(interface) = self.net.interfaces.get_mut(number)
            && let Some(vif) = &mut interface.vif
        {
            vif.stats.rx_dropped += 1;
        }
    }

    /// Whether it was for this kernel, and well formed as far as was seen.
    fn take_frame(&mut self, number: usize, bytes: &[u8], verified: bool) -> bool {
        let now = self.net.now;
        let Some(interface) = self.net.interfaces.get_mut(number) else {
            return false;
        };
        let (up, mtu) = (interface.up, interface.mtu);
        let Some(vif) = &mut interface.vif else {
            return false;
        };
        vif.stats.rx_frames += 1;
        vif.stats.rx_bytes += bytes.len() as u64;
        let Ok(frame) = EthernetFrame::new_checked(bytes) else {
            return false;
        };
        let to = frame.dst_addr();
        if !up || (to.0 != vif.address && !to.is_multicast() && !to.is_broadcast()) {
            return false;
        }
        if frame.payload().len() > mtu {
            vif.stats.rx_large += 1;
        }
        const HEADER: usize = smoltcp::wire::ETHERNET_HEADER_LEN;
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                let own = &interface.addresses;
                interface.neighbors.arp(now, own, frame.payload());
                if let Some(answer) = neighbors::answer(own, vif.address, frame.payload()) {
                    let (from, to) = (EthernetAddress(vif.address), frame.src_addr());
                    interface.device.send(HEADER + answer.buffer_len(), |room| {
                        let mut frame = EthernetFrame::new_unchecked(room);
                        frame.set_src_addr(from);
                        frame.set_dst_addr(to);
                        frame.set_ethertype(EthernetProtocol::Arp);
                        answer.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
                    });
                }
                let frame = interface.device.copy(bytes, HEADER);
                interface.receive(now, frame, None);
                self.net.note_outgoing(number);
                self.neighbors_changed(number);
                true
            }
            EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6 => {
                let ip = frame.payload();
                let Some((protocol, from, to)) = packet::ends(ip, verified) else {
                    return false;
                };
                let unicast = interface.has_address(to);
                let group = to.is_multicast() || interface.is_broadcast(to);
                if is_loopback(from)
                    || from.is_multicast()
                    || !(unicast || group && protocol != IpProtocol::Tcp)
                {
                    return false;
                }
                interface.neighbors.heard(now, from, frame.src_addr());
                if protocol == IpProtocol::Icmpv6 {
                    interface.neighbors.icmpv6(now, ip);
                }
                let frame = interface.device.copy(bytes, HEADER);
                self.receive(number, frame);
                if protocol == IpProtocol::Icmpv6 {
                    self.neighbors_changed(number);
                }
                true
            }
            EthernetProtocol::Unknown(_) => false,
        }
    }
}

/// # Safety
/// The pointers are as `rump_vif.h` says.
unsafe fn create(
    ops: *const abi::Ops,
    host: *mut c_void,
    config: *const abi::Config,
) -> Result<(usize, String), Errno> {
    // SAFETY: by contract.
    let (ops, config) = unsafe { (*ops, *config) };
    if config.version != abi::VERSION {
        return Err(Errno::INVAL);
    }
    let mtu = match config.mtu as usize {
        0 => MTU,
        mtu @ 68..=65_535 => mtu,
        _ => return Err(Errno::INVAL),
    };
    let mut kernel = kernel::lock().ok_or(Errno::NXIO)?;
    let name = kernel.net.vif_name(config.unit)?;
    let vif = Vif {
        ops,
        host,
        address: config.address,
        link: config.link != 0,
        offers: config.offloads,
        stats: abi::Stats::default(),
        sending: false,
        idle: Arc::new(Cv::new()),
    };
    let now = kernel.net.read_clock();
    let interface = Interface::ethernet(now, hypercall::random(), name.clone(), mtu, vif);
    let number = kernel.net.interfaces.insert(interface);
    kernel.tell_arrival(number);
    Ok((number, name))
}

/// Makes an interface that is down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_create(
    ops: *const abi::Ops,
    host: *mut c_void,
    config: *const abi::Config,
    vif: *mut *mut abi::Vif,
    name: *mut abi::Name,
) -> c_int {
    // SAFETY: by contract.
    match unsafe { create(ops, host, config) } {
        Ok((number, text)) => {
            let mut room: abi::Name = [0; abi::NAME_SIZE];
            for (to, byte) in room.iter_mut().take(abi::NAME_SIZE - 1).zip(text.bytes()) {
                *to = byte as c_char;
            }
            // SAFETY: places for the answers. An interface is known to the host by its
            // number, which is not 0, the loopback interface's.
            unsafe {
                *vif = without_provenance_mut(number);
                *name = room;
            }
            0
        }
        Err(errno) => errno.0,
    }
}

/// Removes an interface. None of its host's functions is called any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_destroy(vif: *mut abi::Vif) {
    let number = vif.addr();
    let Some(mut kernel) = kernel::lock() else {
        return;
    };
    kernel.net.read_clock();
    kernel.abandon_connections(number);
    kernel.run_network();
    loop {
        let Some(interface) = kernel.net.interfaces.get_mut(number) else {
            return;
        };
        interface.up = false;
        match &interface.vif {
            Some(vif) if vif.sending => {
                let idle = Arc::clone(&vif.idle);
                kernel.sleep(&idle, None);
            }
            _ => break,
        }
    }
    if number != LOOPBACK {
        let lost = kernel.net.forget_routes_over(number);
        kernel.tell_lost_routes(&lost);
        kernel.tell_departure(number);
        kernel.net.interfaces.discard(number);
    }
}

/// Takes a batch in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_receive(vif: *mut abi::Vif, frames: *const abi::Rx, count: u32) {
    let number = vif.addr();
    let Some(mut kernel) = kernel::lock() else {
        return;
    };
    kernel.net.read_clock();
    if let Some(interface) = kernel.net.interfaces.get_mut(number)
        && let Some(vif) = &mut interface.vif
    {
        vif.stats.rx_batches += 1;
    }
    for index in 0..count as usize {
        // SAFETY: so many frames, each of its length, by the interface.
        let (frame, bytes) = unsafe {
            let frame = &*frames.add(index);
            (
                frame,
                core::slice::from_raw_parts(frame.data, frame.len as usize),
            )
        };
        let verified = frame.offload.flags & (abi::DATA_VALID | abi::NEEDS_CSUM) != 0;
        kernel.receive_frame(number, bytes, verified);
        kernel.run_network();
        if !frame.lease.is_null() {
            // SAFETY: the frame is used no more, and this is the one call.
            unsafe { ((*frame.lease).release)(frame.lease) };
        }
    }
}

/// Runs something on the host's end of an interface.
fn with(vif: *mut abi::Vif, run: impl FnOnce(&mut Vif, bool)) {
    let number = vif.addr();
    if let Some(mut kernel) = kernel::lock()
        && let Some(before) = kernel.before(number)
        && let Some(interface) = kernel.net.interfaces.get_mut(number)
        && let Some(vif) = &mut interface.vif
    {
        run(vif, interface.up);
        kernel.tell_changes(&before);
    }
}

/// Says what the host can do from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_set_offloads(vif: *mut abi::Vif, offloads: u32) {
    with(vif, |vif, up| {
        vif.offers = offloads;
        vif.tell_state(up);
    });
}

/// Says whether there is a link.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_set_link(vif: *mut abi::Vif, link: c_int) {
    with(vif, |vif, _| vif.link = link != 0);
}

/// Reads the counters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_vif_get_stats(vif: *mut abi::Vif, stats: *mut abi::Stats) {
    // SAFETY: a place for the answer, by the interface.
    with(vif, |vif, _| unsafe { *stats = vif.stats });
}

/// Sends a frame as if the stack had. Its caller sends by itself where frames go to the
/// host, as they always do here.
#[unsafe(no_mangle)]
pub extern "C" fn rump_vif_send(_vif: *mut abi::Vif, _frame: *const c_void, _len: u32) -> c_int {
    Errno::OPNOTSUPP.0
}

/// There is no other interface that frames could go over.
#[unsafe(no_mangle)]
pub extern "C" fn rump_vif_splice(_vif: *mut abi::Vif, _name: *const c_char) -> c_int {
    Errno::OPNOTSUPP.0
}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn rump_vif_unsplice(_vif: *mut abi::Vif, _name: *const c_char) {}

/// As above.
#[unsafe(no_mangle)]
pub extern "C" fn rump_vif_through(_vif: *mut abi::Vif, _name: *const c_char) -> c_int {
    Errno::OPNOTSUPP.0
}

/// As above: nothing is taken.
#[unsafe(no_mangle)]
pub extern "C" fn rump_vif_put(_vif: *mut abi::Vif, _frames: *const abi::Tx, _count: u32) -> u32 {
    0
}
