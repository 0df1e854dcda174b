//! The rival: a minimal Linux guest in the same machine, whose init is the program, or starts
//! it with a network.

use super::{MEMORY, Result, bare, fixture};
use rumprun_build::image::qemu::Machine;
use rumprun_build::image::root;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel's command line. On a busy machine the timer comes too late for the kernel's
/// check of it.
const LINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init";
/// The driver of the image's network card.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// A guest.
pub struct Linux {
    kernel: PathBuf,
    root: PathBuf,
}

impl Linux {
    /// Whose init is the program that says hello.
    pub fn hello(folder: &Path) -> Result<Self> {
        let files = folder.join("linux");
        fs::create_dir_all(&files)?;
        compile("hello", &files.join("init"))?;
        // What init writes to.
        fs::create_dir_all(files.join("dev"))?;
        let archive = folder.join("linux.cpio");
        root::archive(&files, &archive)?;
        Ok(Self {
            kernel: rump_testbed::kernel()?,
            root: archive,
        })
    }

    /// That runs a command with the files of a folder, at an address.
    pub fn server(files: &Path, command: &str, address: &str) -> Result<Self> {
        let parts = rump_testbed::bare(&MODULES)?;
        for folder in ["bin", "dev", "proc", "sys", "modules", "tmp"] {
            fs::create_dir_all(files.join(folder))?;
        }
        fs::copy(&parts.busybox, files.join("bin/busybox"))?;
        let mut script = String::from("#!/bin/busybox sh\n/bin/busybox --install -s /bin\n");
        script += "mount -t devtmpfs devtmpfs /dev\nmount -t proc proc /proc\n";
        script += "mount -t sysfs sysfs /sys\n";
        for (name, module) in &parts.modules {
            fs::write(files.join(format!("modules/{name}.ko")), module)?;
            script += &format!("insmod /modules/{name}.ko\n");
        }
        script += "ip link set lo up\n";
        script += &format!("ip address add {address} dev eth0\nip link set eth0 up\n");
        script += &format!("exec {command}\n");
        let init = files.join("init");
        fs::write(&init, script)?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let archive = files.with_extension("cpio");
        root::archive(files, &archive)?;
        Ok(Self {
            kernel: parts.kernel,
            root: archive,
        })
    }

    /// The same machine as that of an image that is asked for nothing.
    pub fn command(&self) -> Command {
        self.command_in(bare(MEMORY))
    }

    /// A machine with this guest in place of the image.
    pub fn command_in(&self, mut machine: Machine) -> Command {
        machine.root = Some(self.root.clone());
        let mut command = machine.command(&self.kernel);
        command.args(["-append", LINE]);
        command
    }
}

/// A program as it is in an image, for Linux.
pub fn compile(name: &str, to: &Path) -> Result<()> {
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-C", "strip=symbols"])
        .args(["-C", "target-feature=+crt-static", "-o"])
        .arg(to)
        .arg(fixture(&format!("src/{name}.rs")))
        .status()?;
    if built.success() {
        Ok(())
    } else {
        Err(format!("{name} was not compiled for Linux").into())
    }
}
