//! Random bytes: ChaCha20, seeded by the CPU's random number instruction and by when things
//! happened.

use crate::cpu::features;
use crate::sync::Lock;
use crate::{say, time};
use core::arch::asm;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

static GENERATOR: Lock<Option<ChaCha20Rng>> = Lock::new(None);

/// Fills the buffer with random bytes.
pub fn fill(buffer: &mut [u8]) {
    // In pieces, for interrupts are off meanwhile.
    for piece in buffer.chunks_mut(1024) {
        let mut generator = GENERATOR.lock();
        generator
            .get_or_insert_with(|| ChaCha20Rng::from_seed(seed()))
            .fill_bytes(piece);
    }
}

/// A number of the CPU's, if it has one soon.
fn by_cpu() -> Option<u64> {
    if !features::rdrand() {
        return None;
    }
    (0..10).find_map(|_| {
        let (value, there): (u64, u8);
        // SAFETY: cpuid has the instruction.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) there,
                 options(nomem, nostack));
        }
        (there != 0).then_some(value)
    })
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let mut by_timing_alone = false;
    for word in seed.chunks_exact_mut(8) {
        // What takes a little more or less each time: leaving the virtual machine.
        let mut mixed = time::wall_ns();
        for _ in 0..64 {
            core::arch::x86_64::__cpuid(0);
            mixed = (mixed.rotate_left(7) ^ time::ticks()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        let number = by_cpu().unwrap_or_else(|| {
            by_timing_alone = true;
            0
        });
        word.copy_from_slice(&(mixed ^ number).to_ne_bytes());
    }
    if by_timing_alone {
        say!(
            "rumprun: the CPU has no random numbers (RDRAND); keys made here can be guessed: \
             give it a CPU model that has them"
        );
    }
    seed
}
