//! What this program got from the one that executed it ([`crate::exec`]), by a client of a
//! kernel elsewhere: it takes that one's place before its own code runs.
#![allow(unsafe_code)]

use crate::exec::{VARIABLE, close_at_exec, inode};
use crate::{kernel, owned};
use rump_linux::inherit::{Heirloom, from_text};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::OnceLock;

/// The number of this program's process in the kernel, and what that has.
pub(crate) struct Inherited {
    pub(crate) number: u64,
    /// Numbers of this program's; -1 is a socket that it does not have.
    pub(crate) heirlooms: Vec<Heirloom>,
}

static INHERITED: OnceLock<Inherited> = OnceLock::new();

/// When the library is loaded, before the program's own code.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let Ok(text) = std::env::var(VARIABLE) else {
        return;
    };
    if let Ok(name) = CString::new(VARIABLE) {
        // It is for this program alone.
        // SAFETY: a string; there is one thread.
        unsafe { libc::unsetenv(name.as_ptr()) };
    }
    let Some((number, inodes, heirlooms)) = parse(&text) else {
        eprintln!("rump: {VARIABLE} is not what a program that executes another writes");
        return;
    };
    let found = found(&inodes, &heirlooms);
    for one in found.iter().filter(|one| one.number >= 0) {
        close_at_exec(one.number, true);
        owned::add(one.number);
    }
    let heirlooms = found;
    if INHERITED.set(Inherited { number, heirlooms }).is_ok() {
        // Who has executed it has only so much patience.
        kernel::take_place();
    }
}

/// What this program got, if it did.
pub(crate) fn get() -> Option<&'static Inherited> {
    INHERITED.get()
}

/// The three parts; as many inodes as heirlooms.
fn parse(text: &str) -> Option<(u64, Vec<u64>, Vec<Heirloom>)> {
    let mut parts = text.split(' ');
    let number = parts.next()?.parse().ok()?;
    let inodes = parts.next()?.split(',').map(str::parse);
    let inodes: Vec<u64> = inodes.collect::<Result<_, _>>().ok()?;
    let heirlooms = from_text(parts.next()?).ok()?;
    let all = inodes.len() == heirlooms.len() && parts.next().is_none();
    all.then_some((number, inodes, heirlooms))
}

/// Under which numbers this program has them.
fn found(inodes: &[u64], heirlooms: &[Heirloom]) -> Vec<Heirloom> {
    let by_inode: HashMap<_, _> = inodes.iter().zip(heirlooms).collect();
    let mut found = Vec::new();
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    for entry in open.flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        if let Some((inode, true)) = inode(number)
            && let Some(one) = by_inode.get(&inode)
        {
            found.push(one.under(number));
        }
    }
    for one in heirlooms {
        if !found.iter().any(|other| other.kernel_fd == one.kernel_fd) {
            found.push(one.under(-1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_so_is_refused() {
        let good = "7 4,5 3,8,2,2,1,6,0,0,0;4,9,2,2,1,6,0,0,0";
        let (number, inodes, heirlooms) = parse(good).unwrap();
        assert_eq!((number, inodes, heirlooms.len()), (7, vec![4, 5], 2));
        for wrong in [
            "",
            "7",
            "7 4",
            "7 4 ",
            "x 4 3",
            "7 4,5 3,8,2,2,1,6,0,0,0",
            "7 4,x y z",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
        assert!(parse(&format!("{good} more")).is_none());
    }
}
