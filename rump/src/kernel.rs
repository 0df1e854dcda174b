//! The kernel of this process: booting it, asking it who it is, shutting it down.

use crate::error::Errno;
use crate::iface::detection;
use crate::lwp;
use crate::reactor;
#[cfg(feature = "remote")]
use crate::remote::ConnectError;
use crate::settings;
use crate::sys::{control, descriptor, sysctl as raw};
use crate::sysctl;
use rump_sys::kernel::{KIND, Kind};
#[cfg(feature = "remote")]
use rump_sys::syscalls::Elsewhere;
use rump_sys::{abi, hyper};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

pub use rump_sys::kernel::available;

const ABSENT: u8 = 0;
const BOOTING: u8 = 1;
const RUNNING: u8 = 2;
const DOWN: u8 = 3;
/// In another process, of which this one is a client.
#[cfg(feature = "remote")]
const REMOTE: u8 = 4;
/// That process is no more.
#[cfg(feature = "remote")]
const GONE: u8 = 5;

static STATE: AtomicU8 = AtomicU8::new(ABSENT);

/// Why a call cannot be made: no kernel runs in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Down {
    /// Nobody has booted it.
    #[error("the rump kernel has not been booted: call rump::Kernel::builder().boot() first")]
    NotBooted,
    /// It was shut down.
    #[error("the rump kernel was shut down, and cannot be booted again in this process")]
    ShutDown,
    /// This process is the child of a fork: the kernel stayed in the parent.
    #[error(
        "this process was forked from one with a rump kernel, whose threads are not here: use the kernel in the parent, or exec"
    )]
    Forked,
    /// What was asked for takes a kernel of this process's own.
    #[error(
        "the rump kernel is in another process: interfaces, processes and the packet filter are made there"
    )]
    Elsewhere,
    /// The process with the kernel is no more.
    #[error("the process with the rump kernel has ended, or does not answer any more")]
    Gone,
}

impl From<Down> for io::Error {
    fn from(down: Down) -> Self {
        let kind = match down {
            Down::Elsewhere => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, down)
    }
}

/// Why the kernel did not boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// There is none in this build.
    #[error(
        "no kernel in this build: set NETBSD_SRC to a NetBSD source tree and build again (netbsd-src/README.md says where NetBSD publishes it)"
    )]
    NoKernel,
    /// It boots once in the life of a process.
    #[error("the rump kernel boots once in a process, and was booted before")]
    AlreadyBooted,
    /// This process is the child of a fork.
    #[error(transparent)]
    Down(#[from] Down),
    /// A setting has no meaning.
    #[error("{setting}: {problem}")]
    Setting {
        /// The method of [`Builder`], or the variable of the environment.
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A device that is to be there cannot be had.
    #[error("{problem}")]
    Pci {
        /// Which.
        address: crate::pci::Address,
        /// What [`pci::Error`](crate::pci::Error) says.
        problem: String,
    },
    /// The kernel's own initialisation failed.
    #[error("the kernel's initialisation failed: {0}")]
    Failed(Errno),
    /// The program was linked without a part of the kernel.
    #[error(
        "the kernel in this program is not complete: {what} has {found} entries where {expected} were built; the linker dropped some, link librumpkernel.a as a whole (+whole-archive)"
    )]
    Incomplete {
        /// The link set or type of component.
        what: String,
        /// How many were archived.
        expected: usize,
        /// How many the running kernel has.
        found: usize,
    },
}

/// The running kernel.
///
/// In an image (`RUMP_KERNEL=image`, which `cargo rumprun` sets) it is that which the program
/// stands on: [`Builder::boot`] finds it running, and the program's Linux system calls are
/// made in it as well.
///
/// It is a handle without state: clones are the same kernel, and dropping it does
/// nothing.
#[derive(Debug, Clone)]
pub struct Kernel(());

/// What the running kernel says of itself (`sysctl(7)`: kern.ostype, kern.osrelease,
/// kern.version).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// "NetBSD", or "rump-lite".
    pub system: String,
    /// "8.99.25".
    pub release: String,
    /// The line that it was built with.
    pub version: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.system, self.release)
    }
}

impl Kernel {
    /// The settings of a kernel that is to boot.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The kernel of this process, if it runs.
    ///
    /// # Errors
    /// [`Down`].
    pub fn current() -> Result<Self, Down> {
        check_running().map(|()| Self(()))
    }

    /// Asks the kernel who it is.
    ///
    /// # Errors
    /// [`Down`]; the error of `sysctl(3)`.
    pub fn identity(&self) -> io::Result<Identity> {
        let ask = |name| raw::string(&[abi::CTL_KERN, name]);
        Ok(Identity {
            system: ask(abi::KERN_OSTYPE)?,
            release: ask(abi::KERN_OSRELEASE)?,
            version: ask(abi::KERN_VERSION)?.trim_end().to_string(),
        })
    }

    /// Makes a network interface over a back end, with the usual settings; for others see
    /// [`Link::builder`](crate::iface::Link::builder).
    ///
    /// # Errors
    /// As [`iface::link::Builder::attach`](crate::iface::link::Builder::attach).
    pub fn attach(
        &self,
        backend: impl crate::iface::Backend + 'static,
    ) -> io::Result<crate::iface::Link> {
        crate::iface::Link::builder().attach(self, backend)
    }

    /// Opens the packet filter.
    ///
    /// # Errors
    /// [`npf::Error::Unsupported`](crate::npf::Error::Unsupported) if the kernel has none,
    /// and [`npf::Error::Version`](crate::npf::Error::Version) if it has one that is not
    /// known.
    #[cfg(feature = "npf")]
    #[doc(alias = "/dev/npf")]
    pub fn npf(&self) -> Result<crate::npf::Npf, crate::npf::Error> {
        crate::npf::Npf::open()
    }

    /// The name of this kernel as a host.
    ///
    /// # Errors
    /// [`Down`]; the error of `sysctl(3)`.
    pub fn hostname(&self) -> io::Result<String> {
        raw::string(&[abi::CTL_KERN, abi::KERN_HOSTNAME])
    }

    /// Shuts the kernel down: from now on every call but close fails with
    /// [`Down::ShutDown`]. Calls that are in the kernel finish. There is no way back.
    pub fn shutdown(&self) {
        if is_running() {
            reactor::kernel_ends();
        }
        if STATE
            .compare_exchange(RUNNING, DOWN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            reactor::kernel_has_ended();
            tracing::info!("shut down");
        }
    }
}

/// Settings of a kernel; [`Builder::boot`] is next.
///
/// What is not set here is taken from the environment (`RUMP_NCPU`, a number or "host";
/// `RUMP_MEMLIMIT`, with `k`, `m` or `g` for multiples; `RUMP_HOSTNAME`; `RUMP_VERBOSE`),
/// and else is the kernel's default.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    cpus: Option<usize>,
    memory: Option<usize>,
    hostname: Option<String>,
    verbose: Option<bool>,
    buffers: Option<usize>,
    devices: Vec<(crate::pci::Address, crate::pci::Options)>,
}

/// How many descriptors may be open at a time. NetBSD's default, 128 in a process, is
/// meant for machines with many processes.
pub(crate) const DESCRIPTORS: i32 = 65_536;

/// What a TCP socket buffers in each direction, in bytes. NetBSD's default, 32 KiB, is
/// less than what is under way where a segment has 64 KiB.
const BUFFERS: usize = 256 << 10;

impl Builder {
    /// How many virtual CPUs, from 1 to 32; 2 by default. So many threads can be in the
    /// kernel at a time. In an image it is as many as the machine has CPUs, whatever is said
    /// here.
    #[must_use]
    pub fn cpus(mut self, count: usize) -> Self {
        self.cpus = Some(count);
        self
    }

    /// How many bytes the kernel may take from the host, at least 8 MiB; no limit by
    /// default.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The kernel's name as a host.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// Whether the kernel writes its boot messages to standard error.
    #[must_use]
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = Some(verbose);
        self
    }

    /// How many bytes a TCP socket buffers in each direction, if it does not say otherwise
    /// itself, from 4 KiB to 16 MiB; 256 KiB by default. It is a limit: memory is taken for
    /// what is in a buffer.
    #[must_use]
    #[doc(alias = "net.inet.tcp.sendspace")]
    pub fn tcp_buffers(mut self, bytes: usize) -> Self {
        self.buffers = Some(bytes);
        self
    }

    /// A PCI device of the host that the kernel is to have from the start, bound to
    /// `vfio-pci`; may be called several times. See [`pci`](crate::pci).
    #[must_use]
    pub fn pci(self, address: crate::pci::Address) -> Self {
        self.pci_with(address, crate::pci::Options::new())
    }

    /// The same, with options.
    #[must_use]
    pub fn pci_with(mut self, address: crate::pci::Address, options: crate::pci::Options) -> Self {
        self.devices.push((address, options));
        self
    }

    /// Opens the devices, so that they reach all of the kernel's memory.
    fn open_devices(&self) -> Result<Vec<crate::pci::Opened>, BootError> {
        let open = |&(address, options)| {
            crate::pci::open(address, options).map_err(|error| BootError::Pci {
                address,
                problem: error.to_string(),
            })
        };
        self.devices.iter().map(open).collect()
    }

    /// What is set here and is not so in the kernel of an image, which has booted.
    fn check_image(&self) -> Result<(), BootError> {
        let other = |name: &str| Kernel(()).hostname().is_ok_and(|is| is != name);
        let refused = |setting, of_image: &str| {
            let problem = format!(
                "the kernel of an image boots before its program; give the image this setting, by `cargo rumprun run --set {of_image}`"
            );
            Err(BootError::Setting { setting, problem })
        };
        match self {
            _ if self.memory.is_some() => refused("memory_limit", "memlimit=BYTES"),
            _ if self.verbose == Some(true) => refused("verbose", "verbose=1"),
            _ if self.hostname.as_deref().is_some_and(other) => {
                refused("hostname", "hostname=NAME")
            }
            _ if !self.devices.is_empty() => Err(BootError::Setting {
                setting: "pci",
                problem: "the kernel of an image has all devices of its machine that it has drivers for; do not ask for one".into(),
            }),
            _ => Ok(()),
        }
    }

    fn parameters(&self) -> Result<Vec<(&'static str, String)>, BootError> {
        let wrong = |setting| move |problem| BootError::Setting { setting, problem };
        let mut parameters = Vec::new();
        if let Some(cpus) = self.cpus {
            settings::cpus(cpus).map_err(wrong("cpus"))?;
            parameters.push(("RUMP_NCPU", cpus.to_string()));
        }
        if let Some(bytes) = self.memory {
            settings::memory(bytes as u64).map_err(wrong("memory_limit"))?;
            parameters.push(("RUMP_MEMLIMIT", bytes.to_string()));
        }
        if let Some(name) = &self.hostname {
            settings::hostname(name).map_err(wrong("hostname"))?;
            parameters.push(("RUMP_HOSTNAME", name.clone()));
        }
        if let Some(bytes) = self.buffers {
            settings::buffers(bytes).map_err(wrong("tcp_buffers"))?;
        }
        if let Some(verbose) = self.verbose {
            parameters.push(("RUMP_VERBOSE", u8::from(verbose).to_string()));
        }
        settings::environment(|name| {
            let ours = parameters.iter().any(|(set, _)| *set == name);
            let outside = || {
                hyper::params::get(name)
                    .or_else(|| Some(std::env::var_os(name)?.to_string_lossy().into()))
            };
            if ours { None } else { outside() }
        })?;
        Ok(parameters)
    }

    /// Boots the kernel and checks that all of it is there.
    ///
    /// # Errors
    /// [`BootError`]. After [`BootError::Failed`] and [`BootError::Incomplete`], and where no
    /// driver took a device, the process cannot try again.
    #[doc(alias = "rump_init")]
    pub fn boot(self) -> Result<Kernel, BootError> {
        if !available() {
            return Err(BootError::NoKernel);
        }
        if forked() {
            return Err(Down::Forked.into());
        }
        let parameters = self.parameters()?;
        if STATE.load(Ordering::Acquire) != ABSENT {
            return Err(BootError::AlreadyBooted);
        }
        let opened = self.open_devices()?;
        if STATE
            .compare_exchange(ABSENT, BOOTING, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return Err(BootError::AlreadyBooted);
        }
        let began = Instant::now();
        for (name, value) in &parameters {
            tracing::debug!(name, value, "boot parameter");
            hyper::params::set(name, value);
        }
        let booted = control::boot(DESCRIPTORS)
            .map_err(BootError::Failed)
            .and_then(|()| check_complete());
        STATE.store(
            if booted.is_ok() { RUNNING } else { DOWN },
            Ordering::Release,
        );
        booted?;
        lwp::attach();
        if KIND == Kind::Image {
            // Another try may ask for less.
            self.check_image()
                .inspect_err(|_| STATE.store(ABSENT, Ordering::Release))?;
        }
        let set = descriptor::set_limit(DESCRIPTORS.unsigned_abs())
            .map_err(|error| Errno::of(&error))
            .and_then(|()| {
                set_buffers(self.buffers.unwrap_or(BUFFERS))
                    .and_then(|()| detection::off())
                    .map_err(|error| error.errno())
            });
        set.map_err(|errno| {
            STATE.store(DOWN, Ordering::Release);
            BootError::Failed(errno.unwrap_or(Errno::EINVAL))
        })?;
        for (&(address, _), opened) in self.devices.iter().zip(opened) {
            crate::pci::attach(opened).map_err(|error| {
                STATE.store(DOWN, Ordering::Release);
                BootError::Pci {
                    address,
                    problem: error.to_string(),
                }
            })?;
        }
        let kernel = Kernel(());
        if let Ok(identity) = kernel.identity() {
            tracing::info!(kernel = %identity, took = ?began.elapsed(), "booted");
        }
        Ok(kernel)
    }
}

/// Sets what TCP sockets buffer, if there is TCP.
fn set_buffers(bytes: usize) -> Result<(), sysctl::Error> {
    let spaces = match sysctl::list("net.inet.tcp") {
        Err(sysctl::Error::Unknown { .. }) => return Ok(()),
        nodes => nodes?,
    };
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    // A buffer is measured by the memory behind it: five quarters of what is in it where
    // that is in clusters, and more where it is not.
    let needed = bytes.saturating_mul(4);
    let most = sysctl::node("kern.sbmax")?;
    if most.get()?.number() < Some(needed.into()) {
        most.set(needed)?;
    }
    spaces
        .iter()
        .filter(|node| node.name().ends_with("space"))
        .try_for_each(|node| node.set(bytes))
}

/// Compares what the running kernel found with what was archived.
fn check_complete() -> Result<(), BootError> {
    for set in rump_sys::kernel::link_sets() {
        compare(
            || format!("link set {}", set.name),
            set.expected,
            set.found(),
        )?;
    }
    for (kind, expected) in rump_sys::kernel::COMPONENT_TYPES {
        let found = control::component_count(*kind);
        compare(
            || format!("component type {kind}"),
            *expected as usize,
            usize::try_from(found).unwrap_or(0),
        )?;
    }
    Ok(())
}

fn compare(what: impl Fn() -> String, expected: usize, found: usize) -> Result<(), BootError> {
    if found == expected {
        Ok(())
    } else {
        Err(BootError::Incomplete {
            what: what(),
            expected,
            found,
        })
    }
}

/// Whether this process is a forked child of the one that booted.
#[inline]
pub(crate) fn forked() -> bool {
    hyper::forked()
}

/// Whether calls can be made, here or elsewhere.
#[inline]
pub(crate) fn is_running() -> bool {
    match STATE.load(Ordering::Relaxed) {
        RUNNING => !forked(),
        #[cfg(feature = "remote")]
        REMOTE => true,
        _ => false,
    }
}

pub(crate) fn check_running() -> Result<(), Down> {
    match STATE.load(Ordering::Acquire) {
        _ if forked() => Err(Down::Forked),
        RUNNING => Ok(()),
        DOWN => Err(Down::ShutDown),
        #[cfg(feature = "remote")]
        REMOTE => Ok(()),
        #[cfg(feature = "remote")]
        GONE => Err(Down::Gone),
        _ => Err(Down::NotBooted),
    }
}

/// The same, for what takes a kernel in this process.
pub(crate) fn check_here() -> Result<(), Down> {
    check_running()?;
    if is_elsewhere() {
        return Err(Down::Elsewhere);
    }
    Ok(())
}

/// Whether the kernel is in another process.
pub(crate) fn is_elsewhere() -> bool {
    #[cfg(feature = "remote")]
    if STATE.load(Ordering::Relaxed) == REMOTE {
        return true;
    }
    false
}

/// Whether descriptors can still be closed: the kernel is there, running or shut down.
pub(crate) fn can_close() -> bool {
    match STATE.load(Ordering::Acquire) {
        RUNNING | DOWN => !forked(),
        _ => is_elsewhere(),
    }
}

/// Makes the kernel that `connect` finds elsewhere the one of this process.
#[cfg(feature = "remote")]
pub(crate) fn join(
    connect: impl FnOnce() -> Result<&'static &'static dyn Elsewhere, ConnectError>,
) -> Result<Kernel, ConnectError> {
    if forked() {
        return Err(Down::Forked.into());
    }
    if STATE
        .compare_exchange(ABSENT, BOOTING, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        return Err(ConnectError::HasKernel);
    }
    let connected = connect();
    let state = match &connected {
        Ok(_) => REMOTE,
        Err(_) => ABSENT,
    };
    if let Ok(elsewhere) = &connected {
        control::go_elsewhere(elsewhere);
    }
    STATE.store(state, Ordering::Release);
    connected.map(|_| Kernel(()))
}

/// The process with the kernel is no more.
#[cfg(feature = "remote")]
pub(crate) fn gone() {
    STATE.store(GONE, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_meaning_are_refused() {
        for (builder, setting) in [
            (Builder::default().cpus(0), "cpus"),
            (Builder::default().cpus(33), "cpus"),
            (Builder::default().memory_limit(4096), "memory_limit"),
            (Builder::default().tcp_buffers(4095), "tcp_buffers"),
            (
                Builder::default().tcp_buffers((16 << 20) + 1),
                "tcp_buffers",
            ),
            (Builder::default().hostname(""), "hostname"),
            (Builder::default().hostname("a\0b"), "hostname"),
            (Builder::default().hostname("x".repeat(256)), "hostname"),
        ] {
            let error = builder.parameters().unwrap_err();
            assert!(
                matches!(&error, BootError::Setting { setting: found, .. } if *found == setting),
                "{error}"
            );
        }
    }

    #[test]
    fn without_boot_calls_say_so() {
        let error = crate::process::id().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(error.to_string().contains("not been booted"), "{error}");
    }
}
