//! The threads that call drivers' handlers.
//!
//! Each handler has a thread, which is one of the kernel's own. It sleeps in the host
//! until there have been interrupts, takes a virtual CPU, calls the handler once however
//! many there were, and gives the virtual CPU up. Drivers know the vector by a number
//! that the kernel's side gave it, the cookie.
//!
//! A handler that says that the interrupt was not its device's may only not be ready yet.
//! wm(4) turns interrupts on some time before it takes any; on a machine's own CPU hardly
//! any comes in between, but here one does, is told to go away with its queue's interrupts
//! turned off, and no other comes for ever. So such a handler is called again, at ever
//! longer intervals (`Again`).

use super::{Function, Kind, Vector};
use crate::cold::Cold;
use crate::errno::Errno;
use crate::host::{Host, ThreadSpec};
use crate::upcall;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// A driver's handler; it returns nonzero if the interrupt was its device's.
pub type Handler = unsafe extern "C" fn(*mut c_void) -> c_int;

/// Vectors by their cookies, as long as they are on: some drivers do not say that they need
/// theirs no more.
static VECTORS: Cold<BTreeMap<u32, Weak<dyn Vector>>> = Cold::new(BTreeMap::new());

static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// How many interrupts there have been, and how many calls of handlers they took.
pub fn counts() -> (u64, u64) {
    (
        INTERRUPTS.load(Ordering::Relaxed),
        CALLS.load(Ordering::Relaxed),
    )
}

/// Turns vectors on and gives them the cookies from `first` on.
///
/// # Errors
/// `EINVAL` if there are not so many, and what the host says.
pub fn allocate<H: Host>(
    function: &dyn Function,
    kind: Kind,
    count: usize,
    first: u32,
) -> Result<(), Errno> {
    if count == 0 || count > function.vectors(kind) {
        return Err(Errno::INVAL);
    }
    upcall::wrap::<H, _>(|| function.enable(kind, count))?;
    for (index, cookie) in (0..count).zip(first..) {
        let vector = function.vector(index).ok_or(Errno::NXIO)?;
        VECTORS.with(|vectors| {
            vectors.retain(|_, vector| vector.strong_count() > 0);
            vectors.insert(cookie, Arc::downgrade(&vector));
        });
    }
    Ok(())
}

/// Turns a function's vectors off and forgets their cookies.
pub fn release<H: Host>(function: &dyn Function, first: u32, count: usize) {
    for cookie in (first..).take(count) {
        VECTORS.with(|vectors| vectors.remove(&cookie));
    }
    upcall::wrap::<H, _>(|| function.disable());
}

/// A handler that is called from now on.
pub struct Established {
    vector: Arc<dyn Vector>,
    thread: *mut c_void,
}

struct Start {
    vector: Arc<dyn Vector>,
    handler: Handler,
    arg: *mut c_void,
}

/// Has a handler called for the vector of that cookie.
///
/// # Errors
/// `EINVAL` if there is no such vector; no thread could be made.
pub fn establish<H: Host>(
    cookie: u32,
    handler: Handler,
    arg: *mut c_void,
) -> Result<Established, Errno> {
    let vector = VECTORS
        .with(|vectors| vectors.get(&cookie).and_then(Weak::upgrade))
        .ok_or(Errno::INVAL)?;
    let start = Box::into_raw(Box::new(Start {
        vector: vector.clone(),
        handler,
        arg,
    }));
    let spec = ThreadSpec {
        name: Some(c"pciintr"),
        joinable: true,
        priority: 0,
        cpu: -1,
    };
    match H::spawn(serve::<H>, start.cast(), spec) {
        Ok(thread) => Ok(Established { vector, thread }),
        Err(error) => {
            // SAFETY: no thread has it.
            #[allow(unsafe_code)]
            drop(unsafe { Box::from_raw(start) });
            Err(error)
        }
    }
}

/// Ends the calls of a handler; none is under way when this returns.
pub fn disestablish<H: Host>(established: Established) {
    established.vector.stop();
    // SAFETY: of a joinable thread, which is joined here only.
    #[allow(unsafe_code)]
    let _ = upcall::wrap::<H, _>(|| unsafe { H::join(established.thread) });
}

/// When a handler is called without an interrupt.
#[derive(Debug)]
struct Again {
    /// What it said the last time.
    handled: bool,
    calls: u32,
}

impl Default for Again {
    fn default() -> Self {
        Self {
            handled: true,
            calls: 0,
        }
    }
}

impl Again {
    /// How often; that is some 15 s.
    const MOST: u32 = 20;
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// In how much time it is called again, if there is no interrupt earlier.
    fn within(&mut self) -> Option<Duration> {
        if self.handled {
            self.calls = 0;
            return None;
        }
        self.calls += 1;
        let delay = Self::FIRST * (1 << (self.calls - 1).min(7));
        (self.calls <= Self::MOST).then(|| delay.min(Self::LONGEST))
    }
}

#[allow(unsafe_code)]
unsafe extern "C-unwind" fn serve<H: Host>(start: *mut c_void) -> *mut c_void {
    // SAFETY: `establish` made it for this thread.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let Start {
        vector,
        handler,
        arg,
    } = *start;
    upcall::adopt_thread();
    let mut again = Again::default();
    while let Some(count) = vector.wait(again.within()) {
        INTERRUPTS.fetch_add(count, Ordering::Relaxed);
        CALLS.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        upcall::backend_schedule(0, None);
        // SAFETY: the driver's function and argument, on a virtual CPU; they are there
        // until `disestablish` has returned.
        again.handled = unsafe { handler(arg) } != 0;
        let (_, signalled) = upcall::backend_unschedule::<H>(None);
        signalled.wake::<H>();
        vector.handled();
    }
    drop(vector);
    upcall::scheduled(|up| {
        if let Some(release) = up.lwproc_release {
            // SAFETY: the kernel's function, on a virtual CPU; the lwp is this thread's.
            unsafe { release() };
        }
    });
    null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_is_called_again() {
        let mut again = Again::default();
        assert_eq!(again.within(), None);
        again.handled = false;
        let delays: std::vec::Vec<_> = core::iter::from_fn(|| again.within()).collect();
        assert_eq!(delays.len(), 20);
        assert_eq!(delays[0], Duration::from_millis(10));
        assert_eq!(delays[19], Duration::from_secs(1));
        let all: Duration = delays.iter().sum();
        assert!(all > Duration::from_secs(10) && all < Duration::from_secs(20));
        // It waits for an interrupt then, and begins anew when there was one.
        assert_eq!(again.within(), None);
        again.handled = true;
        assert_eq!(again.within(), None);
        again.handled = false;
        assert_eq!(again.within(), Some(Duration::from_millis(10)));
    }
}
