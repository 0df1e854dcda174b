//! A host made of loom's threads, and a kernel with one virtual CPU.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Condvar, Mutex as LoomMutex};
use rump_hyper::abi::{Hyperup, Iovec, Lwp, ThreadMain, mtx};
use rump_hyper::errno::Errno;
use rump_hyper::host::{Clock, Deadline, FileType, Host, OpenMode, ThreadSpec};
use rump_hyper::primitive::AtomicU32;
use rump_hyper::sync::{Cv, Mutex};
use rump_hyper::upcall;
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Once;
use std::time::Duration;

/// The kernel's scheduler, reduced to what its interlock means: a CPU that is
/// busy or not, under the scheduler's mutex.
pub struct Machine {
    mutex: Mutex,
    cv: Cv,
    busy: AtomicBool,
    /// As many CPUs as threads: nobody waits for one.
    plenty: AtomicBool,
    sleepers: (LoomMutex<()>, Condvar),
}

loom::thread_local! {
    static SLOT: Cell<*mut c_void> = Cell::new(null_mut());
}

loom::lazy_static! {
    static ref MACHINE: Machine = Machine {
        mutex: Mutex::new(mtx::SPIN),
        cv: Cv::new(),
        busy: AtomicBool::new(false),
        plenty: AtomicBool::new(false),
        sleepers: (LoomMutex::new(()), Condvar::new()),
    };
}

/// The machine of this execution.
pub fn machine() -> &'static Machine {
    &MACHINE
}

/// Explores a model on one virtual CPU.
pub fn model(run: impl Fn() + Sync + Send + 'static) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        upcall::install(Hyperup {
            backend_unschedule: Some(unschedule),
            backend_schedule: Some(schedule),
            ..Hyperup::default()
        });
    });
    let mut builder = loom::model::Builder::new();
    // All interleavings with up to three forced switches: where lock bugs live,
    // and what can be explored in seconds.
    builder.preemption_bound = Some(3);
    builder.check(run);
}

impl Machine {
    /// Explores a model in which nobody waits for a virtual CPU.
    pub fn many_cpus(run: impl Fn() + Sync + Send + 'static) {
        model(move || {
            machine().plenty.store(true, Ordering::Relaxed);
            run();
        });
    }

    /// The scheduler's mutex of the CPU.
    pub fn scheduler_mutex(&self) -> &Mutex {
        &self.mutex
    }

    /// Takes the CPU.
    pub fn enter(&self) {
        self.take(null_mut());
    }

    /// Gives the CPU up.
    pub fn leave(&self) {
        self.give(null_mut());
    }

    fn is_mine(&self, interlock: *mut c_void) -> bool {
        std::ptr::eq(interlock.cast(), &raw const self.mutex)
    }

    fn take(&self, interlock: *mut c_void) {
        if self.plenty.load(Ordering::Relaxed) {
            return;
        }
        if !self.is_mine(interlock) {
            self.mutex.enter_nowrap::<LoomHost>();
        }
        while self.busy.load(Ordering::Relaxed) {
            self.cv.wait_nowrap::<LoomHost>(&self.mutex);
        }
        self.busy.store(true, Ordering::Relaxed);
        self.mutex.exit::<LoomHost>();
    }

    fn give(&self, interlock: *mut c_void) {
        if self.plenty.load(Ordering::Relaxed) {
            return;
        }
        self.mutex.enter_nowrap::<LoomHost>();
        self.busy.store(false, Ordering::Relaxed);
        self.cv.broadcast::<LoomHost>();
        if !self.is_mine(interlock) {
            self.mutex.exit::<LoomHost>();
        }
    }
}

unsafe extern "C" fn unschedule(_: c_int, nlocks: *mut c_int, interlock: *mut c_void) {
    // SAFETY: the hypervisor's own variable.
    unsafe { *nlocks = 0 };
    machine().give(interlock);
}

unsafe extern "C" fn schedule(_: c_int, interlock: *mut c_void) {
    machine().take(interlock);
}

/// The host.
pub struct LoomHost;

fn unused() -> ! {
    panic!("the locks have no use for this")
}

// SAFETY: park checks and sleeps under one mutex, which unpark takes too; the
// rest is not called.
unsafe impl Host for LoomHost {
    fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
        if deadline.is_some() {
            // The deadline passes at once; loom varies what comes before it.
            return false;
        }
        let (mutex, condvar) = &machine().sleepers;
        let guard = mutex.lock().unwrap();
        if word.load(Ordering::SeqCst) == expected {
            drop(condvar.wait(guard).unwrap());
        }
        true
    }

    fn unpark(_: *const AtomicU32, _: bool) {
        let (mutex, condvar) = &machine().sleepers;
        drop(mutex.lock().unwrap());
        condvar.notify_all();
    }

    fn spins_per_microsecond() -> u32 {
        0
    }

    fn spinners() -> u32 {
        0
    }

    fn yield_now() {
        loom::thread::yield_now();
    }

    fn curlwp() -> *mut Lwp {
        Self::thread().cast()
    }

    fn thread() -> *mut c_void {
        SLOT.with(|slot| slot.as_ptr().cast())
    }

    fn slot() -> *mut c_void {
        SLOT.with(Cell::get)
    }

    fn set_slot(pointer: *mut c_void) {
        SLOT.with(|slot| slot.set(pointer));
    }

    fn now(_: Clock) -> Duration {
        Duration::ZERO
    }

    fn set_curlwp(_: *mut Lwp) {
        unused()
    }

    fn set_errno(_: c_int) {
        unused()
    }

    fn last_errno() -> c_int {
        unused()
    }

    fn errno(_: c_int) -> Errno {
        unused()
    }

    fn init() -> Result<(), Errno> {
        unused()
    }

    fn spawn(_: ThreadMain, _: *mut c_void, _: ThreadSpec<'_>) -> Result<*mut c_void, Errno> {
        unused()
    }

    fn thread_exit() -> ! {
        unused()
    }

    unsafe fn join(_: *mut c_void) -> Result<(), Errno> {
        unused()
    }

    fn allocate(_: usize, _: usize) -> *mut u8 {
        unused()
    }

    unsafe fn release(_: *mut u8, _: usize) {
        unused()
    }

    fn map(_: *mut c_void, _: usize, _: u32, _: bool) -> Result<*mut c_void, Errno> {
        unused()
    }

    unsafe fn unmap(_: *mut c_void, _: usize) {
        unused()
    }

    fn sleep(_: Clock, _: Duration) -> Result<(), Errno> {
        unused()
    }

    fn param(_: &str, _: &mut [u8]) -> Option<usize> {
        unused()
    }

    fn cpus() -> usize {
        unused()
    }

    fn id() -> u32 {
        unused()
    }

    fn random(_: &mut [u8], _: bool) -> Result<usize, Errno> {
        unused()
    }

    fn console(_: &[u8]) {
        unused()
    }

    fn exit(_: c_int) -> ! {
        unused()
    }

    fn abort() -> ! {
        unused()
    }

    fn raise(_: c_int) {
        unused()
    }

    fn daemonize_begin() -> Result<(), Errno> {
        unused()
    }

    fn daemonize_done(_: c_int) -> Result<(), Errno> {
        unused()
    }

    fn file_info(_: &CStr, _: bool) -> Result<(u64, FileType), Errno> {
        unused()
    }

    fn open(_: &CStr, _: OpenMode) -> Result<c_int, Errno> {
        unused()
    }

    fn close(_: c_int) {
        unused()
    }

    unsafe fn read(_: c_int, _: &[Iovec], _: Option<i64>) -> Result<usize, Errno> {
        unused()
    }

    unsafe fn write(_: c_int, _: &[Iovec], _: Option<i64>) -> Result<usize, Errno> {
        unused()
    }

    fn sync(_: c_int) -> Result<(), Errno> {
        unused()
    }
}
