//! The kernel of this process, which boots, or is connected to, when it is first needed.
#![allow(unsafe_code)]

use crate::host::Loaded;
use crate::inside::Inside;
use crate::{fork, inherited, owned, signals};
use rump_linux::back::in_process::InProcess;
use rump_linux::{Process, Rules, Side};
use rump_run::{Running, Setup, VARIABLE};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long the end of the program waits for what was sent to arrive, while it does.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last segments, which nobody waits for, take to leave.
const LAST: Duration = Duration::from_millis(5);

struct Booted {
    process: Process,
    running: Running,
}

static BOOTED: OnceLock<Booted> = OnceLock::new();
/// This is a child of the process that the kernel runs in.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

fn boot() -> Booted {
    let booted = signals::start()
        .map_err(Into::into)
        .and_then(|()| setup())
        .and_then(|setup| setup.boot_as(inherited::get().map(|inherited| inherited.number)));
    let running = booted.unwrap_or_else(|error| refuse(&*error));
    let rules = Rules {
        inet: Side::Kernel,
        pipes: Side::Host,
    };
    let is_elsewhere = running.is_elsewhere();
    // SAFETY: functions that take nothing, for the end of the process and for the child.
    unsafe {
        libc::atexit(end);
        if is_elsewhere {
            // Before that, and behind it, the connection to the kernel is seen to.
            libc::pthread_atfork(
                Some(fork::prepare),
                Some(fork::go_on),
                Some(fork::go_on_in_child),
            );
        } else {
            libc::pthread_atfork(None, None, Some(forked));
        }
    }
    let process = Process::new(Arc::new(InProcess), Arc::new(Loaded), rules);
    if let Some(inherited) = inherited::get()
        && let Err(errno) = process.inherit(&inherited.heirlooms)
    {
        refuse(&std::io::Error::from_raw_os_error(errno.0 as i32));
    }
    Booted { process, running }
}

/// Not the host's network instead.
fn refuse(error: &dyn std::error::Error) -> ! {
    eprintln!("rump: the kernel does not run: {error}");
    std::process::exit(127);
}

/// What the runner hands on; without it, a kernel with nothing but lo0.
fn setup() -> Result<Setup, Box<dyn std::error::Error>> {
    match std::env::var(VARIABLE) {
        Ok(value) => Setup::from_variable(&value),
        Err(_) => Ok(Setup::default()),
    }
}

/// The process of the personality, for a thread that is about to make a call in it. The
/// kernel boots if it has not yet.
pub(crate) fn process() -> &'static Process {
    let booted = BOOTED.get_or_init(boot);
    // An lwp of the thread's own; without one the calls are slower, not wrong.
    let _ = rump::lwp::enter();
    &booted.process
}

/// Connects to the kernel at once.
pub(crate) fn take_place() {
    let _inside = Inside::enter();
    process();
}

/// The process, if its kernel is elsewhere and this is a client.
pub(crate) fn elsewhere() -> Option<&'static Process> {
    let booted = BOOTED.get()?;
    (booted.running.is_elsewhere() && !is_child()).then_some(&booted.process)
}

/// The same, if the kernel has booted already.
pub(crate) fn booted() -> Option<&'static Process> {
    BOOTED.get().map(|booted| &booted.process)
}

/// Says, once, why a child cannot have what it wants.
pub(crate) fn tell_child() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        eprintln!("rump: a child cannot use its parent's sockets with --in-process; leave it out");
    }
}

/// Whether this process is a child without a kernel.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

extern "C" fn forked() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// The program ends: its connections do, too, but not before what was sent has arrived.
extern "C" fn end() {
    // One that is elsewhere goes on.
    let is_elsewhere = |booted: &Booted| booted.running.is_elsewhere();
    if is_child() || !owned::was_used() || BOOTED.get().is_some_and(is_elsewhere) {
        return;
    }
    let _inside = Inside::enter();
    let process = process();
    let limit = Instant::now() + PATIENCE;
    while process.end() > 0 && Instant::now() < limit {
        std::thread::sleep(LAST);
    }
    std::thread::sleep(LAST);
}
