//! A guest as it is described, and its start.

use crate::device::{Device, Disk, MOST, Nic, Place, arguments, places};
use crate::error::Error;
use crate::initramfs::Initramfs;
use crate::parts::{Missing, Parts};
use crate::ports::Listeners;
use crate::qemu::Qemu;
use crate::report::Report;
use crate::running::Running;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Modules that every guest has: the ports' and VFIO's.
const MODULES: [&str; 4] = [
    "virtio_pci",
    "virtio_console",
    "vfio_pci",
    "vfio_iommu_type1",
];
/// The kernel's command line. `quiet` leaves errors on the console, and a slow console is
/// most of a noisy boot; with `panic=-1` a panic is a reset at once, which ends QEMU. On a
/// busy machine the timer comes too late for the kernel's check of it.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 intel_iommu=on no_timer_check";
/// How long a guest may take to start; it takes 3 s, and 20 on a very busy machine.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// The widths of addresses that the guest's IOMMU translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Iommu {
    /// 39 bits: tables of three levels, what QEMU has unless it is told otherwise.
    #[default]
    Bits39,
    /// 48 bits: tables of four levels.
    Bits48,
}

/// A Linux guest in QEMU: what it is to have. Nothing runs before [`boot`](Self::boot).
#[derive(Debug, Clone)]
pub struct Guest {
    cpus: usize,
    memory: usize,
    iommu: Iommu,
    devices: Vec<Device>,
    modules: Vec<String>,
    programs: Vec<PathBuf>,
    files: Vec<(PathBuf, PathBuf)>,
    boot_limit: Duration,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// One CPU, 256 MiB of memory, an IOMMU of 39 bits and no devices.
    pub fn new() -> Self {
        Self {
            cpus: 1,
            memory: 256,
            iommu: Iommu::default(),
            devices: Vec::new(),
            modules: MODULES.map(str::to_string).to_vec(),
            programs: Vec::new(),
            files: Vec::new(),
            boot_limit: BOOT_LIMIT,
        }
    }

    /// So many CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = cpus;
        self
    }

    /// So much memory, in MiB. The files that it is given are in it.
    #[must_use]
    pub fn memory(mut self, mebibytes: usize) -> Self {
        self.memory = mebibytes;
        self
    }

    /// An IOMMU of this width.
    #[must_use]
    pub fn iommu(mut self, iommu: Iommu) -> Self {
        self.iommu = iommu;
        self
    }

    /// One more device.
    ///
    /// # Panics
    /// With more than 22.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        assert!(self.devices.len() < MOST, "no slot is left");
        self.devices.push(device);
        self
    }

    /// An NVMe controller with this disk.
    #[must_use]
    pub fn nvme(self, disk: &Disk) -> Self {
        self.device(Device::nvme(disk))
    }

    /// An Intel 82574L on the hub of this number.
    #[must_use]
    pub fn e1000e(self, hub: u8) -> Self {
        self.device(Device::nic(Nic::E1000e, hub))
    }

    /// An Intel 82540EM on the hub of this number.
    #[must_use]
    pub fn e1000(self, hub: u8) -> Self {
        self.device(Device::nic(Nic::E1000, hub))
    }

    /// An AMD Am79C970A on the hub of this number.
    #[must_use]
    pub fn pcnet(self, hub: u8) -> Self {
        self.device(Device::nic(Nic::Pcnet, hub))
    }

    /// A module of the kernel's that is loaded, with those that it needs, such as `e1000e`.
    /// It decides which of the kernels of this machine is taken.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.into());
        self
    }

    /// A program that is there, with its libraries, under the same path as on this machine.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.programs.push(path.into());
        self
    }

    /// A file that is there, and where.
    #[must_use]
    pub fn file(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        self.files.push((from.into(), to.into()));
        self
    }

    /// How long it may take to start; two minutes unless this says otherwise.
    #[must_use]
    pub fn boot_limit(mut self, limit: Duration) -> Self {
        self.boot_limit = limit;
        self
    }

    /// Where its devices are, in the order in which they were added.
    pub fn places(&self) -> Vec<Place> {
        places(&self.devices)
    }

    /// Whether this machine has what such a guest is made of.
    ///
    /// # Errors
    /// What it lacks, and how to get that.
    pub fn available(&self) -> Result<(), Missing> {
        Parts::find(&self.modules).map(|_| ())
    }

    /// Starts it and waits until it takes commands.
    ///
    /// # Errors
    /// Something that it is made of is missing, or it did not start; then with its console.
    pub fn boot(&self) -> Result<Running, Error> {
        let parts = Parts::find(&self.modules)?;
        let folder = tempfile::Builder::new()
            .prefix("rump-guest")
            .tempdir()
            .map_err(Error::Image)?;
        self.image(&parts, &folder.path().join("initramfs"))
            .map_err(Error::Image)?;
        let listeners = Listeners::bind(folder.path()).map_err(Error::Start)?;
        let mut command = self.command(&parts, folder.path()).map_err(Error::Start)?;
        command.args(listeners.arguments());
        let qemu = Qemu::start(command).map_err(Error::Start)?;
        Running::start(qemu, folder, listeners, self.boot_limit)
    }

    /// Starts it, has it run this program, with such arguments, for at most a minute, and
    /// ends it.
    ///
    /// # Errors
    /// As [`boot`](Self::boot) and [`Running::run`]. That the program fails is none.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Report, Error> {
        let program = program.as_ref();
        let mut guest = self.clone().program(program).boot()?;
        let mut command = Command::new(program);
        command.args(arguments);
        guest.run(&command, Duration::from_secs(60))
    }

    /// Writes the archive that the guest starts with.
    fn image(&self, parts: &Parts, path: &Path) -> io::Result<()> {
        let mut archive = Initramfs::new(BufWriter::new(File::create(path)?));
        archive.file(Path::new("/init"), 0o755, include_bytes!("init.sh"))?;
        archive.copy(&parts.busybox, Path::new("/bin/busybox"))?;
        archive.modules(&parts.kernel.modules.in_order(&self.modules)?)?;
        for program in &self.programs {
            archive.program(program)?;
        }
        for (from, to) in &self.files {
            archive.copy(from, to)?;
        }
        archive.finish()?.flush()
    }

    fn command(&self, parts: &Parts, folder: &Path) -> io::Result<Command> {
        let width = match self.iommu {
            Iommu::Bits39 => 39,
            Iommu::Bits48 => 48,
        };
        let mut command = Command::new(&parts.qemu);
        command
            .args(["-accel", "tcg,thread=multi"])
            .args(["-machine", "q35", "-cpu", "max"])
            .args(["-smp", &self.cpus.to_string()])
            .args(["-m", &self.memory.to_string()])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none"])
            // Ports tell Linux themselves what is put in and pulled out.
            .args([
                "-global",
                "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            ])
            .arg("-device")
            .arg(format!(
                "intel-iommu,intremap=on,caching-mode=on,aw-bits={width}"
            ))
            .arg("-serial")
            .arg(format!("file:{}", folder.join("console").display()))
            .arg("-kernel")
            .arg(&parts.kernel.image)
            .arg("-initrd")
            .arg(folder.join("initramfs"))
            .args(["-append", KERNEL_LINE])
            .args(arguments(&self.devices))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("qemu"))?);
        Ok(command)
    }
}
