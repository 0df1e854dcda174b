//! The hypercalls as C sees them: pointers in, errnos out.
//!
//! Each function here is generic over the host and is what
//! [`export_hypercalls!`](crate::export_hypercalls) binds to a symbol of
//! rumpuser(3). They translate and delegate; the logic is elsewhere.
//!
//! # Safety
//!
//! All of them trust the kernel as rumpuser(3) does: pointers are valid for
//! what the man page says, objects were made by the matching `_init` and not
//! destroyed, and a thread that calls holds a virtual CPU where the page
//! demands one. That is the contract each `unsafe` below refers to.
#![allow(unsafe_code, clippy::missing_safety_doc)]

mod export;
mod file;
mod locks;
mod pci;
mod remote;
mod system;
mod thread;

pub use file::*;
pub use locks::*;
pub use pci::*;
pub use remote::*;
pub use system::*;
pub use thread::*;

use core::ffi::{CStr, c_char};

/// A C string of the kernel's.
///
/// # Safety
/// It ends in NUL and stays unchanged while the result is used.
unsafe fn text<'a>(string: *const c_char) -> &'a CStr {
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(string) }
}
