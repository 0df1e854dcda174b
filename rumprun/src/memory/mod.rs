//! Memory.
//!
//! | module | is |
//! |---|---|
//! | [`frames`] | physical memory in pages: a buddy allocator |
//! | [`heap`] | the kernel's own memory: small pieces of pages, at their physical addresses |
//! | [`tables`] | page tables |
//! | [`stack`] | kernel stacks with a guard page |
//! | [`space`] | the program's areas: pages on demand |
//! | [`copy`] | access to the program's memory that may fail |
//! | `vacant` | addresses without memory, for pages of others |
//!
//! # Addresses
//!
//! | from | to | is |
//! |---|---|---|
//! | 0 | 4 KiB | nothing: a null pointer faults |
//! | 4 KiB | end of memory | physical memory, and the image in it; devices below 4 GiB |
//! | 4 GiB, or end of memory | | pages of others |
//! | [`space::START`] | [`space::END`] | the program's mappings |
//! | [`stack::START`] | | kernel stacks |
//!
//! All CPUs use one page table root, so that a mapping that is added is there for all. One
//! that is taken away, or made stricter, is told to all.
//!
//! Locks: [`space`] or `vacant` before [`tables`] before [`heap`] before [`frames`].

pub mod copy;
pub mod frames;
pub mod heap;
pub(crate) mod low;
pub mod space;
pub mod stack;
pub mod tables;
pub(crate) mod vacant;

use crate::boot::info::Info;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// The same, for addresses.
pub(crate) const PAGE64: u64 = PAGE as u64;

/// Takes over what memory there is. The first thing to be called.
#[cfg(feature = "image")]
pub(crate) fn set_up(info: &Info) {
    let image = crate::boot::segments().fold((u64::MAX, 0), |(start, end), segment| {
        (start.min(segment.start), end.max(segment.end))
    });
    let mut used = info.used;
    used.push(image.0, image.1);
    // The first MiB has the firmware's data, and room for code that starts other CPUs.
    used.push(0, 1 << 20);
    let low = low::keep(image.0, info.memory.as_slice(), used.as_slice());
    used.push(low.start, low.end);
    frames::set_up(info.memory.as_slice(), used.as_slice());
    tables::set_up(info.memory.as_slice());
    space::add_image();
}

/// What an address is, for messages: begins with a comma, or is empty.
pub(crate) fn describe(address: u64) -> &'static str {
    if address < PAGE64 {
        ", a null pointer"
    } else if stack::is_guard(address) {
        ", the end of a kernel stack"
    } else {
        ""
    }
}
