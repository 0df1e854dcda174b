//! Memory for frames that arrive.
//!
//! A buffer is large enough for any frame. The kernel can take one over without a copy
//! (a *lease*), and gives it back whenever the data has been read, which may be long
//! after the interface is gone; so a buffer that is out keeps the pool's memory alive.
//! As a frame may be much smaller than its buffer, the number of leases is limited:
//! beyond it frames are copied, and nobody can pin memory without end by not reading.
//!
//! A pool belongs to one thread, which takes buffers out of it. Buffers come back from
//! any thread, onto a stack that the owner empties as a whole; so nobody waits for anybody,
//! and no address can come back while somebody looks at it. The one that came back last is
//! the next to be used: where few are out at a time, few are used at all, and caches have them.
#![allow(unsafe_code)]

use super::abi::{FRAME_MAX, Lease};
use crate::primitive::{AtomicPtr, AtomicU32, Ordering};
use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{ManuallyDrop, offset_of};
use core::ops::{Deref, DerefMut};
use core::ptr::{NonNull, null_mut};

/// What stands before the data, and puts it 2 bytes beyond a multiple of 4: what
/// follows an Ethernet header is aligned then.
const HEADER: usize = 66;
/// All of a slot: whole pages and half of one.
const SLOT: usize = 66 * 1024;
/// How many bytes a buffer holds.
pub const CAPACITY: usize = SLOT - HEADER;

const _: () = assert!(CAPACITY >= FRAME_MAX && size_of::<Slot>() <= HEADER);

const LAYOUT: Layout = match Layout::from_size_align(SLOT, 64) {
    Ok(layout) => layout,
    Err(_) => panic!(),
};

/// The head of a piece of memory; the data follow at [`HEADER`].
#[repr(C)]
struct Slot {
    lease: Lease,
    /// The one below in the stack of those that came back.
    next: *mut Slot,
    /// While it is out: a reference to the pool, from [`Arc::into_raw`].
    shared: *const Shared,
}

#[derive(Debug)]
struct Shared {
    /// Those that came back.
    returned: AtomicPtr<Slot>,
    /// How many the kernel has, and how many it may have.
    leased: AtomicU32,
    limit: u32,
}

impl Shared {
    /// Puts a slot onto the stack.
    ///
    /// # Safety
    /// The slot is nobody else's, and never again used by the caller.
    unsafe fn give_back(&self, slot: NonNull<Slot>) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            // SAFETY: by contract, the slot is ours.
            unsafe { (*slot.as_ptr()).next = head };
            match self.returned.compare_exchange(
                head,
                slot.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    /// Takes all off the stack.
    fn take_returned(&self, mut each: impl FnMut(NonNull<Slot>)) {
        let mut head = self.returned.swap(null_mut(), Ordering::Acquire);
        while let Some(slot) = NonNull::new(head) {
            // SAFETY: it came off the stack, so it is ours; who put it there wrote
            // `next` before.
            head = unsafe { slot.as_ref().next };
            each(slot);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.take_returned(free);
    }
}

fn free(slot: NonNull<Slot>) {
    // SAFETY: callers own the slot, which was allocated with this layout.
    unsafe { dealloc(slot.as_ptr().cast(), LAYOUT) };
}

/// Buffers, and the memory for more.
pub struct Pool {
    idle: Vec<NonNull<Slot>>,
    shared: Arc<Shared>,
}

// SAFETY: the slots in it are its own; what is shared is atomic.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool of which the kernel may have so many buffers at a time.
    pub fn new(limit: u32) -> Self {
        Self {
            idle: Vec::new(),
            shared: Arc::new(Shared {
                returned: AtomicPtr::new(null_mut()),
                leased: AtomicU32::new(0),
                limit,
            }),
        }
    }

    /// A buffer; what is in it is arbitrary.
    pub fn take(&mut self) -> Buffer {
        if !self.shared.returned.load(Ordering::Relaxed).is_null() {
            let before = self.idle.len();
            let idle = &mut self.idle;
            self.shared.take_returned(|slot| idle.push(slot));
            idle[before..].reverse();
        }
        let mut slot = self.idle.pop().unwrap_or_else(allocate);
        // SAFETY: it is ours, and it was initialised when it was allocated.
        unsafe { slot.as_mut().shared = Arc::into_raw(Arc::clone(&self.shared)) };
        Buffer(slot)
    }

    /// How many the kernel has.
    pub fn leased(&self) -> u32 {
        self.shared.leased.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.idle.drain(..).for_each(free);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle.len())
            .field("leased", &self.leased())
            .field("limit", &self.shared.limit)
            .finish()
    }
}

fn allocate() -> NonNull<Slot> {
    // SAFETY: the layout has a size.
    let memory = unsafe { alloc_zeroed(LAYOUT) };
    let Some(slot) = NonNull::new(memory.cast::<Slot>()) else {
        handle_alloc_error(LAYOUT)
    };
    // SAFETY: fresh memory, large enough and aligned.
    unsafe {
        slot.as_ptr().write(Slot {
            lease: Lease { release: end_lease },
            next: null_mut(),
            shared: core::ptr::null(),
        });
    }
    slot
}

/// Memory for one frame. It goes back to its pool when it is dropped.
pub struct Buffer(NonNull<Slot>);

// SAFETY: a buffer is owned by who has it, like a Box.
unsafe impl Send for Buffer {}
// SAFETY: shared references only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Whether the kernel may have another one of its pool's.
    pub fn can_lease(&self) -> bool {
        // SAFETY: the buffer is ours, and so refers to its pool.
        let shared = unsafe { &*self.0.as_ref().shared };
        shared.leased.load(Ordering::Relaxed) < shared.limit
    }

    /// Lends it to the kernel, which ends the lease through the pointer.
    pub fn into_lease(self) -> *mut Lease {
        let buffer = ManuallyDrop::new(self);
        // SAFETY: the buffer is ours, and so refers to its pool.
        unsafe { &*buffer.0.as_ref().shared }
            .leased
            .fetch_add(1, Ordering::Relaxed);
        buffer.0.as_ptr().cast()
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: the slot is longer than that.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER) }
    }
}

const _: () = assert!(offset_of!(Slot, lease) == 0);

/// What the kernel calls when it needs a buffer no more.
unsafe extern "C" fn end_lease(lease: *mut Lease) {
    // SAFETY: the kernel got it from `into_lease`, where a slot begins with its lease.
    let slot = unsafe { NonNull::new_unchecked(lease.cast::<Slot>()) };
    let buffer = Buffer(slot);
    // SAFETY: the buffer is ours again, and refers to its pool.
    unsafe { &*buffer.0.as_ref().shared }
        .leased
        .fetch_sub(1, Ordering::Relaxed);
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the slot is ours; its reference to the pool was made by `take`, and
        // is used up here.
        unsafe {
            let shared = Arc::from_raw(self.0.as_ref().shared);
            shared.give_back(self.0);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes follow the header, initialised when they were
        // allocated, and are borrowed as long as the buffer is.
        unsafe { core::slice::from_raw_parts(self.data(), CAPACITY) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.data(), CAPACITY) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffer")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_follows_an_ethernet_header_is_aligned() {
        let mut pool = Pool::new(1);
        let buffer = pool.take();
        assert_eq!(buffer.as_ptr().addr() % 4, 2);
        assert_eq!(buffer.len(), CAPACITY);
    }

    #[test]
    fn the_last_one_that_came_back_is_used_next() {
        let mut pool = Pool::new(0);
        let buffers: alloc::vec::Vec<Buffer> = (0..8).map(|_| pool.take()).collect();
        let addresses: alloc::vec::Vec<_> = buffers.iter().map(|one| one.as_ptr()).collect();
        buffers.into_iter().for_each(drop);
        for _ in 0..20 {
            assert_eq!(pool.take().as_ptr(), addresses[7]);
        }
        let both = [pool.take(), pool.take()].map(|one| one.as_ptr());
        assert_eq!(both, [addresses[7], addresses[6]]);
    }

    #[test]
    fn buffers_come_back_and_outlive_their_pool() {
        let mut pool = Pool::new(2);
        let mut first = pool.take();
        first.fill(7);
        let address = first.as_ptr();
        let lease = first.into_lease();
        let second = pool.take();
        assert!(second.can_lease());
        let second = second.into_lease();
        let third = pool.take();
        assert!(!third.can_lease());
        // SAFETY: a lease of ours, ended once.
        unsafe { ((*lease).release)(lease) };
        assert!(third.can_lease());
        let again = pool.take();
        assert_eq!(again.as_ptr(), address);
        drop(pool);
        assert_eq!(again[0], 7);
        drop(again);
        // SAFETY: as above.
        unsafe { ((*second).release)(second) };
    }
}
