//! Images made by programs of others, and what those programs say of them afterwards.

#![allow(dead_code)]

use super::common::Outcome;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a test is called by if it needs one of these programs, and what is said where it is
/// not there.
pub const PROGRAMS: &[(&str, &str, &str)] = &[
    ("ext2", "mkfs.ext2", "no mkfs.ext2 (e2fsprogs)"),
    ("ext2", "e2fsck", "no e2fsck (e2fsprogs)"),
    ("msdos", "mkfs.vfat", "no mkfs.vfat (dosfstools)"),
    ("msdos", "fsck.vfat", "no fsck.vfat (dosfstools)"),
    ("cd9660", "genisoimage", "no genisoimage"),
    ("ffs", "makefs", "no makefs"),
    ("mtools", "mcopy", "no mcopy (mtools)"),
    ("gpt", "sfdisk", "no sfdisk (fdisk)"),
];

/// Where programs of the system's administrator are, which not everybody's PATH has.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// The paths that programs are looked for in.
fn path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(PLACES);
    path
}

/// Whether a program is there.
pub fn is_there(program: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// Whether Linux can mount an image with ext2.
fn mounts_ext2() -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    Path::new("/dev/loop-control").exists()
        && known.lines().any(|line| line.trim().ends_with("ext2"))
}

/// Runs a program to its end, whatever that is.
pub fn output(program: &str, arguments: &[&OsStr]) -> std::io::Result<Output> {
    Command::new(program)
        .args(arguments)
        .env("PATH", path())
        .env("LC_ALL", "C")
        .output()
}

/// The same, and it must succeed.
pub fn run(program: &str, arguments: &[&OsStr]) -> Outcome {
    let output = output(program, arguments)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

/// A folder of this test's own, which is removed with this.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rump-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A kind of file system, as the host's programs make and check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext2,
    /// FAT with 16 bits.
    Msdos,
    Fat32,
    Ffs,
    FfsV2,
}

/// Makes an empty file system of so many MiB.
pub fn make(kind: Kind, image: &Path, mebibytes: u64) -> Outcome {
    let size = mebibytes << 20;
    let image_name = image.as_os_str();
    match kind {
        Kind::Ext2 => {
            std::fs::File::create(image)?.set_len(size)?;
            let options = ["-q", "-F", "-b", "1024", "-N", "20000"].map(OsStr::new);
            run("mkfs.ext2", &[&options[..], &[image_name]].concat())
        }
        Kind::Msdos | Kind::Fat32 => {
            std::fs::File::create(image)?.set_len(size)?;
            let bits = if kind == Kind::Msdos { "16" } else { "32" };
            let clusters = if kind == Kind::Msdos { "4" } else { "1" };
            let options = ["-F", bits, "-s", clusters].map(OsStr::new);
            run("mkfs.vfat", &[&options[..], &[image_name]].concat())
        }
        Kind::Ffs | Kind::FfsV2 => {
            let empty = Folder::new()?;
            let size = format!("{mebibytes}m");
            let version = if kind == Kind::Ffs { "1" } else { "2" };
            let version = format!("version={version},bsize=8192,fsize=1024,density=2048");
            let options = ["-t", "ffs", "-s", &size, "-o", &version].map(OsStr::new);
            let names = [image_name, empty.path().as_os_str()];
            run("makefs", &[&options[..], &names].concat())
        }
    }
}

/// What the host's own checker says of it: `Ok` if it is clean.
pub fn check(kind: Kind, image: &Path) -> Outcome {
    let image = image.as_os_str();
    match kind {
        Kind::Ext2 => run("e2fsck", &[OsStr::new("-f"), OsStr::new("-n"), image]),
        Kind::Msdos => run("fsck.vfat", &[OsStr::new("-n"), image]),
        Kind::Fat32 => check_fat32(image),
        Kind::Ffs | Kind::FfsV2 => Err("Debian has no checker of ffs".into()),
    }
}

/// NetBSD does not keep the summary of free clusters, which is a hint, and nothing else may
/// be wrong.
fn check_fat32(image: &OsStr) -> Outcome {
    let output = output("fsck.vfat", &[OsStr::new("-n"), image])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let harmless = [
        "fsck.fat",
        "Free cluster summary wrong",
        "  Auto-correcting.",
        "Leaving filesystem unchanged.",
    ];
    let complaint = told.lines().find(|line| {
        let counts = line.contains(" files, ") && line.ends_with(" clusters");
        !line.is_empty() && !counts && !harmless.iter().any(|known| line.starts_with(known))
    });
    match complaint {
        None => Ok(()),
        Some(complaint) => Err(format!("fsck.vfat: {complaint}\n{told}").into()),
    }
}

/// Runs tests, each on the one kernel of this process if its name begins with `netbsd` or
/// `root`, and with the programs that its name asks for.
pub fn run_tests<const N: usize>(tests: [super::common::Test; N]) -> ! {
    use super::common::{self, kernel_name};
    let trials = tests.into_iter().map(|(name, test)| {
        let parts = || name.split("::");
        let real = rump::kernel::available() && kernel_name() == "NetBSD";
        let absent = PROGRAMS
            .iter()
            .find(|(part, program, _)| parts().any(|one| one == *part) && !is_there(program));
        let is_root = nix::unistd::geteuid().is_root();
        let (need, reason) = match (parts().next(), absent) {
            _ if !rump::kernel::available() => ("netbsd", Some("no rump kernel in this build")),
            (Some("netbsd" | "root"), _) if !real => {
                ("netbsd", Some("rump-lite has no file systems"))
            }
            (_, Some((need, _, reason))) => (*need, Some(*reason)),
            (Some("root"), _) if !is_root => ("root", Some("not root")),
            _ if parts().any(|one| one == "loop") && !mounts_ext2() => {
                ("root", Some("this Linux has no loop devices, or no ext2"))
            }
            _ => ("netbsd", None),
        };
        common::trial_if(
            reason.is_none(),
            need,
            reason.unwrap_or_default(),
            name,
            move || {
                common::boot();
                test()
            },
        )
    });
    common::run(trials.collect())
}
