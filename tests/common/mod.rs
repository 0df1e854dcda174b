//! What the test files share: trials that need a kernel, and one boot per process.
//!
//! A trial that cannot run is reported as ignored, with a line that says why;
//! `RUMP_TEST_REQUIRE=netbsd` (a list, separated by commas) makes it fail instead.

#![allow(dead_code)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::OnceLock;

/// Runs the trials of a test file with the usual arguments.
pub fn run(trials: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// A trial that needs a kernel in the build.
pub fn kernel_trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    trial_if(
        rump::kernel::available(),
        "netbsd",
        "no rump kernel in this build",
        name,
        test,
    )
}

/// A trial that can run if `possible`; otherwise `reason` says why it cannot, and
/// `need` is its word in `RUMP_TEST_REQUIRE`.
pub fn trial_if(
    possible: bool,
    need: &'static str,
    reason: &'static str,
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = name.into();
    if possible {
        return Trial::test(name, test);
    }
    if required(need) {
        return Trial::test(name, move || {
            Err(format!("RUMP_TEST_REQUIRE={need}: {reason}").into())
        });
    }
    println!("skipped: {name}: {reason}");
    Trial::test(name, test).with_ignored_flag(true)
}

fn required(need: &str) -> bool {
    std::env::var("RUMP_TEST_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| word.trim() == need))
}

/// The kernel of this test process, booted at the first call with two virtual CPUs.
pub fn boot() -> &'static rump::Kernel {
    static KERNEL: OnceLock<rump::Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| match rump::Kernel::builder().cpus(2).boot() {
        Ok(kernel) => kernel,
        Err(error) => panic!("the kernel does not boot: {error}"),
    })
}
