//! Asking a machine for one thing.

mod ask;
mod bounded;
mod device;
mod guest;
mod here;
mod qemu;
mod rust;
mod xen;

pub use ask::{Question, answer};
pub use here::Here;

use super::finding::Finding;
use super::item::Item;

/// A machine that can be asked.
pub trait Machine: Sync {
    /// Looks for a thing.
    fn find(&self, item: Item) -> Finding;
}

#[cfg(test)]
pub mod fake {
    //! A machine that is told what it has.

    use super::*;
    use std::collections::BTreeMap;

    /// Has everything but what is said otherwise.
    pub struct Fake(BTreeMap<Item, Finding>);

    impl Fake {
        pub fn complete() -> Self {
            Self(BTreeMap::new())
        }

        pub fn with(mut self, item: Item, finding: Finding) -> Self {
            self.0.insert(item, finding);
            self
        }

        pub fn without(self, item: Item) -> Self {
            self.with(item, Finding::missing("not there"))
        }
    }

    impl Machine for Fake {
        fn find(&self, item: Item) -> Finding {
            let said = self.0.get(&item).cloned();
            said.unwrap_or_else(|| Finding::found("found"))
        }
    }
}
