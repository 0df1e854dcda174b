//! Calls of the kernel's to its program: what a network interface or a disk that the program
//! has made sends to it.
//!
//! The kernel makes them on whatever thread it is, with locks of its own and no stack or
//! thread-local variables of the program's. So a thread of the program does it: some wait here
//! for something to do ([`serve`]), and the kernel's thread waits for the result. Whoever takes
//! the last one's place is told, and starts another, so that a call that waits for another does
//! not wait for ever.
//!
//! The program's side is `rump::sys::upcall`.

mod claims;
mod program;
mod vbd;
mod vif;

use crate::host::Machine;
use crate::sched;
use crate::sync::Lock;
use alloc::collections::VecDeque;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use rump_hyper::upcall;
use rump_sys::upcalls::Upcall;

/// A call that somebody waits for, on his stack until it is done.
struct Pending {
    function: usize,
    arguments: [u64; 6],
    result: AtomicU64,
    done: AtomicU32,
}

/// Calls that nobody has taken, and how many wait to take one.
struct Queue {
    calls: VecDeque<*const Pending>,
    idle: usize,
}

// SAFETY: a call stays where it is until it is done, and is shared by atomics.
unsafe impl Send for Queue {}

static QUEUE: Lock<Queue> = Lock::new(Queue {
    calls: VecDeque::new(),
    idle: 0,
});
/// Counts calls that came: who waits for one sleeps on it.
static CAME: AtomicU32 = AtomicU32::new(0);

fn wake(word: &AtomicU32, count: usize) {
    sched::unpark(word.as_ptr().addr() as u64, count);
}

/// Has the program call a function of its own, and waits for the result. `blocks`: what it
/// does may take time, so that the virtual CPU is for others meanwhile.
fn call(blocks: bool, function: usize, arguments: [u64; 6]) -> u64 {
    let pending = Pending {
        function,
        arguments,
        result: AtomicU64::new(0),
        done: AtomicU32::new(0),
    };
    let ask = || {
        QUEUE.lock().calls.push_back(&raw const pending);
        CAME.fetch_add(1, Ordering::Release);
        wake(&CAME, 1);
        while pending.done.load(Ordering::Acquire) == 0 {
            sched::park(&pending.done, 0, None);
        }
    };
    if blocks {
        upcall::wrap::<Machine, _>(ask);
    } else {
        ask();
    }
    pending.result.load(Ordering::Relaxed)
}

/// Tells the result of the call before, if there was one, and waits for the next.
///
/// # Safety
/// A thread of the program passes what it alone uses, at first zeros, and then what this wrote.
unsafe extern "C" fn serve(upcall: *mut Upcall) {
    // SAFETY: by contract.
    let upcall = unsafe { &mut *upcall };
    let before = core::mem::replace(&mut upcall.of_kernel, ptr::null_mut());
    // SAFETY: null, or a call that waits for this.
    if let Some(before) = unsafe { before.cast::<Pending>().as_ref() } {
        before.result.store(upcall.result, Ordering::Relaxed);
        let address = before.done.as_ptr().addr() as u64;
        before.done.store(1, Ordering::Release);
        // It may be gone by now; this is only about its address.
        sched::unpark(address, 1);
    }
    QUEUE.lock().idle += 1;
    let (pending, idle) = loop {
        let came = CAME.load(Ordering::Acquire);
        let mut queue = QUEUE.lock();
        if let Some(pending) = queue.calls.pop_front() {
            queue.idle -= 1;
            break (pending, queue.idle);
        }
        drop(queue);
        sched::park(&CAME, came, None);
    };
    // SAFETY: it is there until it is done.
    let call = unsafe { &*pending };
    upcall.of_kernel = pending.cast_mut().cast();
    upcall.function = call.function;
    upcall.arguments = call.arguments;
    upcall.last = u32::from(idle == 0);
}

rump_sys::export_gates! { serve = serve; }
