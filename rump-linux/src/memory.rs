//! The program's memory, which is never touched but by guarded copies.
//!
//! Every address that a program hands in is a number here. [`Memory`] copies from and to
//! it, and says [`Fault`] where nothing is mapped or writing is not allowed, also when
//! another thread unmaps the place meanwhile. So the kernel only ever sees buffers of this
//! crate.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::raw::{general, net};
use core::mem::MaybeUninit;
use smallvec::SmallVec;

/// An address of the program's was bad: `EFAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Guarded copies from and to the program.
pub trait Memory {
    /// Fills `into` from the program's memory.
    ///
    /// # Errors
    /// [`Fault`] if not all of it can be read; what `into` then holds is not said.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault>;

    /// Copies `from` to the program's memory.
    ///
    /// # Errors
    /// [`Fault`] if not all of it can be written; some of it may have been.
    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault>;
}

/// What can be read from a program as it is.
///
/// # Safety
/// Every pattern of bits is a value.
pub(crate) unsafe trait Readable: Copy {}

/// What can be written to a program as it is.
///
/// # Safety
/// There is no padding.
pub(crate) unsafe trait Writable: Copy {}

macro_rules! plain {
    ($marker:ident: $($type:ty),*) => {
        // SAFETY: integers, and C structures of integers and raw pointers; those that are
        // listed as writable have no padding (x86-64's layouts).
        $(unsafe impl $marker for $type {})*
    };
}

plain!(Readable: u8, i32, u32, i64, u64, net::msghdr, general::iovec, general::pollfd,
    general::epoll_event, general::__kernel_timespec, general::itimerspec, net::cmsghdr,
    general::timeval, [u64; 2]);
plain!(Writable: i32, u32, i64, u64, general::pollfd, general::epoll_event,
    general::__kernel_timespec, general::itimerspec, general::timeval, [i32; 2]);

/// A value of the program's.
pub(crate) fn get<T: Readable>(memory: &(impl Memory + ?Sized), address: u64) -> Result<T, Fault> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: zeroed, so that all its bytes may be seen, padding included; the slice is
    // gone before `value` is used.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
    memory.read(address, bytes)?;
    // SAFETY: every pattern of bits is a value (`Readable`).
    Ok(unsafe { value.assume_init() })
}

/// Gives the program a value.
pub(crate) fn put<T: Writable>(
    memory: &(impl Memory + ?Sized),
    address: u64,
    value: &T,
) -> Result<(), Fault> {
    // SAFETY: no padding (`Writable`), so all bytes are initialised.
    let bytes =
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) };
    memory.write(address, bytes)
}

/// `UIO_MAXIOV` of `<linux/uio.h>`.
const MOST_VECTORS: u64 = 1024;
/// The most that one call moves: `MAX_RW_COUNT` of Linux.
pub(crate) const MOST: u64 = 0x7fff_f000;
/// Where the program's half of the address space ends (`TASK_SIZE_MAX`).
const END: u64 = 0x7fff_ffff_f000;

/// The buffers of a call, one or several, as one run of bytes.
#[derive(Debug)]
pub(crate) struct Buffers {
    parts: SmallVec<[(u64, u64); 1]>,
    length: u64,
}

impl Buffers {
    /// One buffer; too long a one is shortened, as Linux does.
    pub(crate) fn one(address: u64, length: u64) -> Result<Self, Errno> {
        if length > i64::MAX as u64 {
            return Err(Errno::EFAULT);
        }
        Self::whole(SmallVec::from_buf([(address, length)]))
    }

    /// `struct iovec` in the program's memory.
    pub(crate) fn several(
        memory: &(impl Memory + ?Sized),
        address: u64,
        count: u64,
        too_many: Errno,
    ) -> Result<Self, Errno> {
        if count > MOST_VECTORS {
            return Err(too_many);
        }
        let mut parts = SmallVec::with_capacity(count as usize);
        for index in 0..count {
            let at = address
                .checked_add(index * size_of::<general::iovec>() as u64)
                .ok_or(Errno::EFAULT)?;
            let [start, length]: [u64; 2] = get(memory, at)?;
            if length > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            parts.push((start, length));
        }
        Self::whole(parts)
    }

    fn whole(mut parts: SmallVec<[(u64, u64); 1]>) -> Result<Self, Errno> {
        let mut length = 0;
        for part in &mut parts {
            part.1 = part.1.min(MOST - length);
            length += part.1;
            if part.1 > 0 && part.0.checked_add(part.1).is_none_or(|end| end > END) {
                return Err(Errno::EFAULT);
            }
        }
        Ok(Self { parts, length })
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    fn pieces(&self, mut skip: u64, mut length: u64) -> impl Iterator<Item = (u64, usize)> + '_ {
        self.parts.iter().filter_map(move |&(start, size)| {
            let skipped = skip.min(size);
            skip -= skipped;
            let take = (size - skipped).min(length);
            length -= take;
            (take > 0).then_some((start + skipped, take as usize))
        })
    }

    /// Copies bytes `offset..` from the program; `into` must not be longer than what is left.
    pub(crate) fn read(
        &self,
        memory: &(impl Memory + ?Sized),
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Fault> {
        let mut done = 0;
        for (start, length) in self.pieces(offset, into.len() as u64) {
            memory.read(start, &mut into[done..done + length])?;
            done += length;
        }
        Ok(())
    }

    /// Copies `from` to bytes `offset..` of the program, as far as there is room.
    pub(crate) fn write(
        &self,
        memory: &(impl Memory + ?Sized),
        offset: u64,
        from: &[u8],
    ) -> Result<(), Fault> {
        let mut done = 0;
        for (start, length) in self.pieces(offset, from.len() as u64) {
            memory.write(start, &from[done..done + length])?;
            done += length;
        }
        Ok(())
    }
}
