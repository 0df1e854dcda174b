//! Wedges.

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use rump::block::{BlockDevice, Disk, Image, Memory, wedge};
use rump::fs::{self, Mount};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

pub fn by_hand() -> Outcome {
    let disk = Disk::attach(common::boot(), Memory::new(1 << 20))?;
    let whole = BlockDevice::open(disk.raw_path())?;
    assert_eq!(wedge::list(&whole)?, []);
    let first = wedge::add(&whole, "the first", 100, 200, "ffs")?;
    assert_eq!((first.start, first.sectors), (100, 200));
    assert_eq!(first.parent, disk.name());
    let second = wedge::add(&whole, "the second", 300, 50, "")?;
    let listed = wedge::list(&whole)?;
    let names: Vec<_> = listed.iter().map(|wedge| &*wedge.name).collect();
    assert_eq!(names, ["the first", "the second"]);
    assert_eq!(listed[0].kind, "ffs");
    for (start, sectors) in [(299, 1), (99, 2), (0, 2048), (349, 10)] {
        let error = wedge::add(&whole, "another", start, sectors, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{start} {sectors}");
    }
    for (start, sectors) in [(2040, 9), (u64::MAX, 1), (1, u64::MAX), (0, 0)] {
        assert!(wedge::add(&whole, "another", start, sectors, "").is_err());
    }
    assert!(wedge::add(&whole, &"x".repeat(200), 0, 1, "").is_err());
    let part = BlockDevice::open(second.raw_path())?;
    assert_eq!(part.size(), 50 * 512);
    part.write_at(&[8; 1024], 512)?;
    part.flush()?;
    assert!(part.write_at(&[8; 512], 50 * 512).is_err());
    let mut sectors = [0; 2048];
    whole.read_at(&mut sectors, 300 * 512)?;
    assert!(sectors[..512].iter().all(|byte| *byte == 0));
    assert!(sectors[512..1536].iter().all(|byte| *byte == 8));
    let error = wedge::remove(&whole, &second).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    drop(part);
    wedge::remove(&whole, &second)?;
    assert_eq!(wedge::list(&whole)?.len(), 1);
    drop(whole);
    // The first goes with its disk.
    Ok(disk.detach()?)
}

/// Has sfdisk write a partition table.
fn partition(image: &std::path::Path, table: &str) -> Outcome {
    let mut sfdisk = Command::new("sfdisk")
        .arg("-q")
        .arg(image)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut input) = sfdisk.stdin.take() {
        input.write_all(table.as_bytes())?;
    }
    if !sfdisk.wait()?.success() {
        return Err("sfdisk failed".into());
    }
    Ok(())
}

pub fn of_gpt() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("disk");
    drop(Image::create(&image, 40 << 20)?);
    partition(
        &image,
        "label: gpt\nstart=2048, size=20480, name=\"of test one\"\nsize=20480, name=\"of test two\"\n",
    )?;
    // A file system of Linux's, in the second.
    let inner = folder.join("ext2");
    image::make(Kind::Ext2, &inner, 10)?;
    let mut bytes = std::fs::read(&image)?;
    let start = (2048 + 20480) * 512;
    bytes[start..start + (10 << 20)].copy_from_slice(&std::fs::read(&inner)?);
    std::fs::write(&image, bytes)?;
    let disk = Disk::attach(common::boot(), Image::open(&image)?)?;
    let device = BlockDevice::open(disk.raw_path())?;
    let wedges = wedge::discover(&device)?;
    drop(device);
    let found: Vec<_> = wedges
        .iter()
        .map(|wedge| (&*wedge.name, wedge.start, wedge.sectors))
        .collect();
    assert_eq!(
        found,
        [("of test one", 2048, 20480), ("of test two", 22528, 20480)]
    );
    let mount = Mount::ext2(common::boot()).device(wedges[1].path(), "/m/wedge")?;
    fs::write("/m/wedge/name", "in a wedge")?;
    mount.sync()?;
    // The disk is in use by what is mounted.
    let busy = disk.detach().unwrap_err();
    mount.unmount()?;
    busy.disk.detach()?;
    let bytes = std::fs::read(&image)?;
    std::fs::write(&inner, &bytes[start..start + (10 << 20)])?;
    image::check(Kind::Ext2, &inner)
}

pub fn of_mbr() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("disk");
    drop(Image::create(&image, 40 << 20)?);
    partition(
        &image,
        "label: dos\nstart=2048, size=8192, type=c\nstart=20480, size=4096, type=83\n",
    )?;
    let disk = Disk::attach(common::boot(), Image::open(&image)?)?;
    let device = BlockDevice::open(disk.raw_path())?;
    let wedges = wedge::discover(&device)?;
    let found: Vec<_> = wedges
        .iter()
        .map(|wedge| (wedge.start, wedge.sectors, &*wedge.kind))
        .collect();
    assert_eq!(found, [(2048, 8192, "msdos"), (20480, 4096, "ext2fs")]);
    drop(device);
    Ok(disk.detach()?)
}
