//! Detecting that somebody else on a link has an address.
//!
//! The kernel has one setting for all interfaces, how often it asks (`dad_count`). This
//! crate sets it to 0 at boot, so that an address can be used at once, and to more as long
//! as somebody adds one that must be unique: an interface whose link comes up meanwhile
//! asks then. Whoever adds another address at that time has it set to 0 for that moment.
//! A link that comes up in this very moment is not asked.

use crate::sysctl;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The setting of a family, and how often the link is asked: as NetBSD does by default.
struct Family {
    node: &'static str,
    times: i32,
    /// Whether it is on. Addresses are added with this locked.
    on: Mutex<bool>,
}

static V4: Family = Family {
    node: "net.inet.ip.dad_count",
    times: 3,
    on: Mutex::new(false),
};
static V6: Family = Family {
    node: "net.inet6.ip6.dad_count",
    times: 1,
    on: Mutex::new(false),
};

/// Held by the one who detects.
static ONE: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Family {
    fn of(address: IpAddr) -> &'static Self {
        match address {
            IpAddr::V4(_) => &V4,
            IpAddr::V6(_) => &V6,
        }
    }

    fn set(&self, on: bool) -> Result<(), sysctl::Error> {
        sysctl::set(self.node, if on { self.times } else { 0 })
    }
}

/// Turns detection off, where the kernel has it.
pub(crate) fn off() -> Result<(), sysctl::Error> {
    for family in [&V4, &V6] {
        match family.set(false) {
            Err(sysctl::Error::Unknown { .. }) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Adds an address that is not asked for, whatever others want to know.
pub(super) fn without<R>(address: IpAddr, add: impl FnOnce() -> R) -> Result<R, sysctl::Error> {
    let family = Family::of(address);
    let on = lock(&family.on);
    if !*on {
        return Ok(add());
    }
    family.set(false)?;
    let added = add();
    family.set(true)?;
    Ok(added)
}

/// Detection is on as long as this is there.
pub(super) struct Detection {
    family: &'static Family,
    _one: MutexGuard<'static, ()>,
}

impl Detection {
    pub(super) fn on(address: IpAddr) -> Result<Self, sysctl::Error> {
        let family = Family::of(address);
        let one = lock(&ONE);
        let mut on = lock(&family.on);
        family.set(true)?;
        *on = true;
        Ok(Self { family, _one: one })
    }

    /// Adds the address that is asked for.
    pub(super) fn with<R>(&self, add: impl FnOnce() -> R) -> R {
        let _on = lock(&self.family.on);
        add()
    }
}

impl Drop for Detection {
    fn drop(&mut self) {
        let mut on = lock(&self.family.on);
        // It was there when it was turned on.
        let _ = self.family.set(false);
        *on = false;
    }
}
