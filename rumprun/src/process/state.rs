//! The register state that the kernel does not use, to and from memory of the program's: the
//! x87 stack, upper halves, masks. Intel SDM volume 1, chapters 10.5 and 13.

use super::copy::{self, Result};
use crate::cpu::features;
use crate::trap::Frame;
use core::arch::asm;
use rump_linux::Errno;

/// Where MXCSR and the xmm registers are, and the header that says which parts there are.
const MXCSR: usize = 24;
const XMM: usize = 160;
const HEADER: usize = 512;
/// Bits of MXCSR that may be set; others fault.
const MXCSR_BITS: u32 = 0xffbf;
/// x87 and SSE.
const LEGACY: u64 = 3;
/// Room for every part that is turned on ([`features`]): AVX-512's end at 2,688.
const ROOM: usize = 4096;

#[repr(C, align(64))]
struct Saved([u8; ROOM]);

/// How many bytes it takes.
///
/// # Errors
/// `ENOMEM` on a CPU that has more than this knows.
pub fn size() -> Result<usize> {
    match features::state_size() {
        size @ HEADER..=ROOM => Ok(size),
        _ => Err(Errno::ENOMEM),
    }
}

/// Writes it to the program's memory, with the xmm registers of the frame.
///
/// # Errors
/// `EFAULT`.
pub fn save(frame: &Frame, to: u64) -> Result<()> {
    let size = size()?;
    let mut saved = Saved([0; ROOM]);
    let parts = features::state();
    let at = saved.0.as_mut_ptr();
    // SAFETY: aligned, with room for all parts that are on, and zeros, as `xsave` leaves what
    // it does not write. The kernel's own xmm registers, which are saved with it, are
    // replaced below.
    unsafe {
        if parts == 0 {
            asm!("fxsave64 [{}]", in(reg) at, options(nostack, preserves_flags));
        } else {
            asm!("xsave64 [{}]", in(reg) at, in("eax") parts as u32,
                 in("edx") (parts >> 32) as u32, options(nostack, preserves_flags));
        }
    }
    for (to, register) in saved.0[XMM..].chunks_exact_mut(16).zip(frame.xmm) {
        to.copy_from_slice(&register.to_ne_bytes());
    }
    if parts != 0 {
        saved.0[HEADER] |= LEGACY as u8;
    }
    copy::copyout(&saved.0[..size], to)
}

/// Reads it from the program's memory, which may hold anything; the xmm registers go into the
/// frame.
///
/// # Errors
/// `EFAULT`.
pub fn restore(frame: &mut Frame, from: u64) -> Result<()> {
    let size = size()?;
    let mut saved = Saved([0; ROOM]);
    copy::copyin(from, &mut saved.0[..size])?;
    let parts = features::state();
    sanitise(&mut saved.0, parts);
    for (from, register) in saved.0[XMM..].chunks_exact(16).zip(&mut frame.xmm) {
        *register = u128::from_ne_bytes(*from.first_chunk().ok_or(Errno::EFAULT)?);
    }
    let at = saved.0.as_ptr();
    // SAFETY: aligned; what makes these instructions fault was taken out. The xmm registers
    // are the kernel's here, and of no use across a call, as the clobbers say.
    unsafe {
        if parts == 0 {
            asm!("fxrstor64 [{}]", in(reg) at, clobber_abi("sysv64"));
        } else {
            asm!("xrstor64 [rdi]", in("rdi") at, in("eax") parts as u32,
                 in("edx") (parts >> 32) as u32, clobber_abi("sysv64"));
        }
    }
    Ok(())
}

/// Takes out what would be a fault: bits of MXCSR that do not exist, parts that are not on,
/// the compact form, and what is reserved.
fn sanitise(saved: &mut [u8; ROOM], parts: u64) {
    let mut word = [0; 4];
    word.copy_from_slice(&saved[MXCSR..MXCSR + 4]);
    let mxcsr = u32::from_ne_bytes(word) & MXCSR_BITS;
    saved[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_ne_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&saved[HEADER..HEADER + 8]);
    let there = u64::from_ne_bytes(word) & parts;
    saved[HEADER..HEADER + 8].copy_from_slice(&there.to_ne_bytes());
    saved[HEADER + 8..HEADER + 64].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn nothing_that_faults_is_left(byte in 0..=255_u8, parts in 0..256_u64) {
            let mut saved = [byte; ROOM];
            sanitise(&mut saved, parts);
            let mxcsr = u32::from_ne_bytes(*saved[MXCSR..].first_chunk().unwrap());
            let there = u64::from_ne_bytes(*saved[HEADER..].first_chunk().unwrap());
            proptest::prop_assert_eq!(mxcsr & !MXCSR_BITS, 0);
            proptest::prop_assert_eq!(there & !parts, 0);
            proptest::prop_assert!(saved[HEADER + 8..HEADER + 64].iter().all(|byte| *byte == 0));
        }
    }
}
