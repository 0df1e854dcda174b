//! The rump kernel of the image: booting it, and the lwps of the program's threads.

use super::line::Line;
use alloc::string::String;
use alloc::sync::Arc;
use rump_linux::Kernel;

/// Boots it. The program's sockets are those of its first process.
///
/// # Errors
/// Why it does not boot.
#[cfg(feature = "image")]
pub(super) fn boot(line: &Line) -> Result<Arc<dyn Kernel>, String> {
    use alloc::format;
    use rump_hyper::params;
    use rump_sys::{abi, control};
    /// Its parameters, and the settings of the command line that set them.
    const SETTINGS: [(&str, &str); 3] = [
        ("RUMP_HOSTNAME", "hostname"),
        ("RUMP_MEMLIMIT", "memlimit"),
        ("RUMP_VERBOSE", "verbose"),
    ];
    params::set("RUMP_NCPU", &format!("{}", crate::cpu::data::count()));
    for (name, setting) in SETTINGS {
        if let Some(value) = line.get(setting) {
            params::set(name, value);
        }
    }
    // SAFETY: nothing of the kernel runs yet that could read the one; the others may be
    // called before boot, and take no pointers.
    let error = unsafe {
        control::maxfiles = super::files::table::LIMIT as i32;
        control::rump_boot_setsigmodel(abi::RUMP_SIGMODEL_IGNORE);
        control::rump_init()
    };
    if error != 0 {
        return Err(format!(
            "the rump kernel does not boot (NetBSD's error {error})"
        ));
    }
    // What a linker may drop without a word.
    for set in rump_sys::kernel::link_sets() {
        if set.found() != set.expected {
            let (name, found, expected) = (set.name, set.found(), set.expected);
            return Err(format!(
                "the image is incomplete: link set {name} has {found} entries of {expected}"
            ));
        }
    }
    attach();
    limit()?;
    Ok(Arc::new(rump_linux::back::in_process::InProcess))
}

/// As many descriptors as the program may have.
#[cfg(feature = "image")]
fn limit() -> Result<(), String> {
    use rump_sys::{abi, syscalls};
    let most = super::files::table::LIMIT as u64;
    let limit = abi::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the kernel has booted; the limit is read during the call.
    let done = unsafe { syscalls::setrlimit(abi::RLIMIT_NOFILE, &raw const limit) };
    if done != 0 {
        let error = syscalls::errno();
        return Err(alloc::format!(
            "the rump kernel refuses {most} descriptors (NetBSD's error {error})"
        ));
    }
    Ok(())
}

/// Gives the thread that runs an lwp. Without one, calls are slower, not wrong.
#[cfg(feature = "image")]
pub(super) fn attach() {
    const FIRST_PROCESS: i32 = 1;
    // SAFETY: the kernel has booted; it looks the number up itself.
    unsafe { rump_sys::control::rump_pub_lwproc_newlwp(FIRST_PROCESS) };
}

/// Ends the lwp of the thread that runs, if it has one.
#[cfg(feature = "image")]
pub(super) fn detach() {
    // SAFETY: the kernel has booted; only an lwp that is there is ended.
    unsafe {
        if !rump_sys::control::rump_pub_lwproc_curlwp().is_null() {
            rump_sys::control::rump_pub_lwproc_releaselwp();
        }
    }
}

/// Outside of an image there is none.
#[cfg(not(feature = "image"))]
pub(super) fn boot(_: &Line) -> Result<Arc<dyn Kernel>, String> {
    Err("this is no image: there is no rump kernel".into())
}

#[cfg(not(feature = "image"))]
pub(super) fn attach() {}

#[cfg(not(feature = "image"))]
pub(super) fn detach() {}
