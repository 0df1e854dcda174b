//! Block I/O of the kernel: `rumpuser_bio`.
//!
//! A request is queued and done by a small crew of threads that are kernel
//! threads as well, because completion is an upcall on a virtual CPU. The crew
//! grows with the queue, so that a device below the host's file can see more
//! than one request at a time; requests may complete in any order, as with any
//! disk. With `RUMP_THREADS=0` the caller does the work itself.
//!
//! Queueing never blocks for long and so does not give the virtual CPU up.
#![allow(unsafe_code)]

use crate::abi::{self, BioDone, Iovec, mtx};
use crate::errno::Errno;
use crate::host::{Host, ThreadSpec};
use crate::sync::{Cv, Mutex};
use crate::{params, upcall};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Threads at most.
const CREW: usize = 4;

/// A request.
#[derive(Clone, Copy)]
pub struct Request {
    /// Host descriptor.
    pub fd: c_int,
    /// Flags of [`abi::bio`].
    pub op: c_int,
    /// Buffer.
    pub data: *mut c_void,
    /// Its length in bytes.
    pub len: usize,
    /// Where in the file, in bytes.
    pub offset: i64,
    /// Upcall when done.
    pub done: BioDone,
    /// Its first argument.
    pub arg: *mut c_void,
}

struct Crew {
    mutex: Mutex,
    work: Cv,
    /// Under `mutex`.
    state: UnsafeCell<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Request>,
    threads: usize,
    idle: usize,
}

static THE_CREW: AtomicPtr<Crew> = AtomicPtr::new(null_mut());

/// The crew, made on first use and never freed.
fn crew() -> &'static Crew {
    let mut crew = THE_CREW.load(Ordering::Acquire);
    if crew.is_null() {
        let fresh = Box::into_raw(Box::new(Crew {
            mutex: Mutex::new(mtx::SPIN),
            work: Cv::new(),
            state: UnsafeCell::default(),
        }));
        let raced =
            THE_CREW.compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire);
        crew = match raced {
            Ok(_) => fresh,
            Err(winner) => {
                // SAFETY: made above and shown to nobody.
                drop(unsafe { Box::from_raw(fresh) });
                winner
            }
        };
    }
    // SAFETY: leaked, never freed; `state` is only reached under `mutex`.
    unsafe { &*crew }
}

impl Crew {
    fn with<H: Host, R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.mutex.enter_nowrap::<H>();
        // SAFETY: `mutex` is held, and no reference leaves this function.
        let result = f(unsafe { &mut *self.state.get() });
        self.mutex.exit::<H>();
        result
    }

    fn next<H: Host>(&self) -> Request {
        self.mutex.enter_nowrap::<H>();
        loop {
            // SAFETY: `mutex` is held; the reference ends before it is let go.
            let state = unsafe { &mut *self.state.get() };
            if let Some(request) = state.queue.pop_front() {
                self.mutex.exit::<H>();
                return request;
            }
            state.idle += 1;
            self.work.wait_nowrap::<H>(&self.mutex);
            // SAFETY: as above; the mutex is held again.
            unsafe { (*self.state.get()).idle -= 1 };
        }
    }
}

/// Queues a request.
///
/// # Safety
/// The buffer stays valid until `done` has been called, which may be before
/// this function returns.
pub unsafe fn submit<H: Host>(request: Request) {
    let threads = !params::lookup::<H>("RUMP_THREADS").is_ok_and(|value| value.starts_with('0'));
    if !threads {
        upcall::wrap::<H, _>(|| perform::<H>(&request));
        return;
    }
    let crew = crew();
    let grow = crew.with::<H, _>(|state| {
        state.queue.push_back(request);
        let grow = state.queue.len() > state.idle && state.threads < CREW;
        state.threads += usize::from(grow);
        grow
    });
    crew.work.signal::<H>();
    if grow {
        let spec = ThreadSpec {
            name: Some(c"rumpbio"),
            joinable: false,
            priority: 0,
            cpu: -1,
        };
        if H::spawn(member::<H>, null_mut(), spec).is_err() {
            let alone = crew.with::<H, _>(|state| {
                state.threads -= 1;
                // With nobody else to do it, what was queued is done here.
                (state.threads == 0).then(|| core::mem::take(&mut state.queue))
            });
            for request in alone.into_iter().flatten() {
                upcall::wrap::<H, _>(|| perform::<H>(&request));
            }
        }
    }
}

unsafe extern "C-unwind" fn member<H: Host>(_: *mut c_void) -> *mut c_void {
    let error = upcall::adopt_thread();
    assert!(error == 0, "rump: no lwp for block I/O: errno {error}");
    loop {
        let request = crew().next::<H>();
        perform::<H>(&request);
    }
}

/// Does the I/O and reports it on a virtual CPU. The caller holds none.
fn perform<H: Host>(request: &Request) {
    let (done, error) = match transfer::<H>(request) {
        Ok(done) => (done, 0),
        Err(errno) => (0, errno.0),
    };
    upcall::backend_schedule(0, None);
    // SAFETY: the kernel's own completion routine and argument, called once.
    unsafe { (request.done)(request.arg, done, error) };
    let (_, signalled) = upcall::backend_unschedule::<H>(None);
    signalled.wake::<H>();
}

/// All of it, or what there is before the end of the file.
fn transfer<H: Host>(request: &Request) -> Result<usize, Errno> {
    let mut done = 0;
    while done < request.len {
        let offset = request.offset.checked_add_unsigned(done as u64);
        let piece = [Iovec {
            base: request.data.wrapping_byte_add(done),
            len: request.len - done,
        }];
        // SAFETY: a part of the request's buffer, valid by `submit`'s contract.
        let moved = unsafe {
            if request.op & abi::bio::READ != 0 {
                H::read(request.fd, &piece, offset)?
            } else {
                H::write(request.fd, &piece, offset)?
            }
        };
        if moved == 0 {
            break;
        }
        done += moved;
    }
    if request.op & (abi::bio::READ | abi::bio::SYNC) == abi::bio::SYNC {
        H::sync(request.fd)?;
    }
    Ok(done)
}
