//! The power is cut: what the program was told to be safe is there afterwards.
//!
//! One run of a workload is recorded by the back end [`PowerCut`]. The power is then cut at
//! many points of the record, each time with another part of what was not flushed; the
//! kernel mounts what is left.

use super::common::{self, Outcome};
use super::image::{self, Folder, Kind};
use rump::block::{Memory, PowerCut, Trace};
use rump::fs::{self, Builder, Ffs, Mount};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cuts of each test; ten times as many if `RUMP_TEST_LONG` is set.
const CUTS: usize = 250;

/// What is in a file after so many times that it was written.
fn contents(number: u64, version: u64) -> Vec<u8> {
    let length = (number * 977 + version * 31) % 20_000 + 1;
    (0..length)
        .map(|at| (at * 7 + number + version * 3) as u8)
        .collect()
}

fn name(at: &Path, number: u64) -> PathBuf {
    at.join(format!("{}/file {number}", number % 5))
}

/// Files of the workload. Each is written and synchronised; then every third is written
/// anew under another name, synchronised, and takes the first one's.
const FILES: u64 = 120;

fn work(at: &Path, disk: &PowerCut) -> Outcome {
    for folder in 0..5 {
        fs::create_dir(at.join(folder.to_string()))?;
    }
    for number in 0..FILES {
        let path = name(at, number);
        let mut file = fs::File::create(&path)?;
        file.write_all(&contents(number, 0))?;
        file.sync_all()?;
        drop(file);
        disk.mark(number);
        // What is not synchronised may be lost, and keeps the disk busy.
        fs::write(
            at.join(format!("{}/unsafe {number}", number % 5)),
            contents(number, 9),
        )?;
        if number % 4 == 3 {
            fs::remove_file(at.join(format!("{}/unsafe {}", (number - 2) % 5, number - 2)))?;
        }
        if number % 3 == 2 {
            let other = path.with_file_name("new");
            let mut file = fs::File::create(&other)?;
            file.write_all(&contents(number - 2, 1))?;
            file.sync_all()?;
            fs::rename(
                &other,
                name(at, number - 2).with_file_name(format!("replaced {number}")),
            )?;
        }
    }
    Ok(())
}

/// What must be there after the mark; what has been renamed may be either.
fn check(at: &Path, marked: Option<u64>) -> Outcome {
    let Some(marked) = marked else { return Ok(()) };
    for number in 0..=marked {
        let path = name(at, number);
        let found = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if found != contents(number, 0) {
            return Err(format!("{}: other contents", path.display()).into());
        }
    }
    Ok(())
}

fn record(
    at: &str,
    mount: impl Fn(Builder<Ffs>) -> Builder<Ffs>,
) -> Result<Trace, libtest_mimic::Failed> {
    let folder = Folder::new()?;
    let image = folder.join("image");
    image::make(Kind::FfsV2, &image, 16)?;
    // The log is made by the first mount.
    let ffs = || mount(Mount::ffs(common::boot()));
    ffs().image(&image, at)?.unmount()?;
    let disk = Arc::new(PowerCut::new(std::fs::read(&image)?));
    let mounted = ffs().backend(disk.clone(), at)?;
    work(Path::new(at), &disk)?;
    mounted.unmount()?;
    Ok(disk.trace())
}

fn cuts() -> usize {
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    if long { CUTS * 10 } else { CUTS }
}

/// Cuts the power at points all over the record.
fn cut(at: &str, trace: &Trace, mount: impl Fn(Builder<Ffs>) -> Builder<Ffs>) -> Outcome {
    let events = trace.events().len();
    let cuts = cuts();
    let mut marks = 0;
    for number in 0..cuts {
        let point = events * (number + 1) / cuts;
        let left = Memory::from(trace.cut(point, number as u64 * 0x9e37_79b9));
        let marked = trace.marked_before(point);
        let told = |error: String| format!("cut {number} after event {point} of {events}: {error}");
        let mounted = mount(Mount::ffs(common::boot())).backend(left, at);
        let mounted = mounted.map_err(|error| told(error.to_string()))?;
        check(Path::new(at), marked)
            .map_err(|error| told(error.message().unwrap_or_default().to_string()))?;
        marks += usize::from(marked.is_some());
        mounted.unmount()?;
    }
    println!("{cuts} cuts of {events} events, {marks} of them with files to be there");
    assert!(marks > cuts / 2);
    Ok(())
}

pub fn with_a_log() -> Outcome {
    let trace = record("/m/power-log", Builder::log)?;
    cut("/m/power-log", &trace, Builder::log)
}

/// Without a log what is left is only read, as fsck would.
pub fn with_synchronous_writes() -> Outcome {
    let trace = record("/m/power-sync", Builder::sync)?;
    cut("/m/power-sync", &trace, Builder::read_only)
}

/// The test can fail: with a disk that does not keep what was flushed.
pub fn a_disk_that_lies_is_found_out() -> Outcome {
    let trace = record("/m/power-lies", Builder::sync)?;
    let events = trace.events().len();
    // The power was cut earlier than the program was told.
    let mut lost = 0;
    for number in 1..20 {
        let left = Memory::from(trace.cut(events * number / 40, number as u64));
        let marked = trace.marked_before(events * number / 20);
        let mounted = Mount::ffs(common::boot())
            .read_only()
            .backend(left, "/m/power-lies")?;
        lost += usize::from(check(Path::new("/m/power-lies"), marked).is_err());
        mounted.unmount()?;
    }
    assert!(lost > 10, "{lost} of 19");
    Ok(())
}
