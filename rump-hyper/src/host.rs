//! What the hypercalls need from the machine below them.
//!
//! One trait, of associated functions only: there is one host in a program and
//! it is chosen at compile time, so a hypercall is a direct call. A Linux
//! process implements it over threads and futexes; a ring-0 image implements it
//! over its own scheduler.
//!
//! A host knows nothing of the kernel's rules: when a virtual CPU has to be
//! given up before a call may block is decided in the logic above, and hosts
//! never call up into the kernel.
#![allow(unsafe_code)]

use crate::abi::{Iovec, Lwp, ThreadMain};
use crate::errno::Errno;
use crate::primitive::AtomicU32;
use core::ffi::{CStr, c_int, c_void};
use core::time::Duration;

/// The two clocks of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time since the epoch; may jump.
    Wall,
    /// Never goes back; its zero is arbitrary.
    Monotonic,
}

/// Until when to sleep on the monotonic clock; `None` is for ever.
pub type Deadline = Option<Duration>;

/// Who starts a thread and how.
#[derive(Clone, Copy, Debug)]
pub struct ThreadSpec<'a> {
    /// For people; a host may cut it short.
    pub name: Option<&'a CStr>,
    /// Somebody will call [`Host::join`].
    pub joinable: bool,
    /// NetBSD priority; a hint.
    pub priority: c_int,
    /// Virtual CPU that the thread belongs to, -1 for any; a hint.
    pub cpu: c_int,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum FileType {
    /// Something else.
    Other = 0,
    /// Directory.
    Directory = 1,
    /// Regular file.
    Regular = 2,
    /// Block device.
    Block = 3,
    /// Character device.
    Character = 4,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenMode {
    /// Reading is wanted.
    pub read: bool,
    /// Writing is wanted.
    pub write: bool,
    /// Create it if absent.
    pub create: bool,
    /// Fail if present.
    pub exclusive: bool,
}

/// The machine below the hypercalls.
///
/// # Safety
///
/// The lock code relies on this trait for memory safety: `allocate` returns
/// memory that is valid for the size and alignment asked for and belongs to
/// nobody else until `release`; `curlwp` and `slot` are per thread; `park` returns only
/// when woken, timed out, or spuriously, and never while pretending to be
/// another thread.
pub unsafe trait Host: Sized + 'static {
    /// Sleeps while `word` holds `expected`, until `unpark` is called on its
    /// address. Checking and going to sleep are one atomic step. May return
    /// spuriously; returns false only when the deadline has passed.
    fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool;

    /// Wakes one thread (or all) that sleeps on this address. The address is
    /// never dereferenced: what stood there may be gone.
    fn unpark(word: *const AtomicU32, all: bool);

    /// How many turns of a spin loop make up about a microsecond, or 0 where
    /// spinning is pointless because there is one CPU.
    fn spins_per_microsecond() -> u32;

    /// How many threads may spin at the same time.
    fn spinners() -> u32;

    /// Lets another thread of this CPU run, if there is one.
    fn yield_now();

    /// The calling thread's lwp, or null.
    fn curlwp() -> *mut Lwp;

    /// Sets the calling thread's lwp.
    fn set_curlwp(lwp: *mut Lwp);

    /// Some address that belongs to the calling thread alone, never null.
    fn thread() -> *mut c_void;

    /// A pointer of the calling thread's, null at first. For this crate alone.
    fn slot() -> *mut c_void;

    /// Stores the pointer that `slot` returns.
    fn set_slot(pointer: *mut c_void);

    /// Stores the result of a system call for the calling thread.
    fn set_errno(errno: c_int);

    /// What `set_errno` stored last for the calling thread; 0 at first.
    fn last_errno() -> c_int;

    /// NetBSD's number for an errno of the host.
    fn errno(host: c_int) -> Errno;

    /// Called once, before any other function but memory and console.
    fn init() -> Result<(), Errno>;

    /// Starts a thread. Returns a cookie for `join` if it is joinable.
    fn spawn(
        main: ThreadMain,
        arg: *mut c_void,
        spec: ThreadSpec<'_>,
    ) -> Result<*mut c_void, Errno>;

    /// Ends the calling thread, which `spawn` started. Where that unwinds, it
    /// unwinds as a foreign exception.
    fn thread_exit() -> !;

    /// Waits for a joinable thread and forgets it.
    ///
    /// # Safety
    /// The cookie came from `spawn` with `joinable` and has not been joined.
    unsafe fn join(cookie: *mut c_void) -> Result<(), Errno>;

    /// Memory of that size and alignment (a power of two), or null.
    fn allocate(size: usize, align: usize) -> *mut u8;

    /// Returns memory.
    ///
    /// # Safety
    /// The address came from `allocate` with this size, and is not used again.
    unsafe fn release(memory: *mut u8, size: usize);

    /// Maps fresh pages, near the hint if that is possible, aligned to
    /// `1 << align_bits` if that is not 0, executable on request.
    fn map(
        hint: *mut c_void,
        size: usize,
        align_bits: u32,
        execute: bool,
    ) -> Result<*mut c_void, Errno>;

    /// Returns pages.
    ///
    /// # Safety
    /// The range came from `map` and is not used again.
    unsafe fn unmap(start: *mut c_void, size: usize);

    /// Reads a clock.
    fn now(clock: Clock) -> Duration;

    /// Sleeps for that long (wall) or until then (monotonic), interrupted by
    /// nothing.
    fn sleep(clock: Clock, time: Duration) -> Result<(), Errno>;

    /// A parameter from the host's own configuration (a process's environment).
    /// Writes at most `out.len()` bytes and returns how long the value is.
    fn param(name: &str, out: &mut [u8]) -> Option<usize>;

    /// How many CPUs the host has.
    fn cpus() -> usize;

    /// A number that tells this kernel from others on the same host.
    fn id() -> u32;

    /// Fills the buffer, or its start, with random bytes. Without `wait` it
    /// fails rather than block.
    fn random(buf: &mut [u8], wait: bool) -> Result<usize, Errno>;

    /// Where console output goes if nothing else was asked for.
    fn console(text: &[u8]);

    /// Ends the program.
    fn exit(status: c_int) -> !;

    /// Ends the program as a failure that leaves a trace.
    fn abort() -> !;

    /// Sends the program itself a signal, by NetBSD's number.
    fn raise(signal: c_int);

    /// Splits off a daemon; returns in it.
    fn daemonize_begin() -> Result<(), Errno>;

    /// Tells the waiting parent how the daemon's start went.
    fn daemonize_done(error: c_int) -> Result<(), Errno>;

    /// Size in bytes and type of what a path leads to.
    fn file_info(path: &CStr, want_size: bool) -> Result<(u64, FileType), Errno>;

    /// Opens a file.
    fn open(path: &CStr, mode: OpenMode) -> Result<c_int, Errno>;

    /// Closes a descriptor, with its data on stable storage.
    fn close(fd: c_int);

    /// Reads at an offset, or where the descriptor stands.
    ///
    /// # Safety
    /// The vectors describe memory that may be written.
    unsafe fn read(fd: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno>;

    /// Writes at an offset, or where the descriptor stands.
    ///
    /// # Safety
    /// The vectors describe memory that may be read.
    unsafe fn write(fd: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno>;

    /// Puts a file's data on stable storage.
    fn sync(fd: c_int) -> Result<(), Errno>;
}
