//! A thread.

use super::program::State;
use crate::host::PerThread;
use crate::memory::stack::Stack;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A thread, for as long as somebody knows it.
pub type ThreadRef = Arc<Thread>;

/// What a thread runs.
pub(super) type Main = Box<dyn FnMut() + Send>;

/// A thread. The assembly of [`switch`](super::switch) knows the first two.
#[repr(C)]
pub struct Thread {
    /// Its stack pointer while it does not run.
    pub(super) sp: Cell<u64>,
    /// 1 from when a CPU has taken it until its registers are saved.
    pub(super) on_cpu: AtomicU32,
    /// More is sooner.
    pub(super) priority: u8,
    pub(super) stack: Stack,
    /// What it runs first.
    pub(super) main: UnsafeCell<Option<Main>>,
    /// Of its program; none for a thread of the kernel's.
    pub(super) state: UnsafeCell<Option<Box<State>>>,
    /// The next on the same list. Of whoever holds the lock of that list.
    pub(super) link: Cell<Option<ThreadRef>>,
    /// The address that it sleeps on, or slept on last.
    pub(super) parked_on: AtomicU64,
    /// How often it went to sleep. Of whoever holds the lock of the bucket.
    pub(super) sleeps: Cell<u64>,
    /// It was woken because its time had come. Written by who takes it off the list.
    pub(super) timed_out: Cell<bool>,
    /// The CPU and the deadline of its timer. Of the thread, and while it sleeps of who takes
    /// it off the list.
    pub(super) timer: Cell<Option<(usize, u64)>>,
    /// The CPU that it ran on last.
    pub(super) last_cpu: AtomicUsize,
    /// Address of the last page fault of its program.
    pub(crate) fault_address: AtomicU64,
    /// For the program's side: whatever it keeps of a thread.
    pub slot: AtomicPtr<()>,
    /// For [`host`](crate::host): what the hypercalls keep of a thread.
    pub(crate) host: PerThread,
    /// Numbers threads from 1 on.
    id: u64,
    name: String,
}

// SAFETY: cells are reached by the thread itself, by the CPU that takes it, or under the lock
// that their comments name.
unsafe impl Sync for Thread {}
// SAFETY: as above; what it is to run is Send.
unsafe impl Send for Thread {}

pub(super) const SP: usize = offset_of!(Thread, sp);
pub(super) const ON_CPU: usize = offset_of!(Thread, on_cpu);

impl Thread {
    pub(super) fn new(stack: Stack, name: &str, priority: u8, main: Option<Main>) -> ThreadRef {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            sp: Cell::new(0),
            on_cpu: AtomicU32::new(0),
            priority,
            stack,
            main: UnsafeCell::new(main),
            state: UnsafeCell::new(None),
            link: Cell::new(None),
            parked_on: AtomicU64::new(0),
            sleeps: Cell::new(0),
            timed_out: Cell::new(false),
            timer: Cell::new(None),
            last_cpu: AtomicUsize::new(0),
            fault_address: AtomicU64::new(0),
            slot: AtomicPtr::new(null_mut()),
            host: PerThread::default(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: String::from(name),
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has gone to a program.
    pub(super) fn has_program(&self) -> bool {
        // SAFETY: only set by the thread itself, once.
        unsafe { (*self.state.get()).is_some() }
    }

    /// Top of its kernel stack.
    pub(crate) fn stack_top(&self) -> u64 {
        self.stack.top()
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} ({})", self.id, self.name)
    }
}
