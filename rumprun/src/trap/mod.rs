//! Exceptions, interrupts and system calls.
//!
//! # How they come in
//!
//! Whatever interrupts may interrupt code that keeps data below its stack pointer. So each
//! vector has a stack of its own (IST), on which the registers are saved as a [`Frame`] and
//! a handler runs with interrupts off. That stack is for one at a time. What takes longer,
//! sleeps, or switches to another thread goes on on the kernel stack of the thread: the
//! frame is copied there, 128 bytes below what is in use or at the top if the program was
//! interrupted, and returned to from there ([`Next::OnThread`]).
//!
//! A system call comes in by `syscall`, which switches no stack and, in ring 0, to ring 0.
//! Its entry goes to the kernel stack before it writes anything, and makes the same frame.
//!
//! # Calls of the program
//!
//! The calls that a program makes most are functions of this kernel, where its C library has them
//! otherwise (`direct.rs`): they jump to where system calls come in.
//!
//! A program that has the crate `rump` in it calls the kernel's functions as functions: a gate
//! takes it to its kernel stack, which a call that sleeps or is interrupted leaves the frame
//! on as a system call does, and back. What the kernel wants of the thread is the same, so
//! that the thread has one lwp for both. A signal that comes meanwhile is handled at the
//! thread's next system call.
//!
//! # What is saved
//!
//! General registers, flags, and xmm0 to xmm15: the kernel is compiled with SSE2. It uses
//! nothing beyond.

#[cfg(feature = "image")]
mod direct;
mod entry;
mod exception;
mod frame;
pub mod interrupt;
pub mod line;
mod syscall;

pub(crate) use entry::{entry_of, resume_copied};
pub(crate) use exception::name;
pub use frame::Frame;
pub(crate) use syscall::set_up as set_up_calls;

/// How to go on after a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Back to what was interrupted.
    Return,
    /// On the kernel stack of the interrupted thread, with interrupts as the function turns
    /// them. When it returns, the frame that it was given is returned to.
    OnThread(extern "C" fn(&mut Frame)),
}

/// Every vector of a CPU arrives here, on the stack of the vector.
///
/// Returns where the frame is now, and what to call with it, if anything.
extern "C" fn arrive(frame: &mut Frame) -> Arrived {
    let next = if frame.vector < 32 {
        exception::handle(frame)
    } else {
        interrupt::handle(frame.vector as u8)
    };
    match next {
        Next::Return => Arrived { frame, call: None },
        Next::OnThread(call) => Arrived {
            frame: frame.move_to_thread(),
            call: Some(call),
        },
    }
}

/// What [`arrive`] tells the assembly, in rax and rdx.
#[repr(C)]
struct Arrived {
    frame: *mut Frame,
    call: Option<extern "C" fn(&mut Frame)>,
}
