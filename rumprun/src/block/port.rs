//! A disk of the kernel's, and what is behind it. Neither goes away before the machine does.

use super::Backend;
use super::transfer::Transfer;
use crate::host::Machine;
use crate::sched;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use rump_hyper::errno::Errno;
use rump_hyper::upcall;
use rump_sys::vbd::{self, Config, Name, Ops, Vbd, rump_vbd_create, rump_vbd_done};

type Shared = Arc<dyn Backend>;

static OPS: Ops = Ops {
    transfer,
    flush,
    discard,
};

/// # Safety
/// The pointer is one that [`attach`] gave the kernel.
unsafe fn shared<'a>(host: *mut c_void) -> &'a Shared {
    // SAFETY: by contract; it is there for good.
    unsafe { &*host.cast() }
}

unsafe extern "C" fn transfer(
    host: *mut c_void,
    how: u32,
    data: *mut u8,
    len: u64,
    offset: u64,
    io: *mut c_void,
) -> c_int {
    let write = how & vbd::WRITE != 0;
    // SAFETY: the kernel passes what it was given; the memory is the host's until it is told,
    // as `VBD_LATER` says.
    let (backend, transfer) = unsafe {
        let memory = (data, len as usize);
        let transfer = Transfer::new(write, memory, offset, (io, rump_vbd_done_here));
        (shared(host), transfer)
    };
    upcall::wrap::<Machine, _>(|| backend.start(transfer));
    vbd::LATER
}

/// # Safety
/// As for [`rump_vbd_done`].
unsafe fn rump_vbd_done_here(io: *mut c_void, error: c_int) {
    // SAFETY: by contract.
    unsafe { rump_vbd_done(io, error) }
}

fn number(result: Result<(), Errno>) -> c_int {
    result.map_or_else(|errno| errno.0, |()| 0)
}

unsafe extern "C" fn flush(host: *mut c_void) -> c_int {
    // SAFETY: as in `transfer`.
    let backend = unsafe { shared(host) };
    number(upcall::wrap::<Machine, _>(|| backend.flush()))
}

unsafe extern "C" fn discard(host: *mut c_void, offset: u64, len: u64) -> c_int {
    // SAFETY: as in `transfer`.
    let backend = unsafe { shared(host) };
    number(upcall::wrap::<Machine, _>(|| backend.discard(offset, len)))
}

/// Makes a disk of the kernel's with this behind it, and returns its name. The calling thread
/// has an lwp.
///
/// # Errors
/// `ENOSYS` from a kernel that has no such disks; what else the kernel says; `ENOMEM` if there
/// is no memory for a thread.
pub(crate) fn attach(backend: Shared) -> Result<String, Errno> {
    let shape = backend.shape();
    let config = Config {
        version: vbd::VERSION,
        flags: if shape.read_only { vbd::READ_ONLY } else { 0 },
        sectors: shape.sectors,
        sector_size: shape.sector_size,
        pad: 0,
    };
    let (mut made, mut name): (*mut Vbd, Name) = (null_mut(), [0; vbd::NAME_SIZE]);
    let serving = backend.clone();
    let host = Box::into_raw(Box::new(backend)).cast();
    // SAFETY: table and host are there for good; the rest is read and written during the call.
    match unsafe { rump_vbd_create(&OPS, host, &config, &mut made, &mut name) } {
        0 => {}
        errno => return Err(Errno(errno)),
    }
    // SAFETY: the kernel wrote a name with its 0.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy();
    let main = move || {
        crate::kernel::give_lwp();
        serving.serve();
    };
    sched::try_spawn(main, &name, sched::KERNEL).map_err(|_| Errno::NOMEM)?;
    Ok(name.into_owned())
}
