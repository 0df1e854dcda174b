//! Calls of the kernel's to this program.
//!
//! In a Linux process they are calls of functions, made on a thread that holds a virtual CPU.
//! The kernel of an image does not call the program's functions itself: threads of the program
//! ask it for calls and make them, without a virtual CPU.
#![allow(unsafe_code)]

use rump_sys::hyper::linux::LinuxHost;
use rump_sys::hyper::upcall;
use rump_sys::kernel::{KIND, Kind};
use rump_sys::upcalls::{self, Upcall};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs what may block, in a call of the kernel's: without the virtual CPU.
pub(crate) fn wrap<R>(blocking: impl FnOnce() -> R) -> R {
    match KIND {
        Kind::Image => blocking(),
        _ => upcall::wrap::<LinuxHost, R>(blocking),
    }
}

/// Sees to it that the kernel can call this program.
pub(crate) fn ready() -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    if KIND != Kind::Image {
        return Ok(());
    }
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        start()?;
        *started = true;
    }
    Ok(())
}

fn start() -> io::Result<()> {
    let thread = thread::Builder::new().name("rump-upcall".into());
    thread.spawn(serve).map(|_| ())
}

/// Makes calls of the kernel's until the end of the program.
fn serve() {
    type Function = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64) -> u64;
    // No call of the kernel's here: whoever waits for this thread may hold what it would want.
    let mut upcall = Upcall::NONE;
    // SAFETY: it is this thread's, and is as the call before left it.
    while unsafe { upcalls::serve(&mut upcall) } {
        if upcall.last != 0
            && let Err(error) = start()
        {
            tracing::warn!(%error, "no further thread for the kernel's calls");
        }
        let [a, b, c, d, e, f] = upcall.arguments;
        // SAFETY: the kernel passes a function that it was given by a table of this crate's, with
        // the arguments of its type; C's integers and pointers are in registers, and further
        // ones are not looked at.
        upcall.result = unsafe {
            let function: Function = std::mem::transmute(upcall.function);
            function(a, b, c, d, e, f)
        };
    }
}
