//! Programs: their headers, as the System V ABI has them (gABI, chapter 5; x86-64 psABI).
//!
//! A program in the root file system comes from outside: nothing in it is used unchecked.

use alloc::vec::Vec;

/// Why a file is not run.
pub type Problem = &'static str;

/// A part of a program that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes, before a program that can lie anywhere is moved.
    pub address: u64,
    /// Bytes there; those that are not in the file are zeros.
    pub memory: u64,
    /// Where it is in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file: u64,
    /// Of `p_flags`: 4 reading, 2 writing, 1 executing.
    pub rights: u32,
}

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// It can lie anywhere.
    pub moves: bool,
    /// Where it begins.
    pub entry: u64,
    /// Address of its program headers, if they are loaded.
    pub headers: Option<u64>,
    /// How many these are.
    pub count: u16,
    /// The program that loads it, if it wants one.
    pub interpreter: Option<&'a [u8]>,
    /// Its parts, in order of their addresses.
    pub segments: Vec<Segment>,
}

/// Bytes of the file's header and of a program header (`Elf64_Ehdr`, `Elf64_Phdr`).
const FILE_HEADER: usize = 64;
/// As above.
pub const PROGRAM_HEADER: u16 = 56;

const MAGIC: &[u8] = b"\x7fELF";
/// 64 bits, little endian, version 1.
const IDENT: &[u8] = &[2, 1, 1];
const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
const X86_64: u16 = 62;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
/// Longest path of an interpreter, `PATH_MAX`.
const PATH_MAX: u64 = 4096;
/// Where a program's addresses end.
const END: u64 = 1 << 47;

fn at<const N: usize>(data: &[u8], offset: usize) -> [u8; N] {
    let part = data.get(offset..).and_then(<[u8]>::first_chunk);
    part.copied().unwrap_or([0; N])
}

impl<'a> Program<'a> {
    /// Reads a program.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(data: &'a [u8]) -> Result<Self, Problem> {
        if data.len() < FILE_HEADER || !data.starts_with(MAGIC) {
            return Err("it is not an ELF file");
        }
        let half = |offset| u16::from_le_bytes(at(data, offset));
        let word = |offset| u64::from_le_bytes(at(data, offset));
        if &data[4..7] != IDENT || half(18) != X86_64 {
            return Err("it is not a program for 64-bit x86");
        }
        let moves = match half(16) {
            EXECUTABLE => false,
            SHARED => true,
            _ => return Err("it is not a program"),
        };
        let (table, count) = (word(32), half(56));
        if half(54) != PROGRAM_HEADER {
            return Err("its program headers have another size");
        }
        let length = u64::from(count) * u64::from(PROGRAM_HEADER);
        let end = table.checked_add(length);
        if end.is_none_or(|end| end > data.len() as u64) {
            return Err("its program headers are not in the file");
        }
        let mut program = Self {
            moves,
            entry: word(24),
            headers: None,
            count,
            interpreter: None,
            segments: Vec::new(),
        };
        for index in 0..usize::from(count) {
            let header = table as usize + index * usize::from(PROGRAM_HEADER);
            let kind = u32::from_le_bytes(at(data, header));
            let segment = Segment {
                rights: u32::from_le_bytes(at(data, header + 4)),
                offset: word(header + 8),
                address: word(header + 16),
                file: word(header + 32),
                memory: word(header + 40),
            };
            match kind {
                LOAD if segment.memory > 0 => program.add(segment, data.len() as u64, table)?,
                INTERPRETER => program.interpreter = Some(path(segment, data)?),
                _ => {}
            }
        }
        if program.segments.is_empty() {
            return Err("nothing of it is to be loaded");
        }
        Ok(program)
    }

    fn add(&mut self, segment: Segment, file: u64, table: u64) -> Result<(), Problem> {
        let in_file = segment.offset.checked_add(segment.file);
        if in_file.is_none_or(|end| end > file) || segment.file > segment.memory {
            return Err("a part of it is not in the file");
        }
        let end = segment.address.checked_add(segment.memory);
        if end.is_none_or(|end| end > END) {
            return Err("a part of it has no place in memory");
        }
        let last = self.segments.last();
        if last.is_some_and(|last| last.address + last.memory > segment.address) {
            return Err("its parts overlap, or are not in order");
        }
        if (segment.offset..segment.offset + segment.file).contains(&table) {
            self.headers = Some(segment.address + (table - segment.offset));
        }
        self.segments.push(segment);
        Ok(())
    }

    /// The addresses that it takes, in whole pages of this size.
    pub fn span(&self, page: u64) -> (u64, u64) {
        let first = self.segments.first().map_or(0, |first| first.address);
        let last = self.segments.last();
        let end = last.map_or(0, |last| last.address + last.memory);
        (first & !(page - 1), end.next_multiple_of(page))
    }
}

fn path(segment: Segment, data: &[u8]) -> Result<&[u8], Problem> {
    let end = segment.offset.checked_add(segment.file);
    let part = end.filter(|_| segment.file <= PATH_MAX);
    let part = part.and_then(|end| data.get(segment.offset as usize..end as usize));
    let path = part.and_then(|part| part.strip_suffix(b"\0"));
    path.filter(|path| !path.contains(&0))
        .ok_or("the name of its interpreter is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let mut data = Vec::from([0_u8; 64]);
        data[..4].copy_from_slice(MAGIC);
        data[4..7].copy_from_slice(IDENT);
        data[16] = 3;
        data[18] = 62;
        data[24..32].copy_from_slice(&0x1040_u64.to_le_bytes());
        data[32] = 64;
        data[54] = 56;
        data[56] = 3;
        let mut header = |kind: u32, rights: u32, fields: [u64; 6]| {
            data.extend_from_slice(&kind.to_le_bytes());
            data.extend_from_slice(&rights.to_le_bytes());
            fields
                .iter()
                .for_each(|field| data.extend_from_slice(&field.to_le_bytes()));
        };
        header(3, 4, [232, 232, 232, 6, 6, 1]);
        header(1, 5, [0, 0, 0, 238, 238, 0x1000]);
        header(1, 6, [0, 0x2000, 0x2000, 16, 0x1800, 0x1000]);
        data.extend_from_slice(b"/ld.so");
        data[64 + 32] = 7;
        data.push(0);
        data
    }

    #[test]
    fn headers_are_read() {
        let data = example();
        let program = Program::parse(&data).unwrap();
        assert!(program.moves);
        assert_eq!((program.entry, program.count), (0x1040, 3));
        assert_eq!(program.headers, Some(64));
        assert_eq!(program.interpreter, Some(&b"/ld.so"[..]));
        assert_eq!(program.segments.len(), 2);
        assert_eq!(program.segments[1].memory, 0x1800);
        assert_eq!(program.span(0x1000), (0, 0x4000));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let change = |at: usize, bytes: &[u8]| {
            let mut data = example();
            data[at..at + bytes.len()].copy_from_slice(bytes);
            data
        };
        for (data, problem) in [
            (Vec::new(), "not an ELF file"),
            (change(4, &[1]), "64-bit x86"),
            (change(18, &[3]), "64-bit x86"),
            (change(16, &[1]), "not a program"),
            (change(54, &[32]), "another size"),
            (change(56, &[255, 255]), "headers are not in the file"),
            (change(32, &[255; 8]), "headers are not in the file"),
            (change(120 + 32, &[255; 8]), "not in the file"),
            (change(120 + 16, &[255; 8]), "no place in memory"),
            (change(176 + 16, &[0; 8]), "overlap"),
            (change(64 + 32, &[255; 8]), "interpreter"),
            (change(56, &[1]), "nothing of it"),
        ] {
            let error = Program::parse(&data).unwrap_err();
            assert!(error.contains(problem), "{problem}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(
            flips in proptest::collection::vec((0..240_usize, 0..=255_u8), 0..12),
            cut in 0..240_usize,
        ) {
            let mut data = example();
            for (at, value) in flips {
                if let Some(byte) = data.get_mut(at) {
                    *byte = value;
                }
            }
            data.truncate(cut);
            if let Ok(program) = Program::parse(&data) {
                let (start, end) = program.span(4096);
                proptest::prop_assert!(start < end && end <= END);
                for segment in &program.segments {
                    let end = segment.offset + segment.file;
                    proptest::prop_assert!(end <= data.len() as u64);
                }
            }
        }
    }
}
