//! Copying and filling memory: memcpy(3) and its like, which the compiler calls, and the loop
//! that [`memory::copy`](crate::memory::copy) has.
//!
//! What the network moves is some tens to some hundreds of bytes at a time. For so few, four
//! words in turn are faster than the string instructions, which take a while to begin; under
//! an emulator, which does one step of those after the other, always. Registers of vectors are
//! the program's.

use core::arch::{asm, naked_asm};
use core::ffi::c_int;

/// Instructions that copy `rdx` bytes from `rsi` to `rdi`, which do not overlap. They use the
/// registers of arguments and `r8` to `r11`, leave `rax` as it is, and need no stack.
macro_rules! copy {
    () => {
        "
        cmp rdx, 16
        jb 5f
        mov rcx, rdx
        cmp rdx, 512
        jae 4f
        sub rcx, 32
        jb 2f
    1:  mov r8, [rsi]
        mov r9, [rsi + 8]
        mov r10, [rsi + 16]
        mov r11, [rsi + 24]
        mov [rdi], r8
        mov [rdi + 8], r9
        mov [rdi + 16], r10
        mov [rdi + 24], r11
        add rsi, 32
        add rdi, 32
        sub rcx, 32
        jae 1b
    2:  add rcx, 32
        jz 9f
        cmp rcx, 16
        jbe 3f
        mov r8, [rsi]
        mov r9, [rsi + 8]
        mov [rdi], r8
        mov [rdi + 8], r9
        # The last of them, some perhaps again.
    3:  mov r8, [rsi + rcx - 16]
        mov r9, [rsi + rcx - 8]
        mov [rdi + rcx - 16], r8
        mov [rdi + rcx - 8], r9
        jmp 9f
    4:  shr rcx, 3
        rep movsq
        and edx, 7
        mov r8, [rsi + rdx - 8]
        mov [rdi + rdx - 8], r8
        jmp 9f
    5:  test dl, 8
        jz 6f
        mov r8, [rsi]
        mov r9, [rsi + rdx - 8]
        mov [rdi], r8
        mov [rdi + rdx - 8], r9
        jmp 9f
    6:  test dl, 4
        jz 7f
        mov r8d, [rsi]
        mov r9d, [rsi + rdx - 4]
        mov [rdi], r8d
        mov [rdi + rdx - 4], r9d
        jmp 9f
    7:  test edx, edx
        jz 9f
        mov r8b, [rsi]
        mov r9b, [rsi + rdx - 1]
        shr edx
        mov r10b, [rsi + rdx]
        mov [rdi + rdx], r10b
        adc edx, edx
        mov [rdi], r8b
        mov [rdi + rdx - 1], r9b
    9:
        "
    };
}
pub(crate) use copy;

/// memcpy(3).
///
/// # Safety
/// As of that.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!("mov rax, rdi", copy!(), "ret")
}

/// memset(3).
///
/// # Safety
/// As of that.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, byte: c_int, len: usize) -> *mut u8 {
    naked_asm!(
        "
        mov r9, rdi
        movzx esi, sil
        mov rax, 0x0101010101010101
        imul rax, rsi
        cmp rdx, 16
        jb 5f
        mov rcx, rdx
        cmp rdx, 512
        jae 4f
        sub rcx, 32
        jb 2f
    1:  mov [rdi], rax
        mov [rdi + 8], rax
        mov [rdi + 16], rax
        mov [rdi + 24], rax
        add rdi, 32
        sub rcx, 32
        jae 1b
    2:  add rcx, 32
        jz 9f
        cmp rcx, 16
        jbe 3f
        mov [rdi], rax
        mov [rdi + 8], rax
        # The last of them, some perhaps again.
    3:  mov [rdi + rcx - 16], rax
        mov [rdi + rcx - 8], rax
        jmp 9f
    4:  shr rcx, 3
        rep stosq
        and edx, 7
        mov [rdi + rdx - 8], rax
        jmp 9f
    5:  test dl, 8
        jz 6f
        mov [rdi], rax
        mov [rdi + rdx - 8], rax
        jmp 9f
    6:  test dl, 4
        jz 7f
        mov [rdi], eax
        mov [rdi + rdx - 4], eax
        jmp 9f
    7:  test edx, edx
        jz 9f
        mov [rdi], al
        mov [rdi + rdx - 1], al
        shr edx
        mov [rdi + rdx], al
    9:  mov rax, r9
        ret
        "
    )
}

/// memmove(3).
///
/// # Safety
/// As of that.
#[cfg_attr(feature = "image", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    let above = to.addr().wrapping_sub(from.addr());
    if above >= len && above.wrapping_neg() >= len {
        // SAFETY: by contract, and they do not overlap.
        return unsafe { memcpy(to, from, len) };
    }
    if above >= len {
        // SAFETY: by contract; going upwards reads each byte before it is written over.
        unsafe {
            asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                 options(nostack, preserves_flags));
        }
        return to;
    }
    // SAFETY: by contract, and downwards because the target overlaps from above. The
    // pointers are those of the last bytes; len is not 0 here.
    unsafe {
        asm!("std", "rep movsb", "cld",
             inout("rcx") len => _,
             inout("rdi") to.wrapping_add(len).wrapping_sub(1) => _,
             inout("rsi") from.wrapping_add(len).wrapping_sub(1) => _,
             options(nostack));
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn numbered(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8 ^ 0x5a).collect()
    }

    /// Every length with each alignment; bytes before and behind stay.
    #[test]
    fn copies_so_many() {
        let from = numbered(700);
        for len in 0..600 {
            for shift in 0..9 {
                let mut to = [0xee; 700];
                let mut right = to;
                right[shift..shift + len].copy_from_slice(&from[8 - shift..8 - shift + len]);
                // SAFETY: both are long enough.
                unsafe {
                    memcpy(
                        to.as_mut_ptr().add(shift),
                        from.as_ptr().add(8 - shift),
                        len,
                    )
                };
                assert_eq!(to, right, "{len} bytes, {shift}");
            }
        }
    }

    #[test]
    fn fills_so_many() {
        for len in 0..600 {
            for shift in 0..9 {
                let mut to = [0xee; 700];
                let mut right = to;
                right[shift..shift + len].fill(0x81);
                // SAFETY: it is long enough. Only the low byte counts.
                unsafe { memset(to.as_mut_ptr().add(shift), 0x7f81, len) };
                assert_eq!(to, right, "{len} bytes, {shift}");
            }
        }
    }

    #[test]
    fn moves_what_overlaps() {
        for len in 0..100 {
            for (to, from) in [(0, 0), (0, 1), (1, 0), (0, 17), (17, 0), (0, 64), (64, 0)] {
                let mut bytes = numbered(200);
                let mut right = bytes.clone();
                right.copy_within(from..from + len, to);
                let start = bytes.as_mut_ptr();
                // SAFETY: all of them are in it.
                unsafe { memmove(start.add(to), start.add(from), len) };
                assert_eq!(bytes, right, "{len} bytes from {from} to {to}");
            }
        }
    }
}
