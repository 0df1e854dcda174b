//! Images that are overwritten at random, each batch in a child.

use super::common::Outcome;
use super::image::{self, Folder, Kind};
use rump::block::Memory;
use rump::fs::{self, Mount, MountError};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What a child is told: kind, image, and the first and the last seed.
const CHILD: &str = "RUMP_FS_CORRUPT_CHILD";
/// Has other images be made: FIRST..LAST.
const SEEDS: &str = "RUMP_TEST_SEEDS";
/// Images of each kind; the second number is that of RUMP_TEST_LONG.
const IMAGES: [u64; 2] = [150, 3000];
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Damages what describes files more than what is in them: it is where bytes are not 0, and
/// above all at the start.
fn damage(disk: &mut [u8], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let used: Vec<usize> = (0..disk.len() / 512)
        .filter(|sector| disk[sector * 512..][..512].iter().any(|byte| *byte != 0))
        .collect();
    for _ in 0..=random.u32(..12) {
        let among = match random.u32(..3) {
            0 => used.len().min(16),
            1 => used.len().min(200),
            _ => used.len(),
        };
        let at = used[random.usize(..among)] * 512 + random.usize(..512);
        match random.u32(..5) {
            0 => disk[at] ^= 1 << random.u32(..8),
            1 => disk[at] = random.u8(..),
            2 => {
                let value = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random.usize(..5)];
                let at = at & !3;
                disk[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            }
            3 => {
                let end = (at + random.usize(..64)).min(disk.len());
                disk[at..end]
                    .iter_mut()
                    .for_each(|byte| *byte = random.u8(..));
            }
            _ => {
                let sector = at & !511;
                let from = used[random.usize(..used.len())] * 512;
                disk.copy_within(from..from + 512, sector);
            }
        }
    }
}

/// Each at a place of its own: one may stay mounted.
fn mount(kind: &str, disk: Vec<u8>, at: &str, read_only: bool) -> Result<Mount, MountError> {
    let kernel = rump::Kernel::current().expect("it runs");
    let disk = Memory::from(disk);
    macro_rules! mount {
        ($builder:expr) => {{
            let builder = $builder;
            if read_only {
                builder.read_only()
            } else {
                builder
            }
            .backend(disk, at)
        }};
    }
    match kind {
        "ext2" => mount!(Mount::ext2(&kernel)),
        "msdos" => mount!(Mount::msdos(&kernel)),
        "cd9660" => mount!(Mount::cd9660(&kernel)),
        _ => mount!(Mount::ffs(&kernel)),
    }
}

/// Looks at everything, a little of each file, and no deeper than what was there: a damaged
/// directory may be in itself.
fn walk(path: &Path, depth: u32, files: &mut u32) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        *files += 1;
        if *files > 2000 {
            return Ok(());
        }
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() && depth > 0 {
            let _ = walk(&entry.path(), depth - 1, files);
        } else if metadata.is_symlink() {
            let _ = fs::read_link(entry.path());
        } else if metadata.is_file()
            && let Ok(file) = fs::File::open(entry.path())
        {
            let _ = (&file).take(100_000).read_to_end(&mut Vec::new());
        }
    }
    Ok(())
}

/// What is done with one image; the word is for the counts.
fn use_image(kind: &str, disk: Vec<u8>, seed: u64) -> &'static str {
    let read_only = kind == "cd9660" || seed.is_multiple_of(3);
    let mounted = match mount(kind, disk, &format!("/m/{seed}"), read_only) {
        Ok(mounted) => mounted,
        Err(error) => {
            println!("mount: {error}");
            return "refused";
        }
    };
    let mut failed = walk(mounted.path(), 6, &mut 0).is_err();
    failed |= fs::usage(mounted.path()).is_err();
    if !read_only {
        failed |= fs::create_dir(mounted.path().join("new")).is_err();
        failed |= fs::write(mounted.path().join("new/file"), vec![7; 40_000]).is_err();
        failed |= fs::remove_dir_all(mounted.path().join("tree")).is_err();
        failed |= mounted.sync().is_err();
    }
    failed |= match mounted.unmount() {
        Ok(()) => false,
        Err(MountError::Unmount { mount, .. }) => {
            if let Err(MountError::Unmount { mount, .. }) = mount.unmount_by_force() {
                mount.leave();
            }
            true
        }
        Err(_) => true,
    };
    if failed { "errors" } else { "used" }
}

/// In a child: uses one image after the other, and says before and after which.
pub fn child() -> bool {
    let Ok(order) = std::env::var(CHILD) else {
        return false;
    };
    let words: Vec<&str> = order.split('|').collect();
    let [kind, image, first, last] = words[..] else {
        panic!("{CHILD}: {order}");
    };
    let (first, last) = (first.parse().expect(CHILD), last.parse().expect(CHILD));
    rump::Kernel::builder().cpus(2).boot().expect("it boots");
    let disk = std::fs::read(image).expect(image);
    for seed in first..last {
        println!("seed {seed}");
        let mut disk = disk.clone();
        damage(&mut disk, seed);
        println!("done {}", use_image(kind, disk, seed));
    }
    true
}

#[derive(Debug, Default)]
struct Counts {
    /// The kernel would not mount it.
    refused: u32,
    /// Something failed with an error.
    errors: u32,
    /// Nothing failed.
    used: u32,
    /// The kernel panicked, and said so.
    panicked: u32,
    /// It stood still.
    stuck: Vec<u64>,
    /// The process ended without a word.
    silent: Vec<u64>,
}

/// Runs a child from a seed on; returns the next seed.
fn batch(
    kind: &str,
    image: &Path,
    first: u64,
    last: u64,
    counts: &mut Counts,
) -> std::io::Result<u64> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(CHILD, format!("{kind}|{}|{first}|{last}", image.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, lines) = channel();
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output.expect("piped"))
            .lines()
            .map_while(Result::ok)
        {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let told = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.expect("piped").read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut seed = first;
    let stuck = loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => match line.split_once(' ') {
                Some(("seed", number)) => seed = number.parse().unwrap_or(seed),
                Some(("done", word)) => {
                    match word {
                        "refused" => counts.refused += 1,
                        "errors" => counts.errors += 1,
                        _ => counts.used += 1,
                    }
                    seed += 1;
                }
                _ => {}
            },
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    if stuck {
        child.kill()?;
    }
    let status = child.wait()?;
    let _ = reader.join();
    let told = told.join().unwrap_or_default();
    if seed == last && status.success() {
        return Ok(last);
    }
    if stuck {
        counts.stuck.push(seed);
    } else if told.to_lowercase().contains("panic") || told.contains("rump:") {
        counts.panicked += 1;
    } else {
        counts.silent.push(seed);
        println!("{kind} seed {seed}: {status}: {told}");
    }
    Ok(seed + 1)
}

/// Which images: from the first seed up to the last.
fn seeds() -> Result<(u64, u64), Box<dyn std::error::Error>> {
    if let Ok(range) = std::env::var(SEEDS) {
        let (first, last) = range.split_once("..").ok_or("FIRST..LAST")?;
        return Ok((first.parse()?, last.parse()?));
    }
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    Ok((0, IMAGES[usize::from(long)]))
}

fn corrupt(kind: &str, image: &Path) -> Outcome {
    let (first, last) = seeds().map_err(|error| format!("{SEEDS}: {error}"))?;
    let mut counts = Counts::default();
    let mut seed = first;
    while seed < last {
        seed = batch(kind, image, seed, last, &mut counts)?;
    }
    println!("{kind}: corrupt images {first}..{last}: {counts:?}");
    assert!(counts.silent.is_empty(), "ended without a word: {counts:?}");
    // The damage is such that there is something to see.
    assert!(counts.refused + counts.errors > 0, "{counts:?}");
    Ok(())
}

/// A small tree to be damaged.
fn tree(folder: &Path) -> std::io::Result<()> {
    for number in 0..30 {
        let path = folder.join(format!("tree/{}/{}", number % 3, number % 2));
        std::fs::create_dir_all(&path)?;
        std::fs::write(
            path.join(format!("file {number}")),
            vec![number as u8; number * 1500],
        )?;
    }
    std::os::unix::fs::symlink("tree/1", folder.join("link"))
}

pub fn ext2() -> Outcome {
    let folder = Folder::new()?;
    let (image, source) = (folder.join("image"), folder.join("source"));
    tree(&source)?;
    std::fs::File::create(&image)?.set_len(4 << 20)?;
    let options = ["-q", "-F", "-b", "1024", "-d"].map(OsStr::new);
    let places = [source.as_os_str(), image.as_os_str()];
    image::run("mkfs.ext2", &[&options[..], &places].concat())?;
    corrupt("ext2", &image)
}

pub fn ffs() -> Outcome {
    let folder = Folder::new()?;
    let (image, source) = (folder.join("image"), folder.join("source"));
    tree(&source)?;
    let options = ["-t", "ffs", "-s", "4m", "-o", "version=2"].map(OsStr::new);
    let places = [image.as_os_str(), source.as_os_str()];
    image::run("makefs", &[&options[..], &places].concat())?;
    corrupt("ffs", &image)
}

pub fn msdos() -> Outcome {
    let folder = Folder::new()?;
    let image = folder.join("image");
    let source = folder.join("source");
    image::make(Kind::Msdos, &image, 16)?;
    tree(&source)?;
    std::fs::remove_file(source.join("link"))?;
    let (options, from) = (["-s", "-i"].map(OsStr::new), source.join("tree"));
    let places = [image.as_os_str(), from.as_os_str(), OsStr::new("::/")];
    image::run("mcopy", &[&options[..], &places].concat())?;
    corrupt("msdos", &image)
}

pub fn cd9660() -> Outcome {
    let folder = Folder::new()?;
    let (image, source) = (folder.join("image"), folder.join("source"));
    tree(&source)?;
    let options = ["-quiet", "-R", "-o"].map(OsStr::new);
    let places = [image.as_os_str(), source.as_os_str()];
    image::run("genisoimage", &[&options[..], &places].concat())?;
    corrupt("cd9660", &image)
}
