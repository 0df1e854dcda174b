//! Mutexes, read-write locks, condition variables.

use crate::abi::{self, Lwp};
use crate::errno::status;
use crate::host::Host;
use crate::sync::{Cv, Mutex, RwLock};
use alloc::boxed::Box;
use core::ffi::c_int;
use core::time::Duration;

macro_rules! object {
    ($init:ident, $destroy:ident, $type:ty, ($($arg:ident: $arg_type:ty)?) $make:expr) => {
        #[doc = concat!("`rumpuser_", stringify!($init), "`")]
        pub unsafe fn $init<H: Host>(out: *mut *mut $type $(, $arg: $arg_type)?) {
            let object = Box::into_raw(Box::new($make));
            // SAFETY: a place for the pointer, by the module's contract.
            unsafe { out.write(object) };
        }

        #[doc = concat!("`rumpuser_", stringify!($destroy), "`")]
        pub unsafe fn $destroy<H: Host>(object: *mut $type) {
            // SAFETY: made by the function above and not used again.
            drop(unsafe { Box::from_raw(object) });
        }
    };
}

object!(mutex_init, mutex_destroy, Mutex, (flags: c_int) Mutex::new(flags.cast_unsigned()));
object!(rw_init, rw_destroy, RwLock, () RwLock::new());
object!(cv_init, cv_destroy, Cv, () Cv::new());

/// `rumpuser_mutex_enter`
#[inline]
pub unsafe fn mutex_enter<H: Host>(mutex: *const Mutex) {
    // SAFETY: a live mutex, by the module's contract.
    unsafe { &*mutex }.enter::<H>();
}

/// `rumpuser_mutex_enter_nowrap`
#[inline]
pub unsafe fn mutex_enter_nowrap<H: Host>(mutex: *const Mutex) {
    // SAFETY: a live mutex, by the module's contract.
    unsafe { &*mutex }.enter_nowrap::<H>();
}

/// `rumpuser_mutex_tryenter`
#[inline]
pub unsafe fn mutex_tryenter<H: Host>(mutex: *const Mutex) -> c_int {
    // SAFETY: a live mutex, by the module's contract.
    status(unsafe { &*mutex }.try_enter::<H>())
}

/// `rumpuser_mutex_exit`
#[inline]
pub unsafe fn mutex_exit<H: Host>(mutex: *const Mutex) {
    // SAFETY: a live mutex that the caller holds, by the module's contract.
    unsafe { &*mutex }.exit::<H>();
}

/// `rumpuser_mutex_owner`
#[inline]
pub unsafe fn mutex_owner<H: Host>(mutex: *const Mutex, owner: *mut *mut Lwp) {
    // SAFETY: a live mutex and a place for the answer, by the module's contract.
    unsafe { owner.write((*mutex).owner()) };
}

/// `rumpuser_mutex_spin_p`
#[inline]
pub unsafe fn mutex_spin_p<H: Host>(mutex: *const Mutex) -> c_int {
    // SAFETY: a live mutex, by the module's contract.
    c_int::from(unsafe { &*mutex }.is_spin())
}

/// Whether it is the writer that is meant.
fn as_writer(which: c_int) -> bool {
    which == abi::rw::WRITER
}

/// `rumpuser_rw_enter`
#[inline]
pub unsafe fn rw_enter<H: Host>(which: c_int, lock: *const RwLock) {
    // SAFETY: a live lock, by the module's contract.
    unsafe { &*lock }.enter::<H>(as_writer(which));
}

/// `rumpuser_rw_tryenter`
#[inline]
pub unsafe fn rw_tryenter<H: Host>(which: c_int, lock: *const RwLock) -> c_int {
    // SAFETY: a live lock, by the module's contract.
    status(unsafe { &*lock }.try_enter::<H>(as_writer(which)))
}

/// `rumpuser_rw_tryupgrade`
#[inline]
pub unsafe fn rw_tryupgrade<H: Host>(lock: *const RwLock) -> c_int {
    // SAFETY: a live lock that the caller holds, by the module's contract.
    status(unsafe { &*lock }.try_upgrade::<H>())
}

/// `rumpuser_rw_downgrade`
#[inline]
pub unsafe fn rw_downgrade<H: Host>(lock: *const RwLock) {
    // SAFETY: a live lock that the caller holds, by the module's contract.
    unsafe { &*lock }.downgrade::<H>();
}

/// `rumpuser_rw_exit`
#[inline]
pub unsafe fn rw_exit<H: Host>(lock: *const RwLock) {
    // SAFETY: a live lock that the caller holds, by the module's contract.
    unsafe { &*lock }.exit::<H>();
}

/// `rumpuser_rw_held`
#[inline]
pub unsafe fn rw_held<H: Host>(which: c_int, lock: *const RwLock, answer: *mut c_int) {
    // SAFETY: a live lock, by the module's contract.
    let lock = unsafe { &*lock };
    let held = if as_writer(which) {
        c_int::from(lock.is_writer::<H>())
    } else {
        lock.readers().cast_signed()
    };
    // SAFETY: a place for the answer, by the module's contract.
    unsafe { answer.write(held) };
}

/// `rumpuser_cv_wait`
#[inline]
pub unsafe fn cv_wait<H: Host>(cv: *const Cv, mutex: *const Mutex) {
    // SAFETY: both live and the mutex held, by the module's contract.
    unsafe { (*cv).wait::<H>(&*mutex) };
}

/// `rumpuser_cv_wait_nowrap`
#[inline]
pub unsafe fn cv_wait_nowrap<H: Host>(cv: *const Cv, mutex: *const Mutex) {
    // SAFETY: both live and the mutex held, by the module's contract.
    unsafe { (*cv).wait_nowrap::<H>(&*mutex) };
}

/// `rumpuser_cv_timedwait`
pub unsafe fn cv_timedwait<H: Host>(
    cv: *const Cv,
    mutex: *const Mutex,
    seconds: i64,
    nanoseconds: i64,
) -> c_int {
    let time = duration(seconds, nanoseconds);
    // SAFETY: both live and the mutex held, by the module's contract.
    status(unsafe { (*cv).timed_wait::<H>(&*mutex, time) })
}

/// `rumpuser_cv_signal`
#[inline]
pub unsafe fn cv_signal<H: Host>(cv: *const Cv) {
    // SAFETY: a live condition variable, by the module's contract.
    unsafe { &*cv }.signal::<H>();
}

/// `rumpuser_cv_broadcast`
#[inline]
pub unsafe fn cv_broadcast<H: Host>(cv: *const Cv) {
    // SAFETY: a live condition variable, by the module's contract.
    unsafe { &*cv }.broadcast::<H>();
}

/// `rumpuser_cv_has_waiters`
#[inline]
pub unsafe fn cv_has_waiters<H: Host>(cv: *const Cv, answer: *mut c_int) {
    // SAFETY: live, and a place for the answer, by the module's contract.
    unsafe { answer.write((*cv).waiters().cast_signed()) };
}

/// A time from the kernel; what lies in the past is now.
pub(super) fn duration(seconds: i64, nanoseconds: i64) -> Duration {
    let seconds = u64::try_from(seconds).map(Duration::from_secs);
    let nanoseconds = u64::try_from(nanoseconds).map(Duration::from_nanos);
    match (seconds, nanoseconds) {
        (Ok(seconds), Ok(nanoseconds)) => seconds.saturating_add(nanoseconds),
        _ => Duration::ZERO,
    }
}
