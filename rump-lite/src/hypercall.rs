//! What the kernel asks of its host: the hypercalls of rumpuser(3) as safe functions.
//!
//! They are called by their C symbols, as NetBSD calls them, whoever defines them.
#![allow(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{NonNull, null_mut};
use rump_hyper::abi::{self, Hyperup, Lwp, ThreadMain};
use rump_hyper::errno::Errno;
use smoltcp::time::{Duration, Instant};

/// `struct rumpuser_mtx`, the host's.
#[repr(C)]
pub(crate) struct RawMutex([u8; 0]);

/// `struct rumpuser_cv`, the host's.
#[repr(C)]
pub(crate) struct RawCv([u8; 0]);

unsafe extern "C" {
    fn rumpuser_init(version: c_int, up: *const Hyperup) -> c_int;
    fn rumpuser_dprintf(format: *const c_char, ...);
    fn rumpuser_getparam(name: *const c_char, buf: *mut c_void, len: usize) -> c_int;
    fn rumpuser_getrandom(buf: *mut c_void, len: usize, flags: c_int, got: *mut usize) -> c_int;
    fn rumpuser_clock_gettime(clock: c_int, seconds: *mut i64, nanoseconds: *mut c_long) -> c_int;
    fn rumpuser_seterrno(errno: c_int);
    fn rumpuser_thread_create(
        main: ThreadMain,
        arg: *mut c_void,
        name: *const c_char,
        joinable: c_int,
        priority: c_int,
        cpu: c_int,
        cookie: *mut *mut c_void,
    ) -> c_int;
    fn rumpuser_anonmmap(
        hint: *mut c_void,
        size: usize,
        align: c_int,
        exec: c_int,
        out: *mut *mut c_void,
    ) -> c_int;
    fn rumpuser_unmap(start: *mut c_void, size: usize);
    fn rumpuser_curlwpop(op: c_int, lwp: *mut Lwp);
    fn rumpuser_curlwp() -> *mut Lwp;
    fn rumpuser_mutex_init(out: *mut *mut RawMutex, flags: c_int);
    fn rumpuser_mutex_enter(mutex: *const RawMutex);
    fn rumpuser_mutex_exit(mutex: *const RawMutex);
    fn rumpuser_cv_init(out: *mut *mut RawCv);
    fn rumpuser_cv_destroy(cv: *mut RawCv);
    fn rumpuser_cv_wait(cv: *const RawCv, mutex: *const RawMutex);
    fn rumpuser_cv_timedwait(
        cv: *const RawCv,
        mutex: *const RawMutex,
        seconds: i64,
        nanoseconds: i64,
    ) -> c_int;
    fn rumpuser_cv_signal(cv: *const RawCv);
}

/// Hands over the kernel's entry points.
pub(crate) fn init(up: &Hyperup) -> Result<(), Errno> {
    // SAFETY: the table is read during the call.
    check(unsafe { rumpuser_init(abi::VERSION, up) })
}

fn check(error: c_int) -> Result<(), Errno> {
    if error == 0 {
        Ok(())
    } else {
        Err(Errno(error))
    }
}

/// Writes to the console.
pub(crate) fn print(text: &str) {
    let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
    // SAFETY: the format takes a length and that many bytes.
    unsafe { rumpuser_dprintf(c"%.*s".as_ptr(), length, text.as_ptr().cast::<c_char>()) };
}

/// Writes a line to the console.
macro_rules! console {
    ($($arg:tt)*) => {
        $crate::hypercall::print(&alloc::format!("{}\n", format_args!($($arg)*)))
    };
}
pub(crate) use console;

/// A boot parameter.
pub(crate) fn parameter(name: &CStr) -> Option<String> {
    let mut buf = [0u8; 512];
    // SAFETY: the name is a C string, and the buffer has that length.
    check(unsafe { rumpuser_getparam(name.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) }).ok()?;
    let text = CStr::from_bytes_until_nul(&buf).ok()?;
    Some(text.to_string_lossy().into_owned())
}

/// A random number.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    let mut got = 0;
    // SAFETY: the buffer has eight bytes. Fewer random ones are a poorer seed, no error.
    unsafe { rumpuser_getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0, &raw mut got) };
    u64::from_ne_bytes(bytes)
}

/// The time since some moment that stays the same.
pub(crate) fn now() -> Instant {
    let (mut seconds, mut nanoseconds) = (0, 0);
    // SAFETY: two places for the answer.
    unsafe {
        rumpuser_clock_gettime(abi::clock::ABSMONO, &raw mut seconds, &raw mut nanoseconds);
    }
    Instant::from_micros(seconds * 1_000_000 + nanoseconds / 1000)
}

/// Stores the error of this thread's system call; 0 is none.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: takes a number.
    unsafe { rumpuser_seterrno(errno) };
}

/// Starts a thread that is never joined.
pub(crate) fn spawn(main: ThreadMain, name: &CStr) -> Result<(), Errno> {
    // SAFETY: the function takes no argument; without joining there is no cookie.
    check(unsafe { rumpuser_thread_create(main, null_mut(), name.as_ptr(), 0, 0, -1, null_mut()) })
}

/// Fresh memory of the host, zeroed, that nobody else has.
pub(crate) fn map(size: usize) -> Result<NonNull<u8>, Errno> {
    let mut start = null_mut();
    // SAFETY: a place for the answer.
    check(unsafe { rumpuser_anonmmap(null_mut(), size, 0, 0, &raw mut start) })?;
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}

/// Gives memory back.
///
/// # Safety
/// It came from [`map`] with that size, and is not used again.
pub(crate) unsafe fn unmap(start: NonNull<u8>, size: usize) {
    // SAFETY: by contract.
    unsafe { rumpuser_unmap(start.as_ptr().cast(), size) };
}

/// The lwp of the calling thread, or null.
#[inline]
pub(crate) fn curlwp() -> *mut Lwp {
    // SAFETY: takes nothing.
    unsafe { rumpuser_curlwp() }
}

/// Tells the host what happens to an lwp, by a number of [`abi::lwp_op`].
pub(crate) fn lwp_op(op: c_int, lwp: *mut Lwp) {
    // SAFETY: the host compares the address at most.
    unsafe { rumpuser_curlwpop(op, lwp) };
}

/// A mutex, which lives as long as the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutex(NonNull<RawMutex>);

// SAFETY: it is a mutex.
unsafe impl Send for Mutex {}
// SAFETY: as above.
unsafe impl Sync for Mutex {}

impl Mutex {
    pub(crate) fn new() -> Self {
        let mut mutex = null_mut();
        // SAFETY: a place for the address. The host aborts when it has no memory.
        unsafe { rumpuser_mutex_init(&raw mut mutex, 0) };
        Self(NonNull::new(mutex).expect("rumpuser_mutex_init makes a mutex"))
    }

    #[inline]
    pub(crate) fn enter(self) {
        // SAFETY: a live mutex.
        unsafe { rumpuser_mutex_enter(self.0.as_ptr()) };
    }

    /// # Safety
    /// The calling thread holds it.
    #[inline]
    pub(crate) unsafe fn exit(self) {
        // SAFETY: a live mutex, held by contract.
        unsafe { rumpuser_mutex_exit(self.0.as_ptr()) };
    }

    pub(crate) fn as_ptr(self) -> *mut RawMutex {
        self.0.as_ptr()
    }
}

/// A condition variable.
#[derive(Debug)]
pub(crate) struct Cv(NonNull<RawCv>);

// SAFETY: it is made for several threads.
unsafe impl Send for Cv {}
// SAFETY: as above.
unsafe impl Sync for Cv {}

impl Cv {
    pub(crate) fn new() -> Self {
        let mut cv = null_mut();
        // SAFETY: a place for the address. The host aborts when it has no memory.
        unsafe { rumpuser_cv_init(&raw mut cv) };
        Self(NonNull::new(cv).expect("rumpuser_cv_init makes a condition variable"))
    }

    /// How those who signal know it. Valid as long as this is.
    pub(crate) fn handle(&self) -> CvHandle {
        CvHandle(self.0)
    }

    /// Waits without the mutex, until signalled or for so long; false if that is over.
    ///
    /// # Safety
    /// The calling thread holds the mutex.
    pub(crate) unsafe fn wait(&self, mutex: Mutex, time: Option<Duration>) -> bool {
        let (cv, mutex) = (self.0.as_ptr(), mutex.as_ptr());
        let Some(time) = time else {
            // SAFETY: both live, the mutex held by contract.
            unsafe { rumpuser_cv_wait(cv, mutex) };
            return true;
        };
        let microseconds = i64::try_from(time.total_micros()).unwrap_or(i64::MAX);
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        // SAFETY: as above.
        unsafe { rumpuser_cv_timedwait(cv, mutex, seconds, rest * 1000) == 0 }
    }
}

impl Drop for Cv {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and whoever owns it waits no longer.
        unsafe { rumpuser_cv_destroy(self.0.as_ptr()) };
    }
}

/// A [`Cv`] to be signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CvHandle(NonNull<RawCv>);

// SAFETY: as the variable itself.
unsafe impl Send for CvHandle {}

impl CvHandle {
    /// Wakes who waits.
    ///
    /// # Safety
    /// The variable lives.
    pub(crate) unsafe fn signal(self) {
        // SAFETY: by contract.
        unsafe { rumpuser_cv_signal(self.0.as_ptr()) };
    }
}

/// So many different complaints are remembered.
const COMPLAINTS: usize = 64;

/// Complains on the console about something that is not there, once.
pub(crate) fn lacks(told: &mut Vec<String>, what: &str) {
    if told.len() < COMPLAINTS && !told.iter().any(|one| one == what) {
        console!("rump-lite has no {what}");
        told.push(what.into());
    }
}
