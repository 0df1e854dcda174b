//! A handler, its vector, and the threads that wait for that.
//!
//! Interrupts may be lost, or come before a driver is ready for them, so a handler is called
//! without one now and then ([`Again`]).
//!
//! Soft interrupts that a handler schedules are run on the way out of the kernel, by the
//! same thread (component `softint`).

use super::again::Again;
use super::turn::Turn;
use super::{Function, Vector, bus};
use crate::cold::Cold;
use crate::host::Host;
use crate::sync::spin::Gauge;
use crate::upcall;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// A driver's handler; it returns nonzero if the interrupt was its device's.
pub type Handler = unsafe extern "C" fn(*mut c_void) -> c_int;

/// How long a visitor looks before it sleeps. Disks of flash answer in less.
const MOMENT: Duration = Duration::from_micros(300);

static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static VISITED: AtomicU64 = AtomicU64::new(0);
/// How many devices drivers are letting go of.
static LEAVING: AtomicU32 = AtomicU32::new(0);
/// All handlers that there are.
static ALL: Cold<Vec<Weak<Served>>> = Cold::new(Vec::new());

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Interrupts.
    pub interrupts: u64,
    /// Calls of handlers that they took.
    pub calls: u64,
    /// How often a thread that waited for what a handler does had it called itself.
    pub visited: u64,
}

/// What has been counted since the program started.
pub fn counts() -> Counts {
    Counts {
        interrupts: INTERRUPTS.load(Ordering::Relaxed),
        calls: CALLS.load(Ordering::Relaxed),
        visited: VISITED.load(Ordering::Relaxed),
    }
}

/// A handler that is called for the interrupts of a vector.
pub(super) struct Served {
    vector: Arc<dyn Vector>,
    function: Weak<dyn Function>,
    handler: Handler,
    arg: *mut c_void,
    turn: Turn,
    /// The thread that is in the handler, or in what that has scheduled.
    server: AtomicPtr<c_void>,
    again: Cold<Again>,
    /// Whether visitors had what they wait for soon.
    gauge: Gauge,
}

// SAFETY: the argument is the driver's, which expects its handler on any thread of the
// kernel's, one at a time; `turn` sees to that.
#[allow(unsafe_code)]
unsafe impl Send for Served {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Served {}

impl Served {
    pub(super) fn new(
        vector: Arc<dyn Vector>,
        function: Weak<dyn Function>,
        handler: Handler,
        arg: *mut c_void,
    ) -> Arc<Self> {
        let served = Arc::new(Self {
            vector,
            function,
            handler,
            arg,
            turn: Turn::new(),
            server: AtomicPtr::new(null_mut()),
            again: Cold::new(Again::default()),
            gauge: Gauge::new(),
        });
        ALL.with(|all| {
            all.retain(|served| served.strong_count() > 0);
            all.push(Arc::downgrade(&served));
        });
        served
    }

    /// What the handler's own thread does, until [`stop`](Self::stop).
    pub(super) fn on_its_own<H: Host>(&self) {
        while self.serve::<H>(true) {
            self.turn.pass::<H>();
        }
    }

    /// Has the own thread end.
    pub(super) fn stop(&self) {
        self.vector.stop();
    }

    /// Waits for interrupts and has them handled, on the thread whose turn it is, which may be
    /// the own one; false if that is to end.
    fn serve<H: Host>(&self, own: bool) -> bool {
        let within = self.again.with(|again| again.within(own));
        let Some(count) = self.vector.wait(within) else {
            return false;
        };
        // Some drivers never get enough of a device that is gone, whose registers are all ones.
        if count == 0 && (LEAVING.load(Ordering::SeqCst) > 0 || !self.is_there()) {
            self.again.with(Again::over);
            return true;
        }
        INTERRUPTS.fetch_add(count, Ordering::Relaxed);
        CALLS.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        let handled = self.call::<H>();
        self.again.with(|again| again.called(handled, count > 0));
        self.vector.handled();
        true
    }

    /// Has the handler called, on the thread whose turn it is.
    fn call<H: Host>(&self) -> bool {
        self.server.store(H::thread(), Ordering::Relaxed);
        #[allow(unsafe_code)]
        let handled = upcall::scheduled(|_| {
            // SAFETY: the driver's function and argument, on a virtual CPU; they are there
            // until `disestablish` has returned, which waits for the own thread, which waits
            // for its turn.
            let answer = unsafe { (self.handler)(self.arg) };
            answer != 0
        });
        self.server.store(null_mut(), Ordering::Relaxed);
        handled
    }

    fn is_there(&self) -> bool {
        let function = self.function.upgrade();
        function.is_some_and(|function| bus::is_there(&*function))
    }

    fn is_served_here<H: Host>(&self) -> bool {
        self.server.load(Ordering::Relaxed) == H::thread()
    }
}

/// A driver lets go of a device until this is dropped, with which the device must be closed:
/// no handler is called without an interrupt, as a driver that has failed to turn the
/// interrupts of a device off leaves a handler behind that knows nothing any more.
#[derive(Debug)]
pub struct Leaving(());

impl Leaving {
    /// Begins.
    pub fn begin() -> Self {
        LEAVING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        LEAVING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The vector that something came from, as long as its handler is established.
#[derive(Clone)]
pub struct Source(Weak<Served>);

impl core::fmt::Debug for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    /// The vector whose interrupt this thread handles at present.
    pub fn current<H: Host>() -> Option<Self> {
        ALL.with(|all| {
            let mut served = all.iter();
            let here = served.find(|served| {
                let served = served.upgrade();
                served.is_some_and(|served| served.is_served_here::<H>())
            });
            here.cloned().map(Self)
        })
    }

    /// For a thread that waits for something that the handler does, and holds no virtual
    /// CPU. `None` if there is no handler any more.
    pub fn visit<H: Host>(&self) -> Option<Visit<H>> {
        let served = self.0.upgrade()?;
        let turn = served.turn.come();
        Some(Visit {
            served,
            turn,
            back: false,
            host: PhantomData,
        })
    }

    /// Ends the wait of a visitor, unless this thread is that visitor; whether it did.
    pub fn call<H: Host>(&self) -> bool {
        let served = self.0.upgrade();
        let served = served.filter(|served| !served.is_served_here::<H>());
        if let Some(served) = &served {
            served.vector.call();
        }
        served.is_some()
    }
}

/// A thread that waits for what a handler does, until this is dropped.
pub struct Visit<H: Host> {
    served: Arc<Served>,
    turn: bool,
    back: bool,
    host: PhantomData<H>,
}

impl<H: Host> Visit<H> {
    /// Whether this thread is to wait for the interrupts itself, by
    /// [`serve_until`](Self::serve_until). If not, another does.
    pub fn has_turn(&self) -> bool {
        self.turn && !self.back
    }

    /// Has interrupts handled until that is done, or as long as it is this thread's to do.
    /// Each time it first looks for a moment, if that was worth while lately, before the device
    /// says so; then it sleeps, and wakes for interrupts and a [`call`](Source::call).
    pub fn serve_until(&mut self, done: impl Fn() -> bool) {
        while self.has_turn() && !done() {
            let served = &*self.served;
            // To look at a line's device is to turn its interrupts off and on.
            let looked = !served.vector.is_line()
                && served.gauge.poll::<H>(MOMENT, || {
                    served.call::<H>();
                    done()
                });
            VISITED.fetch_add(1, Ordering::Relaxed);
            if looked {
                return;
            }
            self.back = !served.serve::<H>(false);
            if self.back {
                // The own thread is to hear of it.
                served.stop();
            }
        }
    }
}

impl<H: Host> Drop for Visit<H> {
    fn drop(&mut self) {
        self.served.turn.leave::<H>(self.turn, self.back);
    }
}
