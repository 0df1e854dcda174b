//! What a loader of Multiboot2 says, such as GRUB: a list of tags (the specification, version
//! 2.0, 3.6). This is how an image starts from a disk or an ISO by a machine's firmware.
//!
//! Tags that go beyond the list, or have less in them than their kind has, end it or are
//! passed over.

use super::info::Info;
use crate::acpi::number;

/// The most bytes of the list that are looked at.
pub(super) const LONGEST: usize = 1 << 20;
/// Bytes before the first tag: the size of the list, and a word of zero.
const HEADER: usize = 8;

/// Kinds of tags.
const END: u32 = 0;
const LINE: u32 = 1;
const MODULE: u32 = 3;
const MEMORY: u32 = 6;
const ACPI_1: u32 = 14;
const ACPI_2: u32 = 15;

/// Reads the list, which is at this address. `None` if it does not even have an end.
pub(super) fn read(list: &[u8], address: u64) -> Option<Info> {
    let mut info = Info::default();
    let mut at = HEADER;
    loop {
        let (kind, size) = (number::<4>(list, at)?, number::<4>(list, at + 4)? as usize);
        let tag = list.get(at..)?.get(..size).filter(|tag| tag.len() >= 8)?;
        if kind as u32 == END {
            break;
        }
        // A tag that is too short tells nothing.
        let _ = tell(&mut info, kind as u32, tag, address + at as u64);
        at = (at + size).next_multiple_of(8);
    }
    info.used.push(address, address + list.len() as u64);
    Some(info)
}

/// What one tag says, which is at this address.
fn tell(info: &mut Info, kind: u32, tag: &[u8], address: u64) -> Option<()> {
    match kind {
        LINE => info.line(address + 8),
        MODULE => {
            let (start, end) = (number::<4>(tag, 8)?, number::<4>(tag, 12)?);
            info.module(start, end.checked_sub(start)?, address + 16);
        }
        MEMORY => {
            let size = number::<4>(tag, 8)? as usize;
            for entry in tag.get(16..)?.chunks(size.max(24)) {
                let (start, len) = (number::<8>(entry, 0)?, number::<8>(entry, 8)?);
                info.memory(start, len, number::<4>(entry, 16)? as u32);
            }
        }
        // A copy of the root pointer, the newer one or the older one.
        ACPI_1 | ACPI_2 => info.acpi(address + 8),
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::info::Range;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut tag = Vec::new();
        tag.extend(kind.to_le_bytes());
        tag.extend((8 + body.len() as u32).to_le_bytes());
        tag.extend(body);
        tag.resize(tag.len().next_multiple_of(8), 0);
        tag
    }

    fn list(tags: &[Vec<u8>]) -> Vec<u8> {
        let tags = tags.concat();
        let mut list = Vec::from((8 + tags.len() as u32).to_le_bytes());
        list.extend([0; 4]);
        list.extend(tags);
        list
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn tags_are_read() {
        let mut module = words(&[0x30_0000 | 0x30_0800 << 32]);
        module.extend(b"root\0");
        let memory = words(&[24, 0x10_0000, 0x700_0000, 1, 0xf000, 0x1000, 2]);
        let bytes = list(&[
            tag(LINE, b"net=x\0"),
            tag(MODULE, &module),
            tag(77, &[1; 9]),
            tag(MEMORY, &memory),
            tag(ACPI_2, &[0; 36]),
            tag(END, &[]),
        ]);
        let info = read(&bytes, 0x9000).unwrap();
        let memory = info.memory.as_slice();
        let range = |start, end| Range { start, end };
        assert_eq!(memory, [range(0x10_0000, 0x710_0000)]);
        let (modules, line, acpi) = info.places();
        assert_eq!(modules[0].0, range(0x30_0000, 0x30_0800));
        let at = |address: u64| &bytes[(address - 0x9000) as usize..];
        assert!(at(line).starts_with(b"net=x\0") && at(modules[0].1).starts_with(b"root\0"));
        assert!(at(acpi - 8).starts_with(&ACPI_2.to_le_bytes()));
        assert!(read(&bytes[..bytes.len() - 8], 0x9000).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn a_list_is_not_left(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, 0x1000);
        }

        #[test]
        fn tags_are_not_left(
            tags in prop::collection::vec((0_u32..20, prop::collection::vec(any::<u8>(), 0..80)), 0..9),
        ) {
            let mut all: Vec<_> = tags.iter().map(|(kind, body)| tag((*kind).max(1), body)).collect();
            all.push(tag(END, &[]));
            let bytes = list(&all);
            let info = read(&bytes, 0x1000).unwrap();
            let (modules, line, acpi) = info.places();
            for address in modules.iter().map(|module| module.1).chain([line, acpi]) {
                prop_assert!(address == 0 || (0x1000..=0x1000 + bytes.len() as u64).contains(&address));
            }
        }
    }
}
