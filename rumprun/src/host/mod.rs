//! The hypercalls of a rump kernel, rumpuser(3), on this machine: [`rump_hyper`]'s logic
//! over threads, memory and clocks of the modules above.
//!
//! Kernel memory comes from the machine's own, at its physical address, so that devices
//! reach all of it. There are no files of a host: what the kernel mounts is a disk, or the
//! program's.

mod printf;
mod thread;

pub(crate) use thread::PerThread;

use crate::memory::{self, PAGE, frames, heap, tables};
use crate::{console, cpu, exit, random, sched, time};
use alloc::string::String;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use core::time::Duration;
use rump_hyper::abi::{Iovec, Lwp, ThreadMain};
use rump_hyper::errno::Errno;
use rump_hyper::host::{Clock, Deadline, FileType, Host, OpenMode, ThreadSpec};

/// This machine.
#[derive(Debug)]
pub struct Machine;

/// What the kernel stored as the calling thread's errno: NetBSD's number, 0 if its last
/// system call succeeded.
pub fn errno() -> c_int {
    sched::with_current(|this| this.host.errno.load(Ordering::Relaxed))
}

/// What is called when the kernel sends the program a signal.
static RAISE: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Says what to call when the kernel sends the program a signal, with NetBSD's number.
pub fn on_signal(raise: fn(c_int)) {
    RAISE.store(raise as *mut (), Ordering::Release);
}

/// Turns of a spin loop that make a microsecond; 0 with one CPU.
static SPINS: AtomicU32 = AtomicU32::new(0);

/// Measures the spin loop, as `pause` takes 10 to 140 cycles.
fn calibrate() {
    const TURNS: u32 = 1000;
    if cpu::data::count() < 2 {
        return;
    }
    // The fastest of three, lest an interrupt count as slow spinning.
    let fastest = (0..3).map(|_| {
        let start = time::monotonic_ns();
        (0..TURNS).for_each(|_| core::hint::spin_loop());
        time::monotonic_ns() - start
    });
    let nanoseconds = fastest.min().unwrap_or(1).max(1);
    let turns = u64::from(TURNS) * 1000 / nanoseconds;
    SPINS.store(turns.clamp(1, 1000) as u32, Ordering::Relaxed);
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// SAFETY: memory is the heap's and the frames'; what is per thread is in the thread; `park`
// compares and sleeps under one lock, as `sched::park` says.
unsafe impl Host for Machine {
    fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
        sched::park(word, expected, deadline.map(ns))
    }

    fn unpark(word: *const AtomicU32, all: bool) {
        sched::unpark(word.addr() as u64, if all { usize::MAX } else { 1 });
    }

    fn spins_per_microsecond() -> u32 {
        SPINS.load(Ordering::Relaxed)
    }

    fn spinners() -> u32 {
        cpu::data::count() as u32 - 1
    }

    fn yield_now() {
        sched::yield_now();
    }

    fn curlwp() -> *mut Lwp {
        cpu::data::lwp()
    }

    fn set_curlwp(lwp: *mut Lwp) {
        sched::with_current(|this| this.host.lwp.store(lwp, Ordering::Relaxed));
        cpu::data::set_lwp(lwp);
    }

    fn thread() -> *mut c_void {
        sched::with_current(|this| core::ptr::from_ref(this).cast_mut().cast())
    }

    fn slot() -> *mut c_void {
        sched::with_current(|this| this.host.slot.load(Ordering::Relaxed))
    }

    fn set_slot(pointer: *mut c_void) {
        sched::with_current(|this| this.host.slot.store(pointer, Ordering::Relaxed));
    }

    fn set_errno(errno: c_int) {
        sched::with_current(|this| this.host.errno.store(errno, Ordering::Relaxed));
    }

    fn last_errno() -> c_int {
        errno()
    }

    fn errno(host: c_int) -> Errno {
        // The machine's own errors are NetBSD's.
        Errno(host)
    }

    fn init() -> Result<(), Errno> {
        calibrate();
        Ok(())
    }

    fn spawn(
        main: ThreadMain,
        arg: *mut c_void,
        spec: ThreadSpec<'_>,
    ) -> Result<*mut c_void, Errno> {
        thread::spawn(main, arg, spec)
    }

    fn thread_exit() -> ! {
        thread::exit()
    }

    unsafe fn join(cookie: *mut c_void) -> Result<(), Errno> {
        // SAFETY: by contract.
        unsafe { thread::join(cookie) };
        Ok(())
    }

    fn allocate(size: usize, align: usize) -> *mut u8 {
        heap::allocate(size, align)
    }

    unsafe fn release(memory: *mut u8, size: usize) {
        // SAFETY: by contract.
        unsafe { heap::release(memory, size) };
    }

    fn map(
        _hint: *mut c_void,
        size: usize,
        align_bits: u32,
        execute: bool,
    ) -> Result<*mut c_void, Errno> {
        let pages = size.div_ceil(PAGE).max(1);
        let align = 1_usize.checked_shl(align_bits).ok_or(Errno::INVAL)?;
        let start = frames::take(pages, align.div_ceil(PAGE)).ok_or(Errno::NOMEM)?;
        let end = start + (pages * PAGE) as u64;
        // SAFETY: pages that were just taken.
        unsafe { (start as *mut u8).write_bytes(0, pages * PAGE) };
        if execute && tables::set_executable(start, end, true).is_err() {
            // SAFETY: nobody has them.
            unsafe { Self::unmap(start as *mut c_void, size) };
            return Err(Errno::NOMEM);
        }
        Ok(start as *mut c_void)
    }

    unsafe fn unmap(start: *mut c_void, size: usize) {
        let pages = size.div_ceil(PAGE).max(1);
        let start = start.addr() as u64;
        let executable = tables::is_executable(start);
        if executable {
            // Tables are there for what is executable, or was to be; if not, nothing is.
            let _ = tables::set_executable(start, start + (pages * PAGE) as u64, false);
        }
        // SAFETY: by contract.
        unsafe { frames::release(start, pages) };
    }

    fn now(clock: Clock) -> Duration {
        Duration::from_nanos(match clock {
            Clock::Wall => time::wall_ns(),
            Clock::Monotonic => time::monotonic_ns(),
        })
    }

    fn sleep(clock: Clock, time: Duration) -> Result<(), Errno> {
        match clock {
            Clock::Wall => sched::sleep_until(time::monotonic_ns().saturating_add(ns(time))),
            // To a time of the clock: so do the kernel's own clocks, and nobody else.
            Clock::Monotonic => sched::clock::sleep(ns(time)),
        }
        Ok(())
    }

    fn param(_name: &str, _out: &mut [u8]) -> Option<usize> {
        // What an image is to know is set by `rump_hyper::params` before the kernel boots.
        None
    }

    fn cpus() -> usize {
        cpu::data::count()
    }

    fn id() -> u32 {
        // The machine has one, and knows of no other: a number that others hardly have.
        static ID: AtomicU32 = AtomicU32::new(0);
        if ID.load(Ordering::Relaxed) == 0 {
            let mut bytes = [0; 4];
            random::fill(&mut bytes);
            let new = u32::from_ne_bytes(bytes) | 1;
            let _ = ID.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
        ID.load(Ordering::Relaxed)
    }

    fn random(buf: &mut [u8], _wait: bool) -> Result<usize, Errno> {
        random::fill(buf);
        Ok(buf.len())
    }

    fn console(text: &[u8]) {
        console::text(text);
    }

    fn exit(status: c_int) -> ! {
        exit::exit(status as u8)
    }

    fn abort() -> ! {
        exit::failed()
    }

    fn raise(signal: c_int) {
        let raise = RAISE.load(Ordering::Acquire);
        if !raise.is_null() {
            // SAFETY: `on_signal` stored a function of this type.
            let raise: fn(c_int) = unsafe { core::mem::transmute(raise) };
            raise(signal);
        }
    }

    fn daemonize_begin() -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn daemonize_done(_error: c_int) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn file_info(_path: &CStr, _want_size: bool) -> Result<(u64, FileType), Errno> {
        Err(Errno::NOENT)
    }

    fn open(_path: &CStr, _mode: OpenMode) -> Result<c_int, Errno> {
        Err(Errno::NOENT)
    }

    fn close(_fd: c_int) {}

    unsafe fn read(_fd: c_int, _vectors: &[Iovec], _offset: Option<i64>) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    unsafe fn write(_fd: c_int, _vectors: &[Iovec], _offset: Option<i64>) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn sync(_fd: c_int) -> Result<(), Errno> {
        Err(Errno::BADF)
    }
}

/// How much memory the machine has, and how much of it is free, in bytes.
pub fn memory() -> (usize, usize) {
    let count = memory::frames::count();
    (count.total * PAGE, count.free * PAGE)
}

/// The text of a name that the kernel gives.
fn lossy(name: Option<&CStr>) -> String {
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(feature = "image")]
mod symbols {
    rump_hyper::export_hypercalls!(super::Machine);
}
