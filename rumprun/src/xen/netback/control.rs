//! The control ring (io/netif.h, "Control ring"): a front end asks for hashes of frames, and for
//! queues by them ([`hash`](super::hash)).
//!
//! What is asked is answered by one pure function, [`answer`]; a thread of its own takes requests
//! out of the ring. That is there only where a front end has such a ring.
//!
//! Grants that stay mapped are not offered: nothing of a front end's is mapped here, and so nothing
//! would be saved. Those requests are answered with "not supported", as all that are not known.

use super::super::abi::net::control;
use super::super::back_ring::BackRing;
use super::super::event::Channel;
use super::super::foreign::{Copies, Granted, Mapping};
use super::super::hypercall::Refused;
use super::hash::{Hashing, KEY, KINDS, TABLE};
use super::said::ControlEnds;
use super::{IN_VAIN, WHILE_NS};
use crate::memory::PAGE;
use crate::process::lock::Mutex;
use crate::{sched, time};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes of an entry of the table.
const ENTRY: usize = 4;

/// A request.
type Request = [u8; control::REQUEST];
/// Its response.
type Response = [u8; control::RESPONSE];

/// Does what is asked, and says what came of it. `copy` fills memory from the beginning of a page
/// that the front end has granted; whether it could.
fn answer(
    hashing: &mut Hashing,
    request: &Request,
    copy: impl FnOnce(u32, &mut [u8]) -> bool,
) -> Response {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| request[at + byte]));
    let kind = u16::from_le_bytes([request[2], request[3]]);
    let (first, second, third) = (word(4), word(8), word(12));
    let (status, data) = match kind {
        control::GET_KINDS => (control::SUCCESS, KINDS),
        control::SET_KINDS => (set_kinds(hashing, first), 0),
        control::SET_KEY => (set_key(hashing, first, second, copy), 0),
        control::GET_TABLE_SIZE => (control::SUCCESS, TABLE as u32),
        control::SET_TABLE_SIZE => (set_table_size(hashing, first), 0),
        control::SET_TABLE => (set_table(hashing, first, second, third, copy), 0),
        control::SET_ALGORITHM => (set_algorithm(hashing, first), 0),
        _ => (control::NOT_SUPPORTED, 0),
    };
    let mut response = [0; control::RESPONSE];
    // Its number and kind.
    response[..4].copy_from_slice(&request[..4]);
    response[4..8].copy_from_slice(&status.to_le_bytes());
    response[8..].copy_from_slice(&data.to_le_bytes());
    response
}

fn set_algorithm(hashing: &mut Hashing, algorithm: u32) -> u32 {
    hashing.toeplitz = match algorithm {
        control::NONE => false,
        control::TOEPLITZ => true,
        _ => return control::INVALID,
    };
    control::SUCCESS
}

/// Wants an algorithm first.
fn set_kinds(hashing: &mut Hashing, kinds: u32) -> u32 {
    if kinds & !KINDS != 0 || !hashing.toeplitz {
        return control::INVALID;
    }
    hashing.kinds = kinds;
    control::SUCCESS
}

/// A key that is shorter goes on with zeros.
fn set_key(
    hashing: &mut Hashing,
    grant: u32,
    len: u32,
    copy: impl FnOnce(u32, &mut [u8]) -> bool,
) -> u32 {
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= KEY) else {
        return control::OVERFLOW;
    };
    // On the heap, where Xen can copy to.
    let mut key = vec![0; KEY];
    if len > 0 && !copy(grant, &mut key[..len]) {
        return control::INVALID;
    }
    hashing.key.copy_from_slice(&key);
    control::SUCCESS
}

/// All of the table leads to the first queue then.
fn set_table_size(hashing: &mut Hashing, size: u32) -> u32 {
    let Some(size) = usize::try_from(size).ok().filter(|size| *size <= TABLE) else {
        return control::INVALID;
    };
    hashing.size = size;
    hashing.table = [0; TABLE];
    control::SUCCESS
}

/// So many entries of the table, from one on.
fn set_table(
    hashing: &mut Hashing,
    grant: u32,
    count: u32,
    start: u32,
    copy: impl FnOnce(u32, &mut [u8]) -> bool,
) -> u32 {
    let (count, start) = (count as usize, start as usize);
    let end = start.checked_add(count);
    let Some(end) = end.filter(|end| *end <= hashing.size && count <= PAGE / ENTRY) else {
        return control::INVALID;
    };
    let mut bytes = vec![0; count * ENTRY];
    if count > 0 && !copy(grant, &mut bytes) {
        return control::INVALID;
    }
    let mut entries = [0; TABLE];
    for (entry, bytes) in entries.iter_mut().zip(bytes.chunks_exact(ENTRY)) {
        *entry = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    if entries.iter().any(|queue| *queue >= hashing.queues) {
        return control::INVALID;
    }
    hashing.table[start..end].copy_from_slice(&entries[..count]);
    control::SUCCESS
}

/// A control ring, and its thread, which ends with this.
#[derive(Debug)]
pub(super) struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    domain: u16,
    channel: Channel,
    hashing: Arc<Mutex<Hashing>>,
    /// 1 when the thread uses nothing of this any more.
    ended: AtomicU32,
    // The page of the ring.
    mapping: Mapping,
}

impl Control {
    /// Maps the ring, and begins to answer. `path` is the device's, for messages.
    pub(super) fn new(
        domain: u16,
        ends: ControlEnds,
        hashing: Arc<Mutex<Hashing>>,
        path: String,
    ) -> Result<Self, Refused> {
        let shared = Arc::new(Shared {
            domain,
            channel: Channel::of_other(domain, ends.port)?,
            hashing,
            ended: AtomicU32::new(0),
            mapping: Mapping::new(domain, ends.ring)?,
        });
        let own = Arc::clone(&shared);
        let main = move || {
            if serve(&own).is_err() {
                crate::say!(
                    "rumprun: {path}: its control ring has nonsense; it is not used any more"
                );
            }
            own.ended.store(1, Ordering::Release);
            sched::unpark(own.ended.as_ptr().addr() as u64, usize::MAX);
        };
        sched::try_spawn(main, "vif control", sched::KERNEL)
            .map_err(|_| Refused(super::super::NO_MEMORY))?;
        Ok(Self(shared))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.channel.line().stop();
        while self.0.ended.load(Ordering::Acquire) == 0 {
            sched::park(&self.0.ended, 0, None);
        }
    }
}

/// Answers requests until it is told to stop, or one is none.
fn serve(shared: &Shared) -> Result<(), super::super::ring::Broken> {
    let mut ring = BackRing::new(shared.mapping.page(), control::REQUEST);
    let mut in_vain = 0;
    loop {
        if let Some(request) = ring.take()? {
            in_vain = 0;
            let copy = |grant, to: &mut [u8]| copy(shared.domain, grant, to);
            let response = answer(&mut shared.hashing.lock(), &request, copy);
            ring.answer(&response);
            if ring.publish() {
                shared.channel.notify();
            }
            continue;
        }
        if ring.ask()? {
            continue;
        }
        if in_vain > IN_VAIN {
            sched::sleep_until(time::monotonic_ns() + WHILE_NS);
        }
        in_vain += 1;
        shared.channel.rearm();
        if shared.channel.line().wait(None).is_none() {
            return Ok(());
        }
    }
}

/// Copies the beginning of a page that a domain has granted.
fn copy(domain: u16, grant: u32, to: &mut [u8]) -> bool {
    let mut done = true;
    let mut copies = Copies::new(domain);
    copies.take(0, Granted { grant, offset: 0 }, to);
    copies.run(|_| done = false);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    fn request(kind: u16, words: [u32; 3]) -> Request {
        let mut bytes = [0; control::REQUEST];
        bytes[..2].copy_from_slice(&77_u16.to_le_bytes());
        bytes[2..4].copy_from_slice(&kind.to_le_bytes());
        for (to, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Status and data of the answer; a page has these bytes.
    fn ask(hashing: &mut Hashing, kind: u16, words: [u32; 3], page: Option<&[u8]>) -> (u32, u32) {
        let response = answer(hashing, &request(kind, words), |grant, to| {
            assert_eq!(grant, words[0]);
            let Some(page) = page else { return false };
            to.copy_from_slice(&page[..to.len()]);
            true
        });
        assert_eq!(response[..4], request(kind, words)[..4]);
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| response[at + byte]));
        (word(4), word(8))
    }

    fn table(entries: &[u32]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|entry| entry.to_le_bytes())
            .collect()
    }

    #[test]
    fn hashing_is_set_up_in_the_order_of_the_specification() {
        let mut hashing = Hashing::new(4);
        let hashing = &mut hashing;
        // Kinds need an algorithm.
        assert_eq!(
            ask(hashing, control::SET_KINDS, [1, 0, 0], None),
            (control::INVALID, 0)
        );
        assert_eq!(
            ask(hashing, control::SET_ALGORITHM, [1, 0, 0], None),
            (0, 0)
        );
        assert_eq!(ask(hashing, control::GET_KINDS, [0; 3], None), (0, 15));
        assert_eq!(ask(hashing, control::SET_KINDS, [15, 0, 0], None), (0, 0));
        assert_eq!(
            ask(hashing, control::SET_KINDS, [16, 0, 0], None).0,
            control::INVALID
        );
        let key: Vec<u8> = (1..=40).collect();
        assert_eq!(
            ask(hashing, control::SET_KEY, [9, 40, 0], Some(&key)),
            (0, 0)
        );
        assert_eq!(hashing.key[..], key[..]);
        assert_eq!(
            ask(hashing, control::SET_KEY, [9, 2, 0], Some(&key)),
            (0, 0)
        );
        assert_eq!(hashing.key[..4], [1, 2, 0, 0]);
        assert_eq!(
            ask(hashing, control::SET_KEY, [9, 41, 0], Some(&key)).0,
            control::OVERFLOW
        );
        assert_eq!(
            ask(hashing, control::SET_KEY, [9, 40, 0], None).0,
            control::INVALID
        );
        assert_eq!(
            ask(hashing, control::GET_TABLE_SIZE, [0; 3], None),
            (0, 128)
        );
        assert_eq!(
            ask(hashing, control::SET_TABLE_SIZE, [129, 0, 0], None).0,
            control::INVALID
        );
        assert_eq!(
            ask(hashing, control::SET_TABLE_SIZE, [8, 0, 0], None),
            (0, 0)
        );
        let two = table(&[3, 2]);
        assert_eq!(
            ask(hashing, control::SET_TABLE, [9, 2, 6], Some(&two)),
            (0, 0)
        );
        assert_eq!(hashing.table[..9], [0, 0, 0, 0, 0, 0, 3, 2, 0]);
        for (words, page) in [
            ([9, 2, 7], &two),
            ([9, u32::MAX, 2], &two),
            ([9, 1, u32::MAX], &two),
            ([9, 1, 0], &table(&[4])),
        ] {
            assert_eq!(
                ask(hashing, control::SET_TABLE, words, Some(page)).0,
                control::INVALID
            );
        }
        assert_eq!(
            ask(hashing, control::SET_ALGORITHM, [2, 0, 0], None).0,
            control::INVALID
        );
        for unknown in [0, 8, 9, 10, u16::MAX] {
            assert_eq!(
                ask(hashing, unknown, [0; 3], None),
                (control::NOT_SUPPORTED, 0)
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Whatever is asked, with whatever in the pages that are named: the table leads to
        /// queues that there are, and each request has its answer.
        #[test]
        fn tables_lead_to_queues(
            queues in 1_u32..9,
            requests in prop::collection::vec(
                (0_u16..12, prop::array::uniform3(prop_oneof![0_u32..200, any::<u32>()]), any::<u8>(), 0_u32..12, any::<bool>()),
                1..12,
            ),
        ) {
            let mut hashing = Hashing::new(queues);
            for (kind, words, fill, entry, granted) in requests {
                let before = hashing.clone();
                let bytes = request(kind, words);
                let response = answer(&mut hashing, &bytes, |_, to| {
                    assert!(to.len() <= PAGE);
                    for (at, byte) in to.iter_mut().enumerate() {
                        *byte = if at % 4 == 0 { entry as u8 } else if fill < 8 { fill } else { 0 };
                    }
                    granted
                });
                prop_assert_eq!(&response[..4], &bytes[..4]);
                prop_assert!(hashing.size <= TABLE);
                prop_assert!(hashing.table.iter().all(|queue| *queue < queues));
                prop_assert_eq!(hashing.kinds & !KINDS, 0);
                if response[4..8] != [0; 4] {
                    prop_assert_eq!(format!("{before:?}"), format!("{hashing:?}"));
                }
            }
        }
    }
}
