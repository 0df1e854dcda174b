//! The kernel's mutexes.
//!
//! `RUMPUSER_MTX_KMUTEX` mutexes remember which lwp holds them (the kernel asks
//! with `mutex_owned`); of others only this module knows, by thread.
//! `RUMPUSER_MTX_SPIN` decides who keeps its virtual CPU, see [`super`].
//!
//! A thread that is signalled by the holder of the mutex that it waits with
//! cannot go on before the mutex is free. It is woken when that happens, not
//! before; see [`super::cv`].
#![allow(unsafe_code)]

use super::raw::RawLock;
use super::spin::Gauge;
use super::waiter::{Chain, Waiter};
use crate::abi::{Lwp, mtx};
use crate::errno::Errno;
use crate::host::Host;
use crate::primitive::{AtomicPtr, Ordering, UnsafeCell};
use crate::{stats, upcall};
use core::ptr::null_mut;

/// `struct rumpuser_mtx`.
#[derive(Debug)]
pub struct Mutex {
    raw: RawLock,
    flags: u32,
    gauge: Gauge,
    owner: AtomicPtr<Lwp>,
    /// Threads that have been signalled and want this mutex next. Belongs to
    /// whoever holds it.
    pending: UnsafeCell<Chain>,
}

// SAFETY: `pending` is only touched by the holder of the mutex.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// A free mutex with flags of [`mtx`].
    pub fn new(flags: u32) -> Self {
        Self {
            raw: RawLock::new(),
            flags,
            gauge: Gauge::new(),
            owner: AtomicPtr::new(null_mut()),
            pending: UnsafeCell::new(Chain::new()),
        }
    }

    /// Whether waiters keep their virtual CPU.
    #[inline]
    pub fn is_spin(&self) -> bool {
        self.flags & mtx::SPIN != 0
    }

    /// Whether the owner is recorded.
    #[inline]
    pub fn is_kmutex(&self) -> bool {
        self.flags & mtx::KMUTEX != 0
    }

    /// Who the calling thread is to this mutex: its lwp where that is recorded,
    /// else just a thread.
    #[inline]
    fn me<H: Host>(&self) -> *mut Lwp {
        if self.is_kmutex() {
            H::curlwp()
        } else {
            H::thread().cast()
        }
    }

    #[inline]
    fn set_owner<H: Host>(&self) {
        self.owner.store(self.me::<H>(), Ordering::Relaxed);
    }

    /// The lock without owner and virtual CPU.
    #[inline]
    pub(super) fn raw_lock<H: Host>(&self) {
        self.raw.lock::<H>(&self.gauge);
    }

    /// Lets go, and wakes those who have been waiting for that.
    #[inline]
    pub fn exit<H: Host>(&self) {
        self.owner.store(null_mut(), Ordering::Relaxed);
        if self.nobody_pending() {
            self.raw.unlock::<H>();
        } else {
            self.release_and_wake::<H>();
        }
    }

    #[inline]
    fn nobody_pending(&self) -> bool {
        // SAFETY: the caller holds the mutex.
        self.pending
            .with_mut(|pending| unsafe { (*pending).is_empty() })
    }

    #[cold]
    fn release_and_wake<H: Host>(&self) {
        // SAFETY: the caller still holds the mutex.
        let pending = self
            .pending
            .with_mut(|pending| unsafe { core::mem::take(&mut *pending) });
        self.raw.unlock::<H>();
        pending.wake::<H>();
    }

    /// Puts off waking a thread that wants this mutex until it is free, if the
    /// caller is who holds it. Woken now, it would only wait again.
    ///
    /// # Safety
    /// As [`Chain::push`], if this returns true.
    pub(super) unsafe fn put_off<H: Host>(&self, node: *const Waiter) -> bool {
        let me = self.me::<H>();
        if me.is_null() || self.owner.load(Ordering::Relaxed) != me {
            return false;
        }
        // SAFETY: the owner is this thread or its lwp, so this thread holds it;
        // the node by contract.
        self.pending
            .with_mut(|pending| unsafe { (*pending).push(node) });
        true
    }

    /// Takes the mutex; gives the virtual CPU up while it sleeps unless this is
    /// a spin mutex.
    #[inline]
    pub fn enter<H: Host>(&self) {
        if !self.raw.try_lock() {
            if self.is_spin() {
                self.raw_lock::<H>();
            } else {
                self.enter_contended::<H>();
            }
        }
        self.set_owner::<H>();
    }

    #[cold]
    fn enter_contended<H: Host>(&self) {
        // A bounded spin with the virtual CPU in hand: the holder may need just
        // that CPU to go on, so it is given up before anything longer.
        if self.raw.spin_with_cpu::<H>() {
            return;
        }
        stats::WRAPPED_SLEEPS.add();
        upcall::wrap::<H, _>(|| self.raw_lock::<H>());
    }

    /// Takes the mutex and keeps the virtual CPU whatever happens.
    #[inline]
    pub fn enter_nowrap<H: Host>(&self) {
        self.raw_lock::<H>();
        self.set_owner::<H>();
    }

    /// Takes the mutex if it is free.
    #[inline]
    pub fn try_enter<H: Host>(&self) -> Result<(), Errno> {
        if !self.raw.try_lock() {
            return Err(Errno::BUSY);
        }
        self.set_owner::<H>();
        Ok(())
    }

    /// The lwp that holds a kernel mutex, or null.
    ///
    /// # Panics
    /// For other mutexes, which keep no record.
    #[inline]
    pub fn owner(&self) -> *mut Lwp {
        assert!(self.is_kmutex(), "rump: owner of a mutex that records none");
        self.owner.load(Ordering::Relaxed)
    }

    /// Whether somebody holds it.
    pub fn is_held(&self) -> bool {
        self.raw.is_locked()
    }
}
