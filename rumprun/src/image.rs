//! What a program without a standard library needs: the panic handler, the allocator, and
//! the functions that the compiler calls, beside those of [`bytes`](crate::bytes).
//!
//! `cargo rumprun` makes all of these local to the kernel's object, so that they do not
//! meet the program's own.

use crate::{console, exit, memory};
use core::arch::asm;
use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;

#[global_allocator]
static HEAP: memory::heap::Heap = memory::heap::Heap;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::last_words(format_args!("panic of the kernel: {info}"));
    let (rip, frame): (u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rbp", out(reg) rip, out(reg) frame, options(nomem, nostack));
    }
    console::backtrace(rip, frame);
    exit::failed()
}

/// Is named by the precompiled `core`; nothing unwinds in the kernel.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    exit::failed()
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit::failed()
}

/// memcmp(3). Words first: a loop over bytes would be turned into a call of itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
    let mut at = 0;
    while at + 8 <= len {
        // SAFETY: both have that many bytes, by contract.
        let (x, y) = unsafe {
            (
                a.add(at).cast::<u64>().read_unaligned(),
                b.add(at).cast::<u64>().read_unaligned(),
            )
        };
        if x != y {
            return if x.swap_bytes() < y.swap_bytes() {
                -1
            } else {
                1
            };
        }
        at += 8;
    }
    while at < len {
        // SAFETY: as above. Volatile, so that the loop stays one.
        let (x, y) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if x != y {
            return c_int::from(x) - c_int::from(y);
        }
        at += 1;
    }
    0
}

/// bcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, len) }
}

/// strlen(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut len = 0;
    // SAFETY: by contract there is a NUL. Volatile, so that the loop stays one.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
