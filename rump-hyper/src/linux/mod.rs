//! A Linux process as the machine below the hypercalls: pthreads, futexes,
//! mmap, getrandom, files, and devices by VFIO.
#![allow(unsafe_code)]

pub mod cable;
mod daemon;
mod errno;
mod export;
mod file;
mod futex;
mod mapping;
mod memory;
mod packet;
mod pages;
mod runs;
mod shm;
mod shmif;
mod signal;
mod tap;
mod thread;
mod time;
mod variables;
pub mod vfio;
mod wake;

pub use futex::calibrate;
pub use packet::Packet;
pub use shm::Shm;
pub use shmif::Shmif;
pub use tap::Tap;
pub use thread::{errno, forked, short_turns};
pub use time::exact_sleeps;

use crate::abi::{Iovec, Lwp, ThreadMain};
use crate::errno::Errno;
use crate::host::{Clock, Deadline, FileType, Host, OpenMode, ThreadSpec};
use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::AtomicU32;
use core::time::Duration;
use std::io::Error;

/// The host of this process.
#[derive(Debug)]
pub struct LinuxHost;

// SAFETY: curlwp is a thread-local; memory comes from malloc and mmap; park is
// a futex wait on exactly the word it is given.
unsafe impl Host for LinuxHost {
    fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
        futex::park(word, expected, deadline)
    }

    fn unpark(word: *const AtomicU32, all: bool) {
        futex::unpark(word, all);
    }

    #[inline]
    fn spins_per_microsecond() -> u32 {
        futex::spins_per_microsecond()
    }

    #[inline]
    fn spinners() -> u32 {
        futex::spinners()
    }

    fn yield_now() {
        std::thread::yield_now();
    }

    #[inline]
    fn curlwp() -> *mut Lwp {
        thread::curlwp()
    }

    #[inline]
    fn set_curlwp(lwp: *mut Lwp) {
        thread::set_curlwp(lwp);
    }

    #[inline]
    fn thread() -> *mut c_void {
        thread::token()
    }

    fn slot() -> *mut c_void {
        thread::slot()
    }

    fn set_slot(pointer: *mut c_void) {
        thread::set_slot(pointer);
    }

    #[inline]
    fn set_errno(errno: c_int) {
        thread::set_errno(errno);
    }

    fn last_errno() -> c_int {
        thread::errno()
    }

    fn errno(host: c_int) -> Errno {
        errno::translate(host)
    }

    fn init() -> Result<(), Errno> {
        futex::calibrate();
        thread::watch_forks()
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
        unsafe { thread::join(cookie) }
    }

    fn allocate(size: usize, align: usize) -> *mut u8 {
        memory::allocate(size, align)
    }

    unsafe fn release(memory: *mut u8, size: usize) {
        // SAFETY: by contract.
        unsafe { memory::release(memory, size) };
    }

    fn map(
        hint: *mut c_void,
        size: usize,
        align_bits: u32,
        execute: bool,
    ) -> Result<*mut c_void, Errno> {
        memory::map(hint, size, align_bits, execute)
    }

    unsafe fn unmap(start: *mut c_void, size: usize) {
        // SAFETY: by contract.
        unsafe { memory::unmap(start, size) };
    }

    fn now(clock: Clock) -> Duration {
        time::now(clock)
    }

    fn sleep(clock: Clock, time: Duration) -> Result<(), Errno> {
        time::sleep(clock, time)
    }

    fn param(name: &str, out: &mut [u8]) -> Option<usize> {
        let value = std::env::var(name).ok()?;
        let len = value.len().min(out.len());
        out[..len].copy_from_slice(&value.as_bytes()[..len]);
        Some(value.len())
    }

    fn cpus() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn id() -> u32 {
        std::process::id()
    }

    fn random(buf: &mut [u8], wait: bool) -> Result<usize, Errno> {
        let flags = if wait { 0 } else { libc::GRND_NONBLOCK };
        // SAFETY: the buffer is live and of that length.
        let got = unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), flags) };
        usize::try_from(got).map_err(|_| errno::of(&Error::last_os_error()))
    }

    fn console(text: &[u8]) {
        // Past std's lock, which a thread that no longer runs may hold when the
        // kernel panics. A closed stderr is no reason to stop.
        let _ = nix::unistd::write(std::io::stderr(), text);
    }

    fn exit(status: c_int) -> ! {
        std::process::exit(status)
    }

    fn abort() -> ! {
        std::process::abort()
    }

    fn raise(signal: c_int) {
        signal::send(signal);
    }

    fn daemonize_begin() -> Result<(), Errno> {
        daemon::begin()
    }

    fn daemonize_done(error: c_int) -> Result<(), Errno> {
        daemon::done(error)
    }

    fn file_info(path: &CStr, want_size: bool) -> Result<(u64, FileType), Errno> {
        file::info(path, want_size)
    }

    fn open(path: &CStr, mode: OpenMode) -> Result<c_int, Errno> {
        file::open(path, mode)
    }

    fn close(fd: c_int) {
        file::close(fd);
    }

    unsafe fn read(fd: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno> {
        // SAFETY: by contract.
        unsafe { file::read(fd, vectors, offset) }
    }

    unsafe fn write(fd: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno> {
        // SAFETY: by contract.
        unsafe { file::write(fd, vectors, offset) }
    }

    fn sync(fd: c_int) -> Result<(), Errno> {
        file::sync(fd)
    }
}
