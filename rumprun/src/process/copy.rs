//! The program's memory, for system calls: every address is a number, and every access may
//! fail. As copy(9).

use alloc::vec::Vec;
use core::mem::MaybeUninit;
use rump_linux::{Errno, Fault, Memory};

/// What a system call comes to.
pub type Result<T, E = Errno> = core::result::Result<T, E>;

/// The memory of the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program;

#[cfg(not(test))]
impl Memory for Program {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        if into.is_empty() {
            return Ok(());
        }
        crate::memory::copy::copy_in(into, address).map_err(|_| Fault)
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: the program's memory is the program's to lose: what the kernel refers to
        // lies elsewhere, or is in the image's own parts, which a program that has its
        // kernel in its link could write to as well.
        unsafe { crate::memory::copy::copy_out(address, from) }.map_err(|_| Fault)
    }
}

/// Tests are their own program, and hand in addresses of what they own.
#[cfg(test)]
impl Memory for Program {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        if address < 4096 {
            return Err(Fault);
        }
        // SAFETY: the test's.
        unsafe { (address as *const u8).copy_to(into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        if address < 4096 {
            return Err(Fault);
        }
        // SAFETY: the test's.
        unsafe { (address as *mut u8).copy_from(from.as_ptr(), from.len()) };
        Ok(())
    }
}

/// Bytes from the program.
///
/// # Errors
/// `EFAULT`.
pub fn copyin(address: u64, into: &mut [u8]) -> Result<()> {
    Ok(Program.read(address, into)?)
}

/// Bytes to the program.
///
/// # Errors
/// `EFAULT`.
pub fn copyout(from: &[u8], address: u64) -> Result<()> {
    Ok(Program.write(address, from)?)
}

/// A string of the program's, without its NUL, shorter than `room`.
///
/// # Errors
/// `EFAULT`; `ENAMETOOLONG`.
pub fn copyinstr(address: u64, room: usize) -> Result<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = address;
    loop {
        // No further than the page, as the next one may not be there.
        let mut chunk = [0; 128];
        let length = (PAGE - at % PAGE).min(chunk.len() as u64) as usize;
        copyin(at, &mut chunk[..length])?;
        let end = chunk[..length].iter().position(|byte| *byte == 0);
        text.extend_from_slice(&chunk[..end.unwrap_or(length)]);
        if text.len() >= room {
            return Err(Errno::ENAMETOOLONG);
        }
        if end.is_some() {
            return Ok(text);
        }
        at = at.checked_add(length as u64).ok_or(Errno::EFAULT)?;
    }
}

/// What may be copied as it is.
///
/// # Safety
/// Every pattern of bits is a value, and there is no padding.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        // SAFETY: integers, and arrays of them.
        $(unsafe impl Plain for $type {})*
    };
}
plain!(u8, u16, u32, i32, u64, i64);

// SAFETY: as its elements.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A value of the program's.
///
/// # Errors
/// `EFAULT`.
pub fn get<T: Plain>(address: u64) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: all of it is zeroed; the slice is gone before `value` is used.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
    copyin(address, bytes)?;
    // SAFETY: every pattern of bits is a value.
    Ok(unsafe { value.assume_init() })
}

/// Gives the program a value.
///
/// # Errors
/// `EFAULT`.
pub fn put<T: Plain>(value: &T, address: u64) -> Result<()> {
    // SAFETY: there is no padding, so all of it is initialised.
    let bytes =
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) };
    copyout(bytes, address)
}

/// The buffers of a call that has several: `struct iovec`.
///
/// # Errors
/// `EFAULT`; `EINVAL` for too many, or too long ones.
pub fn vectors(address: u64, count: u64) -> Result<Vec<(u64, u64)>> {
    if count > 1024 {
        return Err(Errno::EINVAL);
    }
    let mut vectors = Vec::new();
    let mut total = 0_u64;
    for index in 0..count {
        let [start, length]: [u64; 2] = get(address.wrapping_add(16 * index))?;
        total = total
            .checked_add(length)
            .filter(|total| *total <= i64::MAX as u64)
            .ok_or(Errno::EINVAL)?;
        vectors.push((start, length));
    }
    Ok(vectors)
}

/// `struct timespec` as nanoseconds.
///
/// # Errors
/// `EFAULT`; `EINVAL` for none.
pub fn time(address: u64) -> Result<u64> {
    let [seconds, nanos]: [i64; 2] = get(address)?;
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(Errno::EINVAL);
    }
    let all = seconds.saturating_mul(1_000_000_000);
    Ok(all.saturating_add(nanos as u64))
}

/// Nanoseconds as the words of a `struct timespec`.
pub fn timespec(nanos: u64) -> [u64; 2] {
    [nanos / 1_000_000_000, nanos % 1_000_000_000]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_where_they_end() {
        let text = b"/etc/hosts\0rest";
        let address = text.as_ptr().addr() as u64;
        assert_eq!(copyinstr(address, 20).unwrap(), b"/etc/hosts");
        assert_eq!(copyinstr(address, 10), Err(Errno::ENAMETOOLONG));
        assert_eq!(copyinstr(0, 10), Err(Errno::EFAULT));
    }

    #[test]
    fn times_are_checked() {
        let of = |words: [i64; 2]| time(words.as_ptr().addr() as u64);
        assert_eq!(of([1, 5]), Ok(1_000_000_005));
        assert_eq!(of([i64::MAX, 0]), Ok(u64::MAX));
        for wrong in [[-1, 0], [0, -1], [0, 1_000_000_000]] {
            assert_eq!(of(wrong), Err(Errno::EINVAL));
        }
    }
}
