//! Calls of the kernel's to the program of an image: for back ends that the program has.
//!
//! A thread of the program waits in [`serve`] for one, does it, and comes back with the
//! result. With other kernels there are none: they call such functions themselves.

use core::ffi::c_void;
use core::ptr::null_mut;

/// A call, as kernel and program tell each other of it.
#[repr(C)]
#[derive(Debug)]
pub struct Upcall {
    /// The kernel's; null at first.
    pub of_kernel: *mut c_void,
    /// The program's function, which C would call with these arguments.
    pub function: usize,
    /// Its arguments, as registers have them.
    pub arguments: [u64; 6],
    /// What it returned.
    pub result: u64,
    /// Not 0: no other thread waits, so that another should be started before this is done.
    pub last: u32,
}

impl Upcall {
    /// None yet.
    pub const NONE: Self = Self {
        of_kernel: null_mut(),
        function: 0,
        arguments: [0; 6],
        result: 0,
        last: 0,
    };
}

#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    #[link_name = crate::gate::image_name!(serve)]
    fn image_serve(upcall: *mut Upcall);
}

/// Tells the result of the call before, if there was one, and waits for the next. False if the
/// kernel makes no such calls.
///
/// # Safety
/// It is [`Upcall::NONE`] at first, and then what this wrote, with a result.
pub unsafe fn serve(upcall: &mut Upcall) -> bool {
    #[cfg(rump_kernel = "image")]
    // SAFETY: by contract.
    unsafe {
        image_serve(upcall);
    }
    #[cfg(not(rump_kernel = "image"))]
    let _ = upcall;
    cfg!(rump_kernel = "image")
}
