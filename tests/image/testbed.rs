//! Xen's testbed, for the tests of images as its guests: `./ci.sh xen` makes it and names its
//! folder in `RUMP_TEST_XEN`.

use super::{Failed, Outcome, Running, check};
use rumprun_build::image::testbed::{Dom0, End, Machine, end_of};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What dom0's shell knows in tests of services.
pub const DOM0: &str = include_str!("dom0.sh");

/// Its folder, and what was made for dom0.
pub fn made() -> Result<(PathBuf, Dom0), Failed> {
    let folder = PathBuf::from(std::env::var_os("RUMP_TEST_XEN").ok_or("no RUMP_TEST_XEN")?);
    let dom0 = Dom0::made(&folder).ok_or_else(|| {
        let folder = folder.display();
        format!("RUMP_TEST_XEN={folder}: there is no testbed of this version; ./ci.sh xen makes it")
    })?;
    Ok((folder, dom0))
}

/// Runs a machine, which is so much slower than an image by itself, until it is powered off;
/// what was said by all guests.
pub fn run(
    machine: &Machine,
    image: &Path,
    longer: Duration,
    steps: impl FnOnce(&mut Running) -> Outcome,
) -> Result<String, Failed> {
    let mut running = Running::spawn(machine.command(image)?)?.slower_by(longer);
    let steps = steps(&mut running);
    let with_log = |text: &str| {
        let log = std::fs::read(machine.log()).unwrap_or_default();
        format!("{text}\nXen and dom0:\n{}", String::from_utf8_lossy(&log))
    };
    steps.map_err(|error| with_log(error.message().unwrap_or_default()))?;
    let (code, text) = running.end_of_qemu()?;
    check(
        end_of(code) == Some(End::PowerOff),
        &format!("{code:?}"),
        &with_log(&text),
    )?;
    Ok(text)
}

/// Whether these words were said, each at least so often.
pub fn said(text: &str, all: &[(&str, usize)]) -> Outcome {
    for (words, times) in all {
        let found = text.matches(words).count();
        check(
            found >= *times,
            &format!("`{words}`: {found} of {times} times"),
            text,
        )?;
    }
    Ok(())
}
