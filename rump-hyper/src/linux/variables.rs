//! The variables that each thread has of its own.
//!
//! The kernel asks for its lwp several times in every system call. A thread local of std's
//! costs a call of the dynamic linker's wherever the code ends up in a shared object, as it
//! does in a preload library. These are reached by their offset from the thread pointer
//! instead (the model *initial-exec* of the ELF TLS ABI), which is two loads there and one
//! in a program, where the linker knows the offset. Of the room that the C library keeps
//! for shared objects that are loaded by dlopen(3), they take 24 bytes.
#![allow(unsafe_code)]

use crate::abi::Lwp;
use core::cell::Cell;
use core::ffi::{c_int, c_void};

/// All zero when a thread begins.
#[repr(C)]
pub(super) struct Variables {
    /// What `rumpuser_curlwp` answers.
    pub(super) curlwp: Cell<*mut Lwp>,
    /// `Host::slot`.
    pub(super) slot: Cell<*mut c_void>,
    /// NetBSD's errno of the last system call.
    pub(super) errno: Cell<c_int>,
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod place {
    use super::Variables;
    use core::arch::{asm, global_asm};

    const _: () = assert!(size_of::<Variables>() == 24 && align_of::<Variables>() == 8);

    global_asm!(
        ".pushsection .tbss.rump_hyper_thread, \"awT\", @nobits",
        ".balign 8",
        ".globl rump_hyper_thread",
        ".hidden rump_hyper_thread",
        ".type rump_hyper_thread, @tls_object",
        ".size rump_hyper_thread, 24",
        "rump_hyper_thread:",
        ".zero 24",
        ".popsection",
    );

    /// Those of the calling thread.
    #[inline]
    pub(super) fn variables() -> *const Variables {
        let place;
        // SAFETY: the first word at the thread pointer is the thread pointer itself (x86-64
        // psABI, variant II), and the offset is that of the object above.
        unsafe {
            asm!(
                "mov {place}, qword ptr fs:[0]",
                "add {place}, qword ptr [rip + rump_hyper_thread@GOTTPOFF]",
                place = out(reg) place,
                options(pure, nomem, nostack),
            );
        }
        place
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod place {
    use super::Variables;
    use core::cell::Cell;
    use core::ptr::null_mut;

    std::thread_local! {
        static VARIABLES: Variables = const {
            Variables {
                curlwp: Cell::new(null_mut()),
                slot: Cell::new(null_mut()),
                errno: Cell::new(0),
            }
        };
    }

    /// Those of the calling thread.
    pub(super) fn variables() -> *const Variables {
        VARIABLES.with(core::ptr::from_ref)
    }
}

/// Those of the calling thread, which do not outlive it.
#[inline]
pub(super) fn with<R>(read: impl FnOnce(&Variables) -> R) -> R {
    // SAFETY: they live as long as the thread, and are shared with nobody.
    read(unsafe { &*place::variables() })
}
