//! Frames for a front end.

use super::super::abi::net;
use super::super::back_ring::BackRing;
use super::super::foreign::{Copies, Granted};
use super::super::headers;
use super::hash::Hash;
use super::packet::Nonsense;
use crate::memory::PAGE;
use alloc::vec::Vec;
use rump_hyper::vif::Transmit;
use rump_hyper::vif::abi::{DATA_VALID, FRAME_MAX, NEEDS_CSUM, Offload};

/// Memory that frames are copied from: for two of the longest.
const ROOM: usize = 2 * (FRAME_MAX + PAGE);

/// Its requests to receive.
#[derive(Debug)]
pub(super) struct To {
    domain: u16,
    ring: BackRing,
    scattered: bool,
    memory: Vec<u8>,
    used: usize,
    plan: Vec<Entry>,
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A part of a frame: the request's number and grant, and where it is in our memory.
    Part {
        number: u16,
        grant: u32,
        start: usize,
        len: usize,
        flags: u16,
    },
    /// What is said beside of a frame: its kind, what it says, and whether more is said.
    Extra { kind: u8, says: [u8; 6], more: bool },
}

/// Flags of a frame's first response.
fn flags_of(offload: Offload) -> u16 {
    match offload.flags {
        flags if flags & NEEDS_CSUM != 0 => net::RECEIVED_BLANK | net::RECEIVED_VALID,
        flags if flags & DATA_VALID != 0 => net::RECEIVED_VALID,
        _ => 0,
    }
}

/// What is said of it beside, at most.
const EXTRAS: usize = 2;

/// What is said of it beside: how a segment is cut up, and its hash.
fn extras_of(offload: Offload, hash: Option<Hash>) -> [Option<Entry>; EXTRAS] {
    let gso = headers::kind(offload).map(|kind| {
        let [low, high] = offload.gso_size.to_le_bytes();
        Entry::Extra {
            kind: net::EXTRA_GSO,
            says: [low, high, kind, 0, 0, 0],
            more: hash.is_some(),
        }
    });
    let hash = hash.map(|hash| {
        let [a, b, c, d] = hash.value.to_le_bytes();
        Entry::Extra {
            kind: net::EXTRA_HASH,
            says: [hash.kind, net::control::TOEPLITZ as u8, a, b, c, d],
            more: false,
        }
    });
    [gso, hash]
}

impl To {
    /// `None` if there is no memory.
    pub(super) fn new(domain: u16, ring: BackRing, scattered: bool) -> Option<Self> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(ROOM).ok()?;
        memory.resize(ROOM, 0);
        Some(Self {
            domain,
            ring,
            scattered,
            memory,
            used: 0,
            plan: Vec::new(),
        })
    }

    /// Gives it frames, as far as it has room. Returns how many it takes: one that is too long
    /// for it is passed over, and counts as taken.
    pub(super) fn give<'a, 'b: 'a>(
        &mut self,
        frames: impl Iterator<Item = (&'a Transmit<'b>, Option<Hash>)>,
    ) -> Result<usize, Nonsense> {
        let mut taken = 0;
        for (frame, hash) in frames {
            if self.used + frame.len() > self.memory.len() {
                self.copy();
            }
            if !self.plan(frame, hash)? {
                break;
            }
            taken += 1;
        }
        self.copy();
        Ok(taken)
    }

    /// Takes the requests for a frame, and copies it into our memory; false if there are not
    /// so many.
    fn plan(&mut self, frame: &Transmit<'_>, hash: Option<Hash>) -> Result<bool, Nonsense> {
        let (len, extras) = (frame.len(), extras_of(frame.offload(), hash));
        let extras = extras.iter().flatten();
        let parts = len.div_ceil(PAGE);
        if parts == 0 || len > FRAME_MAX || parts > 1 && !self.scattered {
            return Ok(true);
        }
        let needed = parts + extras.clone().count();
        if (self.ring.waiting().map_err(|_| Nonsense)? as usize) < needed {
            return Ok(false);
        }
        let start = self.used;
        frame.copy_to(&mut self.memory[start..start + len]);
        self.used += len;
        let mut flags = flags_of(frame.offload());
        for part in 0..parts {
            let request: [u8; net::RECEIVE] = self.request()?;
            let at = part * PAGE;
            if part + 1 < parts {
                flags |= net::MORE;
            }
            if part == 0 && needed > parts {
                flags |= net::EXTRA;
            }
            self.plan.push(Entry::Part {
                number: u16::from_le_bytes([request[0], request[1]]),
                grant: u32::from_le_bytes([request[4], request[5], request[6], request[7]]),
                start: start + at,
                len: (len - at).min(PAGE),
                flags,
            });
            flags = 0;
            if part == 0 {
                for extra in extras.clone() {
                    self.request()?;
                    self.plan.push(*extra);
                }
            }
        }
        Ok(true)
    }

    fn request(&mut self) -> Result<[u8; net::RECEIVE], Nonsense> {
        self.ring.take().ok().flatten().ok_or(Nonsense)
    }

    /// Has Xen copy what is planned, and answers the requests.
    fn copy(&mut self) {
        let mut failed = Vec::new();
        let mut copies = Copies::new(self.domain);
        for (number, entry) in self.plan.iter().enumerate() {
            if let Entry::Part {
                grant, start, len, ..
            } = *entry
            {
                let to = Granted { grant, offset: 0 };
                copies.put(number, &self.memory[start..start + len], to);
            }
        }
        copies.run(|number| failed.push(number));
        for (number, entry) in self.plan.drain(..).enumerate() {
            self.ring.answer(&response(entry, failed.contains(&number)));
        }
        self.used = 0;
    }

    /// Shows the front end what was written; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        self.ring.publish()
    }
}

/// What a request is answered with.
fn response(entry: Entry, failed: bool) -> [u8; net::RECEIVED] {
    let mut bytes = [0; net::RECEIVED];
    match entry {
        Entry::Part {
            number, len, flags, ..
        } => {
            let status = if failed { net::ERROR } else { len as i16 };
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            bytes[4..6].copy_from_slice(&flags.to_le_bytes());
            bytes[6..].copy_from_slice(&status.to_le_bytes());
        }
        Entry::Extra { kind, says, more } => {
            bytes[0] = kind;
            bytes[1] = if more { net::EXTRA_MORE } else { 0 };
            bytes[2..].copy_from_slice(&says);
        }
    }
    bytes
}

const _: () = assert!(PAGE <= i16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::super::super::abi::ring::ENTRIES;
    use super::super::super::page::Page;
    use super::super::super::ring::Ring;
    use super::*;
    use proptest::prelude::*;
    use rump_hyper::vif::abi::{GSO_ECN, GSO_NONE, GSO_TCPV6};
    use rump_hyper::vif::backend::Piece;
    use std::vec;

    /// A front end that has posted so many pages; their grants are 1000 and on.
    fn posted(count: u32, scattered: bool) -> (To, Page) {
        let page = Page::for_test();
        let mut front = Ring::new(page, net::RECEIVE);
        for at in 0..count {
            let mut request = [0; net::RECEIVE];
            request[..2].copy_from_slice(&(at as u16).to_le_bytes());
            request[4..].copy_from_slice(&(1000 + at).to_le_bytes());
            front.push(&request);
        }
        front.publish();
        let ring = BackRing::new(page, net::RECEIVE);
        (To::new(7, ring, scattered).unwrap(), page)
    }

    fn plan(to: &mut To, len: usize, offload: Offload) -> Result<bool, Nonsense> {
        let bytes = vec![9; len];
        let pieces = [Piece::new(&bytes)];
        to.plan(&Transmit::new(&pieces, offload), None)
    }

    #[test]
    fn a_segment_takes_its_pages_and_what_is_said_beside() {
        let (mut to, page) = posted(10, true);
        let offload = Offload {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV6 | GSO_ECN,
            gso_size: 1440,
            ..Offload::default()
        };
        assert_eq!(plan(&mut to, 9000, offload), Ok(true));
        assert_eq!(plan(&mut to, 60, Offload::default()), Ok(true));
        assert_eq!(to.ring.waiting(), Ok(5));
        let all: Vec<_> = to.plan.drain(..).collect();
        for (at, entry) in all.iter().enumerate() {
            to.ring.answer(&response(*entry, at == 3));
        }
        to.publish();
        let answer = |at: usize| {
            let mut bytes = [0; net::RECEIVED];
            page.read(ENTRIES + at * net::RECEIVED, &mut bytes);
            bytes
        };
        // Its checksum is blank, there is more, and more is said.
        assert_eq!(answer(0), [0, 0, 0, 0, 15, 0, 0, 16]);
        assert_eq!(answer(1), [1, 0, 0xa0, 5, 2, 0, 0, 0]);
        assert_eq!(answer(2), [2, 0, 0, 0, 4, 0, 0, 16]);
        // This one could not be copied.
        assert_eq!(answer(3), [3, 0, 0, 0, 0, 0, 255, 255]);
        assert_eq!(answer(4), [4, 0, 0, 0, 0, 0, 60, 0]);
    }

    #[test]
    fn a_hash_is_said_beside() {
        let hash = Hash {
            kind: 3,
            value: 0x0403_0201,
        };
        let segment = Offload {
            gso_type: GSO_TCPV6,
            gso_size: 1440,
            ..Offload::default()
        };
        let bytes = |entry: Option<Entry>| response(entry.unwrap(), false);
        let [gso, said] = extras_of(segment, Some(hash));
        assert_eq!(bytes(gso), [1, 1, 0xa0, 5, 2, 0, 0, 0]);
        assert_eq!(bytes(said), [4, 0, 3, 1, 1, 2, 3, 4]);
        assert_eq!(extras_of(Offload::default(), None), [None, None]);
        // Each takes one of what was posted.
        let (mut to, _) = posted(3, true);
        let frame = [9; 60];
        let pieces = [Piece::new(&frame)];
        let frame = Transmit::new(&pieces, segment);
        assert_eq!(to.plan(&frame, Some(hash)), Ok(true));
        assert_eq!(to.ring.waiting(), Ok(0));
        assert_eq!(to.plan(&frame, Some(hash)), Ok(false));
    }

    #[test]
    fn who_has_no_room_is_not_waited_for() {
        let (mut to, _) = posted(2, true);
        assert_eq!(plan(&mut to, 9000, Offload::default()), Ok(false));
        assert_eq!(plan(&mut to, 8192, Offload::default()), Ok(true));
        assert_eq!(plan(&mut to, 60, Offload::default()), Ok(false));
        let (mut to, _) = posted(10, false);
        // It takes none of several pages.
        assert_eq!(plan(&mut to, 4097, Offload::default()), Ok(true));
        assert_eq!(to.ring.waiting(), Ok(10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever the front end asks for: parts are inside our memory and inside a page of
        /// its, together are the frames, and each request has one answer.
        #[test]
        fn frames_are_cut_into_pages(
            posted_pages in 0_u32..=256,
            lengths in prop::collection::vec((0_usize..70_000, any::<bool>()), 1..5),
            scattered: bool,
        ) {
            let (mut to, _) = posted(posted_pages, scattered);
            let mut sum = 0;
            for (len, segment) in lengths {
                let gso_type = if segment { GSO_TCPV6 } else { GSO_NONE };
                let offload = Offload { gso_type, ..Offload::default() };
                if to.used + len > to.memory.len() {
                    break;
                }
                let before = to.used;
                if plan(&mut to, len, offload) == Ok(true) && to.used > before {
                    sum += len;
                }
            }
            let mut together = 0;
            for entry in &to.plan {
                if let Entry::Part { start, len, .. } = *entry {
                    prop_assert!(len > 0 && len <= PAGE && start + len <= to.used);
                    together += len;
                }
            }
            prop_assert_eq!(together, sum);
            prop_assert_eq!(to.plan.len() as u32, posted_pages - to.ring.waiting().unwrap());
        }
    }
}
