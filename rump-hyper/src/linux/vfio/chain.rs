//! Chains of capabilities behind what VFIO tells (`struct vfio_info_cap_header`,
//! `linux/vfio.h`): each says where the next begins.

use std::vec::Vec;

/// Length of a capability's header: id, version, offset of the next.
const HEADER: usize = 8;

/// A number of `N` bytes, in the machine's order.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A number of 32 bits.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_ne_bytes)
}

/// A number of 64 bits.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_ne_bytes)
}

/// What the capability of that id says, from its header on, in a chain that begins at
/// `first`.
pub(super) fn find(info: &[u8], first: u32, id: u32) -> Option<&[u8]> {
    let mut at = first as usize;
    // Each lies behind its predecessor, or the chain has a loop.
    while at >= HEADER {
        let own = u16::from_ne_bytes(number(info, at)?);
        if u32::from(own) == id {
            return info.get(at..);
        }
        let next = u32_at(info, at + 4)? as usize;
        at = if next > at { next } else { 0 };
    }
    None
}

/// The pairs of numbers in a capability that says how many there are of them.
pub(super) fn pairs(capability: &[u8]) -> Vec<(u64, u64)> {
    let count = u32_at(capability, HEADER).unwrap_or(0) as usize;
    (0..count)
        .map_while(|index| {
            let at = index.checked_mul(16)?.checked_add(HEADER + 8)?;
            Some((u64_at(capability, at)?, u64_at(capability, at + 8)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(id: u16, next: u32, list: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(id.to_ne_bytes());
        bytes.extend(1_u16.to_ne_bytes());
        bytes.extend(next.to_ne_bytes());
        bytes.extend((list.len() as u32).to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        for (a, b) in list {
            bytes.extend(a.to_ne_bytes());
            bytes.extend(b.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_capability_is_found_and_a_loop_ends() {
        let mut info = [0; 16].to_vec();
        info.extend(capability(3, 32, &[]));
        info.extend(capability(1, 16, &[(0, 9), (20, 29)]));
        assert_eq!(pairs(find(&info, 16, 1).unwrap()), [(0, 9), (20, 29)]);
        assert_eq!(find(&info, 16, 7), None);
        assert_eq!(find(&info, 0, 3), None);
    }

    #[test]
    fn no_bytes_read_beyond_what_is_there() {
        let mut state = 7_u64;
        let mut info = [0_u8; 96];
        for _ in 0..200_000 {
            for chunk in info.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let small = state.to_ne_bytes().map(|byte| byte % 64);
                chunk.copy_from_slice(&small);
            }
            let len = (state >> 32) as usize % info.len();
            if let Some(found) = find(&info[..len], (state % 64) as u32, 1) {
                assert!(pairs(found).len() * 16 <= found.len());
            }
        }
    }
}
