//! Archives in the form that Linux unpacks into its memory when it starts (cpio, "newc";
//! Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! An archive comes from outside: every number in it is checked, and a bad one is an error
//! that says where.

use alloc::format;
use alloc::string::String;

/// A file, folder or link in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its path, as it stands there: usually without a `/` in front.
    pub name: &'a [u8],
    /// Kind and permissions, as in inode(7).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Files of one number and device are one file.
    pub number: u32,
    /// How many names the file has in all.
    pub links: u32,
    /// In seconds since 1970.
    pub time: u32,
    /// Numbers of a device file.
    pub device: (u32, u32),
    /// What is in a file, or where a symbolic link leads to.
    pub data: &'a [u8],
}

/// The entries of an archive, up to its end.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    data: &'a [u8],
    at: usize,
    ended: bool,
}

/// Bytes of a header: a magic number, and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 110;
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];
const LAST: &[u8] = b"TRAILER!!!";

impl<'a> Archive<'a> {
    /// One that lies in memory.
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            ended: false,
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let part = self.data.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(part)
    }

    /// To the next multiple of four; the end of the data may come first.
    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4).min(self.data.len());
    }

    fn entry(&mut self) -> Result<Entry<'a>, &'static str> {
        let header = self.take(HEADER).ok_or("the archive ends in a header")?;
        if !MAGICS.contains(&&header[..6]) {
            return Err(match header {
                [0x1f, 0x8b, ..] => "it is compressed (gzip), which is not supported",
                [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed (zstd), which is not supported",
                [0xfd, b'7', b'z', ..] => "it is compressed (xz), which is not supported",
                _ => "no header of an archive in the form `newc`",
            });
        }
        let mut fields = [0_u32; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            *field = hexadecimal(digits).ok_or("a number that is none")?;
        }
        let [
            number,
            mode,
            uid,
            gid,
            links,
            time,
            size,
            _,
            _,
            major,
            minor,
            name,
            _,
        ] = fields;
        let name = self.take(name as usize).ok_or("it ends in a name")?;
        let name = name.strip_suffix(b"\0").ok_or("a name without an end")?;
        self.align();
        let data = self.take(size as usize).ok_or("it ends in a file")?;
        self.align();
        Ok(Entry {
            name,
            mode,
            uid,
            gid,
            number,
            links,
            time,
            device: (major, minor),
            data,
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

impl<'a> Iterator for Archive<'a> {
    type Item = Result<Entry<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        // Archives may follow each other, with zeros between.
        while self.data.get(self.at) == Some(&0) {
            self.at += 1;
        }
        if self.ended || self.at == self.data.len() {
            return None;
        }
        let start = self.at;
        match self.entry() {
            Ok(entry) if entry.name == LAST => self.next(),
            Ok(entry) => Some(Ok(entry)),
            Err(problem) => {
                self.ended = true;
                Some(Err(format!("byte {start}: {problem}")))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Appends an entry.
    pub(crate) fn put(to: &mut Vec<u8>, name: &str, mode: u32, number: u32, data: &[u8]) {
        let fields = [
            number,
            mode,
            0,
            0,
            2,
            1,
            data.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        to.extend_from_slice(b"070701");
        for field in fields {
            to.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        to.extend_from_slice(name.as_bytes());
        to.push(0);
        to.resize(to.len().next_multiple_of(4), 0);
        to.extend_from_slice(data);
        to.resize(to.len().next_multiple_of(4), 0);
    }

    #[test]
    fn entries_are_read_up_to_the_end() {
        let mut data = Vec::new();
        put(&mut data, "etc", 0o040_755, 1, b"");
        put(&mut data, "etc/hosts", 0o100_644, 2, b"127.0.0.1");
        put(&mut data, "TRAILER!!!", 0, 0, b"");
        data.resize(data.len() + 300, 0);
        put(&mut data, "more", 0o100_600, 3, b"x");
        let found: Vec<_> = Archive::new(&data).map(Result::unwrap).collect();
        let found: Vec<_> = found.iter().map(|entry| (entry.name, entry.data)).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"etc", b""), (b"etc/hosts", b"127.0.0.1"), (b"more", b"x")];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let mut data = Vec::new();
        put(&mut data, "a", 0o100_644, 1, b"data");
        for (bad, problem) in [
            (&data[..50], "ends in a header"),
            (&data[..111], "ends in a name"),
            (&data[..data.len() - 1], "ends in a file"),
            (&[b'x'; 200][..], "no header"),
            (&[&b"\x1f\x8b\x08"[..], &[1; 200]].concat()[..], "gzip"),
        ] {
            let found: Vec<_> = Archive::new(bad).collect();
            let [Err(text)] = &found[..] else {
                panic!("{found:?}")
            };
            assert!(text.contains(problem), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(
            flips in proptest::collection::vec((0..400_usize, 0..=255_u8), 0..8),
            cut in 0..400_usize,
        ) {
            let mut data = Vec::new();
            put(&mut data, "one", 0o100_644, 1, b"data of one");
            put(&mut data, "two", 0o100_644, 2, b"data of two");
            for (at, value) in flips {
                if let Some(byte) = data.get_mut(at) {
                    *byte = value;
                }
            }
            data.truncate(cut);
            let entries = Archive::new(&data).filter_map(Result::ok);
            proptest::prop_assert!(entries.map(|entry| entry.data.len()).sum::<usize>() <= data.len());
        }
    }
}
