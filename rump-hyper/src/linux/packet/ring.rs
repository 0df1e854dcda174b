//! The ring of frames that came, shared with Linux.
//!
//! It consists of slots, each large enough for any frame. A slot belongs to Linux until
//! the status in its header says otherwise, and again when we have written so. What is
//! in it came from outside; positions and lengths are checked against the slot, and the
//! frame is copied out before anything in it is looked at.
#![allow(unsafe_code)]

use super::socket::Socket;
use crate::linux::mapping::Mapping;
use crate::vif::abi::{NEEDS_CSUM, Offload};
use core::ffi::{c_int, c_uint};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io::Result;

/// The header of a slot.
type Header = libc::tpacket2_hdr;

/// Slots lie in blocks of whole pages, and do not cross them.
const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 16;
const SLOTS_IN_BLOCK: usize = 14;
/// A multiple of TPACKET_ALIGNMENT.
const SLOT: usize = BLOCK / SLOTS_IN_BLOCK / libc::TPACKET_ALIGNMENT * libc::TPACKET_ALIGNMENT;
const SLOTS: usize = BLOCKS * SLOTS_IN_BLOCK;

// A frame behind both headers, and the space that Linux leaves for others.
const _: () = assert!(SLOT >= crate::vif::abi::FRAME_MAX + 256);

/// The 4 bytes of a tag of IEEE 802.1Q stand behind the addresses.
const TAG: usize = 4;
const TAG_AT: usize = 12;
const TYPE_VLAN: u16 = 0x8100;

#[derive(Debug)]
pub(super) struct Ring {
    memory: Mapping,
    next: usize,
    place: Known,
}

/// Whether `next` is where Linux puts the next frame. One that goes on with a ring of somebody
/// else's does not know: it takes what it finds until nothing was left, and what comes then
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    Empty,
}

/// What a slot held.
#[derive(Debug)]
pub(super) enum Frame {
    /// It was copied to where it was to go.
    Whole { len: usize, offload: Offload },
    /// It was not whole, or made no sense.
    Lost,
}

/// Where the frame is in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: usize,
    len: usize,
    /// The type and the content of a tag that Linux took out.
    tag: Option<(u16, u16)>,
}

/// Checks what the header of a slot says.
fn place(header: &Header) -> Option<Place> {
    let at = usize::from(header.tp_mac);
    let len = header.tp_snaplen as usize;
    let fits = at >= size_of::<Header>() + size_of::<Offload>()
        && len >= 14
        && at.checked_add(len)? <= SLOT;
    if !fits || header.tp_len != header.tp_snaplen {
        return None;
    }
    let has = |flag| header.tp_status & flag != 0;
    let kind = if has(libc::TP_STATUS_VLAN_TPID_VALID) {
        header.tp_vlan_tpid
    } else {
        TYPE_VLAN
    };
    let tag = has(libc::TP_STATUS_VLAN_VALID).then_some((kind, header.tp_vlan_tci));
    Some(Place { at, len, tag })
}

/// Puts a tag back in. There is room for it.
fn insert_tag(frame: &mut [u8], (kind, content): (u16, u16), offload: &mut Offload) {
    frame.copy_within(TAG_AT..frame.len() - TAG, TAG_AT + TAG);
    frame[TAG_AT..TAG_AT + 2].copy_from_slice(&kind.to_be_bytes());
    frame[TAG_AT + 2..TAG_AT + 4].copy_from_slice(&content.to_be_bytes());
    if offload.flags & NEEDS_CSUM != 0 {
        offload.csum_start = offload.csum_start.saturating_add(TAG as u16);
    }
}

impl Ring {
    /// Has Linux make a ring for a socket, and maps it.
    pub(super) fn map(socket: &Socket) -> Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V2 as c_int;
        socket.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let size = libc::tpacket_req {
            tp_block_size: BLOCK as c_uint,
            tp_block_nr: BLOCKS as c_uint,
            tp_frame_size: SLOT as c_uint,
            tp_frame_nr: SLOTS as c_uint,
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &size)?;
        let memory = Mapping::new(socket.as_fd(), BLOCK * BLOCKS)?;
        Ok(Self {
            memory,
            next: 0,
            place: Known::Yes,
        })
    }

    /// Maps the ring that a socket has.
    pub(super) fn resume(socket: &Socket) -> Result<Self> {
        let memory = Mapping::new(socket.as_fd(), BLOCK * BLOCKS)?;
        Ok(Self {
            memory,
            next: 0,
            place: Known::No,
        })
    }

    /// A slot.
    fn slot(&self, index: usize) -> NonNull<u8> {
        assert!(index < SLOTS);
        let (block, in_block) = (index / SLOTS_IN_BLOCK, index % SLOTS_IN_BLOCK);
        // SAFETY: inside the mapping, by its index.
        unsafe { self.memory.start().add(block * BLOCK + in_block * SLOT) }
    }

    /// Its status, which both sides access as an atomic.
    fn status(&self, index: usize) -> &AtomicU32 {
        // SAFETY: a slot begins with it, aligned; the mapping lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.slot(index).cast::<u32>().as_ptr()) }
    }

    /// Whether there is a frame in a slot.
    fn is_ours(&self, index: usize) -> bool {
        self.status(index).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// Looks for the oldest frame, where nobody knows which that is.
    fn find(&mut self) -> bool {
        let first =
            |slot: &usize| self.is_ours(*slot) && !self.is_ours((*slot + SLOTS - 1) % SLOTS);
        let oldest = (0..SLOTS).find(first);
        let Some(found) = oldest.or_else(|| (0..SLOTS).find(|slot| self.is_ours(*slot))) else {
            self.place = Known::Empty;
            return false;
        };
        self.next = found;
        if self.place == Known::Empty {
            self.place = Known::Yes;
        }
        true
    }

    /// Takes the next frame, if there is one, and puts it into `out`.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Option<Frame> {
        if !self.is_ours(self.next) && (self.place == Known::Yes || !self.find()) {
            return None;
        }
        let slot = self.slot(self.next);
        // SAFETY: the slot is ours by its status; it is larger than a header, and any
        // bytes make one.
        let header = unsafe { slot.cast::<Header>().read_volatile() };
        let frame = place(&header).and_then(|place| {
            // SAFETY: `place` has checked that both lie in the slot, which is ours.
            unsafe { Self::copy(slot, place, out) }
        });
        let status = self.status(self.next);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % SLOTS;
        Some(frame.unwrap_or(Frame::Lost))
    }

    /// # Safety
    /// The frame and the header of virtio-net before it are inside the slot, to which
    /// nobody writes meanwhile.
    unsafe fn copy(slot: NonNull<u8>, place: Place, out: &mut [u8]) -> Option<Frame> {
        let total = place.len + place.tag.map_or(0, |_| TAG);
        let out = out.get_mut(..total)?;
        // SAFETY: by contract; `out` is longer, and any bytes make an `Offload`.
        let mut offload = unsafe {
            let frame = slot.add(place.at);
            frame.copy_to_nonoverlapping(NonNull::from(&mut out[0]), place.len);
            let offload = frame.sub(size_of::<Offload>());
            offload.cast::<Offload>().read_unaligned()
        };
        if let Some(tag) = place.tag {
            insert_tag(out, tag, &mut offload);
        }
        Some(Frame::Whole {
            len: total,
            offload,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn header(mac: u16, len: u32, status: u32) -> Header {
        Header {
            tp_status: libc::TP_STATUS_USER | status,
            tp_len: len,
            tp_snaplen: len,
            tp_mac: mac,
            tp_net: mac.wrapping_add(14),
            tp_sec: 0,
            tp_nsec: 0,
            tp_vlan_tci: 0x1234,
            tp_vlan_tpid: 0x88a8,
            tp_padding: [0; 4],
        }
    }

    #[test]
    fn headers_are_checked() {
        let tagged = libc::TP_STATUS_VLAN_VALID;
        let with = |tag| {
            Some(Place {
                at: 82,
                len: 60,
                tag,
            })
        };
        assert_eq!(place(&header(82, 60, 0)), with(None));
        assert_eq!(place(&header(82, 60, tagged)), with(Some((0x8100, 0x1234))));
        let kind = tagged | libc::TP_STATUS_VLAN_TPID_VALID;
        assert_eq!(place(&header(82, 60, kind)), with(Some((0x88a8, 0x1234))));
        // Cut off.
        let mut cut = header(82, 60, 0);
        cut.tp_len = 61;
        assert_eq!(place(&cut), None);
        assert_eq!(place(&header(82, 13, 0)), None);
        let room = (SLOT - 82) as u32;
        assert!(place(&header(82, room, 0)).is_some());
        assert_eq!(place(&header(82, room + 1, 0)), None);
    }

    #[test]
    fn tags_are_put_back() {
        let mut frame: Vec<u8> = (0..20).collect();
        frame.extend([0; TAG]);
        let mut offload = Offload {
            flags: NEEDS_CSUM,
            csum_start: 34,
            ..Offload::default()
        };
        insert_tag(&mut frame, (0x8100, 0x0007), &mut offload);
        assert_eq!(frame[..12], (0..12).collect::<Vec<u8>>());
        assert_eq!(frame[12..16], [0x81, 0x00, 0x00, 0x07]);
        assert_eq!(frame[16..], (12..20).collect::<Vec<u8>>());
        assert_eq!(offload.csum_start, 38);
    }

    /// Slots of arbitrary content: each is copied from within itself, or refused.
    #[test]
    fn fuzz() {
        const INPUTS: usize = 100_000;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut memory = vec![0_u64; SLOT / 8];
        let slot = NonNull::new(memory.as_mut_ptr()).unwrap().cast::<u8>();
        let mut out = vec![0; crate::vif::buffer::CAPACITY];
        let (mut whole, mut lost) = (0, 0);
        for _ in 0..INPUTS {
            let mut header = header(next() as u16 % 256, next() as u32 % 70_000, next() as u32);
            match next() % 8 {
                0 => header.tp_mac = next() as u16,
                1 => header.tp_snaplen = next() as u32,
                2 => header.tp_len = next() as u32,
                3 => (header.tp_len, header.tp_snaplen) = (u32::MAX, u32::MAX),
                _ => {}
            }
            // SAFETY: the slot is ours, and as long as `place` takes it to be.
            let frame = unsafe {
                slot.cast::<Header>().write(header);
                place(&header).and_then(|place| Ring::copy(slot, place, &mut out))
            };
            match frame {
                Some(Frame::Whole { len, .. }) => {
                    assert!((14..=SLOT).contains(&len));
                    whole += 1;
                }
                Some(Frame::Lost) | None => lost += 1,
            }
        }
        assert!(whole > INPUTS / 4 && lost > INPUTS / 8, "{whole} {lost}");
    }
}
