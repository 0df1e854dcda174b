//! What the rump kernel's getdents(2) writes. What is in it comes from a disk.

use alloc::vec::Vec;
use core::mem::offset_of;
use rump_abi::fs::dirent;

/// Adds the names in it, without `.` and `..`; `None` if it makes no sense.
pub fn names(mut bytes: &[u8], to: &mut Vec<Vec<u8>>) -> Option<()> {
    while !bytes.is_empty() {
        let field = |at: usize, size: usize| bytes.get(at..at.checked_add(size)?);
        let short = |at: usize| {
            let bytes = field(at, 2)?.first_chunk()?;
            Some(usize::from(u16::from_ne_bytes(*bytes)))
        };
        let number = field(offset_of!(dirent, d_fileno), 8)?;
        let length = short(offset_of!(dirent, d_reclen))?;
        let name = short(offset_of!(dirent, d_namlen))?;
        let start = offset_of!(dirent, d_name);
        if start + name > length {
            return None;
        }
        let name = field(start, name)?;
        // A number of 0 is a hole.
        if number != [0; 8] && name != b"." && name != b".." {
            to.push(name.into());
        }
        bytes = bytes.get(length..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn put(to: &mut Vec<u8>, number: u64, name: &[u8], length: usize) {
        let start = to.len();
        to.resize(start + length, 0);
        let mut at = |offset: usize, bytes: &[u8]| {
            to[start + offset..start + offset + bytes.len()].copy_from_slice(bytes);
        };
        at(offset_of!(dirent, d_fileno), &number.to_ne_bytes());
        at(offset_of!(dirent, d_reclen), &(length as u16).to_ne_bytes());
        at(
            offset_of!(dirent, d_namlen),
            &(name.len() as u16).to_ne_bytes(),
        );
        at(offset_of!(dirent, d_name), name);
    }

    fn some() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, name) in [
            (2, &b"."[..]),
            (2, b".."),
            (0, b"hole"),
            (7, b"a"),
            (8, b"name"),
        ] {
            put(&mut bytes, number, name, 32);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        names(bytes, &mut found).map(|()| found)
    }

    #[test]
    fn names_are_read() {
        assert_eq!(read(&some()), Some(vec![b"a".to_vec(), b"name".to_vec()]));
        assert_eq!(read(&[]), Some(vec![]));
    }

    #[test]
    fn nonsense_is_refused() {
        let all = some();
        assert_eq!(read(&all[..all.len() - 1]), None);
        assert_eq!(read(&[0; 64]), None);
        assert_eq!(read(&[0xff; 64]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(flips in proptest::collection::vec((0..160_usize, 0..=255_u8), 0..8)) {
            let mut bytes = some();
            for (at, value) in flips {
                bytes[at] = value;
            }
            let found = read(&bytes).unwrap_or_default();
            let length: usize = found.iter().map(Vec::len).sum();
            proptest::prop_assert!(length <= bytes.len());
        }
    }
}
