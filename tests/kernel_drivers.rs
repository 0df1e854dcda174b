//! The drivers that `RUMP_DRIVERS` put into the kernel are there when it has booted.
#![allow(unsafe_code)]

mod common;

use common::Outcome;
use rump_sys::drivers::{DRIVERS, rump_drivers_makenodes, rump_drivers_units};
use std::ffi::CString;

fn main() {
    let tests: [common::Test; 3] = [
        ("netbsd::drivers::are_registered", are_registered),
        ("netbsd::drivers::others_are_not", others_are_not),
        ("netbsd::drivers::nodes_are_made_again", nodes_again),
    ];
    let reason = "RUMP_DRIVERS names no drivers";
    let trial = |(name, test): common::Test| {
        common::trial_if(!DRIVERS.is_empty(), "drivers", reason, name, move || {
            common::boot();
            test()
        })
    };
    common::run(tests.into_iter().map(trial).collect())
}

fn units(driver: &str) -> Result<i32, std::ffi::NulError> {
    let name = CString::new(driver)?;
    // SAFETY: the kernel has booted, this thread holds no virtual CPU, and the name is a
    // C string.
    Ok(unsafe { rump_drivers_units(name.as_ptr()) })
}

fn are_registered() -> Outcome {
    for driver in DRIVERS {
        let units = units(driver)?;
        assert!(units >= 0, "{driver}: {units}");
    }
    Ok(())
}

fn others_are_not() -> Outcome {
    for driver in ["", "nosuch", "wm0", "%s%n"] {
        assert_eq!(units(driver)?, -1, "{driver}");
    }
    Ok(())
}

fn nodes_again() -> Outcome {
    for _ in 0..3 {
        // SAFETY: the kernel has booted, and this thread holds no virtual CPU.
        assert_eq!(unsafe { rump_drivers_makenodes() }, 0);
    }
    Ok(())
}
