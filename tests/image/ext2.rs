//! Disks of machines; file systems of ext2 on them, made by Linux's mkfs.ext2 without being root.

use libtest_mimic::Failed;
use std::path::{Path, PathBuf};
use std::process::Command;

/// mkfs.ext2, where it is installed.
pub fn program() -> Option<&'static Path> {
    let places = ["/usr/sbin/mkfs.ext2", "/sbin/mkfs.ext2"];
    places
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_file())
}

/// Makes a disk of 8 MiB with a file `lines` in it, and returns what that has in it.
pub fn with_lines(disk: &Path) -> Result<String, Failed> {
    let files = PathBuf::from(format!("{}.files", disk.display()));
    let _ = std::fs::remove_dir_all(&files);
    std::fs::create_dir_all(&files)?;
    let lines: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    std::fs::write(files.join("lines"), &lines)?;
    std::fs::File::create(disk)?.set_len(8 << 20)?;
    let made = Command::new(program().ok_or("no mkfs.ext2")?)
        .args(["-q", "-F", "-d"])
        .arg(&files)
        .arg(disk)
        .status()?;
    std::fs::remove_dir_all(&files)?;
    if made.success() {
        Ok(lines)
    } else {
        Err("mkfs.ext2 has failed".into())
    }
}

/// Two disks in a folder, as the program `disks` takes them: one of sectors, and one with an
/// ext2.
pub fn two_disks(folder: &Path) -> Result<[PathBuf; 2], Failed> {
    let disks = ["sectors", "ext2"].map(|name| folder.join(name));
    let bytes: Vec<u8> = (0..4_u32 << 20).map(|at| (at % 251) as u8).collect();
    std::fs::write(&disks[0], bytes)?;
    with_lines(&disks[1])?;
    Ok(disks)
}
