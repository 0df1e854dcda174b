//! An unmodified Linux as a guest beside the image: the kernel that dom0 has, with the front
//! ends of Xen's devices, busybox, and a script of the caller's.

use super::dom0::{Dom0, copy, modules, text};
use super::libraries;
use super::packages::Packages;
use crate::error::{IoContext, Result};
use crate::image::root;
use std::fs;
use std::path::{Path, PathBuf};

/// Its modules, in the order in which they are loaded.
const MODULES: [&str; 2] = ["xen-netfront", "xen-blkfront"];

/// Its files.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The kernel. It is not packed, where it could be unpacked: xl(1) takes long for that.
    pub kernel: PathBuf,
    /// The archive that it starts with.
    pub archive: PathBuf,
}

/// What comes before the script.
const START: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
# Linux is told of their parameters as modprobe is: MODULE.NAME=VALUE.
while read -r module; do
    parameters=
    for word in $(cat /proc/cmdline); do
        case $word in \"$module\".*) parameters=\"$parameters ${word#*.}\" ;; esac
    done
    insmod /modules/$module $parameters
done < /modules/order
";

impl Linux {
    /// Makes it below the folder of a testbed that was made; its first process runs these lines.
    ///
    /// # Errors
    /// As [`Dom0::make`](super::Dom0::make).
    pub fn make(folder: &Path, script: &str) -> Result<Self> {
        Self::make_with(folder, script, &[], &[])
    }

    /// The same with more modules, which are loaded in this order, and programs, by their paths
    /// from the root, with the libraries that they need.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn make_with(
        folder: &Path,
        script: &str,
        more: &[&str],
        programs: &[&str],
    ) -> Result<Self> {
        let packages = Packages::get(folder)?;
        let kernel = packages.find("boot/vmlinuz-*")?;
        let busybox = packages
            .find("bin/busybox")
            .or_else(|_| packages.find("usr/bin/busybox"))?;
        let stage = folder.join("linux-stage");
        let _ = fs::remove_dir_all(&stage);
        copy(&busybox, &stage, Path::new("bin/busybox"))?;
        modules(&stage, &packages, &kernel, &[&MODULES, more].concat())?;
        let mut found = Vec::new();
        for program in programs {
            let here = packages.find(program)?;
            copy(&here, &stage, packages.path_of(&here))?;
            found.push(here);
        }
        for (to, here) in libraries::of(&found, &packages)? {
            copy(&here, &stage, to.strip_prefix("/").unwrap_or(&to))?;
        }
        text(&stage, "init", &format!("{START}{script}"))?;
        let archive = folder.join("linux.cpio");
        root::archive(&stage, &archive)?;
        fs::remove_dir_all(&stage).context("removing", &stage)?;
        let kernel = Dom0::below(folder).linux;
        Ok(Self { kernel, archive })
    }
}
