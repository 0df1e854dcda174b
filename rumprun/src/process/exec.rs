//! Starting a program: the one in the image, or a file of the root file system.
//!
//! What a program finds on its stack, and where, is the System V ABI's (psABI for x86-64,
//! 3.4.1); the auxiliary vector is that of getauxval(3).

use super::copy::{self, Result};
use super::elf::{self, Program, Segment};
use crate::memory::PAGE;
use crate::memory::space::{self, Place, Rights};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use rump_linux::Errno;

const PAGE64: u64 = PAGE as u64;
/// Bytes of the first thread's stack (`RLIMIT_STACK`).
pub const STACK: u64 = 8 << 20;

/// Keys of the auxiliary vector (`<linux/auxvec.h>`).
mod key {
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const EXECFN: u64 = 31;
}

/// A program in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Where it, or its interpreter, begins.
    pub start: u64,
    /// Where it begins itself.
    pub entry: u64,
    /// Where its interpreter lies; 0 without one.
    pub base: u64,
    /// Its program headers, and how many there are.
    pub headers: u64,
    /// As above.
    pub count: u16,
}

/// What a program is given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Its arguments, the first of which is its name.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<String>,
    /// For `AT_RANDOM`.
    pub random: [u8; 16],
    /// For `AT_HWCAP`: edx of cpuid's leaf 1.
    pub capabilities: u32,
}

/// The bytes of a first stack that ends at `top`, and where its stack pointer is.
pub fn stack(loaded: &Loaded, given: &Given, top: u64) -> (u64, Vec<u8>) {
    let mut strings = Vec::new();
    let mut put = |bytes: &[u8]| {
        strings.extend_from_slice(bytes);
        strings.len() - bytes.len()
    };
    let terminated = |text: &String| [text.as_bytes(), b"\0"].concat();
    let arguments: Vec<usize> = given
        .arguments
        .iter()
        .map(|text| put(&terminated(text)))
        .collect();
    let environment: Vec<usize> = given
        .environment
        .iter()
        .map(|text| put(&terminated(text)))
        .collect();
    let platform = put(b"x86_64\0");
    let random = put(&given.random);
    let strings_at = (top - strings.len() as u64) & !15;
    let at = |offset: usize| strings_at + offset as u64;
    let mut words = Vec::from([arguments.len() as u64]);
    words.extend(arguments.iter().map(|offset| at(*offset)));
    words.push(0);
    words.extend(environment.iter().map(|offset| at(*offset)));
    words.push(0);
    for (key, value) in [
        (key::PHDR, loaded.headers),
        (key::PHENT, elf::PROGRAM_HEADER.into()),
        (key::PHNUM, loaded.count.into()),
        (key::PAGESZ, PAGE64),
        (key::BASE, loaded.base),
        (key::FLAGS, 0),
        (key::ENTRY, loaded.entry),
        (key::UID, 0),
        (key::EUID, 0),
        (key::GID, 0),
        (key::EGID, 0),
        (key::PLATFORM, at(platform)),
        (key::HWCAP, given.capabilities.into()),
        (key::CLKTCK, 100),
        (key::SECURE, 0),
        (key::RANDOM, at(random)),
        (
            key::EXECFN,
            arguments.first().map_or(0, |offset| at(*offset)),
        ),
        (key::NULL, 0),
    ] {
        words.extend([key, value]);
    }
    let start = (strings_at - 8 * words.len() as u64) & !15;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize((strings_at - start) as usize, 0);
    bytes.extend_from_slice(&strings);
    (start, bytes)
}

/// Makes the first stack and returns its stack pointer.
///
/// # Errors
/// `ENOMEM`; `E2BIG` if what the program is given does not fit.
pub fn make_stack(loaded: &Loaded, given: &Given) -> Result<u64> {
    let guard = PAGE64;
    let low = space::map(Place::Anywhere, STACK + guard, Rights::READ_WRITE)?;
    space::protect(low, guard, Rights::NONE)?;
    let top = low + guard + STACK;
    super::set_stack_area(low + guard, top);
    let (start, bytes) = stack(loaded, given, top);
    // As Linux has it: a quarter of the stack (execve(2)).
    if top - start > STACK / 4 {
        return Err(Errno::E2BIG);
    }
    copy::copyout(&bytes, start)?;
    Ok(start)
}

/// Loads a file, and its interpreter if it wants one, which `read` finds.
///
/// # Errors
/// What is wrong with which of them.
pub fn load(
    name: &str,
    data: &[u8],
    read: impl FnOnce(&[u8]) -> Result<Cow<'static, [u8]>>,
) -> Result<Loaded, String> {
    let (program, offset) = place(name, data)?;
    let headers = program.headers.ok_or_else(|| {
        alloc::format!("{name}: its program headers are in no part that is loaded")
    })?;
    let mut loaded = Loaded {
        start: program.entry.wrapping_add(offset),
        entry: program.entry.wrapping_add(offset),
        base: 0,
        headers: headers.wrapping_add(offset),
        count: program.count,
    };
    if let Some(path) = program.interpreter {
        let path_text = String::from_utf8_lossy(path).into_owned();
        let interpreter = read(path).map_err(|errno| {
            alloc::format!(
                "{name}: its interpreter {path_text} cannot be read (error {})",
                errno.0
            )
        })?;
        let (interpreter, offset) = place(&path_text, &interpreter)?;
        loaded.start = interpreter.entry.wrapping_add(offset);
        loaded.base = offset;
    }
    Ok(loaded)
}

/// Puts the parts of a program into memory: how far they were moved.
fn place<'a>(name: &str, data: &'a [u8]) -> Result<(Program<'a>, u64), String> {
    let told = |problem: &str| alloc::format!("{name}: {problem}");
    let program = Program::parse(data).map_err(told)?;
    let (start, end) = program.span(PAGE64);
    let refused = |errno: Errno| match errno {
        Errno::ENOMEM => told("there is no memory for it"),
        errno => told(&alloc::format!("error {}", errno.0)),
    };
    let base = if program.moves {
        let base = space::map(Place::Anywhere, end - start, Rights::READ_WRITE);
        base.map_err(|error| refused(error.into()))?
    } else {
        let claimed = space::claim(start, end - start);
        claimed.map_err(|_| told(&no_room(start, end)))?;
        start
    };
    let offset = base.wrapping_sub(start);
    for segment in &program.segments {
        let bytes = &data[segment.offset as usize..(segment.offset + segment.file) as usize];
        copy::copyout(bytes, segment.address.wrapping_add(offset)).map_err(refused)?;
    }
    // All rights at last, and no gaps between.
    space::protect(base, end - start, Rights::NONE).map_err(|error| refused(error.into()))?;
    for segment in &program.segments {
        let (from, to) = pages(segment, offset);
        let rights = rights(segment.rights);
        space::protect(from, to - from, rights).map_err(|error| refused(error.into()))?;
    }
    Ok((program, offset))
}

/// There is no room below the image.
fn no_room(start: u64, end: u64) -> String {
    const MIB: u64 = 1 << 20;
    let base = end.div_ceil(2 * MIB).saturating_mul(2);
    alloc::format!(
        "it can only lie from {start:#x} to {end:#x}, where the image or other things are; make \
         the image with --base {base}, or the program one that can lie anywhere (-static-pie)"
    )
}

fn pages(segment: &Segment, offset: u64) -> (u64, u64) {
    let start = segment.address.wrapping_add(offset);
    let end = start + segment.memory;
    (start & !(PAGE64 - 1), end.next_multiple_of(PAGE64))
}

/// Of `p_flags`.
fn rights(flags: u32) -> Rights {
    Rights {
        read: true,
        write: flags & 2 != 0,
        execute: flags & 1 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_as_the_abi_says() {
        let loaded = Loaded {
            start: 1,
            entry: 2,
            base: 0,
            headers: 0x40_0040,
            count: 9,
        };
        let given = Given {
            arguments: ["app", "one two"].map(String::from).into(),
            environment: Vec::from(["A=1".into()]),
            random: *b"0123456789abcdef",
            capabilities: 7,
        };
        let top = 0x10_0000_0000;
        let (start, bytes) = stack(&loaded, &given, top);
        assert_eq!(start % 16, 0);
        assert!(start + bytes.len() as u64 <= top);
        let word = |at: u64| {
            let offset = (at - start) as usize;
            u64::from_ne_bytes(*bytes[offset..].first_chunk().unwrap())
        };
        let text = |at: u64| {
            let rest = &bytes[(at - start) as usize..];
            String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap()).into_owned()
        };
        assert_eq!(word(start), 2);
        assert_eq!(text(word(start + 8)), "app");
        assert_eq!(text(word(start + 16)), "one two");
        assert_eq!(word(start + 24), 0);
        assert_eq!(text(word(start + 32)), "A=1");
        assert_eq!(word(start + 40), 0);
        let mut vector = std::collections::BTreeMap::new();
        let mut at = start + 48;
        while word(at) != key::NULL {
            vector.insert(word(at), word(at + 8));
            at += 16;
        }
        assert_eq!((vector[&key::PHDR], vector[&key::PHNUM]), (0x40_0040, 9));
        assert_eq!(vector[&key::ENTRY], 2);
        assert_eq!(text(vector[&key::EXECFN]), "app");
        assert_eq!(text(vector[&key::PLATFORM]), "x86_64");
        let random = (vector[&key::RANDOM] - start) as usize;
        assert_eq!(&bytes[random..random + 16], b"0123456789abcdef");
    }
}
