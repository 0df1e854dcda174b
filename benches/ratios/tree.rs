//! A tree of 10,000 files, written to an image and read back by the rump kernel, beside
//! Linux's loop mount of an image with ext2 (feature `fs`, root, e2fsprogs and makefs).
//!
//! A run mounts, makes the tree, unmounts and has the image on the host's disk; then it
//! mounts again, reads every byte, compares, and unmounts. Linux has no ffs that it can
//! write, so its ext2 is the rival of ours, too.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, seconds};
use rump::fs::{self, Mount, MountError};
use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The benchmarks here.
pub const NAMES: &[&str] = &["fs/ffs-tree", "fs/ext2-tree"];

const FILES: usize = 10_000;
const FOLDERS: usize = 100;
/// Bytes of the image.
const SIZE: u64 = 192 << 20;

/// Images and what they are mounted on, in a folder that is removed.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rump-bench-fs-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        std::fs::create_dir(path.join("mnt"))?;
        std::fs::create_dir(path.join("empty"))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tool(name: &str, arguments: &[&OsStr]) -> Outcome {
    let output = Command::new(name)
        .args(arguments)
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{name} {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

fn path(at: &Path, number: usize) -> PathBuf {
    at.join(format!("{:02}/file {number}", number % FOLDERS))
}

/// 0 to 16 KiB, 4 KiB on average.
fn contents(number: usize, pattern: &[u8]) -> &[u8] {
    let length = match number % 8 {
        0 => number * 13 % 16_384,
        _ => number * 7 % 4_800,
    };
    &pattern[number..number + length]
}

/// Files that are written and read by one side.
trait Files {
    fn make_folder(&self, path: &Path) -> std::io::Result<()>;
    fn write(&self, path: &Path, contents: &[u8]) -> std::io::Result<()>;
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
}

struct Ours;
struct Linux;

impl Files for Ours {
    fn make_folder(&self, path: &Path) -> std::io::Result<()> {
        fs::create_dir(path)
    }
    fn write(&self, path: &Path, contents: &[u8]) -> std::io::Result<()> {
        fs::write(path, contents)
    }
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        fs::read(path)
    }
}

impl Files for Linux {
    fn make_folder(&self, path: &Path) -> std::io::Result<()> {
        std::fs::create_dir(path)
    }
    fn write(&self, path: &Path, contents: &[u8]) -> std::io::Result<()> {
        std::fs::write(path, contents)
    }
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

fn write_tree(files: &impl Files, at: &Path, pattern: &[u8]) -> Outcome {
    for folder in 0..FOLDERS {
        files.make_folder(&at.join(format!("{folder:02}")))?;
    }
    for number in 0..FILES {
        files.write(&path(at, number), contents(number, pattern))?;
    }
    Ok(())
}

fn read_tree(files: &impl Files, at: &Path, pattern: &[u8]) -> Outcome {
    for number in 0..FILES {
        if files.read(&path(at, number))? != contents(number, pattern) {
            return Err(format!("file {number}: other contents").into());
        }
    }
    Ok(())
}

/// Files written and read in a second.
fn rate(began: Instant) -> f64 {
    2.0 * FILES as f64 / seconds(began.elapsed())
}

/// How the kernel mounts an image.
type Mounts<'a> = &'a dyn Fn(&Path) -> Result<Mount, MountError>;

fn ours(image: &Path, mount: Mounts, pattern: &[u8]) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let mounted = mount(image)?;
    write_tree(&Ours, mounted.path(), pattern)?;
    mounted.unmount()?;
    File::open(image)?.sync_data()?;
    let mounted = mount(image)?;
    read_tree(&Ours, mounted.path(), pattern)?;
    mounted.unmount()?;
    Ok(rate(began))
}

fn linux(image: &Path, at: &Path, pattern: &[u8]) -> Result<f64, Box<dyn Error>> {
    let mount = || {
        let options = ["-t", "ext2", "-o", "loop"].map(OsStr::new);
        tool(
            "mount",
            &[&options[..], &[image.as_os_str(), at.as_os_str()]].concat(),
        )
    };
    let began = Instant::now();
    mount()?;
    let written = write_tree(&Linux, at, pattern);
    tool("umount", &[at.as_os_str()])?;
    written?;
    File::open(image)?.sync_data()?;
    mount()?;
    let read = read_tree(&Linux, at, pattern);
    tool("umount", &[at.as_os_str()])?;
    read?;
    Ok(rate(began))
}

fn make_ext2(image: &Path) -> Outcome {
    File::create(image)?.set_len(SIZE)?;
    let options = ["-q", "-F", "-N", "20000"].map(OsStr::new);
    tool("mkfs.ext2", &[&options[..], &[image.as_os_str()]].concat())
}

fn make_ffs(image: &Path, empty: &Path) -> Outcome {
    let size = format!("{}m", SIZE >> 20);
    let layout = "version=2,bsize=16384,fsize=2048,density=4096";
    let options = ["-t", "ffs", "-s", &size, "-o", layout].map(OsStr::new);
    tool(
        "makefs",
        &[&options[..], &[image.as_os_str(), empty.as_os_str()]].concat(),
    )
}

/// Runs those that are wanted.
pub fn tree(harness: &mut Harness) -> Outcome {
    let kernel = harness.boot()?;
    let pattern: Vec<u8> = (0..FILES + 16_384)
        .map(|at| ((at * 31) >> 3) as u8)
        .collect();
    let place = Place::new()?;
    let (image, mnt) = (place.0.join("image"), place.0.join("mnt"));
    let (empty, rival) = (place.0.join("empty"), place.0.join("rival"));
    let ext2 = |image: &Path| {
        Mount::ext2(&kernel)
            .no_access_times()
            .image(image, "/bench")
    };
    let ffs = |image: &Path| {
        Mount::ffs(&kernel)
            .log()
            .no_access_times()
            .image(image, "/bench")
    };
    for name in NAMES {
        if !harness.wants(name) {
            continue;
        }
        let is_ffs = *name == "fs/ffs-tree";
        let subject = Subject {
            rival_is: Some("Linux loop mount, ext2"),
            ..Subject::new(name, "files/s", Better::More)
        };
        harness.compare(
            &subject,
            &mut || {
                if is_ffs {
                    make_ffs(&image, &empty)?;
                    ours(&image, &ffs, &pattern)
                } else {
                    make_ext2(&image)?;
                    ours(&image, &ext2, &pattern)
                }
            },
            &mut || {
                make_ext2(&rival)?;
                linux(&rival, &mnt, &pattern)
            },
        )?;
    }
    Ok(())
}
