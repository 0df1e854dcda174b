//! The limit of descriptors of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises it as far as possible: each socket of a program takes a descriptor here. Not before
/// programs are started that would inherit it.
pub fn raise_limit() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}
