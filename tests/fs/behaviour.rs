//! The same calls on Linux, by std, and on NetBSD's file systems: what they return is the
//! same, but for what stands in [`DIFFERENCES`].
//!
//! Each row is run in an empty folder, twice by the same code: a macro writes it for both.
// What makes no sense is tried, too.
#![allow(clippy::nonsensical_open_options, clippy::suspicious_open_options)]

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use rump::fs::Mount;
use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a row comes to: the results of its steps.
type Results = Vec<String>;

/// The result of a step: a value, or the kind of the error.
fn told<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error {:?}", error.kind()),
    }
}

/// Rows that differ: the file system, or "" for all; the row; how and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "",
        "unlink_directory",
        "Linux answers EISDIR, NetBSD EPERM, as POSIX says",
    ),
    (
        "ffs",
        "read_directory_as_file",
        "ffs and ext2 of NetBSD let directories be read as files",
    ),
    (
        "ext2",
        "read_directory_as_file",
        "ffs and ext2 of NetBSD let directories be read as files",
    ),
];

macro_rules! rows {
    ($($name:ident($at:ident) { $($step:expr;)* })*) => {
        /// With std, on the host.
        mod on_host {
            use super::*;
            use std::fs::{self, File, OpenOptions, Permissions};
            use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

            $(#[allow(clippy::vec_init_then_push)]
            pub fn $name($at: &Path) -> Results {
                let mut results = Results::new();
                $(results.push(told($step));)*
                results
            })*
        }
        /// With rump, in the kernel.
        mod in_kernel {
            use super::*;
            use rump::fs::{self, File, OpenOptions, Permissions, symlink};

            $(#[allow(clippy::vec_init_then_push)]
            pub fn $name($at: &Path) -> Results {
                let mut results = Results::new();
                $(results.push(told($step));)*
                results
            })*
        }
        /// Name, std's and ours.
        const ROWS: &[(&str, fn(&Path) -> Results, fn(&Path) -> Results)] =
            &[$((stringify!($name), on_host::$name, in_kernel::$name)),*];
    };
}

/// The names in a folder, by a closure that has the right `fs`.
macro_rules! names {
    ($path:expr) => {
        fs::read_dir($path).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<BTreeSet<_>>>()
        })
    };
}

rows! {
    missing(at) {
        File::open(at.join("no")).map(drop);
        fs::metadata(at.join("no")).map(drop);
        fs::read_dir(at.join("no")).map(drop);
        fs::remove_file(at.join("no"));
        fs::remove_dir(at.join("no"));
        fs::rename(at.join("no"), at.join("other"));
        fs::read_link(at.join("no"));
        fs::create_dir(at.join("no/no"));
        File::create(at.join("no/no")).map(drop);
        fs::hard_link(at.join("no"), at.join("other"));
        fs::exists(at.join("no"));
        fs::remove_dir_all(at.join("no"));
        fs::set_permissions(at.join("no"), Permissions::from_mode(0o600));
        fs::copy(at.join("no"), at.join("other"));
    }
    file_in_place_of_directory(at) {
        fs::write(at.join("file"), "x");
        File::open(at.join("file/below")).map(drop);
        fs::metadata(at.join("file/below")).map(drop);
        fs::create_dir(at.join("file/below"));
        fs::read_dir(at.join("file")).map(drop);
        fs::remove_dir(at.join("file"));
        fs::create_dir(at.join("file"));
        fs::create_dir_all(at.join("file"));
        fs::create_dir_all(at.join("file/below"));
        fs::metadata(at.join("file/")).map(drop);
    }
    directory_in_place_of_file(at) {
        fs::create_dir(at.join("d"));
        fs::write(at.join("d"), "x");
        OpenOptions::new().write(true).open(at.join("d")).map(drop);
        File::create(at.join("d")).map(drop);
        File::create_new(at.join("d")).map(drop);
        File::open(at.join("d")).map(drop);
        fs::copy(at.join("d"), at.join("e"));
        fs::hard_link(at.join("d"), at.join("e")).map_err(|_| io::Error::other("refused"));
        fs::read_link(at.join("d"));
    }
    unlink_directory(at) {
        fs::create_dir(at.join("d"));
        fs::remove_file(at.join("d"));
    }
    read_directory_as_file(at) {
        fs::create_dir(at.join("d"));
        File::open(at.join("d")).and_then(|mut file| file.read(&mut [0; 512]));
    }
    options_that_contradict(at) {
        OpenOptions::new().open(at.join("x")).map(drop);
        OpenOptions::new().read(true).truncate(true).open(at.join("x")).map(drop);
        OpenOptions::new().read(true).create(true).open(at.join("x")).map(drop);
        OpenOptions::new().append(true).truncate(true).open(at.join("x")).map(drop);
        OpenOptions::new().read(true).create_new(true).open(at.join("x")).map(drop);
        fs::exists(at.join("x"));
    }
    create_new(at) {
        File::create_new(at.join("x")).map(drop);
        File::create_new(at.join("x")).map(drop);
        symlink("nothing", at.join("dangling"));
        File::create_new(at.join("dangling")).map(drop);
        fs::exists(at.join("dangling"));
        File::create(at.join("dangling")).map(drop);
        fs::exists(at.join("nothing"));
    }
    reading_and_writing(at) {
        fs::write(at.join("x"), "0123456789");
        File::open(at.join("x")).and_then(|mut file| file.write(b"no"))
            .map_err(|_| io::Error::other("refused"));
        OpenOptions::new().write(true).open(at.join("x")).and_then(|mut file| file.read(&mut [0; 4]))
            .map_err(|_| io::Error::other("refused"));
        OpenOptions::new().append(true).open(at.join("x")).and_then(|mut file| {
            file.write_all(b"ab")?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(b"cd")?;
            file.stream_position()
        });
        fs::read_to_string(at.join("x"));
        OpenOptions::new().write(true).open(at.join("x")).and_then(|file| file.write_at(b"XY", 4));
        File::open(at.join("x")).and_then(|mut file| {
            let mut bytes = [0; 4];
            let read = (file.read_at(&mut bytes, 3)?, file.read_at(&mut bytes, 12)?, file.read_at(&mut bytes, 99)?);
            Ok((read, bytes, file.stream_position()?))
        });
        File::open(at.join("x")).and_then(|file| file.read_exact_at(&mut [0; 40], 0));
        fs::read_to_string(at.join("x"));
        fs::write(at.join("x"), [0xff, 0xfe]);
        fs::read_to_string(at.join("x"));
    }
    seeking(at) {
        fs::write(at.join("x"), "0123456789");
        File::open(at.join("x")).and_then(|mut file| file.seek(SeekFrom::End(-3)));
        File::open(at.join("x")).and_then(|mut file| file.seek(SeekFrom::End(7)));
        File::open(at.join("x")).and_then(|mut file| file.seek(SeekFrom::Current(-1)));
        File::open(at.join("x")).and_then(|mut file| file.seek(SeekFrom::End(-11)));
        OpenOptions::new().read(true).write(true).open(at.join("x")).and_then(|mut file| {
            file.seek(SeekFrom::Start(100))?;
            file.write_all(b"!")?;
            file.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((bytes.len(), bytes[50], bytes[100]))
        });
    }
    lengths(at) {
        fs::write(at.join("x"), "0123456789");
        OpenOptions::new().write(true).open(at.join("x")).and_then(|file| file.set_len(4));
        fs::read_to_string(at.join("x"));
        OpenOptions::new().write(true).open(at.join("x")).and_then(|file| file.set_len(6));
        fs::read(at.join("x"));
        File::open(at.join("x")).and_then(|file| file.set_len(1));
        fs::metadata(at.join("x")).map(|metadata| metadata.len());
        File::create(at.join("x")).map(drop);
        fs::metadata(at.join("x")).map(|metadata| metadata.len());
    }
    renaming(at) {
        fs::write(at.join("x"), "x");
        fs::write(at.join("y"), "y");
        fs::rename(at.join("x"), at.join("y"));
        fs::read_to_string(at.join("y"));
        fs::rename(at.join("y"), at.join("y"));
        fs::create_dir(at.join("d"));
        fs::rename(at.join("y"), at.join("d"));
        fs::create_dir(at.join("d/e"));
        fs::rename(at.join("d"), at.join("d/e/f"));
        fs::create_dir(at.join("full"));
        fs::write(at.join("full/x"), "x");
        fs::rename(at.join("d"), at.join("full"));
        fs::rename(at.join("full"), at.join("d/e"));
        names!(at);
        names!(at.join("d/e"));
    }
    rename_directory_over_file(at) {
        fs::write(at.join("x"), "x");
        fs::create_dir(at.join("d"));
        fs::rename(at.join("d"), at.join("x"));
    }
    links(at) {
        fs::write(at.join("x"), "x");
        fs::hard_link(at.join("x"), at.join("y"));
        fs::hard_link(at.join("x"), at.join("y"));
        fs::metadata(at.join("x")).map(|metadata| metadata.nlink());
        fs::remove_file(at.join("x"));
        fs::read_to_string(at.join("y"));
        symlink("y", at.join("l"));
        symlink("y", at.join("l"));
        fs::read_link(at.join("l"));
        fs::read_link(at.join("y"));
        fs::read_to_string(at.join("l"));
        fs::symlink_metadata(at.join("l")).map(|metadata| (metadata.is_symlink(), metadata.len()));
        fs::metadata(at.join("l")).map(|metadata| metadata.is_file());
        symlink("m", at.join("n"));
        symlink("n", at.join("m"));
        File::open(at.join("m")).map(drop).map_err(|_| io::Error::other("refused"));
        fs::remove_file(at.join("l"));
        fs::exists(at.join("y"));
    }
    link_to_nothing(at) {
        symlink("", at.join("empty"));
        names!(at);
    }
    removing(at) {
        fs::create_dir_all(at.join("a/b/c"));
        fs::write(at.join("a/b/x"), "x");
        fs::remove_dir(at.join("a"));
        symlink("../elsewhere", at.join("a/l"));
        fs::create_dir(at.join("elsewhere"));
        fs::write(at.join("elsewhere/kept"), "x");
        fs::remove_dir_all(at.join("a"));
        names!(at);
        names!(at.join("elsewhere"));
        symlink("elsewhere", at.join("l"));
        fs::remove_dir_all(at.join("l"));
        names!(at.join("elsewhere"));
        fs::remove_dir(at.join("elsewhere/kept"));
        fs::remove_dir_all(at.join("elsewhere/kept"));
        fs::create_dir(at.join("."));
        fs::create_dir(at.join(".."));
    }
    what_is_open_lives_on(at) {
        fs::write(at.join("x"), "contents");
        File::open(at.join("x")).and_then(|mut file| {
            fs::remove_file(at.join("x"))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok((text, file.metadata()?.nlink(), fs::exists(at.join("x"))?))
        });
    }
    permissions(at) {
        fs::write(at.join("x"), "x");
        fs::metadata(at.join("x")).map(|metadata| metadata.permissions().mode() & 0o7777);
        fs::set_permissions(at.join("x"), Permissions::from_mode(0o751));
        fs::metadata(at.join("x")).map(|metadata| metadata.permissions().mode() & 0o7777);
        fs::metadata(at.join("x")).map(|metadata| metadata.permissions().readonly());
        File::open(at.join("x")).and_then(|file| file.set_permissions(Permissions::from_mode(0o400)));
        fs::metadata(at.join("x")).map(|metadata| metadata.permissions().readonly());
        fs::copy(at.join("x"), at.join("y"));
        fs::metadata(at.join("y")).map(|metadata| metadata.permissions().mode() & 0o7777);
        fs::create_dir(at.join("d"));
        fs::metadata(at.join("d")).map(|metadata| metadata.permissions().mode() & 0o7777);
    }
    names_of_all_kinds(at) {
        fs::write(at.join("x".repeat(255)), "long");
        fs::write(at.join("x".repeat(256)), "too long");
        fs::read_to_string(at.join("x".repeat(255)));
        fs::write(at.join(std::ffi::OsStr::from_bytes(b"\x01\xff\n")), "x");
        fs::write(at.join("with\0zero"), "x");
        fs::metadata(at.join("y".repeat(5000))).map(drop);
        fs::metadata(Path::new("")).map(drop);
        names!(at);
    }
    synchronising(at) {
        File::create(at.join("x")).and_then(|mut file| {
            file.write_all(b"x")?;
            file.sync_data()?;
            file.sync_all()
        });
        File::open(at.join("x")).and_then(|file| file.sync_all());
        File::open(at).and_then(|file| file.sync_all());
    }
    clones(at) {
        fs::write(at.join("x"), "0123456789");
        File::open(at.join("x")).and_then(|mut file| {
            let mut other = file.try_clone()?;
            let mut bytes = [0; 3];
            file.read_exact(&mut bytes)?;
            other.read_exact(&mut bytes)?;
            Ok((bytes, file.stream_position()?))
        });
    }
}

/// Runs all rows in the kernel at a place and on the host, and compares.
fn compare(kind: &str, at: &Path) -> Outcome {
    let folder = Folder::new()?;
    let mut unlike = Vec::new();
    for (name, host, kernel) in ROWS {
        let (there, here) = (folder.join(name), at.join(name));
        std::fs::create_dir(&there)?;
        rump::fs::create_dir(&here)?;
        let (expected, found) = (host(&there), kernel(&here));
        let known = DIFFERENCES
            .iter()
            .any(|(on, row, _)| row == name && (on.is_empty() || *on == kind));
        match (expected == found, known) {
            (true, false) | (false, true) => {}
            (true, true) => unlike.push(format!("{name}: no difference, though one is told")),
            (false, false) => {
                let steps = expected.iter().zip(&found).enumerate();
                let steps = steps.filter(|(_, (host, kernel))| host != kernel);
                for (step, (host, kernel)) in steps {
                    unlike.push(format!("{name}, step {step}: std {host}, {kind} {kernel}"));
                }
            }
        }
    }
    if unlike.is_empty() {
        return Ok(());
    }
    Err(unlike.join("\n").into())
}

pub fn tmpfs() -> Outcome {
    let mount = Mount::tmpfs(common::boot()).mount("/m/like-tmpfs")?;
    compare("tmpfs", mount.path())?;
    Ok(mount.unmount()?)
}

pub fn ext2() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(Kind::Ext2, &image, 16)?;
    let mount = Mount::ext2(common::boot()).image(&image, "/m/like-ext2")?;
    compare("ext2", mount.path())?;
    mount.unmount()?;
    image::check(Kind::Ext2, &image)
}

pub fn ffs() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(Kind::FfsV2, &image, 16)?;
    let mount = Mount::ffs(common::boot())
        .log()
        .image(&image, "/m/like-ffs")?;
    compare("ffs", mount.path())?;
    Ok(mount.unmount()?)
}
