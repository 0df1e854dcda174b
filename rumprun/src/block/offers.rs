//! Disks that the program offers to other domains: which there are, by the names that it gave
//! them. Nothing else of its disks is reached by another domain.

use crate::sync::Lock;
use alloc::string::String;
use alloc::vec::Vec;

/// A disk of the kernel's, for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// How others call it.
    pub name: String,
    /// Its path in the kernel.
    pub path: String,
    /// Whether they may write.
    pub writable: bool,
}

/// The most bytes of a name.
pub(crate) const LONGEST: usize = 64;

static OFFERS: Lock<Vec<Offer>> = Lock::new(Vec::new());

/// Why there can be no such offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This is no name that xl takes.
    Name,
    /// There is one of that name.
    Taken,
}

/// What xl takes as the target of a disk, and what can stand in a message.
fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte))
}

/// Adds one, for good.
pub(crate) fn add(offer: Offer) -> Result<(), Refused> {
    if !is_name(&offer.name) {
        return Err(Refused::Name);
    }
    let mut offers = OFFERS.lock();
    if offers.iter().any(|other| other.name == offer.name) {
        return Err(Refused::Taken);
    }
    offers.push(offer);
    Ok(())
}

/// That of a name.
pub(crate) fn find(name: &str) -> Option<Offer> {
    let offers = OFFERS.lock();
    offers.iter().find(|offer| offer.name == name).cloned()
}

/// What the program calls.
#[cfg(feature = "image")]
mod gate {
    use super::{Offer, Refused, add};
    use crate::block::opened::Opened;
    use crate::xen;
    use alloc::string::String;
    use core::ffi::{CStr, c_char, c_int};
    use rump_sys::abi;
    use rump_sys::offers::WRITABLE;

    /// # Safety
    /// A text that ends in 0.
    unsafe fn text(text: *const c_char) -> Option<String> {
        // SAFETY: by contract.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_str().ok().map(String::from)
    }

    /// As [`rump_disk_offer`](rump_sys::offers::rump_disk_offer).
    unsafe extern "C" fn offer(name: *const c_char, path: *const c_char, flags: u32) -> c_int {
        if !xen::is_xen() {
            return abi::EOPNOTSUPP;
        }
        // SAFETY: the caller's.
        let (Some(name), Some(path)) = (unsafe { (text(name), text(path)) }) else {
            return abi::EINVAL;
        };
        let writable = flags & WRITABLE != 0;
        // What cannot be opened now is no use later.
        if let Err(errno) = Opened::new(&path, writable) {
            return errno.0;
        }
        let added = add(Offer {
            name,
            path,
            writable,
        });
        match added {
            Ok(()) => {
                xen::offered();
                0
            }
            Err(Refused::Name) => abi::EINVAL,
            Err(Refused::Taken) => abi::EEXIST,
        }
    }

    rump_sys::export_gates! { rump_disk_offer = offer; }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn offer(name: &str) -> Offer {
        Offer {
            name: name.to_string(),
            path: "/dev/rld0d".into(),
            writable: true,
        }
    }

    #[test]
    fn names_are_unique_and_what_xl_takes() {
        assert_eq!(add(offer("data")), Ok(()));
        assert_eq!(add(offer("/dev/ld0")), Ok(()));
        assert_eq!(add(offer("data")), Err(Refused::Taken));
        let long = "a".repeat(LONGEST + 1);
        for name in ["", "a b", "a,b", "a\nb", "a\"", "ä", &long] {
            assert_eq!(add(offer(name)), Err(Refused::Name), "{name:?}");
        }
        assert_eq!(find("data"), Some(offer("data")));
        assert_eq!(find("dat"), None);
    }
}
