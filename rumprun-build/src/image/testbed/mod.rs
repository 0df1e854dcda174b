//! A real Xen to try images on, made of Debian's packages alone: QEMU runs Xen, Xen runs
//! Linux as dom0, and dom0 starts the image as a guest. Neither root nor KVM is needed, and
//! nothing is installed.
//!
//! ```text
//! packages ── what apt-get says is lacking, downloaded and unpacked below a folder
//! libraries ─ what dom0's programs need beside
//! dom0 ────── Xen, Linux, and the archive that Linux starts with (init.sh)
//! linux ───── another Linux, as a guest beside the image
//! xen::Guest  the image and its configuration, as xl(1) reads it
//! ```
//!
//! # The way of bytes
//! The guest's console is QEMU's second serial port, which is standard output here; what Xen
//! and dom0 say goes to a file. With a network, dom0 joins the guest's interface and a card of
//! QEMU's by a bridge, so that the guest is in the net that QEMU makes, as
//! [`qemu::Machine`](super::qemu::Machine) is: the same addresses, and ports of this host that
//! lead to it.
//!
//! # What is known to be weak
//! - All is emulated: the CPU has no SMAP, MWAIT and AVX, for QEMU's do not do for Xen, and no
//!   figure of such a guest says anything about a real one.
//! - The packages are those of the Debian that this is; nothing is checked beyond what
//!   apt-get checks.

mod dom0;
mod libraries;
mod linux;
mod packages;

pub use dom0::Dom0;
pub use linux::Linux;

use super::qemu::{Forward, in_user_net, qemu, user_net};
use super::root;
use super::xen::Guest;
use crate::error::{Error, IoContext, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// dom0's memory, in MiB, beside what a run adds to its archive. An archive is in it, and what it
/// is unpacked to, which Linux gives half of the rest.
const DOM0: u32 = 448;
/// The CPU, without what QEMU's does not do for Xen. Neither does it tell Xen that a guest
/// turns a part of the register state on (XCR0), which then is lost when another guest has
/// run: without AVX there is only what is always on.
const CPU: &str = "EPYC,-smap,-monitor,-avx,-avx2,-f16c,-fma";
/// What Xen keeps for itself, and the device model of a guest.
const MORE: u32 = 192;

/// How a guest has ended: the reasons of Xen's public header sched.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has powered off.
    PowerOff,
    /// It wants to be started again.
    Reboot,
    /// It has crashed, or said so.
    Crash,
    /// For another reason.
    Other(u8),
}

/// What [`init.sh`](Dom0) makes QEMU end with for a guest that has ended.
const ENDED: u8 = 16;

/// A machine with Xen and one guest.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it boots.
    pub dom0: Dom0,
    /// The guest. Its [`bridge`](Guest::bridge) and [`disks`](Guest::disks) are set by the
    /// machine.
    pub guest: Guest,
    /// Whether the guest has a network interface: in QEMU's net.
    pub network: bool,
    /// Ports of this host that lead to the guest.
    pub forwards: Vec<Forward>,
    /// Files that are the guest's disks, which keep what they were: the guest writes to copies.
    pub disks: Vec<PathBuf>,
    /// Lines of dom0's shell that run beside the guest, such as `xl shutdown -w image`.
    pub beside: String,
    /// Lines of dom0's shell that run instead of the guest, if there are any: they start it
    /// (`xl create /testbed/guest.cfg`), and others, themselves. When they end, all ends: as a
    /// guest that has powered off, or crashed if the last command has failed.
    pub instead: String,
    /// Further files of dom0's, by their names below `/testbed`.
    pub files: Vec<(String, PathBuf)>,
    /// Memory for further guests, in MiB.
    pub spare: u32,
    /// Where what is made for a run is kept.
    pub folder: PathBuf,
    /// Further arguments of QEMU's.
    pub more: Vec<String>,
}

impl Machine {
    /// A machine for a guest without a network, that keeps its files in a folder.
    pub fn new(dom0: Dom0, guest: Guest, folder: impl Into<PathBuf>) -> Self {
        Self {
            dom0,
            guest,
            network: false,
            forwards: Vec::new(),
            disks: Vec::new(),
            beside: String::new(),
            instead: String::new(),
            files: Vec::new(),
            spare: 0,
            folder: folder.into(),
            more: Vec::new(),
        }
    }

    /// Where Xen and dom0 say what they do.
    pub fn log(&self) -> PathBuf {
        self.folder.join("xen.log")
    }

    /// The command that boots Xen and runs an image, with the image's console on standard
    /// output.
    ///
    /// # Errors
    /// What is made for the run cannot be written.
    pub fn command(&self, image: &Path) -> Result<Command> {
        let archive = self.archive(image)?;
        let cpus = self.guest.cpus.max(2).to_string();
        let dom0 = self.dom0_memory(&archive)?;
        let memory = (dom0 + MORE + self.guest.memory + self.spare).to_string();
        let linux = format!("{} console=hvc0 quiet", plain(&self.dom0.linux)?);
        // It listens before the guest does, and takes connections for it.
        let mut command = qemu();
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-monitor", "none"])
            .args(["-machine", "q35", "-cpu", CPU])
            .args(["-accel", "tcg,thread=multi,tb-size=512"])
            .args(["-smp", &cpus, "-m", &memory])
            .arg("-serial")
            .arg(joined("file:", &self.log()))
            .args(["-serial", "stdio"])
            .args(["-device", "intel-iommu,intremap=on"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"])
            .arg("-kernel")
            .arg(&self.dom0.xen)
            .args(["-append", &xen_line(dom0)])
            .args(["-initrd", &format!("{linux},{}", plain(&archive)?)]);
        if self.network {
            let back = user_net(&self.forwards, "10.0.2.15");
            command.args(["-netdev", &back, "-device", "e1000,netdev=net0"]);
        }
        command.args(&self.more);
        Ok(command)
    }

    /// What dom0 needs to unpack an archive, in MiB.
    fn dom0_memory(&self, archive: &Path) -> Result<u32> {
        let length = |path: &Path| Ok(fs::metadata(path).context("looking at", path)?.len());
        let added = length(archive)?.saturating_sub(length(&self.dom0.archive)?);
        // As much as was always there is in DOM0.
        let added = (added >> 20).saturating_sub(16);
        Ok(DOM0 + 3 * u32::try_from(added).unwrap_or(u32::MAX / 4))
    }

    /// Runs an image until it ends, and tells how.
    ///
    /// # Errors
    /// [`Error::Program`] without QEMU; [`Error::Image`] if there was no guest that ended,
    /// with the last that Xen and dom0 have said.
    pub fn run(&self, image: &Path) -> Result<End> {
        let mut command = self.command(image)?;
        let status = command.status().map_err(super::qemu::missing)?;
        end_of(status.code()).ok_or_else(|| {
            let log = fs::read(self.log()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().map(str::trim_end).collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            let all = self.log();
            let all = all.display();
            Error::Image(format!(
                "the guest did not run to an end ({status}). The last of {all}:\n{last}"
            ))
        })
    }

    /// dom0's files with those of this run behind them.
    fn archive(&self, image: &Path) -> Result<PathBuf> {
        let stage = self.folder.join("stage");
        let _ = fs::remove_dir_all(&stage);
        let inside = stage.join("testbed");
        fs::create_dir_all(&inside).context("creating", &inside)?;
        let mut guest = self.guest.clone();
        let copy = |from: &Path, name: &str| -> Result<PathBuf> {
            fs::copy(from, inside.join(name)).context("copying", from)?;
            Ok(Path::new("/testbed").join(name))
        };
        if self.network {
            guest.bridge = Some("xenbr0".into());
            guest.line = in_user_net(guest.line);
        }
        let image = copy(image, "image")?;
        if let Some(root) = &guest.root {
            guest.root = Some(copy(root, "root.cpio")?);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            copy(disk, &format!("disk{number}"))?;
            guest.disks.push(format!("/dev/loop{number}").into());
        }
        for (name, file) in &self.files {
            copy(file, name)?;
        }
        let write = |name: &str, text: String| {
            let path = inside.join(name);
            fs::write(&path, text).context("writing", path)
        };
        write("guest.cfg", guest.config("image", &image)?)?;
        write("passthrough", guest.devices.join("\n"))?;
        write("beside.sh", self.beside.clone())?;
        write("instead.sh", self.instead.clone())?;
        let (own, all) = (self.folder.join("run.cpio"), self.folder.join("all.cpio"));
        root::archive(&stage, &own)?;
        fs::remove_dir_all(&stage).context("removing", &stage)?;
        // Linux unpacks archives that follow each other, each from a multiple of 4.
        let mut to = File::create(&all).context("creating", &all)?;
        for part in [&self.dom0.archive, &own] {
            let mut from = File::open(part).context("reading", part)?;
            let length = io::copy(&mut from, &mut to).context("writing", &all)?;
            let padding = length.next_multiple_of(4) - length;
            let mut zeros = io::Read::take(io::repeat(0), padding);
            io::copy(&mut zeros, &mut to).context("writing", &all)?;
        }
        fs::remove_file(&own).context("removing", &own)?;
        Ok(all)
    }
}

/// What Xen is told. Without page sharing of the IOMMU, which QEMU's does not do for it; and the
/// registers of floating point and vectors are switched with each guest: when they are only
/// switched when they are used, as Xen does it on AMD's CPUs, guests in QEMU have those of others
/// now and then, and their programs die.
fn xen_line(dom0: u32) -> String {
    format!(
        "xen console=com1 com1=115200,8n1 dom0_mem={dom0}M dom0_max_vcpus=1 loglvl=all \
         guest_loglvl=all noreboot=1 iommu=no-sharept spec-ctrl=eager-fpu"
    )
}

/// How the guest has ended, from QEMU's status. `None` if there was none that ended.
pub fn end_of(code: Option<i32>) -> Option<End> {
    let written = code.filter(|code| code & 1 == 1)? >> 1;
    let reason = u8::try_from(written).ok()?.checked_sub(ENDED)?;
    match reason {
        0 => Some(End::PowerOff),
        1 => Some(End::Reboot),
        3 => Some(End::Crash),
        2 | 4..16 => Some(End::Other(reason)),
        _ => None,
    }
}

/// A path as it can stand in QEMU's list of modules, which commas and blanks separate.
fn plain(path: &Path) -> Result<String> {
    let text = path.to_string_lossy();
    if text.contains([',', ' ']) {
        return Err(Error::Image(format!(
            "{text}: QEMU takes no such path, for it has a comma or a blank: set \
             CARGO_TARGET_DIR to another"
        )));
    }
    Ok(text.into_owned())
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    // A comma would begin an option.
    text.push(path.to_string_lossy().replace(',', ",,"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_from_the_status() {
        let written = |value: i32| Some(value << 1 | 1);
        assert_eq!(end_of(written(16)), Some(End::PowerOff));
        assert_eq!(end_of(written(17)), Some(End::Reboot));
        assert_eq!(end_of(written(19)), Some(End::Crash));
        assert_eq!(end_of(written(18)), Some(End::Other(2)));
        for failed in [
            Some(0),
            Some(1),
            written(0),
            written(32),
            written(200),
            None,
        ] {
            assert_eq!(end_of(failed), None);
        }
    }

    #[test]
    fn paths_that_qemu_would_cut_are_refused() {
        assert!(plain(Path::new("/a,b/xen")).is_err());
        assert!(plain(Path::new("/a b/xen")).is_err());
        assert_eq!(plain(Path::new("/a/xen")).unwrap(), "/a/xen");
    }
}
