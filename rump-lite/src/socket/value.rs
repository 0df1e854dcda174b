//! Values of socket options: what a caller wrote, checked, and what it is told.

use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::time::Duration;

/// The value of an option on its way to the caller, at most as long as the longest one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    bytes: [u8; 16],
    length: usize,
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        let mut bytes = [0; 16];
        bytes[..N].copy_from_slice(&value);
        Self { bytes, length: N }
    }
}

impl core::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

pub(super) fn from_int(value: c_int) -> Value {
    value.to_ne_bytes().into()
}

pub(super) fn from_bool(value: bool) -> Value {
    from_int(value.into())
}

pub(super) fn from_unsigned(value: u32) -> Value {
    value.to_ne_bytes().into()
}

/// A number, in the size of an `int` or in one byte.
pub(super) fn int(value: &[u8]) -> Result<c_int, Errno> {
    match *value {
        [byte] => Ok(byte.into()),
        [a, b, c, d] => Ok(c_int::from_ne_bytes([a, b, c, d])),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn byte(value: &[u8]) -> Result<u8, Errno> {
    u8::try_from(int(value)?).map_err(|_| Errno::INVAL)
}

/// A hop limit of which -1 is the default.
pub(super) fn hops(value: &[u8]) -> Result<Option<u8>, Errno> {
    match int(value)? {
        -1 => Ok(None),
        hops => u8::try_from(hops).map(Some).map_err(|_| Errno::INVAL),
    }
}

pub(super) fn time(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let field = |offset: usize| value.get(offset..);
    if value.len() != size_of::<abi::timeval>() {
        return Err(Errno::INVAL);
    }
    let seconds = field(offset_of!(abi::timeval, tv_sec)).and_then(<[u8]>::first_chunk);
    let micros = field(offset_of!(abi::timeval, tv_usec)).and_then(<[u8]>::first_chunk);
    let (Some(seconds), Some(micros)) = (seconds, micros) else {
        return Err(Errno::INVAL);
    };
    let (seconds, micros) = (i64::from_ne_bytes(*seconds), i32::from_ne_bytes(*micros));
    // As NetBSD, whose ticks have 32 bits.
    if !(0..=i64::from(i32::MAX)).contains(&seconds) || !(0..1_000_000).contains(&micros) {
        return Err(Errno::DOM);
    }
    let time = Duration::from_micros(seconds as u64 * 1_000_000 + micros as u64);
    Ok((time > Duration::ZERO).then_some(time))
}

pub(super) fn from_time(time: Option<Duration>) -> Value {
    let micros = time.map_or(0, |time| time.total_micros());
    let mut value = [0; size_of::<abi::timeval>()];
    let (seconds, rest) = ((micros / 1_000_000) as i64, (micros % 1_000_000) as i32);
    value[offset_of!(abi::timeval, tv_sec)..][..8].copy_from_slice(&seconds.to_ne_bytes());
    value[offset_of!(abi::timeval, tv_usec)..][..4].copy_from_slice(&rest.to_ne_bytes());
    value.into()
}

/// What a buffer may have of `kern.sbmax`: as in NetBSD, which counts the memory of the
/// clusters too.
pub(super) fn buffer_size(value: &[u8], sbmax: c_int) -> Result<usize, Errno> {
    let most = usize::try_from(sbmax).unwrap_or(0) / 5 * 4;
    match usize::try_from(int(value)?) {
        Ok(0) | Err(_) => Err(Errno::INVAL),
        Ok(size) if size > most => Err(Errno::NOBUFS),
        Ok(size) => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_set() {
        for (seconds, micros) in [(0i64, 10_000i32), (5, 0), (2_147_483, 999_999)] {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&seconds.to_ne_bytes());
            value[8..12].copy_from_slice(&micros.to_ne_bytes());
            assert_eq!(&*from_time(time(&value).unwrap()), value);
        }
        assert_eq!(time(&[0; 16]), Ok(None));
        assert_eq!(time(&[0; 8]), Err(Errno::INVAL));
        let mut value = [0xff; 16];
        assert_eq!(time(&value), Err(Errno::DOM));
        value[..8].copy_from_slice(&1i64.to_ne_bytes());
        value[8..12].copy_from_slice(&1_000_000i32.to_ne_bytes());
        assert_eq!(time(&value), Err(Errno::DOM));
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(
            (int(&[7]), int(&[1, 2]), byte(&300i32.to_ne_bytes())),
            (Ok(7), Err(Errno::INVAL), Err(Errno::INVAL))
        );
        assert_eq!(
            (hops(&(-1i32).to_ne_bytes()), hops(&[9])),
            (Ok(None), Ok(Some(9)))
        );
        assert_eq!(
            buffer_size(&0i32.to_ne_bytes(), 256 << 10),
            Err(Errno::INVAL)
        );
        assert_eq!(
            buffer_size(&i32::MAX.to_ne_bytes(), 256 << 10),
            Err(Errno::NOBUFS)
        );
        assert_eq!(buffer_size(&4096i32.to_ne_bytes(), 256 << 10), Ok(4096));
    }
}
