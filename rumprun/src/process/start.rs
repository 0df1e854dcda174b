//! The start of the program: from what the loader gave to its first instruction.

use super::exec::{self, Given, Loaded};
use super::files::Files;
use super::host::{Image, Machine};
use super::line::Line;
use super::task::Task;
use super::tree::{self, Kind, Tree};
use super::{PID, threads};
use crate::boot::Start;
use crate::trap::Frame;
use crate::{exit, random, say, sched};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rump_linux::{Errno, Rules};
use spin::Once;

/// The process.
pub(crate) struct Process {
    /// Its files.
    pub files: Files,
    /// Its other descriptors, and the way to all of them.
    pub descriptors: rump_linux::Process,
    line: Line,
    text: String,
    given: Given,
    name: String,
}

static PROCESS: Once<Process> = Once::new();
static STACK: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// The process.
///
/// # Panics
/// Before there is one, which is before the first system call.
pub(crate) fn process() -> &'static Process {
    PROCESS.get().expect("a process that has begun")
}

/// The command line of the image.
pub(crate) fn line() -> &'static str {
    &process().text
}

/// What the program was given.
pub(crate) fn given() -> &'static Given {
    &process().given
}

/// What the program is called, without its folder.
pub(crate) fn program_name() -> String {
    let name = &process().name;
    name.rsplit('/').next().unwrap_or(name).into()
}

/// `hostname=`
pub(crate) fn host_name() -> &'static str {
    process().line.get("hostname").unwrap_or("rumprun")
}

/// Where the first thread's stack is.
pub(crate) fn stack_area() -> (u64, u64) {
    let [start, end] = [&STACK[0], &STACK[1]].map(|word| word.load(Ordering::Relaxed));
    (start, end)
}

/// Says so.
pub(crate) fn set_stack_area(start: u64, end: u64) {
    STACK[0].store(start, Ordering::Relaxed);
    STACK[1].store(end, Ordering::Relaxed);
}

/// The first thread begins here, with what the loader gave.
pub fn start(start: Start) -> ! {
    let Err(problem) = begin(start);
    say!("rumprun: {problem}");
    exit::failed()
}

/// The environment of a program that was given none.
const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "PATH",
        "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    ),
    ("HOME", "/root"),
];

/// Users that a server may want to become, where the root file system has none.
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                     nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

fn begin(start: Start) -> Result<core::convert::Infallible, String> {
    let line = Line::parse(&start.command_line);
    let mut tree = Tree::new();
    if let Some(root) = start.modules.first() {
        tree.unpack(root.bytes)
            .map_err(|problem| alloc::format!("the root file system: {problem}"))?;
    }
    let kernel = super::kernel::boot(&line)?;
    if let Some(device) = line.get("root") {
        mount(&mut tree, device)?;
    }
    let exec = line.get("exec");
    let name = exec.or(line.get("name")).unwrap_or("program");
    let path = if name.starts_with('/') {
        name.into()
    } else {
        alloc::format!("/{name}")
    };
    tree.place("/proc/self/exe", Kind::Link(path.as_bytes().into()), 0o777);
    tree.place("/proc/1", Kind::Link((*b"self").into()), 0o777);
    tree.place(
        "/etc/hosts",
        text("127.0.0.1 localhost\n::1 localhost\n"),
        0o644,
    );
    tree.place("/etc/resolv.conf", text(""), 0o644);
    tree.place("/etc/passwd", text(USERS), 0o644);
    tree.place("/etc/group", text("root:x:0:\nnogroup:x:65534:\n"), 0o644);
    let mut given = Given {
        arguments: Vec::from([String::from(name)]),
        capabilities: core::arch::x86_64::__cpuid(1).edx,
        ..Given::default()
    };
    given.arguments.extend(line.arguments.iter().cloned());
    let mut environment: Vec<String> = line.all("env").map(String::from).collect();
    for (name, value) in ENVIRONMENT {
        let is = |variable: &String| variable.split_once('=').is_some_and(|(key, _)| key == name);
        if !environment.iter().any(is) {
            environment.push(alloc::format!("{name}={value}"));
        }
    }
    given.environment = environment;
    random::fill(&mut given.random);
    rump_linux::lock::yield_by(crate::sched::yield_now);
    let process = PROCESS.call_once(|| Process {
        files: Files::new(tree, &Machine),
        descriptors: rump_linux::Process::new(kernel, Arc::new(Image), Rules::default()),
        text: start.command_line.clone(),
        name: name.into(),
        line: line.clone(),
        given,
    });
    let task = Task::new(PID, &program_name(), 0);
    threads::add(&task);
    task.take_thread();
    drop(task);
    let loaded = match exec {
        Some(path) => from_file(process, path)?,
        None => own()?,
    };
    crate::memory::low::release();
    let stack = exec::make_stack(&loaded, &process.given).map_err(|errno| match errno {
        Errno::E2BIG => String::from("its arguments and environment are too long"),
        _ => String::from("there is no memory for the program's stack"),
    })?;
    sched::enter_program(&Frame::new(loaded.start, stack), 0)
}

/// Whether a disk is at the root, and is to be let go of at the end.
static ON_DISK: AtomicBool = AtomicBool::new(false);

/// Puts a disk of the kernel's at the root: `root=`.
#[cfg(feature = "image")]
fn mount(tree: &mut Tree, device: &str) -> Result<(), String> {
    let disk = super::disk::mount(device)?;
    ON_DISK.store(true, Ordering::Release);
    tree.mount(Arc::new(disk))
        .map_err(|problem| alloc::format!("root={device}: {problem}"))
}

/// Writes the disk at the root out and lets go of it, at the end of the program. What other
/// threads do to files waits, and then comes too late.
#[cfg(feature = "image")]
pub(crate) fn unmount() {
    if !ON_DISK.load(Ordering::Acquire) {
        return;
    }
    let _tree = process().files.tree.lock();
    if let Err(errno) = super::disk::unmount() {
        let error = errno.0;
        say!("rumprun: the disk at the root may lack what was written last: error {error}");
    }
}

/// The disk stays as it was last written.
pub(crate) fn leave_disk() {
    if ON_DISK.swap(false, Ordering::AcqRel) {
        say!("rumprun: the disk at the root may lack what was written last");
    }
}

/// Outside of an image there is none.
#[cfg(not(feature = "image"))]
fn mount(_: &mut Tree, _: &str) -> Result<(), String> {
    Err(String::from("this is no image: there are no disks"))
}

#[cfg(not(feature = "image"))]
pub(crate) fn unmount() {}

fn text(text: &'static str) -> Kind {
    Kind::File(Cow::Borrowed(text.as_bytes()))
}

/// A program of the file system.
fn from_file(process: &Process, path: &str) -> Result<Loaded, String> {
    let read = |path: &[u8]| -> Result<Cow<'static, [u8]>, Errno> {
        let mut tree = process.files.tree.lock();
        let node = tree.find(tree::ROOT, path, true)?;
        tree.open(node)?;
        let data = tree.data(node).cloned();
        tree.close(node);
        data
    };
    let data = read(path.as_bytes()).map_err(|errno| match errno {
        Errno::ENOENT => alloc::format!("{path}: there is no such file in the root file system"),
        errno => alloc::format!("{path}: it cannot be read (error {})", errno.0),
    })?;
    exec::load(path, &data, read)
}

/// The program that is in the image.
#[cfg(feature = "image")]
fn own() -> Result<Loaded, String> {
    unsafe extern "C" {
        static __ehdr_start: [u8; 64];
        fn _start();
    }
    // SAFETY: the linker puts the image's own header there.
    let header = unsafe { &__ehdr_start };
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let entry = (_start as *const ()).addr() as u64;
    let table = header[32..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Ok(Loaded {
        start: entry,
        entry,
        base: 0,
        headers: (&raw const __ehdr_start).addr() as u64 + table,
        count: half(56),
    })
}

/// Outside of an image there is none.
#[cfg(not(feature = "image"))]
fn own() -> Result<Loaded, String> {
    Err(String::from("this is no image: there is no program in it"))
}
