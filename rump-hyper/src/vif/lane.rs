//! Frames in a [ring of messages](rump_ring::lane) between two processes.
//!
//! What is to be done to a frame goes along with it as the message's note.

use super::abi::{FRAME_MAX, Offload};
use super::backend::Transmit;
use rump_ring::lane::{Lane, NOTE, Sender};
use rump_ring::{Broken, Shared};

/// The least bytes of data that a lane for frames may have.
pub const LEAST: usize = (2 * FRAME_MAX).next_power_of_two();

/// The lane for frames that begins there, with so many bytes of data.
///
/// # Panics
/// As [`Lane::new`].
pub fn lane(memory: Shared, start: usize, data: usize) -> Lane {
    Lane::new(memory, start, data, FRAME_MAX)
}

/// Puts a frame in, if there is room; whether there was. It is to be told.
///
/// # Errors
/// The other side is broken.
///
/// # Panics
/// If it is longer than [`FRAME_MAX`].
pub fn put(sender: &mut Sender, frame: &Transmit<'_>) -> Result<bool, Broken> {
    sender.put(frame.len(), note(frame.offload()), |body| {
        for piece in frame.pieces() {
            piece.for_each(|bytes| body.push(bytes));
        }
    })
}

fn note(offload: Offload) -> [u8; NOTE] {
    let mut note = [0; NOTE];
    note[0] = offload.flags;
    note[1] = offload.gso_type;
    let words = [
        offload.hdr_len,
        offload.gso_size,
        offload.csum_start,
        offload.csum_offset,
    ];
    for (to, word) in note[2..10].chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    note
}

/// What a note says is to be done to a frame. It is not checked.
pub fn offload(note: [u8; NOTE]) -> Offload {
    let word = |at: usize| u16::from_ne_bytes([note[at], note[at + 1]]);
    Offload {
        flags: note[0],
        gso_type: note[1],
        hdr_len: word(2),
        gso_size: word(4),
        csum_start: word(6),
        csum_offset: word(8),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_goes_along() {
        let all = Offload {
            flags: 1,
            gso_type: 4,
            hdr_len: 54,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 0x1234,
        };
        assert_eq!(offload(note(all)), all);
    }
}
