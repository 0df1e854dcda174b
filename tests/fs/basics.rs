//! Each kind of file system, as the host's programs made it: read, and written where that is
//! possible.

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use rump::fs::{self, Mount, MountError};
use rump::{Errno, Lacking};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

pub fn is_there_or_says_so() -> Outcome {
    let mounted = Mount::tmpfs(common::boot()).mount("/tmp/there");
    if common::kernel_name() == "NetBSD" {
        return Ok(mounted?.unmount()?);
    }
    assert_eq!(mounted.unwrap_err().kind(), ErrorKind::Unsupported);
    let refused: [std::io::Error; 5] = [
        fs::File::open("/name").unwrap_err(),
        fs::read_dir("/").unwrap_err(),
        fs::metadata("/").unwrap_err(),
        fs::rename("/one", "/two").unwrap_err(),
        rump::block::Disk::attach(common::boot(), rump::block::Memory::new(1 << 20)).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(
            inner.is_some_and(|inner: &Lacking| !inner.what().is_empty()),
            "{error}"
        );
    }
    Ok(())
}

/// What any file system can do that takes all names.
fn use_files(at: &Path, links: bool) -> Outcome {
    let name = |name: &str| at.join(name);
    fs::create_dir_all(name("a/b/c"))?;
    fs::create_dir_all(name("a/b/c"))?;
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(name("a/file"))?;
    file.write_all(b"hello, world")?;
    file.seek(SeekFrom::Start(7))?;
    file.write_all(b"there")?;
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    assert_eq!(text, "hello, there");
    file.write_all_at(b"J", 0)?;
    let mut some = [0; 5];
    file.read_exact_at(&mut some, 0)?;
    assert_eq!(&some, b"Jello");
    assert_eq!(file.stream_position()?, 12);
    file.set_len(100_000)?;
    assert_eq!(file.metadata()?.len(), 100_000);
    file.set_len(5)?;
    file.sync_all()?;
    file.sync_data()?;
    drop(file);
    assert_eq!(fs::read(name("a/file"))?, b"Jello");
    // More than fits the direct blocks, and not a multiple of anything.
    let large: Vec<u8> = (0..3_000_001u32).map(|at| ((at * 7) >> 3) as u8).collect();
    fs::write(name("a/large"), &large)?;
    assert_eq!(fs::read(name("a/large"))?, large);
    assert_eq!(fs::copy(name("a/large"), name("a/b/copy"))?, 3_000_001);
    assert_eq!(fs::read(name("a/b/copy"))?, large);
    fs::rename(name("a/b/copy"), name("a/b/c/moved"))?;
    assert!(!fs::exists(name("a/b/copy"))?);
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::set_times(name("a/file"), fs::FileTimes::new().set_modified(time))?;
    assert_eq!(fs::metadata(name("a/file"))?.modified()?, time);
    if links {
        fs::hard_link(name("a/file"), name("a/second"))?;
        assert_eq!(fs::metadata(name("a/second"))?.nlink(), 2);
        fs::symlink("file", name("a/link"))?;
        assert_eq!(fs::read_link(name("a/link"))?, Path::new("file"));
        assert_eq!(fs::read(name("a/link"))?, b"Jello");
        assert!(fs::symlink_metadata(name("a/link"))?.is_symlink());
        fs::set_permissions(name("a/file"), fs::Permissions::from_mode(0o640))?;
        assert_eq!(fs::metadata(name("a/second"))?.permissions().mode(), 0o640);
        fs::chown(name("a/file"), Some(7), Some(8))?;
        let metadata = fs::metadata(name("a/file"))?;
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8));
        let bytes = OsStr::from_bytes(b"a/no \xff UTF-8");
        fs::write(at.join(bytes), b"x")?;
        assert!(names(&name("a"))?.contains(&OsString::from(OsStr::from_bytes(b"no \xff UTF-8"))));
    }
    // Enough names for several blocks of a directory.
    for number in 0..500 {
        fs::write(
            name(&format!("a/b/file number {number}")),
            number.to_string(),
        )?;
    }
    assert_eq!(names(&name("a/b"))?.len(), 501);
    let usage = fs::usage(at)?;
    assert!(usage.size > 4 << 20 && usage.free < usage.size, "{usage:?}");
    fs::remove_dir_all(name("a/b"))?;
    assert!(!fs::exists(name("a/b"))?);
    Ok(())
}

pub fn names(path: &Path) -> std::io::Result<Vec<OsString>> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names: Vec<_> = names.collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}

pub fn tmpfs() -> Outcome {
    let mount = Mount::tmpfs(common::boot())
        .size(64 << 20)
        .mount("/m/tmpfs")?;
    use_files(mount.path(), true)?;
    mount.sync()?;
    // What is open keeps it mounted, and the mount comes back with the error.
    let open = fs::File::open("/m/tmpfs/a/file")?;
    let error = mount.unmount().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    let MountError::Unmount { mount, .. } = error else {
        return Err("another error".into());
    };
    drop(open);
    mount.unmount()?;
    assert_eq!(names(Path::new("/m/tmpfs"))?.len(), 0);
    // No more than the room that it was given.
    let mount = Mount::tmpfs(common::boot())
        .size(1 << 20)
        .mount("/m/tmpfs")?;
    let full = fs::write("/m/tmpfs/large", vec![1; 4 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    Ok(mount.unmount()?)
}

pub fn ext2_of_linux() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(Kind::Ext2, &image, 64)?;
    let mount = Mount::ext2(common::boot()).image(&image, "/m/ext2")?;
    use_files(mount.path(), true)?;
    mount.sync()?;
    mount.unmount()?;
    image::check(Kind::Ext2, &image)?;
    // Linux's debugfs sees what is in a file without mounting anything.
    let dump = folder.join("dump");
    let request = format!("dump /a/file {}", dump.display());
    image::run(
        "debugfs",
        &[OsStr::new("-R"), OsStr::new(&request), image.as_os_str()],
    )?;
    assert_eq!(std::fs::read(&dump)?, b"Jello");
    // It is still there for us, who may not write now.
    let mount = Mount::ext2(common::boot())
        .read_only()
        .image(&image, "/m/ext2")?;
    assert_eq!(fs::read("/m/ext2/a/second")?, b"Jello");
    let error = fs::write("/m/ext2/new", "x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{error}");
    Ok(mount.unmount()?)
}

pub fn msdos_of_linux() -> Outcome {
    for kind in [Kind::Msdos, Kind::Fat32] {
        msdos(kind)?;
    }
    Ok(())
}

fn msdos(kind: Kind) -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(kind, &image, 64)?;
    let msdos = Mount::msdos(common::boot()).owner(3, 4);
    let mount = msdos.image(&image, "/m/msdos")?;
    use_files(mount.path(), false)?;
    fs::write("/m/msdos/Ünï.text", "x")?;
    assert_eq!(fs::metadata("/m/msdos/a")?.uid(), 3);
    let error = fs::symlink("a", "/m/msdos/link").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    mount.unmount()?;
    image::check(kind, &image)?;
    let listed = Command::new("mdir").args(["-b", "-i"]).arg(&image).output();
    if let Ok(listed) = listed {
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("text"), "{listed}");
    }
    Ok(())
}

pub fn cd9660_of_linux() -> Outcome {
    let folder = Folder::new()?;
    let tree = folder.join("tree");
    std::fs::create_dir_all(tree.join("deep/er"))?;
    std::fs::write(tree.join("deep/er/A long name, and Case.text"), b"contents")?;
    std::os::unix::fs::symlink("deep/er", tree.join("link"))?;
    let image = folder.join("image");
    let options = ["-quiet", "-R", "-o"].map(OsStr::new);
    image::run(
        "genisoimage",
        &[&options[..], &[image.as_os_str(), tree.as_os_str()]].concat(),
    )?;
    let mount = Mount::cd9660(common::boot()).image(&image, "/m/cd")?;
    let name = "/m/cd/link/A long name, and Case.text";
    assert_eq!(fs::read(name)?, b"contents");
    assert_eq!(
        fs::write("/m/cd/new", "x").unwrap_err().kind(),
        ErrorKind::ReadOnlyFilesystem
    );
    Ok(mount.unmount()?)
}

pub fn ffs_of_makefs() -> Outcome {
    for (kind, log) in [
        (Kind::Ffs, false),
        (Kind::FfsV2, false),
        (Kind::Ffs, true),
        (Kind::FfsV2, true),
    ] {
        let folder = Folder::new()?;
        let image = folder.join("image");
        image::make(kind, &image, 64)?;
        let mounted = |log| {
            let ffs = Mount::ffs(common::boot());
            let ffs = if log { ffs.log() } else { ffs };
            ffs.image(&image, "/m/ffs")
        };
        let mount = mounted(log)?;
        use_files(mount.path(), true)?;
        mount.sync()?;
        mount.unmount()?;
        let mount = mounted(!log)?;
        assert_eq!(fs::read("/m/ffs/a/second")?, b"Jello", "{kind:?} {log}");
        mount.unmount()?;
    }
    Ok(())
}

pub fn errors() -> Outcome {
    let kernel = common::boot();
    let error = Mount::ext2(kernel)
        .image("/no/such/image", "/m/errors")
        .unwrap_err();
    assert!(matches!(error, MountError::Image { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/image"), "{error}");
    let zeros = || rump::block::Memory::new(1 << 20);
    let error = Mount::ext2(kernel)
        .backend(zeros(), "/m/errors")
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
    for word in ["ext2fs", "/dev/vbd", "/m/errors", "no such file system"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = Mount::ffs(kernel)
        .device("/dev/nothing", "/m/errors")
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT), "{error}");
    let error = Mount::ffs(kernel)
        .device("/dev/null", "/m/errors")
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOTBLK), "{error}");
    let error = fs::metadata("with\0zero").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    Ok(())
}
