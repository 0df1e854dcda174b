//! dom0: Xen itself, a Linux kernel, and an archive with Xen's tools that Linux starts with.

use super::libraries;
use super::packages::Packages;
use crate::error::{Error, IoContext, Result};
use crate::image::{root, run};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs of dom0's, from the root.
const PROGRAMS: [&str; 10] = [
    "usr/lib/xen-*/bin/xl",
    "usr/lib/xen-*/bin/libxl-save-helper",
    "usr/lib/xen-*/bin/xen-init-dom0",
    "usr/lib/xen-*/bin/xenconsoled",
    "usr/lib/xen-*/bin/xenstored",
    "usr/bin/xenstore-write",
    "usr/bin/xenstore-read",
    "usr/bin/xenstore-rm",
    "usr/bin/xenstore-ls",
    "usr/libexec/xen-qemu-system-i386",
];

/// What else is wanted as it is, for HVM guests: firmware, and what the device model reads.
const FILES: [&str; 4] = [
    "usr/share/qemu/keymaps/en-us",
    "usr/share/qemu/linuxboot.bin",
    "usr/lib/xen-*/boot/hvmloader",
    "usr/share/seabios/bios-256k.bin",
];

/// Modules of Linux, in the order in which they are loaded; those that a kernel has built in
/// are passed over.
const MODULES: [&str; 14] = [
    "xen-privcmd",
    "xen-evtchn",
    "xenfs",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-netback",
    "xen-blkback",
    "xen-pciback",
    "loop",
    "llc",
    "stp",
    "bridge",
    "e1000",
    "tun",
];

/// What QEMU boots.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// Xen, not compressed, as QEMU's multiboot loader wants it.
    pub(super) xen: PathBuf,
    /// Linux.
    pub(super) linux: PathBuf,
    /// Its first files; those of a run come behind them.
    pub(super) archive: PathBuf,
}

impl Dom0 {
    /// What was made below a folder before, if it is whole and of this version.
    pub fn made(folder: &Path) -> Option<Self> {
        let is = fs::read_to_string(folder.join(MADE_OF)).is_ok_and(|old| old == made_of());
        is.then(|| Self::below(folder))
    }

    pub(super) fn below(folder: &Path) -> Self {
        Self {
            xen: folder.join("xen"),
            linux: folder.join("linux"),
            archive: folder.join("dom0.cpio"),
        }
    }

    /// Makes it below a folder, from Debian's packages, unless it is there.
    ///
    /// # Errors
    /// [`Error::Image`] and [`Error::Command`] with what is missing.
    pub fn make(folder: &Path) -> Result<Self> {
        if let Some(made) = Self::made(folder) {
            return Ok(made);
        }
        let made = Self::below(folder);
        fs::create_dir_all(folder).context("creating", folder)?;
        let packages = Packages::get(folder)?;
        let linux = packages.find("boot/vmlinuz-*")?;
        let stamped = folder.join(MADE_OF);
        let _ = fs::remove_file(&stamped);
        let compressed = packages.find("boot/xen-*-amd64.gz")?;
        decompress("gzip", &compressed, &made.xen)?;
        // Xen would unpack it, too, and in QEMU takes its time for that.
        if !unpack(&linux, &made.linux)? {
            fs::copy(&linux, &made.linux).context("copying", &linux)?;
        }
        let stage = folder.join("stage");
        let _ = fs::remove_dir_all(&stage);
        fill(&stage, &packages, &linux)?;
        root::archive(&stage, &made.archive)?;
        fs::remove_dir_all(&stage).context("removing", &stage)?;
        // Last, when all else is whole.
        fs::write(&stamped, made_of()).context("writing", &stamped)?;
        Ok(made)
    }
}

/// The file that says what it was made of.
const MADE_OF: &str = "made-of";

fn made_of() -> String {
    let scripts = [
        include_str!("init.sh"),
        include_str!("vif.sh"),
        include_str!("block.sh"),
    ];
    format!("{scripts:?} {PROGRAMS:?} {FILES:?} {MODULES:?}")
}

/// Puts dom0's files into a folder.
fn fill(stage: &Path, packages: &Packages, linux: &Path) -> Result<()> {
    let busybox = packages
        .find("bin/busybox")
        .or_else(|_| packages.find("usr/bin/busybox"))?;
    copy(&busybox, stage, Path::new("bin/busybox"))?;
    let mut programs = Vec::new();
    for pattern in PROGRAMS {
        let here = packages.find(pattern)?;
        copy(&here, stage, packages.path_of(&here))?;
        programs.push(here);
    }
    for pattern in FILES {
        let here = packages.find(pattern)?;
        copy(&here, stage, packages.path_of(&here))?;
    }
    for (to, here) in libraries::of(&programs, packages)? {
        copy(&here, stage, to.strip_prefix("/").unwrap_or(&to))?;
    }
    text(stage, "init", include_str!("init.sh"))?;
    text(stage, "etc/xen/scripts/vif-bridge", include_str!("vif.sh"))?;
    text(stage, "etc/xen/scripts/block", include_str!("block.sh"))?;
    modules(stage, packages, linux, &MODULES)
}

/// Copies the modules that the kernel has, and says in which order they are loaded.
pub(super) fn modules(
    stage: &Path,
    packages: &Packages,
    linux: &Path,
    names: &[&str],
) -> Result<()> {
    let version = linux
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let version = version.unwrap_or_default();
    let version = version.trim_start_matches("vmlinuz-");
    let folder = packages.find(&format!("lib/modules/{version}"))?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).context("reading", path)
    };
    let (order, built_in) = (read("modules.order")?, read("modules.builtin")?);
    let has = |list: &str, name: &str| -> Option<String> {
        let file = format!("/{name}.ko");
        list.lines()
            .find(|line| line.ends_with(&file))
            .map(String::from)
    };
    let mut loaded = String::new();
    fs::create_dir_all(stage.join("modules")).context("creating", stage)?;
    for name in names {
        let Some(path) = has(&order, name) else {
            if has(&built_in, name).is_none() {
                return Err(Error::Image(format!(
                    "the kernel {version} of the testbed has no module {name}"
                )));
            }
            continue;
        };
        let (plain, to) = (folder.join(&path), stage.join("modules").join(name));
        let compressed = folder.join(format!("{path}.xz"));
        if compressed.exists() {
            decompress("xz", &compressed, &to)?;
        } else {
            fs::copy(&plain, &to).context("copying", &plain)?;
        }
        loaded += name;
        loaded.push('\n');
    }
    text(stage, "modules/order", &loaded)
}

/// Writes the ELF file that a kernel unpacks itself to (Linux's documentation, x86/boot); false
/// if there is none that can be unpacked here.
fn unpack(from: &Path, to: &Path) -> Result<bool> {
    let data = fs::read(from).context("reading", from)?;
    let Some(payload) = payload(&data) else {
        return Ok(false);
    };
    let (program, arguments): (_, &[&str]) = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("xz", &["-dc", "--single-stream"]),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", &["-dcq"]),
        [0x1f, 0x8b, ..] => ("gzip", &["-dcq"]),
        _ => return Ok(false),
    };
    fs::write(to, payload).context("writing", to)?;
    let input = fs::File::open(to).context("reading", to)?;
    let output = Command::new(program).args(arguments).stdin(input).output();
    // What follows the compressed data, its size, may be an error to the program.
    let Ok(output) = output else { return Ok(false) };
    let is = output.stdout.starts_with(b"\x7fELF");
    if is {
        fs::write(to, output.stdout).context("writing", to)?;
    }
    Ok(is)
}

/// The part of a kernel that it unpacks.
fn payload(data: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = data.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if data.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    // The setup code is so many sectors long, behind the first; 0 stands for 4.
    let sectors = match usize::from(data[0x1f1]) {
        0 => 4,
        sectors => sectors,
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    data.get(start..start.checked_add(word(0x24c)?)?)
}

fn decompress(program: &str, from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("-dc").arg(from);
    let data = run("decompress a file of the testbed's packages", &mut command)?;
    fs::write(to, data).context("writing", to)
}

/// Copies what a path leads to.
pub(super) fn copy(from: &Path, stage: &Path, to: &Path) -> Result<()> {
    let to = stage.join(to);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).context("creating", folder)?;
    }
    fs::copy(from, &to).context("copying", from)?;
    Ok(())
}

/// Writes a file that can be executed.
pub(super) fn text(stage: &Path, name: &str, text: &str) -> Result<()> {
    let path = stage.join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).context("creating", folder)?;
    }
    let mut file = fs::File::create(&path).context("writing", &path)?;
    file.write_all(text.as_bytes()).context("writing", &path)?;
    let rights = fs::Permissions::from_mode(0o755);
    file.set_permissions(rights).context("writing", &path)
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn the_packed_part_of_a_kernel_is_found() {
        let mut kernel = vec![0; 2048];
        kernel[0x1f1] = 1;
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x248] = 8;
        kernel[0x24c] = 3;
        kernel[1032..1035].copy_from_slice(b"abc");
        assert_eq!(payload(&kernel), Some(&b"abc"[..]));
        kernel[0x24f] = 0xff;
        assert_eq!(payload(&kernel), None);
        assert_eq!(payload(&kernel[..0x220]), None);
        assert_eq!(payload(b"no kernel"), None);
    }
}
