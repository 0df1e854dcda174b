//! The root of the file system on a disk: unmodified programs of Debian's start from an ext2,
//! what they write is there the next time, and a disk that is none is told.
//!
//! Disks and file systems are NetBSD's; the disk is made, and looked at afterwards, by Linux's
//! tools, without being root.

mod image;

use image::{Outcome, Running, check};
use libtest_mimic::{Failed, Trial};
use rump_sys::kernel::KIND;
use rumprun_build::image::qemu::{Bus, Disk, Forward, Machine};
use rumprun_build::image::root::{self, OF_DISKS};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const REDIS: &str = "/usr/bin/redis-server";
/// What the kernel calls the first disk.
const DEVICE: &str = "/dev/ld0d";

fn main() {
    let disk = KIND == rump_sys::kernel::Kind::Netbsd && image::ext2::program().is_some();
    let driver = drivers().is_ok();
    let reason = "it wants NETBSD_SRC, RUMP_DRIVERS=nvme and mkfs.ext2";
    let test = |name: &'static str, program: &str, run: fn() -> Outcome| {
        let there = program.is_empty() || Path::new(program).is_file();
        let (can, need, reason) = match there {
            true => (disk && driver, "drivers", reason.to_string()),
            false => (false, "programs", format!("{program} is not installed")),
        };
        image::trial_if(can, need, &reason, name, run)
    };
    let trials: [Trial; 5] = [
        test("qemu::files_stay", "", files_stay),
        test("qemu::dynamic_program_keeps_its_data", REDIS, redis),
        test("qemu::static_program_starts", "/bin/busybox", busybox),
        test("qemu::corrupt_disks_are_told", "", corrupt),
        image::trial("qemu::no_such_disk_is_told", absent),
    ];
    image::run_trials(trials.into());
}

fn drivers() -> Result<Bus, Failed> {
    let drivers: Vec<_> = rump_sys::DRIVERS
        .iter()
        .map(|name| name.to_string())
        .collect();
    Ok(Bus::of_drivers(&drivers)?)
}

fn folder(name: &str) -> Result<PathBuf, Failed> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A disk with what is in a folder.
fn disk_of(folder: &Path) -> Result<PathBuf, Failed> {
    let disk = folder.with_extension("ext2");
    let _ = std::fs::remove_file(&disk);
    std::fs::File::create(&disk)?.set_len(64 << 20)?;
    let made = Command::new(image::ext2::program().ok_or("no mkfs.ext2")?)
        .args(["-q", "-F", "-d"])
        .arg(folder)
        .arg(&disk)
        .status()?;
    check(made.success(), "mkfs.ext2 has failed", "")?;
    Ok(disk)
}

/// Linux's own judgement: the file system is whole.
fn is_whole(disk: &Path) -> Outcome {
    let fsck = image::ext2::program()
        .ok_or("no mkfs.ext2")?
        .with_file_name("e2fsck");
    let output = Command::new(fsck).args(["-f", "-n"]).arg(disk).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    check(output.status.success(), "e2fsck finds fault", &said)
}

fn machine(disk: &Path, arguments: &[&str]) -> Result<Machine, Failed> {
    let mut machine = image::machine(arguments);
    machine.memory = 256;
    machine.line = machine.line.with("root", DEVICE);
    machine.disks = vec![Disk {
        file: disk.into(),
        bus: drivers()?,
    }];
    Ok(machine)
}

/// The image of a program whose kernel has file systems.
fn with_files(name: &str) -> Result<PathBuf, Failed> {
    image::image_with(name, &OF_DISKS, None)
}

fn output(machine: &Machine, program: &str) -> Result<(Option<u8>, String), Failed> {
    Running::start(machine, &with_files(program)?)?.end()
}

/// A program that goes through calls about files, twice: the second time it finds what the
/// first has left. Then Linux looks.
fn files_stay() -> Outcome {
    let folder = folder("files")?;
    std::fs::create_dir_all(folder.join("data/given"))?;
    std::fs::write(folder.join("data/given/file"), "from the host\n")?;
    std::os::unix::fs::symlink("given/file", folder.join("data/link"))?;
    std::fs::create_dir_all(folder.join("tmp"))?;
    std::fs::write(folder.join("tmp/hidden"), "")?;
    let disk = disk_of(&folder)?;
    for (turn, cpus) in [("first", 1), ("second", 2)] {
        let mut machine = machine(&disk, &[turn])?;
        machine.cpus = cpus;
        let (status, text) = output(&machine, "keeps")?;
        check(
            text.contains("all passed"),
            &format!("{turn}: not all passed"),
            &text,
        )?;
        check(status == Some(0), &format!("{turn}: {status:?}"), &text)?;
        is_whole(&disk)?;
    }
    let cat = |path: &str| -> Result<Vec<u8>, Failed> {
        let debugfs = image::ext2::program()
            .ok_or("no mkfs.ext2")?
            .with_file_name("debugfs");
        let output = Command::new(debugfs)
            .arg("-R")
            .arg(format!("cat {path}"))
            .arg(&disk)
            .output()?;
        Ok(output.stdout)
    };
    check(
        cat("/data/kept/second")? == b"written by the second",
        "not there",
        "",
    )?;
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    check(cat("/data/kept/big")? == big, "big is another", "")?;
    // One that is ended by a signal loses nothing that it has written.
    let (status, text) = output(&machine(&disk, &["aborts"])?, "keeps")?;
    check(status == Some(6), &format!("aborts: {status:?}"), &text)?;
    is_whole(&disk)?;
    check(
        cat("/data/kept/aborts")? == b"written before the end",
        "not written",
        &text,
    )
}

fn served(
    disk: &Path,
    program: &str,
    arguments: &[&str],
    port: u16,
) -> Result<(Machine, u16), Failed> {
    let here = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut machine = machine(disk, arguments)?;
    machine.net = Default::default();
    machine.forwards = vec![Forward {
        host: here,
        machine: port,
        datagrams: false,
    }];
    machine.line = machine.line.with("exec", program);
    Ok((machine, here))
}

/// redis-server saves its data when it is shut down, and has it when it starts again.
fn redis() -> Outcome {
    let folder = folder("redis")?;
    image::recipe::with_libraries(REDIS, &folder)?;
    std::fs::create_dir_all(folder.join("var/lib/redis"))?;
    let disk = disk_of(&folder)?;
    let arguments = [
        "--protected-mode",
        "no",
        "--bind",
        "0.0.0.0",
        "--dir",
        "/var/lib/redis",
        "--save",
        "",
    ];
    let value = "v".repeat(300_000);
    let told = format!("$300000\r\n{value}\r\n");
    for (asked, answer, end) in [
        (
            format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n{told}"),
            "+OK\r\n",
            "SHUTDOWN SAVE\r\n",
        ),
        ("GET key\r\n".into(), &told, "SHUTDOWN NOSAVE\r\n"),
    ] {
        let (machine, port) = served(&disk, REDIS, &arguments, 6379)?;
        let mut running = Running::start(&machine, &with_files("hello")?)?;
        running.wait_for("Ready to accept connections")?;
        let mut stream = image::connect(port)?;
        stream.write_all(asked.as_bytes())?;
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got)?;
        stream.write_all(end.as_bytes())?;
        let (status, text) = running.end()?;
        check(
            got == answer.as_bytes(),
            &format!("{} bytes", got.len()),
            &text,
        )?;
        check(status == Some(0), &format!("{status:?}"), &text)?;
        is_whole(&disk)?;
    }
    Ok(())
}

/// A shell's own commands, and what it leaves. The program was linked to lie where images do.
fn busybox() -> Outcome {
    let folder = folder("busybox")?;
    image::recipe::with_libraries("/bin/busybox", &folder)?;
    std::fs::write(
        folder.join("script"),
        "echo to the disk > /made\nread line < /made\necho \"read: $line\"\nexit 7\n",
    )?;
    let disk = disk_of(&folder)?;
    let mut machine = machine(&disk, &["sh", "/script"])?;
    machine.line = machine.line.with("exec", "/bin/busybox");
    let base = root::base_for(Path::new("/bin/busybox"));
    if base.is_some() {
        let (status, text) = output(&machine, "hello")?;
        check(
            text.contains("make the image with --base "),
            "not said",
            &text,
        )?;
        check(status == Some(6), &format!("{status:?}"), &text)?;
    }
    let running = Running::start(&machine, &image::image_with("hello", &OF_DISKS, base)?)?;
    let (status, text) = running.end()?;
    check(text.contains("read: to the disk"), "not read", &text)?;
    check(status == Some(7), &format!("{status:?}"), &text)?;
    is_whole(&disk)
}

/// Whatever is on the disk, the machine ends with a message and a status.
fn corrupt() -> Outcome {
    let folder = folder("corrupt")?;
    std::fs::create_dir_all(folder.join("a/b"))?;
    std::fs::write(folder.join("a/file"), vec![7; 100_000])?;
    let whole = std::fs::read(disk_of(&folder)?)?;
    let zeros = vec![0; 8 << 20];
    let noise: Vec<u8> = (0..8_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    // The magic of the superblock (1080), and a feature that NetBSD does not know (1120).
    let mut no_magic = whole.clone();
    no_magic[1080] ^= 0xff;
    let mut feature = whole.clone();
    feature[1123] |= 0x40;
    let kinds = [
        ("zeros", zeros),
        ("noise", noise),
        ("no magic", no_magic),
        ("feature", feature),
    ];
    let place = folder.with_extension("bad");
    for (kind, bytes) in kinds {
        std::fs::write(&place, bytes)?;
        let (status, text) = output(&machine(&place, &[])?, "hello")?;
        let said = "root=/dev/ld0d: there is no file system on it that the kernel can use";
        check(text.contains(said), &format!("{kind}: not said"), &text)?;
        check(status == Some(6), &format!("{kind}: {status:?}"), &text)?;
    }
    // The table of its groups, that of inodes, and all behind: an error or a panic of NetBSD's,
    // told either way; or nothing that matters.
    let (groups, inodes) = places(&whole);
    let kinds = [
        ("groups", groups, groups + 32),
        ("inodes", inodes, inodes + 4096),
        ("all", groups, whole.len()),
    ];
    for (kind, from, end) in kinds {
        let mut bytes = whole.clone();
        for (at, byte) in bytes[from..end].iter_mut().enumerate() {
            *byte = (at.wrapping_mul(2_654_435_761) >> 9) as u8;
        }
        std::fs::write(&place, bytes)?;
        let (status, text) = output(&machine(&place, &[])?, "hello")?;
        let told = text.contains("rumprun: root=/dev/ld0d: ") || text.contains("panic");
        check(
            told == (status == Some(6)),
            &format!("{kind}: {status:?}"),
            &text,
        )?;
        check(
            told || status == Some(0),
            &format!("{kind}: {status:?}"),
            &text,
        )?;
        println!("{kind}: {status:?}: {}", text.trim_end());
    }
    // One that has no program.
    std::fs::write(&place, whole)?;
    let mut machine = machine(&place, &[])?;
    machine.line = machine.line.with("exec", "/bin/none");
    let (status, text) = output(&machine, "hello")?;
    check(
        text.contains("/bin/none: there is no such file"),
        "not said",
        &text,
    )?;
    check(status == Some(6), &format!("{status:?}"), &text)
}

/// Where the table of groups is, and that of the first group's inodes (The Second Extended File
/// System, "Disk Organization").
fn places(disk: &[u8]) -> (usize, usize) {
    let word = |at: usize| disk[at..][..4].try_into().map_or(0, u32::from_le_bytes) as usize;
    let (first, block) = (word(1024 + 20), 1024 << word(1024 + 24));
    let groups = (first + 1) * block;
    (groups, word(groups + 8) * block)
}

/// Also where the kernel has no file systems at all.
fn absent() -> Outcome {
    let mut machine = image::machine(&[]);
    machine.line = machine.line.with("root", "/dev/ld7d");
    let (status, text) = image::output(&machine, "hello")?;
    check(
        text.contains("rumprun: root=/dev/ld7d: "),
        "not said",
        &text,
    )?;
    check(text.contains("no file systems"), "not why", &text)?;
    check(status == Some(6), &format!("{status:?}"), &text)
}
