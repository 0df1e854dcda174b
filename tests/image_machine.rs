//! The machine below the programs of images: registers and stacks under interrupts, many
//! threads, the kernel's own drivers of network cards.

mod image;

use image::{Outcome, Running, check, machine, output};
use rumprun_build::image::qemu::{Forward, Machine};
use rumprun_build::image::{iso, program, root};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn main() {
    let tests: [image::Test; 7] = [
        ("qemu::registers::one_cpu", || registers(1)),
        ("qemu::registers::two_cpus", || registers(2)),
        ("qemu::registers::four_cpus", || registers(4)),
        ("qemu::stress::one_cpu", || stress(1)),
        ("qemu::stress::two_cpus", || stress(2)),
        ("qemu::stress::four_cpus", || stress(4)),
        ("qemu::card_of_the_kernels_driver", card),
    ];
    let mut trials = Vec::from(tests.map(|(name, test)| image::trial(name, test)));
    let gdb = Command::new("gdb").arg("--version").output();
    let there = gdb.is_ok_and(|output| output.status.success());
    let missing = "gdb is not installed";
    trials.push(image::trial_if(
        there,
        "gdb",
        missing,
        "qemu::gdb_attaches",
        gdb_attaches,
    ));
    trials.push(image::trial_if(
        image::iso::can(),
        "grub",
        image::iso::LACKS,
        "qemu::boots_from_an_iso",
        boots_from_an_iso,
    ));
    image::run_trials(trials);
}

/// By a PC's BIOS and GRUB, with a file system and arguments, which come through both.
fn boots_from_an_iso() -> Outcome {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-iso");
    let root = folder.join("root");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("file"), "there\n")?;
    let (archive, iso) = (folder.join("root.cpio"), folder.join("image.iso"));
    root::archive(&root, &archive)?;
    let mut line = machine(&["one", "two words", "it's \"three\" \\"]).line;
    line = line.with("env", "STATUS=7");
    iso::write(&image::image("hello")?, Some(&archive), &line, &iso)?;
    let qemu = std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into());
    let mut command = Command::new(qemu);
    command
        .args([
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .args(["-machine", "pc", "-accel", "tcg", "-smp", "2", "-m", "128"])
        .args([
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-boot",
            "d",
            "-cdrom",
        ])
        .arg(&iso);
    let (status, text) = Running::spawn(command)?.end()?;
    let says = "hello one, two words, it's \"three\" \\";
    check(text.contains(says), &format!("not `{says}`"), &text)?;
    check(status == Some(7), &format!("{status:?}"), &text)
}

/// As the README says: gdb stops where `main` begins, and knows all CPUs.
fn gdb_attaches() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut machine = machine(&[]);
    machine.cpus = 2;
    let stub = format!("tcp:127.0.0.1:{port}");
    machine.more = ["-S", "-gdb", &stub].map(String::from).into();
    let image = image::image("hello")?;
    let _running = Running::start(&machine, &image)?;
    // The stub may not listen yet.
    let remote = format!("target remote 127.0.0.1:{port}");
    let mut said = String::new();
    for _ in 0..20 {
        let output = Command::new("gdb")
            .args(["-batch", "-nx"])
            .arg(program::symbols(&image))
            .args(["-ex", &remote, "-ex", "hbreak main", "-ex", "continue"])
            .args(["-ex", "backtrace", "-ex", "info threads"])
            .output()?;
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains("CPU#") || said.contains("hit Breakpoint") {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    for says in ["hit Breakpoint 1", "in main ()", "CPU#1"] {
        check(said.contains(says), &format!("not `{says}`"), &said)?;
    }
    Ok(())
}

/// How long a program works, in seconds, and with how many threads.
fn load() -> [&'static str; 2] {
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    if long { ["60", "1000"] } else { ["2", "200"] }
}

fn works(program: &str, cpus: u32) -> Outcome {
    let mut machine = machine(&load());
    machine.cpus = cpus;
    let (status, text) = output(&machine, program)?;
    check(text.contains("all passed"), "not all passed", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// What a program has in its registers and below its stack pointer stays, whatever interrupts
/// it, and over system calls.
fn registers(cpus: u32) -> Outcome {
    works("registers", cpus)
}

/// Many threads with locks, conditions, sleeps and messages.
fn stress(cpus: u32) -> Outcome {
    works("stress", cpus)
}

/// A card that only the kernel has a driver for: traffic with `wm` in it, and without it a
/// message that tells what was found.
fn card() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let machine = Machine {
        cpus: 2,
        card: "e1000e".into(),
        forwards: vec![Forward {
            host: port,
            machine: 7,
            datagrams: false,
        }],
        ..Machine::default()
    };
    if !rump_sys::DRIVERS.contains(&"wm") {
        let (status, text) = output(&machine, "hello")?;
        check(text.contains("there is no network card"), "not said", &text)?;
        check(text.contains("8086:10d3 class 0200"), "not listed", &text)?;
        return check(status == Some(6), &format!("{status:?}"), &text);
    }
    let mut running = Running::start(&machine, &image::image("echo")?)?;
    running.wait_for("listening")?;
    // Negotiating the link takes the card some seconds; QEMU keeps the connection meanwhile.
    let mut stream = image::connect(port)?;
    let sent: Vec<u8> = (0..200_000_u32).map(|at| (at / 3) as u8).collect();
    stream.write_all(&sent)?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    if back != sent {
        return Err(format!("{} of {} bytes came back", back.len(), sent.len()).into());
    }
    image::connect(port)?.write_all(b"end\n")?;
    running.wait_for("ended")?;
    let (status, text) = running.end()?;
    check(status == Some(0), &format!("{status:?}"), &text)
}
