//! Detecting that somebody else on a link has an address.
//!
//! The kernel has one setting for all interfaces, how often it asks (`dad_count`). This
//! crate sets it to 0 at boot, so that an address can be used at once, and to more as long
//! as somebody adds one that must be unique.

use crate::sysctl;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const V4: &str = "net.inet.ip.dad_count";
const V6: &str = "net.inet6.ip6.dad_count";

/// How often the link is asked: as NetBSD does by default.
const V4_TIMES: i32 = 3;
const V6_TIMES: i32 = 1;

static ONE: Mutex<()> = Mutex::new(());

/// Turns detection off, where the kernel has it.
pub(crate) fn off() -> Result<(), sysctl::Error> {
    for node in [V4, V6] {
        match sysctl::set(node, 0) {
            Err(sysctl::Error::Unknown { .. }) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Detection is on as long as this is there.
pub(super) struct Detection {
    node: &'static str,
    _one: MutexGuard<'static, ()>,
}

impl Detection {
    pub(super) fn on(address: IpAddr) -> Result<Self, sysctl::Error> {
        let (node, times) = match address {
            IpAddr::V4(_) => (V4, V4_TIMES),
            IpAddr::V6(_) => (V6, V6_TIMES),
        };
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        sysctl::set(node, times)?;
        Ok(Self { node, _one: one })
    }
}

impl Drop for Detection {
    fn drop(&mut self) {
        // It was there when it was turned on.
        let _ = sysctl::set(self.node, 0);
    }
}
