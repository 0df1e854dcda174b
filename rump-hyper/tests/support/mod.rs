//! A host that does nothing by itself and writes down what it is asked.
//!
//! `park` runs what the test has prepared in place of "another thread", so that
//! a contended lock can be tested on one thread, in a known order.
#![allow(unsafe_code, dead_code)]

use rump_hyper::abi::{Hyperup, Iovec, Lwp, ThreadMain};
use rump_hyper::errno::Errno;
use rump_hyper::host::{Clock, Deadline, FileType, Host, OpenMode, ThreadSpec};
use rump_hyper::primitive::AtomicU32;
use rump_hyper::sync::Mutex;
use rump_hyper::upcall;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Once;
use std::time::Duration;

/// Something "another thread" does while the thread under test sleeps. What it
/// returns is what `park` returns: false is a deadline that has passed.
pub type Turn = Box<dyn FnOnce() -> bool>;

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static TURNS: RefCell<VecDeque<Turn>> = const { RefCell::new(VecDeque::new()) };
    static CURLWP: Cell<*mut Lwp> = const { Cell::new(null_mut()) };
    static SLOT: Cell<*mut c_void> = const { Cell::new(null_mut()) };
    static ON_WAY_OUT: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    static SCHEDULER: Cell<bool> = const { Cell::new(false) };
}

/// Writes a line.
pub fn log(line: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(line.into()));
}

/// What was written since the last call.
pub fn taken() -> Vec<String> {
    LOG.with_borrow_mut(std::mem::take)
}

/// Prepares what happens during the next `park`.
pub fn then(turn: impl FnOnce() -> bool + 'static) {
    TURNS.with_borrow_mut(|turns| turns.push_back(Box::new(turn)));
}

/// Prepares what the kernel does the next time it gives a virtual CPU up.
pub fn on_way_out(run: impl FnOnce() + 'static) {
    ON_WAY_OUT.set(Some(Box::new(run)));
}

/// From now on the upcalls treat the interlock as the kernel's scheduler does
/// with its own mutex: taken on the way out, dropped on the way in.
pub fn interlock_is_schedulers(yes: bool) {
    SCHEDULER.set(yes);
}

/// How the upcalls see the interlock.
fn interlock(of: *mut c_void) -> &'static str {
    if of.is_null() {
        return "none";
    }
    // SAFETY: the tests pass mutexes that outlive the call.
    match unsafe { &*of.cast::<Mutex>() }.is_held() {
        true => "held",
        false => "free",
    }
}

unsafe extern "C" fn unschedule(_: c_int, nlocks: *mut c_int, of: *mut c_void) {
    log(format!("unschedule interlock={}", interlock(of)));
    if let Some(run) = ON_WAY_OUT.take() {
        run();
    }
    // SAFETY: the hypervisor's variable; the interlock is a test's mutex.
    unsafe {
        *nlocks = 3;
        if SCHEDULER.get() && !of.is_null() {
            (*of.cast::<Mutex>()).enter_nowrap::<Script>();
        }
    }
}

unsafe extern "C" fn schedule(nlocks: c_int, of: *mut c_void) {
    log(format!("schedule {nlocks} interlock={}", interlock(of)));
    if SCHEDULER.get() && !of.is_null() {
        // SAFETY: the interlock is a test's mutex.
        unsafe { (*of.cast::<Mutex>()).exit::<Script>() };
    }
}

unsafe extern "C" fn enter() {
    log("enter");
}

unsafe extern "C" fn leave() {
    log("leave");
}

unsafe extern "C" fn newlwp(pid: c_int) -> c_int {
    log(format!("newlwp {pid}"));
    0
}

unsafe extern "C" fn curlwp() -> *mut Lwp {
    log("curlwp");
    CURLWP.get()
}

unsafe extern "C" fn switch(_: *mut Lwp) {
    log("switch");
}

unsafe extern "C" fn release() {
    log("release");
}

/// Gives the crate a kernel to call, and this thread a clean start.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        upcall::install(Hyperup {
            schedule: Some(enter),
            unschedule: Some(leave),
            backend_unschedule: Some(unschedule),
            backend_schedule: Some(schedule),
            lwproc_newlwp: Some(newlwp),
            lwproc_curlwp: Some(curlwp),
            lwproc_switch: Some(switch),
            lwproc_release: Some(release),
            ..Hyperup::default()
        });
    });
    CURLWP.set(lwp(1));
}

/// An lwp that can be told from others.
pub fn lwp(number: usize) -> *mut Lwp {
    std::ptr::without_provenance_mut(number * 64)
}

/// The host.
pub struct Script;

// SAFETY: memory comes from std's allocator with a layout that does not depend
// on anything but the size; curlwp is a thread-local; park is spurious at worst.
unsafe impl Host for Script {
    fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
        assert_eq!(word.load(std::sync::atomic::Ordering::SeqCst), expected);
        log(if deadline.is_some() {
            "park until"
        } else {
            "park"
        });
        let turn = TURNS.with_borrow_mut(VecDeque::pop_front);
        turn.expect("the thread under test would sleep for ever")()
    }

    fn unpark(_: *const AtomicU32, _: bool) {
        log("unpark");
    }

    fn spins_per_microsecond() -> u32 {
        0
    }

    fn spinners() -> u32 {
        0
    }

    fn yield_now() {
        log("yield");
    }

    fn curlwp() -> *mut Lwp {
        CURLWP.get()
    }

    fn set_curlwp(lwp: *mut Lwp) {
        CURLWP.set(lwp);
    }

    fn thread() -> *mut c_void {
        SLOT.with(|slot| slot.as_ptr().cast())
    }

    fn slot() -> *mut c_void {
        SLOT.get()
    }

    fn set_slot(pointer: *mut c_void) {
        SLOT.set(pointer);
    }

    fn set_errno(errno: c_int) {
        log(format!("errno {errno}"));
    }

    fn last_errno() -> c_int {
        0
    }

    fn errno(host: c_int) -> Errno {
        Errno(host + 1000)
    }

    fn init() -> Result<(), Errno> {
        Ok(())
    }

    fn spawn(_: ThreadMain, _: *mut c_void, _: ThreadSpec<'_>) -> Result<*mut c_void, Errno> {
        Err(Errno::AGAIN)
    }

    fn thread_exit() -> ! {
        panic!("a thread of the test cannot end like this")
    }

    unsafe fn join(_: *mut c_void) -> Result<(), Errno> {
        log("join");
        Ok(())
    }

    fn allocate(_: usize, _: usize) -> *mut u8 {
        null_mut()
    }

    unsafe fn release(_: *mut u8, _: usize) {}

    fn map(_: *mut c_void, _: usize, _: u32, _: bool) -> Result<*mut c_void, Errno> {
        Err(Errno::NOMEM)
    }

    unsafe fn unmap(_: *mut c_void, _: usize) {}

    fn now(_: Clock) -> Duration {
        Duration::from_secs(1000)
    }

    fn sleep(clock: Clock, time: Duration) -> Result<(), Errno> {
        log(format!("sleep {clock:?} {time:?}"));
        Ok(())
    }

    fn param(_: &str, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn cpus() -> usize {
        7
    }

    fn id() -> u32 {
        4711
    }

    fn random(buf: &mut [u8], wait: bool) -> Result<usize, Errno> {
        log(format!("random wait={wait}"));
        Ok(buf.len())
    }

    fn console(_: &[u8]) {}

    fn exit(status: c_int) -> ! {
        panic!("exit {status}")
    }

    fn abort() -> ! {
        panic!("abort")
    }

    fn raise(signal: c_int) {
        log(format!("raise {signal}"));
    }

    fn daemonize_begin() -> Result<(), Errno> {
        Ok(())
    }

    fn daemonize_done(_: c_int) -> Result<(), Errno> {
        Ok(())
    }

    fn file_info(_: &CStr, _: bool) -> Result<(u64, FileType), Errno> {
        log("file_info");
        Ok((42, FileType::Regular))
    }

    fn open(_: &CStr, mode: OpenMode) -> Result<c_int, Errno> {
        log(format!("open read={} write={}", mode.read, mode.write));
        Ok(5)
    }

    fn close(fd: c_int) {
        log(format!("close {fd}"));
    }

    unsafe fn read(_: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno> {
        log(format!("read {} at {offset:?}", vectors[0].len));
        Ok(vectors[0].len / 2)
    }

    unsafe fn write(_: c_int, vectors: &[Iovec], offset: Option<i64>) -> Result<usize, Errno> {
        log(format!("write {} at {offset:?}", vectors[0].len));
        Ok(vectors[0].len)
    }

    fn sync(fd: c_int) -> Result<(), Errno> {
        log(format!("sync {fd}"));
        Ok(())
    }
}
