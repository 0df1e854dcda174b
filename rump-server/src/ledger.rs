//! Who was there and had what, in a file that outlives the worker.
//!
//! The supervisor holds the file (memfd_create(2)) and gives it to each worker. A worker
//! writes a record when something is given and frees it when it ends. A record is written by
//! one call and does not cross a page, so that a worker that is killed leaves it as it was
//! before or as it is after. What is read from it is checked: the one who wrote it has died
//! of something.

use crate::table::{Claim, Slot};
use crate::wire::Protocol;
use hashbrown::HashMap;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;

const RECORD: usize = 128;
const FREE: u8 = 0;
const APPLICATION: u8 = 1;
const CLAIM: u8 = 2;
const LEASE: u8 = 3;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// That an application is there.
    Application {
        /// The name of its host.
        host: String,
        /// What it calls itself.
        label: String,
        /// Whose it is.
        user: u32,
    },
    /// A claim of its.
    Claim(Claim),
    /// A lease of its.
    Lease(RangeInclusive<u16>),
}

/// Where something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// Whose ticket it is of, what, and where.
pub type Found = (u128, Item, Place);

/// The file, and what is where in it.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    places: HashMap<(Slot, Item), u64>,
    free: Vec<u64>,
    end: u64,
}

/// A new file for one.
///
/// # Errors
/// There is no memory, or no descriptor, left.
pub fn make() -> io::Result<File> {
    Ok(memfd_create(c"rump ledger", MFdFlags::MFD_CLOEXEC)?.into())
}

impl Ledger {
    /// Goes on with a file; returns what is in it, by tickets, and where. Each is to be
    /// [adopted](Self::adopt) or [left](Self::leave).
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(file: File) -> io::Result<(Self, Vec<Found>)> {
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let mut ledger = Self {
            end: records.len() as u64,
            file,
            places: HashMap::new(),
            free: Vec::new(),
        };
        let mut found = Vec::new();
        for (place, record) in (0..).zip(records) {
            match decode(record) {
                Some((ticket, item)) => found.push((ticket, item, Place(place))),
                None => ledger.free.push(place),
            }
        }
        Ok((ledger, found))
    }

    /// What is there is what this one has.
    pub fn adopt(&mut self, slot: Slot, item: Item, place: Place) {
        self.places.insert((slot, item), place.0);
    }

    /// What is there is nobody's.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub fn leave(&mut self, place: Place) -> io::Result<()> {
        self.put(place.0, &[0; RECORD])?;
        self.free.push(place.0);
        Ok(())
    }

    /// Writes down what one has.
    ///
    /// # Errors
    /// There is no memory left.
    pub fn keep(&mut self, slot: Slot, ticket: u128, item: Item) -> io::Result<()> {
        let record = encode(ticket, &item);
        let key = (slot, item);
        if self.places.contains_key(&key) {
            return Ok(());
        }
        let place = self.free.pop().unwrap_or(self.end);
        self.put(place, &record)?;
        self.end = self.end.max(place + 1);
        self.places.insert(key, place);
        Ok(())
    }

    /// It has it no more.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub fn drop(&mut self, slot: Slot, item: Item) -> io::Result<()> {
        if let Some(place) = self.places.remove(&(slot, item)) {
            self.put(place, &[0; RECORD])?;
            self.free.push(place);
        }
        Ok(())
    }

    /// It has nothing more.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub fn forget(&mut self, slot: Slot) -> io::Result<()> {
        let own = self.places.keys().filter(|(owner, _)| *owner == slot);
        for (slot, item) in own.cloned().collect::<Vec<_>>() {
            self.drop(slot, item)?;
        }
        Ok(())
    }

    fn put(&self, place: u64, record: &[u8; RECORD]) -> io::Result<()> {
        self.file.write_all_at(record, place * RECORD as u64)
    }
}

fn encode(ticket: u128, item: &Item) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &ticket.to_le_bytes());
    match item {
        Item::Application { host, label, user } => {
            put(0, &[APPLICATION, host.len() as u8, label.len() as u8]);
            put(4, &user.to_le_bytes());
            put(32, &host.as_bytes()[..host.len().min(32)]);
            put(64, &label.as_bytes()[..label.len().min(32)]);
        }
        Item::Claim(claim) => {
            put(0, &[CLAIM, claim.protocol.number()]);
            put(8, &claim.port.to_le_bytes());
            let address = match claim.address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            put(32, &address.octets());
        }
        Item::Lease(ports) => {
            put(0, &[LEASE]);
            put(8, &ports.start().to_le_bytes());
            put(10, &ports.end().to_le_bytes());
        }
    }
    record
}

fn decode(record: &[u8; RECORD]) -> Option<(u128, Item)> {
    let array = |at: usize| -> [u8; 16] { core::array::from_fn(|index| record[at + index]) };
    let word = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
    let text = |at: usize, len: u8| {
        let bytes = record.get(at..at + usize::from(len).min(32))?;
        core::str::from_utf8(bytes).ok().map(String::from)
    };
    let item = match record[0] {
        FREE => return None,
        APPLICATION => Item::Application {
            host: text(32, record[1])?,
            label: text(64, record[2])?,
            user: u32::from_le_bytes([record[4], record[5], record[6], record[7]]),
        },
        CLAIM => Item::Claim(Claim {
            protocol: Protocol::of(record[1])?,
            address: IpAddr::V6(Ipv6Addr::from(array(32))).to_canonical(),
            port: word(8),
        }),
        LEASE if word(8) <= word(10) => Item::Lease(word(8)..=word(10)),
        _ => return None,
    };
    Some((u128::from_le_bytes(array(16)), item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item() -> impl Strategy<Value = Item> {
        let claim = |(tcp, address, port): (bool, IpAddr, u16)| {
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            Item::Claim(Claim {
                protocol,
                address: address.to_canonical(),
                port,
            })
        };
        let application = |(host, label, user)| Item::Application { host, label, user };
        prop_oneof![
            (any::<bool>(), any::<IpAddr>(), any::<u16>()).prop_map(claim),
            (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Item::Lease(a.min(b)..=a.max(b))),
            ("[a-z]{0,32}", "[a-z]{0,32}", any::<u32>()).prop_map(application),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ticket: u128, item in item()) {
            prop_assert_eq!(decode(&encode(ticket, &item)), Some((ticket, item)));
        }

        #[test]
        fn anything_is_read_without_harm(record in prop::collection::vec(any::<u8>(), RECORD), kind in 0_u8..5) {
            let mut record: [u8; RECORD] = record.try_into().unwrap();
            record[0] = kind;
            if let Some((ticket, item)) = decode(&record) {
                prop_assert_eq!(decode(&encode(ticket, &item)), Some((ticket, item)));
            }
        }
    }

    #[test]
    fn what_is_there_is_there_for_the_next() {
        let file = make().unwrap();
        let lease = |first: u16| Item::Lease(first..=first + 9);
        let (mut ledger, found) = Ledger::open(file.try_clone().unwrap()).unwrap();
        assert!(found.is_empty());
        for first in 0..100 {
            ledger
                .keep(Slot(first % 3), 7, lease(first as u16))
                .unwrap();
        }
        ledger.forget(Slot(1)).unwrap();
        ledger.drop(Slot(0), lease(0)).unwrap();
        ledger.keep(Slot(2), 7, lease(2)).unwrap();
        ledger.keep(Slot(5), 9, lease(1000)).unwrap();
        let (mut next, found) = Ledger::open(file.try_clone().unwrap()).unwrap();
        assert_eq!(found.len(), 100 - 33 - 1 + 1);
        assert!(
            found
                .iter()
                .any(|(ticket, item, _)| (*ticket, item) == (9, &lease(1000)))
        );
        // Places are used again.
        for (_, item, place) in &found[10..] {
            next.adopt(Slot(1), item.clone(), *place);
        }
        for (_, _, place) in &found[..10] {
            next.leave(*place).unwrap();
        }
        for first in 0..10 {
            next.keep(Slot(2), 7, lease(first)).unwrap();
        }
        assert!(file.metadata().unwrap().len() <= 100 * RECORD as u64);
        assert_eq!(Ledger::open(file).unwrap().1.len(), found.len());
    }
}
