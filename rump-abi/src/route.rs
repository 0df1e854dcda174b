//! Addresses in the messages of route(4): behind the header, in the order of their bits.

use core::ffi::c_int;

/// How much room an address of this length takes in a message: a multiple of 8 bytes, and
/// no less (`RT_ROUNDUP` of `<net/route.h>`).
pub const fn padded(length: usize) -> usize {
    let length = if length == 0 { 1 } else { length };
    length.next_multiple_of(8)
}

/// The address of the bit `wanted` (`RTA_DST`, …), of the length that it says, where `bits`
/// says which there are (`rtm_addrs`). `None` if it is not there, or not whole.
pub fn address(addresses: &[u8], bits: c_int, wanted: c_int) -> Option<&[u8]> {
    let mut rest = addresses;
    for bit in (0..c_int::BITS).map(|shift| 1 << shift) {
        if bits & bit == 0 {
            continue;
        }
        let length = usize::from(*rest.first()?);
        if bit == wanted {
            return rest.get(..length);
        }
        rest = rest.get(padded(length)..)?;
    }
    None
}
