//! Boot parameters: what `rumpuser_getparam` answers.
//!
//! [`set`] comes first, then the host's own configuration (on Linux the
//! environment, and only variables that start with `RUMP_`, so that a kernel
//! cannot be steered by an unrelated variable), then a default for the two that
//! the kernel insists on: two virtual CPUs, and a host name.

use crate::abi::{PARAM_HOSTNAME, PARAM_NCPU};
use crate::cold::Cold;
use crate::errno::Errno;
use crate::host::Host;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

static PARAMS: Cold<Vec<(String, String)>> = Cold::new(Vec::new());

/// How many virtual CPUs there are unless somebody says otherwise.
const DEFAULT_CPUS: &str = "2";

/// Sets a parameter, by its public name (`RUMP_NCPU`, `RUMP_MEMLIMIT`,
/// `RUMP_VERBOSE`, `RUMP_HOSTNAME`, …; see rump(3)). What is set after the
/// kernel has booted has no effect, because the kernel asks while it boots.
///
/// ```
/// rump_hyper::params::set("RUMP_NCPU", "4");
/// assert_eq!(rump_hyper::params::get("RUMP_NCPU").as_deref(), Some("4"));
/// ```
pub fn set(name: &str, value: &str) {
    let (name, value) = (name.to_owned(), value.to_owned());
    PARAMS.with(|params| {
        if let Some(old) = params.iter_mut().find(|(key, _)| *key == name) {
            old.1 = value;
        } else {
            params.push((name, value));
        }
    });
}

/// What was set by [`set`].
pub fn get(name: &str) -> Option<String> {
    PARAMS.with(|params| {
        params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    })
}

/// What was set, or the host's configuration says.
fn configured<H: Host>(name: &str) -> Option<String> {
    if let Some(value) = get(name) {
        return Some(value);
    }
    if !name.starts_with("RUMP_") {
        return None;
    }
    let mut buf = [0; 256];
    let len = H::param(name, &mut buf)?;
    core::str::from_utf8(buf.get(..len)?)
        .ok()
        .map(str::to_owned)
}

/// The answer to `rumpuser_getparam`.
pub fn lookup<H: Host>(name: &str) -> Result<String, Errno> {
    match name {
        PARAM_NCPU => match configured::<H>("RUMP_NCPU") {
            Some(cpus) if cpus == "host" => Ok(H::cpus().to_string()),
            Some(cpus) => Ok(cpus),
            None => Ok(DEFAULT_CPUS.to_owned()),
        },
        PARAM_HOSTNAME => {
            Ok(configured::<H>("RUMP_HOSTNAME").unwrap_or_else(|| format!("rump-{}", H::id())))
        }
        // Names that start like this are the hypervisor's, and there are no others.
        _ if name.starts_with('_') => Err(Errno::INVAL),
        _ => configured::<H>(name).ok_or(Errno::NOENT),
    }
}

/// Writes the answer as a C string.
pub fn copy<H: Host>(name: &str, out: &mut [u8]) -> Result<(), Errno> {
    let value = lookup::<H>(name)?;
    let bytes = value.as_bytes();
    let (text, rest) = out.split_at_mut_checked(bytes.len()).ok_or(Errno::TOOBIG)?;
    let end = rest.first_mut().ok_or(Errno::TOOBIG)?;
    text.copy_from_slice(bytes);
    *end = 0;
    Ok(())
}
