//! The rump kernel of the image: booting it, and the lwps of the program's threads.

use super::line::Line;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;
use rump_linux::Kernel;

/// Boots it, and gives its interface the addresses that the command line has:
/// `net=ADDRESS/BITS[,ROUTER]`, which may be repeated, for the first interface or that which
/// `interface=` names. The program's sockets are those of its first process.
///
/// # Errors
/// Why it does not boot, or what is wrong with the setting.
#[cfg(feature = "image")]
pub(super) fn boot(line: &Line) -> Result<Arc<dyn Kernel>, String> {
    use alloc::format;
    use alloc::string::ToString;
    use rump_hyper::params;
    use rump_sys::{abi, control};
    /// Its parameters, and the settings of the command line that set them.
    const SETTINGS: [(&str, &str); 3] = [
        ("RUMP_HOSTNAME", "hostname"),
        ("RUMP_MEMLIMIT", "memlimit"),
        ("RUMP_VERBOSE", "verbose"),
    ];
    for (name, setting) in SETTINGS {
        if let Some(value) = line.get(setting) {
            params::set(name, value);
        }
    }
    // SAFETY: nothing of the kernel runs yet that could read the one; the other may be
    // called before boot, and takes no pointers.
    unsafe {
        control::maxfiles = super::files::table::LIMIT as i32;
        control::rump_boot_setsigmodel(abi::RUMP_SIGMODEL_IGNORE);
    }
    let interfaces = crate::kernel::boot().map_err(|error| error.to_string())?;
    // What a linker may drop without a word.
    for set in rump_sys::kernel::link_sets() {
        if set.found() != set.expected {
            let (name, found, expected) = (set.name, set.found(), set.expected);
            return Err(format!(
                "the image is incomplete: link set {name} has {found} entries of {expected}"
            ));
        }
    }
    limit()?;
    for value in line.all("net") {
        let net = Net::parse(value)
            .ok_or_else(|| format!("net={value}: ADDRESS/BITS or ADDRESS/BITS,ROUTER is wanted"))?;
        let named = line.get("interface");
        let interface = named.or(interfaces.first().map(String::as_str));
        crate::kernel::configure(interface, net.address, net.bits, net.router)
            .map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(rump_linux::back::in_process::InProcess))
}

/// What `net=` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    bits: u8,
    router: Option<IpAddr>,
}

impl Net {
    fn parse(value: &str) -> Option<Self> {
        let (net, router) = match value.split_once(',') {
            Some((net, router)) => (net, Some(router.parse().ok()?)),
            None => (value, None),
        };
        let (address, bits) = net.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
        Some(Self {
            address,
            bits,
            router,
        })
    }
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
    // SAFETY: the kernel has booted. The program may have made an lwp itself, by the crate `rump`.
    if unsafe { rump_sys::control::rump_pub_lwproc_curlwp() }.is_null() {
        crate::kernel::give_lwp();
    }
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

#[cfg(test)]
mod tests {
    use super::Net;

    #[test]
    fn addresses_are_read() {
        let net = Net::parse("10.0.2.15/24,10.0.2.2").unwrap();
        assert_eq!((net.address, net.bits), ([10, 0, 2, 15].into(), 24));
        assert_eq!(net.router, Some([10, 0, 2, 2].into()));
        let net = Net::parse("2001:db8::5/64,2001:db8::1").unwrap();
        assert!(net.address.is_ipv6() && net.bits == 64 && net.router.is_some());
        assert_eq!(Net::parse("10.0.0.1/8").unwrap().router, None);
        for wrong in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "::1/129",
            "/8",
            "10.0.0.1/8,",
            "x/8",
            "10.0.0.1/8,x",
        ] {
            assert_eq!(Net::parse(wrong), None, "{wrong}");
        }
    }
}
