//! Who gives up its virtual CPU, when, and in which order things come back.
#![cfg(not(loom))]
#![allow(unsafe_code)]

mod support;

use rump_hyper::abi::{clock, mtx, open, rw};
use rump_hyper::errno::Errno;
use rump_hyper::hypercall;
use rump_hyper::sync::{Cv, Mutex, RwLock};
use std::rc::Rc;
use std::time::Duration;
use support::{Script, interlock_is_schedulers, log, lwp, on_way_out, start, taken, then};

const ADAPTIVE: u32 = mtx::KMUTEX;
const SPIN: u32 = mtx::SPIN | mtx::KMUTEX;
const SCHEDULERS: u32 = mtx::SPIN;

fn contended(flags: u32, enter: impl FnOnce(&Mutex)) -> Vec<String> {
    start();
    let mutex = Rc::new(Mutex::new(flags));
    mutex.enter_nowrap::<Script>();
    assert_eq!(taken(), [""; 0], "an uncontended mutex asks for nothing");
    let other = Rc::clone(&mutex);
    then(move || {
        other.exit::<Script>();
        true
    });
    enter(&mutex);
    assert!(mutex.is_held());
    mutex.exit::<Script>();
    assert!(!mutex.is_held());
    taken()
}

#[test]
fn adaptive_mutex_sleeps_without_virtual_cpu() {
    let order = contended(ADAPTIVE, |mutex| mutex.enter::<Script>());
    assert_eq!(
        order,
        [
            "unschedule interlock=none",
            "park",
            "unpark",
            "schedule 3 interlock=none",
            "unpark"
        ]
    );
}

#[test]
fn spin_mutex_keeps_virtual_cpu() {
    for flags in [SPIN, SCHEDULERS] {
        let order = contended(flags, |mutex| mutex.enter::<Script>());
        assert_eq!(order, ["park", "unpark", "unpark"], "flags {flags}");
    }
}

#[test]
fn nowrap_keeps_virtual_cpu() {
    for flags in [SPIN, SCHEDULERS, ADAPTIVE] {
        let order = contended(flags, |mutex| mutex.enter_nowrap::<Script>());
        assert_eq!(order, ["park", "unpark", "unpark"], "flags {flags}");
    }
}

#[test]
fn only_kernel_mutexes_know_their_owner() {
    start();
    let mutex = Mutex::new(ADAPTIVE);
    assert!(mutex.owner().is_null());
    mutex.enter::<Script>();
    assert_eq!(mutex.owner(), lwp(1));
    assert_eq!(mutex.try_enter::<Script>(), Err(Errno::BUSY));
    mutex.exit::<Script>();
    assert!(mutex.owner().is_null());
    assert_eq!(mutex.try_enter::<Script>(), Ok(()));
    assert_eq!(mutex.owner(), lwp(1));
    let ownerless = std::panic::catch_unwind(|| Mutex::new(SCHEDULERS).owner());
    assert!(ownerless.is_err());
}

/// Waits on a condition variable that "another thread" signals, and notes
/// whether the mutex is held at each step.
fn waited(flags: u32, held: bool, wait: impl FnOnce(&Cv, &Mutex)) -> Vec<String> {
    start();
    let (cv, mutex) = (Rc::new(Cv::new()), Rc::new(Mutex::new(flags)));
    if held {
        mutex.enter_nowrap::<Script>();
    }
    let (other_cv, other_mutex) = (Rc::clone(&cv), Rc::clone(&mutex));
    then(move || {
        assert_eq!(other_cv.waiters(), 1);
        other_mutex.enter_nowrap::<Script>();
        other_cv.signal::<Script>();
        // Woken any sooner, it would find the mutex taken and sleep again.
        log("signal");
        other_mutex.exit::<Script>();
        true
    });
    wait(&cv, &mutex);
    assert_eq!(mutex.is_held(), held);
    if held && mutex.is_kmutex() {
        assert_eq!(mutex.owner(), lwp(1));
    }
    assert_eq!(cv.waiters(), 0);
    taken()
}

#[test]
fn wait_with_adaptive_mutex_takes_mutex_then_cpu() {
    let order = waited(ADAPTIVE, true, |cv, mutex| cv.wait::<Script>(mutex));
    assert_eq!(
        order,
        [
            "unschedule interlock=held",
            "park",
            "signal",
            "unpark",
            "schedule 3 interlock=held"
        ]
    );
}

#[test]
fn wait_with_spin_mutex_takes_cpu_then_mutex() {
    let order = waited(SPIN, true, |cv, mutex| cv.wait::<Script>(mutex));
    assert_eq!(
        order,
        [
            "unschedule interlock=held",
            "park",
            "signal",
            "unpark",
            "schedule 3 interlock=free"
        ]
    );
}

#[test]
fn wait_with_big_lock_takes_it_then_cpu() {
    let order = waited(SCHEDULERS, true, |cv, mutex| cv.wait::<Script>(mutex));
    assert_eq!(order.last().unwrap(), "schedule 3 interlock=held");
}

#[test]
fn schedulers_mutex_is_taken_and_dropped_by_the_kernel() {
    interlock_is_schedulers(true);
    let order = waited(SCHEDULERS, false, |cv, mutex| cv.wait::<Script>(mutex));
    interlock_is_schedulers(false);
    assert_eq!(
        order,
        [
            "unschedule interlock=free",
            "park",
            "signal",
            "unpark",
            "schedule 3 interlock=held"
        ]
    );
}

#[test]
fn nowrap_wait_keeps_virtual_cpu() {
    for flags in [ADAPTIVE, SPIN, SCHEDULERS] {
        let order = waited(flags, true, |cv, mutex| cv.wait_nowrap::<Script>(mutex));
        assert_eq!(order, ["park", "signal", "unpark"], "flags {flags}");
    }
}

#[test]
fn signal_before_sleep_costs_nothing() {
    start();
    // The kernel signals from within unschedule, when soft interrupts are due.
    let cv = Cv::new();
    cv.signal::<Script>();
    cv.broadcast::<Script>();
    assert_eq!(taken(), [""; 0]);
}

/// The kernel signals soft interrupts as it gives the virtual CPU up that they
/// are to run on: they are woken when it is free.
#[test]
fn signal_on_the_way_out_wakes_when_the_cpu_is_free() {
    start();
    let (cv, mutex) = (Rc::new(Cv::new()), Mutex::new(SPIN));
    mutex.enter::<Script>();
    let other = Rc::clone(&cv);
    then(move || {
        on_way_out(move || {
            other.signal::<Script>();
            log("signal");
        });
        // SAFETY: takes no memory.
        unsafe { hypercall::clock_sleep::<Script>(clock::RELWALL, 0, 7) };
        true
    });
    cv.wait::<Script>(&mutex);
    assert_eq!(
        taken(),
        [
            "unschedule interlock=held",
            "park",
            "unschedule interlock=none",
            "signal",
            "unpark",
            "sleep Wall 7ns",
            "schedule 3 interlock=none",
            "schedule 3 interlock=free"
        ]
    );
}

#[test]
fn deadline_takes_the_waiter_out() {
    start();
    let (cv, mutex) = (Cv::new(), Mutex::new(ADAPTIVE));
    mutex.enter::<Script>();
    then(|| false);
    let result = cv.timed_wait::<Script>(&mutex, Duration::from_millis(1));
    assert_eq!(result, Err(Errno::TIMEDOUT));
    assert_eq!(Errno::TIMEDOUT.0, 60, "NetBSD's number");
    assert_eq!(cv.waiters(), 0);
    assert_eq!(mutex.owner(), lwp(1));
    assert_eq!(
        taken(),
        [
            "unschedule interlock=held",
            "park until",
            "schedule 3 interlock=held"
        ]
    );
}

#[test]
fn signal_that_meets_the_deadline_is_not_lost() {
    start();
    let (cv, mutex) = (Rc::new(Cv::new()), Mutex::new(ADAPTIVE));
    mutex.enter::<Script>();
    let other = Rc::clone(&cv);
    then(move || {
        other.signal::<Script>();
        false
    });
    assert_eq!(
        cv.timed_wait::<Script>(&mutex, Duration::ZERO),
        Ok(()),
        "somebody counts on this waiter having been woken"
    );
    taken();
}

#[test]
fn rwlock_sleeps_without_virtual_cpu() {
    for (held_as, wanted_as) in [(true, true), (true, false), (false, true)] {
        start();
        let lock = Rc::new(RwLock::new());
        lock.enter::<Script>(held_as);
        assert_eq!(taken(), [""; 0]);
        let other = Rc::clone(&lock);
        then(move || {
            other.exit::<Script>();
            true
        });
        lock.enter::<Script>(wanted_as);
        assert_eq!(lock.is_writer::<Script>(), wanted_as);
        assert_eq!(lock.readers(), u32::from(!wanted_as));
        lock.exit::<Script>();
        assert_eq!(
            taken(),
            [
                "unschedule interlock=none",
                "park",
                "unpark",
                "schedule 3 interlock=none"
            ]
        );
    }
}

#[test]
fn rwlock_changes_sides_without_a_wait() {
    start();
    let lock = RwLock::new();
    lock.enter::<Script>(true);
    assert_eq!(lock.try_enter::<Script>(false), Err(Errno::BUSY));
    lock.downgrade::<Script>();
    assert!(!lock.is_writer::<Script>());
    assert_eq!(lock.readers(), 1);
    assert_eq!(lock.try_enter::<Script>(false), Ok(()));
    assert_eq!(
        lock.try_upgrade::<Script>(),
        Err(Errno::BUSY),
        "two readers"
    );
    lock.exit::<Script>();
    assert_eq!(lock.try_upgrade::<Script>(), Ok(()));
    assert!(lock.is_writer::<Script>());
    lock.exit::<Script>();
    assert_eq!(lock.try_enter::<Script>(true), Ok(()));
    assert_eq!(taken(), [""; 0]);
}

#[test]
fn held_answers_as_c_expects() {
    start();
    let lock = RwLock::new();
    let held = |which| {
        let mut answer = -1;
        // SAFETY: a live lock and a place for the answer.
        unsafe { hypercall::rw_held::<Script>(which, &lock, &mut answer) };
        answer
    };
    assert_eq!((held(rw::READER), held(rw::WRITER)), (0, 0));
    lock.enter::<Script>(true);
    assert_eq!((held(rw::READER), held(rw::WRITER)), (0, 1));
    lock.downgrade::<Script>();
    assert_eq!((held(rw::READER), held(rw::WRITER)), (1, 0));
}

const WRAP: [&str; 2] = ["unschedule interlock=none", "schedule 3 interlock=none"];

fn wrapped(inner: &str) -> Vec<String> {
    [WRAP[0], inner, WRAP[1]].map(str::to_owned).to_vec()
}

#[test]
fn what_may_block_is_wrapped() {
    start();
    let path = c"/somewhere";
    let mut fd = -1;
    let mut moved = 0;
    let iov = [rump_hyper::abi::Iovec {
        base: std::ptr::null_mut(),
        len: 10,
    }];
    // SAFETY: everything passed is live; the host only writes things down.
    unsafe {
        hypercall::clock_sleep::<Script>(clock::RELWALL, 1, 5);
        assert_eq!(taken(), wrapped("sleep Wall 1.000000005s"));
        hypercall::clock_sleep::<Script>(clock::ABSMONO, -1, 5);
        assert_eq!(taken(), wrapped("sleep Monotonic 0ns"));
        hypercall::thread_join::<Script>(std::ptr::null_mut());
        assert_eq!(taken(), wrapped("join"));
        hypercall::open::<Script>(path.as_ptr(), open::RDWR, &mut fd);
        assert_eq!((taken(), fd), (wrapped("open read=true write=true"), 5));
        hypercall::iovread::<Script>(5, iov.as_ptr(), 1, -1, &mut moved);
        assert_eq!((taken(), moved), (wrapped("read 10 at None"), 5));
        hypercall::iovwrite::<Script>(5, iov.as_ptr(), 1, 7, &mut moved);
        assert_eq!((taken(), moved), (wrapped("write 10 at Some(7)"), 10));
        hypercall::syncfd::<Script>(5, 2, 0, 0);
        assert_eq!(taken(), wrapped("sync 5"));
        hypercall::close::<Script>(5);
        assert_eq!(taken(), wrapped("close 5"));
    }
}

#[test]
fn what_the_kernel_calls_early_is_not_wrapped() {
    start();
    let mut buf = [0_u8; 8];
    let mut got = 0;
    let (mut size, mut kind) = (0, 0);
    // SAFETY: everything passed is live; the host only writes things down.
    unsafe {
        hypercall::getrandom::<Script>(buf.as_mut_ptr().cast(), 8, 2, &mut got);
        assert_eq!((taken(), got), (vec!["random wait=false".to_owned()], 8));
        hypercall::getfileinfo::<Script>(c"/".as_ptr(), &mut size, &mut kind);
        assert_eq!((taken(), size, kind), (vec!["file_info".to_owned()], 42, 2));
    }
}

#[test]
fn bad_arguments_are_netbsd_errnos() {
    start();
    let mut fd = -1;
    // SAFETY: everything passed is live; nothing reaches the host.
    unsafe {
        let error = hypercall::open::<Script>(c"/".as_ptr(), open::ACCMODE, &mut fd);
        assert_eq!(error, 22);
        assert_eq!(hypercall::syncfd::<Script>(5, 0, 0, 0), 22);
        assert_eq!(
            hypercall::syncfd::<Script>(5, 1, 0, 0),
            0,
            "reads need none"
        );
        assert_eq!(hypercall::component_errtrans::<Script>(0), 0);
        assert_eq!(hypercall::component_errtrans::<Script>(4), 1004);
        assert_eq!(
            hypercall::sp_init::<Script>(
                std::ptr::null(),
                std::ptr::null(),
                std::ptr::null(),
                std::ptr::null()
            ),
            78
        );
    }
    assert_eq!(taken(), [""; 0]);
}

#[test]
fn drivers_give_up_and_take_back_what_they_had() {
    start();
    // SAFETY: the upcalls are the test's own.
    unsafe {
        let cookie = hypercall::component_unschedule::<Script>();
        hypercall::component_schedule::<Script>(cookie);
        assert_eq!(taken(), WRAP);
        hypercall::component_kthread::<Script>();
        assert_eq!(taken(), ["enter", "newlwp 0", "leave"]);
        assert_eq!(hypercall::component_curlwp::<Script>(), lwp(1));
        assert_eq!(taken(), ["enter", "curlwp", "leave"]);
        hypercall::component_switchlwp::<Script>(lwp(1));
        hypercall::component_kthread_release::<Script>();
        assert_eq!(
            taken(),
            ["enter", "switch", "leave", "enter", "release", "leave"]
        );
    }
}

#[test]
fn signals_reach_the_host_but_for_the_kernels_own_end() {
    start();
    // SAFETY: the host only writes things down.
    unsafe {
        assert_eq!(hypercall::kill::<Script>(-1, 13), 0);
        assert_eq!(taken(), ["raise 13"]);
        let end = std::panic::catch_unwind(|| hypercall::kill::<Script>(-1, 6));
        assert!(end.is_err(), "SIGABRT is the end");
    }
}
