//! What the firmware says of this machine.

use super::Start;
use crate::acpi::{self, Machine, Memory};
use crate::memory::tables::{self, TABLES};
use crate::say;
use crate::sync::Lock;
use alloc::boxed::Box;

/// Physical memory at its own address.
struct Physical;

impl Memory for Physical {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        if address < crate::memory::PAGE64 || end > 1 << 40 {
            return None;
        }
        // Above 4 GiB only what is memory is mapped.
        let mapped = (address..end)
            .step_by(crate::memory::PAGE)
            .chain([end - 1])
            .all(|at| {
                let entry = TABLES.lock().look(at).unwrap_or(0);
                entry & tables::PRESENT != 0
            });
        // SAFETY: it is mapped, and what firmware left there does not change: it is in no
        // memory that is given out. Where there is no memory reading gives ones.
        mapped.then(|| unsafe { core::slice::from_raw_parts(address as *const u8, len) })
    }
}

static MACHINE: Lock<Option<&'static Machine>> = Lock::new(None);

/// Reads the tables, once.
pub(crate) fn read(start: &mut Start) -> &'static Machine {
    let root = start.acpi.or_else(|| acpi::search(&Physical));
    start.acpi = root;
    let machine = root.and_then(|root| acpi::read(&Physical, root));
    if machine.is_none() && !crate::xen::is_xen() {
        say!("rumprun: the firmware has no ACPI tables: one CPU, and no way to power off");
    }
    let mut machine = machine.unwrap_or_default();
    if machine.madt.is_none() {
        machine.madt = crate::xen::firmware::cpus(&Physical);
    }
    for name in &machine.malformed {
        say!(
            "rumprun: the ACPI table {} is malformed and not used",
            name.escape_ascii()
        );
    }
    let machine = Box::leak(Box::new(machine));
    *MACHINE.lock() = Some(machine);
    machine
}

/// What was read.
pub fn get() -> Option<&'static Machine> {
    *MACHINE.lock()
}

/// The same, for the end: also if the lock is stuck.
pub(crate) fn get_at_last() -> Option<&'static Machine> {
    *MACHINE.try_lock()?
}
