//! The threads that call drivers' handlers.
//!
//! Each handler has a thread, which is one of the kernel's own. It sleeps in the host
//! until there have been interrupts, takes a virtual CPU, calls the handler once however
//! many there were, and gives the virtual CPU up; a thread that waits for what the handler
//! does may do so in its place (`turn`). Drivers know the vector by a number that the
//! kernel's side gave it, the cookie.

use super::served::Served;
use super::{Function, Kind, Vector};
use crate::cold::Cold;
use crate::errno::Errno;
use crate::host::{Host, ThreadSpec};
use crate::upcall;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ffi::c_void;
use core::ptr::null_mut;

pub use super::served::{Counts, Handler, Leaving, Source, Visit, counts};

/// Vectors by their cookies, as long as they are on: some drivers do not say that they need
/// theirs no more.
static VECTORS: Cold<BTreeMap<u32, Known>> = Cold::new(BTreeMap::new());

/// A vector, and whose it is.
type Known = (Weak<dyn Vector>, Weak<dyn Function>);

/// Turns vectors on and gives them the cookies from `first` on.
///
/// # Errors
/// `EINVAL` if there are not so many, and what the host says.
pub fn allocate<H: Host>(
    function: &Arc<dyn Function>,
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
            vectors.retain(|_, (vector, _)| vector.strong_count() > 0);
            let known = (Arc::downgrade(&vector), Arc::downgrade(function));
            vectors.insert(cookie, known);
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
    served: Arc<Served>,
    thread: *mut c_void,
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
    let (vector, function) = VECTORS
        .with(|vectors| {
            let (vector, function) = vectors.get(&cookie)?;
            Some((vector.upgrade()?, function.clone()))
        })
        .ok_or(Errno::INVAL)?;
    let served = Served::new(vector, function, handler, arg);
    let start = Arc::into_raw(served.clone());
    let spec = ThreadSpec {
        name: Some(c"pciintr"),
        joinable: true,
        priority: 0,
        cpu: -1,
    };
    match H::spawn(serve::<H>, start.cast_mut().cast(), spec) {
        Ok(thread) => Ok(Established { served, thread }),
        Err(error) => {
            // SAFETY: no thread has it.
            #[allow(unsafe_code)]
            drop(unsafe { Arc::from_raw(start) });
            Err(error)
        }
    }
}

/// Ends the calls of a handler; none is under way when this returns.
pub fn disestablish<H: Host>(established: Established) {
    established.served.stop();
    // SAFETY: of a joinable thread, which is joined here only.
    #[allow(unsafe_code)]
    let _ = upcall::wrap::<H, _>(|| unsafe { H::join(established.thread) });
}

#[allow(unsafe_code)]
unsafe extern "C-unwind" fn serve<H: Host>(start: *mut c_void) -> *mut c_void {
    // SAFETY: `establish` made it for this thread.
    let served = unsafe { Arc::from_raw(start.cast::<Served>()) };
    upcall::adopt_thread();
    served.on_its_own::<H>();
    drop(served);
    upcall::scheduled(|up| {
        if let Some(release) = up.lwproc_release {
            // SAFETY: the kernel's function, on a virtual CPU; the lwp is this thread's.
            unsafe { release() };
        }
    });
    null_mut()
}
