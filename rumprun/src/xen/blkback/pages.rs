//! The pages that a front end has granted for its data. Xen copies from and to them; those of a
//! front end that keeps its grants (`feature-persistent`) are mapped when they are met first, and
//! copied from and to here, without a call of Xen's.
//!
//! However it is done, a byte of the front end's is read once.

use super::super::foreign::{Copies, Granted, Mapping};
use super::super::page::Page;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Pages that are kept mapped at most: as many as can be under way. A front end that uses more
/// has the others copied by Xen. Each takes a page of memory from this domain.
const MOST: usize = super::memory::MOST / crate::memory::PAGE;

/// The pages of a front end.
pub(super) trait Pages: Send {
    /// Copies from them. Each copy has a number; those of copies that fail are told.
    fn take(&mut self, copies: Vec<(usize, Granted, &mut [u8])>, failed: &mut dyn FnMut(usize));
    /// Copies to them.
    fn put(&mut self, copies: Vec<(usize, Granted, &[u8])>, failed: &mut dyn FnMut(usize));
}

/// Those of a domain.
#[derive(Debug)]
pub(super) struct Domain {
    number: u16,
    /// What is mapped, by its grant, if the front end keeps its grants.
    kept: Option<BTreeMap<u32, Mapping>>,
}

impl Domain {
    pub(super) fn new(number: u16, keeps: bool) -> Self {
        Self {
            number,
            kept: keeps.then(BTreeMap::new),
        }
    }

    /// Its number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// A page, if it is mapped, or can be.
    fn mapped(&mut self, grant: u32) -> Option<Page> {
        let kept = self.kept.as_mut()?;
        if let Some(mapping) = kept.get(&grant) {
            return Some(mapping.page());
        }
        if kept.len() == MOST {
            return None;
        }
        // What cannot be mapped may be copied, as a page that is only to be read; or Xen says no.
        let mapping = Mapping::new(self.number, grant).ok()?;
        Some(kept.entry(grant).or_insert(mapping).page())
    }
}

impl Pages for Domain {
    fn take(&mut self, copies: Vec<(usize, Granted, &mut [u8])>, failed: &mut dyn FnMut(usize)) {
        let mut all = Copies::new(self.number);
        for (number, from, to) in copies {
            match self.mapped(from.grant) {
                Some(page) => page.read(from.offset.into(), to),
                None => all.take(number, from, to),
            }
        }
        all.run(failed);
    }

    fn put(&mut self, copies: Vec<(usize, Granted, &[u8])>, failed: &mut dyn FnMut(usize)) {
        let mut all = Copies::new(self.number);
        for (number, to, from) in copies {
            match self.mapped(to.grant) {
                Some(page) => page.write(to.offset.into(), from),
                None => all.put(number, from, to),
            }
        }
        all.run(failed);
    }
}
