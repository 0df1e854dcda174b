//! Grants: pages of ours that another domain may read, or read and write. Xen looks them up
//! in a table (grant_table.h, version 1), whose pages are its.
//!
//! Most grants are for good: what is granted stays granted, and is copied from and to. One that
//! [ends](end) does so when the other domain has nothing of it mapped.

use super::abi::{SPACE_GRANT_TABLE, grant};
use super::hypercall::Refused;
use super::page::Page;
use crate::memory::{PAGE, PAGE64};
use crate::process::lock::Mutex;
use crate::sync::Lock;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

const ENTRIES: u32 = (PAGE / grant::ENTRY) as u32;
/// Pages of the table at most: as many as Xen allows unless it is told otherwise.
const PAGES: usize = 64;

/// The table, as far as it is used.
struct Table {
    pages: Vec<Page>,
    next: u32,
    /// Numbers of grants that have ended.
    free: Vec<u32>,
}

static TABLE: Lock<Table> = Lock::new(Table {
    pages: Vec::new(),
    next: grant::RESERVED,
    free: Vec::new(),
});

/// Lets a domain read a page, or read and write it. Returns the number by which it can.
pub(super) fn share(domain: u16, address: u64, writable: bool) -> Result<u32, Refused> {
    let frame = u32::try_from(address / PAGE64).map_err(|_| Refused(super::NO_MEMORY))?;
    let number = {
        let mut table = TABLE.lock();
        table.free.pop().unwrap_or_else(|| {
            table.next += 1;
            table.next - 1
        })
    };
    let index = (number / ENTRIES) as usize;
    if index >= PAGES {
        return Err(Refused(super::NO_MEMORY));
    }
    // One at a time makes pages.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    if TABLE.lock().pages.len() <= index {
        let page = Page::of_xen(SPACE_GRANT_TABLE, index as u64)?;
        TABLE.lock().pages.push(page);
    }
    let page = TABLE.lock().pages[index];
    let entry = grant::ENTRY * (number % ENTRIES) as usize;
    page.u16(entry + 2).store(domain, Ordering::Relaxed);
    page.u32(entry + 4).store(frame, Ordering::Relaxed);
    let flags = if writable {
        grant::ACCESS
    } else {
        grant::ACCESS | grant::READ_ONLY
    };
    // Whoever sees the flags sees the rest.
    page.u16(entry).store(flags, Ordering::Release);
    Ok(number)
}

/// Ends a grant, unless the other domain has it mapped, or is copying; whether it did.
pub(super) fn end(number: u32) -> bool {
    let mut table = TABLE.lock();
    let Some(page) = table.pages.get((number / ENTRIES) as usize) else {
        return false;
    };
    let flags = page.u16(grant::ENTRY * (number % ENTRIES) as usize);
    let ended = flags.fetch_update(Ordering::AcqRel, Ordering::Acquire, |flags| {
        (flags & grant::IN_USE == 0).then_some(0)
    });
    if ended.is_ok() {
        table.free.push(number);
    }
    ended.is_ok()
}
