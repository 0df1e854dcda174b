//! Memory of the caller: the buffers of a system call, one or several.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::ffi::c_int;
use core::marker::PhantomData;
use rump_abi::iovec;
use rump_hyper::errno::Errno;

/// `IOV_MAX` of `<sys/syslimits.h>`.
const MOST_BUFFERS: usize = 1024;

/// The buffers of a call that moves data: where the next byte is, and how many are left.
#[derive(Debug)]
struct Buffers<'a> {
    /// One buffer needs no list.
    current: (*mut u8, usize),
    /// The others, the next one last.
    rest: Vec<(*mut u8, usize)>,
    left: usize,
    caller: PhantomData<&'a ()>,
}

impl Buffers<'_> {
    fn one(start: *mut u8, length: usize) -> Result<Self, Errno> {
        if length > isize::MAX as usize {
            return Err(Errno::INVAL);
        }
        if start.is_null() && length > 0 {
            return Err(Errno::FAULT);
        }
        Ok(Self {
            current: (start, length),
            rest: Vec::new(),
            left: length,
            caller: PhantomData,
        })
    }

    /// # Safety
    /// So many of them may be read.
    unsafe fn several(vectors: *const iovec, count: c_int) -> Result<Self, Errno> {
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        if count > MOST_BUFFERS {
            return Err(Errno::MSGSIZE);
        }
        if vectors.is_null() && count > 0 {
            return Err(Errno::FAULT);
        }
        let mut rest = Vec::with_capacity(count);
        let mut left = 0usize;
        for index in (0..count).rev() {
            // SAFETY: by contract.
            let vector = unsafe { vectors.add(index).read() };
            let one = Self::one(vector.iov_base.cast(), vector.iov_len)?;
            left = left
                .checked_add(one.left)
                .filter(|left| *left <= isize::MAX as usize)
                .ok_or(Errno::INVAL)?;
            rest.push(one.current);
        }
        Ok(Self {
            current: rest.pop().unwrap_or((core::ptr::null_mut(), 0)),
            rest,
            left,
            caller: PhantomData,
        })
    }

    /// The next piece of memory, at most so long; `None` at the end.
    fn next(&mut self, most: usize) -> Option<(*mut u8, usize)> {
        while self.current.1 == 0 {
            self.current = self.rest.pop()?;
        }
        let length = self.current.1.min(most);
        let start = self.current.0;
        // Stays within the buffer or points to its end.
        self.current = (start.wrapping_add(length), self.current.1 - length);
        self.left -= length;
        Some((start, length))
    }
}

/// Memory of the caller to be read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(Buffers<'a>);

impl Reader<'_> {
    /// # Safety
    /// The buffer may be read as long as this is used.
    pub(crate) unsafe fn one(start: *const u8, length: usize) -> Result<Self, Errno> {
        Buffers::one(start.cast_mut(), length).map(Self)
    }

    /// # Safety
    /// The vectors, and what they point to, may be read as long as this is used.
    pub(crate) unsafe fn several(vectors: *const iovec, count: c_int) -> Result<Self, Errno> {
        // SAFETY: by contract.
        unsafe { Buffers::several(vectors, count) }.map(Self)
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.0.left
    }

    /// Takes up to so many bytes, in one piece or several; how many it were.
    pub(crate) fn take(&mut self, most: usize, mut to: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while taken < most {
            let Some((start, length)) = self.0.next(most - taken) else {
                break;
            };
            // SAFETY: within a buffer that may be read, by the contract of the makers.
            to(unsafe { core::slice::from_raw_parts(start, length) });
            taken += length;
        }
        taken
    }
}

/// Memory of the caller to be written.
#[derive(Debug)]
pub(crate) struct Writer<'a>(Buffers<'a>);

impl Writer<'_> {
    /// # Safety
    /// The buffer may be written as long as this is used.
    pub(crate) unsafe fn one(start: *mut u8, length: usize) -> Result<Self, Errno> {
        Buffers::one(start, length).map(Self)
    }

    /// # Safety
    /// The vectors may be read, and what they point to written, as long as this is used.
    pub(crate) unsafe fn several(vectors: *const iovec, count: c_int) -> Result<Self, Errno> {
        // SAFETY: by contract.
        unsafe { Buffers::several(vectors, count) }.map(Self)
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.0.left
    }

    /// Writes as much of this as fits; how much it was.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> usize {
        let mut written = 0;
        while !bytes.is_empty() {
            let Some((start, length)) = self.0.next(bytes.len()) else {
                break;
            };
            // SAFETY: within a buffer that may be written, by the contract of the makers;
            // the kernel's own memory is no part of it.
            unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), length) };
            bytes = &bytes[length..];
            written += length;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_buffers() {
        let (mut one, mut two) = ([0u8; 3], [0u8; 4]);
        let empty = iovec {
            iov_base: core::ptr::null_mut(),
            iov_len: 0,
        };
        let vectors = [
            empty,
            iovec {
                iov_base: one.as_mut_ptr().cast(),
                iov_len: 3,
            },
            empty,
            iovec {
                iov_base: two.as_mut_ptr().cast(),
                iov_len: 4,
            },
        ];
        // SAFETY: the arrays live, and are not touched meanwhile.
        let mut writer = unsafe { Writer::several(vectors.as_ptr(), 4) }.unwrap();
        assert_eq!(
            (writer.left(), writer.put(b"ab"), writer.put(b"cdefgh")),
            (7, 2, 5)
        );
        assert_eq!((&one, &two), (b"abc", b"defg"));
        // SAFETY: as above.
        let mut reader = unsafe { Reader::several(vectors.as_ptr(), 4) }.unwrap();
        let mut text = Vec::new();
        assert_eq!(reader.take(5, |part| text.extend_from_slice(part)), 5);
        assert_eq!(reader.take(5, |part| text.extend_from_slice(part)), 2);
        assert_eq!((text.as_slice(), reader.left()), (&b"abcdefg"[..], 0));
    }

    #[test]
    fn absurd_buffers_are_refused() {
        let vector = iovec {
            iov_base: core::ptr::dangling_mut::<u8>().cast(),
            iov_len: isize::MAX as usize,
        };
        // SAFETY: the vectors may be read; what they point to is not touched.
        unsafe {
            assert_eq!(
                Writer::one(core::ptr::null_mut(), 1).unwrap_err(),
                Errno::FAULT
            );
            assert_eq!(
                Reader::one(core::ptr::dangling(), usize::MAX).unwrap_err(),
                Errno::INVAL
            );
            assert_eq!(
                Reader::several([vector, vector].as_ptr(), 2).unwrap_err(),
                Errno::INVAL
            );
            assert_eq!(
                Reader::several(&raw const vector, -1).unwrap_err(),
                Errno::INVAL
            );
            assert_eq!(
                Reader::several(&raw const vector, 1025).unwrap_err(),
                Errno::MSGSIZE
            );
        }
    }
}
