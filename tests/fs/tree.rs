//! A tree of many files, written by NetBSD: the host's checker finds it clean, Linux and we
//! read back every byte.

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use libtest_mimic::Failed;
use rump::fs::{self, Builder, Ext2, Ffs, Mount, Msdos};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Files of the tree.
const FILES: u32 = 10_000;

/// Where a file is, and what is in it: 0 to 19 KiB.
pub fn file(number: u32) -> (PathBuf, Vec<u8>) {
    let folder = format!("folder {:02}/{}", number % 100, number % 7);
    let mut state = u64::from(number) + 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(99);
        (state >> 33) as u32
    };
    let length = if number.is_multiple_of(10) {
        next() % 20_000
    } else {
        next() % 3000
    };
    let contents = (0..length).map(|_| next() as u8).collect();
    (Path::new(&folder).join(format!("file {number}")), contents)
}

fn write(at: &Path, files: u32) -> Outcome {
    for number in 0..files {
        let (path, contents) = file(number);
        let path = at.join(path);
        if number < 700 {
            fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        }
        fs::write(path, contents)?;
    }
    // Some go again, and some are moved.
    for number in (0..files).step_by(50) {
        fs::remove_file(at.join(file(number).0))?;
    }
    for number in (1..files).step_by(50) {
        let path = at.join(file(number).0);
        fs::rename(&path, path.with_file_name(format!("moved {number}")))?;
    }
    Ok(())
}

/// Where each file should be after [`write`], if it is.
fn expected(number: u32) -> Option<(PathBuf, Vec<u8>)> {
    let (path, contents) = file(number);
    match number % 50 {
        0 => None,
        1 => Some((path.with_file_name(format!("moved {number}")), contents)),
        _ => Some((path, contents)),
    }
}

/// Compares all of it, as `read` reads it, and counts it, as `count` does.
fn compare(
    at: &Path,
    files: u32,
    read: impl Fn(&Path) -> std::io::Result<Vec<u8>>,
    count: usize,
) -> Outcome {
    let mut there = 0;
    for number in 0..files {
        let Some((path, contents)) = expected(number) else {
            continue;
        };
        let path = at.join(path);
        let found = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if found != contents {
            return Err(format!("{}: other contents", path.display()).into());
        }
        there += 1;
    }
    assert_eq!(count, there);
    Ok(())
}

fn count_ours(at: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += count_ours(&entry.path())?;
        } else {
            count += 1;
        }
    }
    Ok(count)
}

fn count_hosts(at: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(at)? {
        let entry = entry?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        count += if entry.file_type()?.is_dir() {
            count_hosts(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// How a test mounts an image at a place.
type Mounts = fn(&Path, &Path) -> Result<Mount, fs::MountError>;

fn ext2() -> Builder<Ext2> {
    Mount::ext2(common::boot())
}

fn msdos() -> Builder<Msdos> {
    Mount::msdos(common::boot())
}

fn ffs() -> Builder<Ffs> {
    Mount::ffs(common::boot())
}

fn tree(kind: Kind, at: &str, mount: Mounts, files: u32) -> Result<Folder, Failed> {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(kind, &image, 128)?;
    let at = Path::new(at);
    let mounted = mount(&image, at)?;
    write(at, files)?;
    compare(at, files, |path| fs::read(path), files_of(at)?)?;
    mounted.unmount()?;
    if matches!(kind, Kind::Ext2 | Kind::Msdos) {
        image::check(kind, &image)?;
    }
    let mounted = mount(&image, at)?;
    compare(at, files, |path| fs::read(path), files_of(at)?)?;
    mounted.unmount()?;
    Ok(folder)
}

fn files_of(at: &Path) -> std::io::Result<usize> {
    let there = count_ours(at)?;
    let extra = fs::exists(at.join("lost+found"))?;
    // It is empty, and a directory.
    assert!(!extra || fs::read_dir(at.join("lost+found"))?.count() == 0);
    Ok(there)
}

pub fn on_ext2() -> Outcome {
    tree(
        Kind::Ext2,
        "/m/tree-ext2",
        |image, at| ext2().image(image, at),
        FILES,
    )
    .map(drop)
}

pub fn on_msdos() -> Outcome {
    tree(
        Kind::Msdos,
        "/m/tree-msdos",
        |image, at| msdos().image(image, at),
        FILES,
    )
    .map(drop)
}

pub fn on_ffs() -> Outcome {
    tree(
        Kind::Ffs,
        "/m/tree-ffs",
        |image, at| ffs().image(image, at),
        FILES,
    )
    .map(drop)
}

pub fn on_ffs_with_a_log() -> Outcome {
    let mount: Mounts = |image, at| ffs().log().image(image, at);
    tree(Kind::FfsV2, "/m/tree-log", mount, FILES).map(drop)
}

/// Has Linux mount the image that we wrote, and read all of it.
pub fn linux_reads_ext2() -> Outcome {
    let mount: Mounts = |image, at| ext2().image(image, at);
    let folder = tree(Kind::Ext2, "/m/linux-ext2", mount, FILES)?;
    let (image, point) = (folder.join("image"), folder.join("mounted"));
    std::fs::create_dir(&point)?;
    let options = ["-t", "ext2", "-o", "loop,ro"].map(OsStr::new);
    let places = [image.as_os_str(), point.as_os_str()];
    image::run("mount", &[&options[..], &places].concat())?;
    let compared = count_hosts(&point)
        .map_err(Failed::from)
        .and_then(|count| compare(&point, FILES, |path| std::fs::read(path), count));
    image::run("umount", &[point.as_os_str()])?;
    compared
}

/// The same for FAT, by programs that need no help of Linux's.
pub fn mtools_read_msdos() -> Outcome {
    let mount: Mounts = |image, at| msdos().image(image, at);
    let folder = tree(Kind::Msdos, "/m/mtools", mount, FILES)?;
    let (image, copies) = (folder.join("image"), folder.join("copies"));
    std::fs::create_dir(&copies)?;
    let options = ["-s", "-n", "-Q", "-i"].map(OsStr::new);
    let places = [image.as_os_str(), OsStr::new("::/"), copies.as_os_str()];
    image::run("mcopy", &[&options[..], &places].concat())?;
    compare(
        &copies,
        FILES,
        |path| std::fs::read(path),
        count_hosts(&copies)?,
    )
}
