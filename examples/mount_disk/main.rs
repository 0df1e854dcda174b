//! Looks into disk images with NetBSD's file systems, and copies files out and in, without
//! being root.
//!
//! ```text
//! mkfs.ext2 disk.img 64M
//! cargo run --release --features fs --example mount_disk -- -t ext2 disk.img cp README.md :/read/me
//! cargo run --release --features fs --example mount_disk -- -t ext2 disk.img ls :/
//! cargo run --release --features fs --example mount_disk -- -t ext2 disk.img cat :/read/me
//! ```
//!
//! `-t` is ffs, ext2, msdos or cd9660. A path with a colon in front is in the image. The image
//! may have partitions: `-p 2` takes the second. `--once` writes files into an image that
//! Linux's mkfs.ext2 made just now, has e2fsck check it, and reads them back.

mod once;

use rump::Kernel;
use rump::block::{BlockDevice, Disk, Image, wedge};
use rump::fs::{self, Mount, MountError};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "mount_disk -t ffs|ext2|msdos|cd9660 [-p N] IMAGE ls :PATH | cat :PATH | cp FROM TO
       (a path with a colon in front is in the image)
mount_disk --once";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mount_disk: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--once"] {
        return once::run();
    }
    let order = Order::parse(&arguments).ok_or(USAGE)?;
    let kernel = Kernel::builder().boot()?;
    let writes = matches!(&order.task, Task::Copy(_, to) if to.starts_with(':'));
    let mounted = Mounted::new(&kernel, &order, !writes)?;
    let done = perform(&order.task, mounted.mount.path());
    // Also where something failed, what was written is to be safe.
    mounted.end()?;
    done
}

/// What the command line asks for.
struct Order {
    kind: String,
    partition: Option<usize>,
    image: PathBuf,
    task: Task,
}

enum Task {
    List(String),
    Show(String),
    Copy(String, String),
}

impl Order {
    fn parse(arguments: &[String]) -> Option<Self> {
        let (mut kind, mut partition) = (None, None);
        let mut rest = arguments.iter();
        let image = loop {
            match rest.next()?.as_str() {
                "-t" => kind = rest.next().cloned(),
                "-p" => partition = Some(rest.next()?.parse().ok()?),
                image => break image.into(),
            }
        };
        let words: Vec<&str> = rest.map(String::as_str).collect();
        let task = match words[..] {
            ["ls", path] => Task::List(path.into()),
            ["cat", path] => Task::Show(path.into()),
            ["cp", from, to] => Task::Copy(from.into(), to.into()),
            _ => return None,
        };
        Some(Self {
            kind: kind?,
            partition,
            image,
            task,
        })
    }
}

/// A mounted image, or partition of one.
struct Mounted {
    mount: Mount,
    /// A partition's.
    disk: Option<Disk>,
}

impl Mounted {
    fn new(kernel: &Kernel, order: &Order, read_only: bool) -> Result<Self, Box<dyn Error>> {
        let read_only = read_only || order.kind == "cd9660";
        let image = Image::builder().read_only(read_only).open(&order.image);
        let image = image.map_err(|error| format!("{}: {error}", order.image.display()))?;
        let disk = Disk::attach(kernel, image)?;
        let device = match order.partition {
            None => disk.path(),
            Some(number) => partition(&disk, number)?,
        };
        let mount = mount(kernel, &order.kind, read_only, &device)?;
        let disk = Some(disk);
        Ok(Self { mount, disk })
    }

    fn end(self) -> Result<(), Box<dyn Error>> {
        self.mount.unmount()?;
        if let Some(disk) = self.disk {
            disk.detach().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The device of a partition, counted from 1 in their order on the disk.
fn partition(disk: &Disk, number: usize) -> Result<String, Box<dyn Error>> {
    let device = BlockDevice::open(disk.raw_path())?;
    let wedges = wedge::discover(&device)?;
    for wedge in &wedges {
        eprintln!(
            "{}: {} sectors at {}, {:?} {}",
            wedge.device, wedge.sectors, wedge.start, wedge.name, wedge.kind
        );
    }
    let found = number.checked_sub(1).and_then(|index| wedges.get(index));
    let found = found.ok_or_else(|| format!("there are {} partitions", wedges.len()))?;
    Ok(found.path())
}

fn mount(
    kernel: &Kernel,
    kind: &str,
    read_only: bool,
    device: &str,
) -> Result<Mount, Box<dyn Error>> {
    const AT: &str = "/mnt";
    macro_rules! mount {
        ($kind:ident) => {{
            let builder = Mount::$kind(kernel);
            let builder = if read_only {
                builder.read_only()
            } else {
                builder
            };
            builder.device(device, AT)
        }};
    }
    let mounted: Result<Mount, MountError> = match kind {
        "ffs" => mount!(ffs),
        "ext2" => mount!(ext2),
        "msdos" => mount!(msdos),
        "cd9660" => mount!(cd9660),
        other => return Err(format!("{other} is no kind of file system here\n{USAGE}").into()),
    };
    Ok(mounted?)
}

/// A path in the image, if that is what is meant.
fn inside(at: &Path, path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix(':')?;
    Some(at.join(path.trim_start_matches('/')))
}

fn perform(task: &Task, at: &Path) -> Result<(), Box<dyn Error>> {
    let within = |path: &str| inside(at, path).ok_or(USAGE);
    match task {
        Task::List(path) => list(&within(path)?)?,
        Task::Show(path) => io::stdout().write_all(&fs::read(within(path)?)?)?,
        Task::Copy(from, to) => match (inside(at, from), inside(at, to)) {
            (Some(from), None) => std::fs::write(to, fs::read(from)?)?,
            (None, Some(to)) => {
                fs::create_dir_all(to.parent().ok_or(USAGE)?)?;
                fs::write(to, std::fs::read(from)?)?;
            }
            (Some(from), Some(to)) => fs::copy(from, to).map(drop)?,
            (None, None) => return Err(USAGE.into()),
        },
    }
    Ok(())
}

/// As `ls -l`, in the order of names.
fn list(path: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let metadata = entry.metadata()?;
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => 'd',
            kind if kind.is_symlink() => 'l',
            kind if kind.is_file() => '-',
            _ => '?',
        };
        let target = match kind {
            'l' => format!(" -> {}", fs::read_link(entry.path())?.display()),
            _ => String::new(),
        };
        println!(
            "{kind}{:04o} {:>5} {:>5} {:>10} {}{target}",
            metadata.permissions().mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.len(),
            entry.file_name().to_string_lossy()
        );
    }
    Ok(())
}
