//! Numbers and layouts of the hypercall interface, version 17.
//!
//! Source: rumpuser(3) and `sys/rump/include/rump/rumpuser.h`. NetBSD's errno
//! numbers are those of `sys/sys/errno.h`; they are what every hypercall
//! returns, whatever the host's numbers are.

use core::ffi::{c_char, c_int, c_long, c_void};

/// The only version of the interface there has been since 2013.
pub const VERSION: c_int = 17;

/// A thread of the kernel. Opaque: the hypervisor only compares addresses.
#[repr(C)]
pub struct Lwp {
    _opaque: [u8; 0],
}

/// `struct rumpuser_hyperup`: how the hypervisor calls the kernel.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Hyperup {
    /// Gives the calling thread an lwp and a virtual CPU.
    pub schedule: Option<unsafe extern "C" fn()>,
    /// Takes both back.
    pub unschedule: Option<unsafe extern "C" fn()>,
    /// Releases the big lock and the virtual CPU: (how many locks, where to
    /// store how many were held, interlock).
    pub backend_unschedule: Option<unsafe extern "C" fn(c_int, *mut c_int, *mut c_void)>,
    /// Takes the virtual CPU and that many big locks: (count, interlock).
    pub backend_schedule: Option<unsafe extern "C" fn(c_int, *mut c_void)>,
    /// Switches to an lwp.
    pub lwproc_switch: Option<unsafe extern "C" fn(*mut Lwp)>,
    /// Releases the current lwp.
    pub lwproc_release: Option<unsafe extern "C" fn()>,
    /// Makes a process for a remote client.
    pub lwproc_rfork: Option<unsafe extern "C" fn(*mut c_void, c_int, *const c_char) -> c_int>,
    /// Makes an lwp in a process and switches to it.
    pub lwproc_newlwp: Option<unsafe extern "C" fn(c_int) -> c_int>,
    /// The current lwp.
    pub lwproc_curlwp: Option<unsafe extern "C" fn() -> *mut Lwp>,
    /// Runs a system call for a remote client.
    pub syscall: Option<unsafe extern "C" fn(c_int, *mut c_void, *mut c_long) -> c_int>,
    /// A remote client's process exits.
    pub lwpexit: Option<unsafe extern "C" fn()>,
    /// A remote client has called exec.
    pub execnotify: Option<unsafe extern "C" fn(*const c_char)>,
    /// The current process.
    pub getpid: Option<unsafe extern "C" fn() -> c_int>,
    /// Room for more.
    pub extra: [usize; 8],
}

/// `struct rumpuser_iovec`; the same as a POSIX iovec.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Iovec {
    /// Start of the buffer.
    pub base: *mut c_void,
    /// Its length in bytes.
    pub len: usize,
}

/// Completion routine of [`rumpuser_bio`](crate::bio): argument, bytes, errno.
pub type BioDone = unsafe extern "C" fn(*mut c_void, usize, c_int);

/// What a host thread runs. It may end by `rumpuser_thread_exit`, which some
/// hosts implement by unwinding.
pub type ThreadMain = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// Hands the kernel a table of modules: start, count.
pub type ModInit = unsafe extern "C" fn(*const *const c_void, usize);

/// `RUMPUSER_MTX_*`.
pub mod mtx {
    /// Whoever waits keeps its virtual CPU.
    pub const SPIN: u32 = 1;
    /// A kernel mutex: the owning lwp is recorded.
    pub const KMUTEX: u32 = 2;
}

/// `enum rumprwlock`.
pub mod rw {
    use core::ffi::c_int;
    /// Shared.
    pub const READER: c_int = 0;
    /// Exclusive.
    pub const WRITER: c_int = 1;
}

/// `enum rumplwpop`.
pub mod lwp_op {
    use core::ffi::c_int;
    /// The lwp exists from now on.
    pub const CREATE: c_int = 0;
    /// The lwp is gone.
    pub const DESTROY: c_int = 1;
    /// It is the calling thread's.
    pub const SET: c_int = 2;
    /// It no longer is.
    pub const CLEAR: c_int = 3;
}

/// `enum rumpclock`.
pub mod clock {
    use core::ffi::c_int;
    /// Wall-clock time; sleeps are relative.
    pub const RELWALL: c_int = 0;
    /// Monotonic time; sleeps are until an absolute time.
    pub const ABSMONO: c_int = 1;
}

/// `RUMPUSER_OPEN_*`.
pub mod open {
    use core::ffi::c_int;
    /// Write only.
    pub const WRONLY: c_int = 1;
    /// Read and write.
    pub const RDWR: c_int = 2;
    /// The bits of the access mode.
    pub const ACCMODE: c_int = 3;
    /// Create if absent.
    pub const CREATE: c_int = 4;
    /// Fail if present.
    pub const EXCL: c_int = 8;
}

/// `RUMPUSER_BIO_*`.
pub mod bio {
    use core::ffi::c_int;
    /// Read from the file.
    pub const READ: c_int = 1;
    /// On stable storage before completion.
    pub const SYNC: c_int = 4;
}

/// `RUMPUSER_SYNCFD_*`.
pub mod syncfd {
    use core::ffi::c_int;
    /// Reads.
    pub const READ: c_int = 1;
    /// Writes.
    pub const WRITE: c_int = 2;
}

/// `RUMPUSER_RANDOM_NOWAIT`.
pub const RANDOM_NOWAIT: c_int = 2;

/// `RUMPUSER_IOV_NOSEEK`.
pub const IOV_NOSEEK: i64 = -1;

/// `RUMPUSER_PANIC`.
pub const EXIT_PANIC: c_int = -1;

/// `RUMPUSER_PARAM_NCPU`.
pub const PARAM_NCPU: &str = "_RUMPUSER_NCPU";

/// `RUMPUSER_PARAM_HOSTNAME`.
pub const PARAM_HOSTNAME: &str = "_RUMPUSER_HOSTNAME";
