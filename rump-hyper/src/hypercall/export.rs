//! The table of symbols.

/// Defines the C symbols of rumpuser(3) for a host. Call it once in a program,
/// in a crate that allows `unsafe_code`.
///
/// `rumpuser_dprintf` is variadic, which Rust cannot define: the host brings a
/// C function of that name that formats and calls `rump_hyper_console_text`.
#[macro_export]
macro_rules! export_hypercalls {
    ($host:ty) => {
        $crate::__define_hypercalls! { $host;
            rumpuser_init = init(version: i32, up: *const $crate::abi::Hyperup) -> i32;
            rumpuser_malloc = malloc(size: usize, align: i32, out: *mut *mut c_void) -> i32;
            rumpuser_free = free(memory: *mut c_void, size: usize);
            rumpuser_anonmmap = anonmmap(hint: *mut c_void, size: usize, align: i32, exec: i32, out: *mut *mut c_void) -> i32;
            rumpuser_unmap = unmap(start: *mut c_void, size: usize);
            rumpuser_open = open(path: *const c_char, flags: i32, fd: *mut i32) -> i32;
            rumpuser_close = close(fd: i32) -> i32;
            rumpuser_getfileinfo = getfileinfo(path: *const c_char, size: *mut u64, kind: *mut i32) -> i32;
            rumpuser_bio = bio(fd: i32, op: i32, data: *mut c_void, len: usize, offset: i64, done: $crate::abi::BioDone, arg: *mut c_void);
            rumpuser_iovread = iovread(fd: i32, iov: *const $crate::abi::Iovec, count: usize, offset: i64, moved: *mut usize) -> i32;
            rumpuser_iovwrite = iovwrite(fd: i32, iov: *const $crate::abi::Iovec, count: usize, offset: i64, moved: *mut usize) -> i32;
            rumpuser_syncfd = syncfd(fd: i32, flags: i32, start: u64, len: u64) -> i32;
            rumpuser_clock_gettime = clock_gettime(clock: i32, seconds: *mut i64, nanoseconds: *mut c_long) -> i32;
            rumpuser_clock_sleep = clock_sleep(clock: i32, seconds: i64, nanoseconds: c_long) -> i32;
            rumpuser_getparam = getparam(name: *const c_char, buf: *mut c_void, len: usize) -> i32;
            rumpuser_seterrno = seterrno(errno: i32);
            rump_hyper_errno = errno() -> i32;
            rumpuser_kill = kill(pid: i64, signal: i32) -> i32;
            rumpuser_exit = exit(status: i32) -> !;
            rumpuser_putchar = putchar(character: i32);
            rump_hyper_console_text = console_text(text: *const c_char, len: usize);
            rumpuser_getrandom = getrandom(buf: *mut c_void, len: usize, flags: i32, got: *mut usize) -> i32;
            rumpuser_thread_create = thread_create(main: $crate::abi::ThreadMain, arg: *mut c_void, name: *const c_char, joinable: i32, priority: i32, cpu: i32, cookie: *mut *mut c_void) -> i32;
            rumpuser_thread_join = thread_join(cookie: *mut c_void) -> i32;
            rumpuser_curlwpop = curlwpop(op: i32, lwp: *mut $crate::abi::Lwp);
            rumpuser_curlwp = curlwp() -> *mut $crate::abi::Lwp;
            rumpuser_mutex_init = mutex_init(out: *mut *mut $crate::sync::Mutex, flags: i32);
            rumpuser_mutex_enter = mutex_enter(mutex: *const $crate::sync::Mutex);
            rumpuser_mutex_enter_nowrap = mutex_enter_nowrap(mutex: *const $crate::sync::Mutex);
            rumpuser_mutex_tryenter = mutex_tryenter(mutex: *const $crate::sync::Mutex) -> i32;
            rumpuser_mutex_exit = mutex_exit(mutex: *const $crate::sync::Mutex);
            rumpuser_mutex_destroy = mutex_destroy(mutex: *mut $crate::sync::Mutex);
            rumpuser_mutex_owner = mutex_owner(mutex: *const $crate::sync::Mutex, owner: *mut *mut $crate::abi::Lwp);
            rumpuser_mutex_spin_p = mutex_spin_p(mutex: *const $crate::sync::Mutex) -> i32;
            rumpuser_rw_init = rw_init(out: *mut *mut $crate::sync::RwLock);
            rumpuser_rw_enter = rw_enter(which: i32, lock: *const $crate::sync::RwLock);
            rumpuser_rw_tryenter = rw_tryenter(which: i32, lock: *const $crate::sync::RwLock) -> i32;
            rumpuser_rw_tryupgrade = rw_tryupgrade(lock: *const $crate::sync::RwLock) -> i32;
            rumpuser_rw_downgrade = rw_downgrade(lock: *const $crate::sync::RwLock);
            rumpuser_rw_exit = rw_exit(lock: *const $crate::sync::RwLock);
            rumpuser_rw_destroy = rw_destroy(lock: *mut $crate::sync::RwLock);
            rumpuser_rw_held = rw_held(which: i32, lock: *const $crate::sync::RwLock, held: *mut i32);
            rumpuser_cv_init = cv_init(out: *mut *mut $crate::sync::Cv);
            rumpuser_cv_destroy = cv_destroy(cv: *mut $crate::sync::Cv);
            rumpuser_cv_wait = cv_wait(cv: *const $crate::sync::Cv, mutex: *const $crate::sync::Mutex);
            rumpuser_cv_wait_nowrap = cv_wait_nowrap(cv: *const $crate::sync::Cv, mutex: *const $crate::sync::Mutex);
            rumpuser_cv_timedwait = cv_timedwait(cv: *const $crate::sync::Cv, mutex: *const $crate::sync::Mutex, seconds: i64, nanoseconds: i64) -> i32;
            rumpuser_cv_signal = cv_signal(cv: *const $crate::sync::Cv);
            rumpuser_cv_broadcast = cv_broadcast(cv: *const $crate::sync::Cv);
            rumpuser_cv_has_waiters = cv_has_waiters(cv: *const $crate::sync::Cv, count: *mut i32);
            rumpuser_dl_bootstrap = dl_bootstrap(modinit: Option<$crate::abi::ModInit>, symload: *const c_void, compload: *const c_void);
            rumpuser_daemonize_begin = daemonize_begin() -> i32;
            rumpuser_daemonize_done = daemonize_done(error: i32) -> i32;
            rumpuser_component_unschedule = component_unschedule() -> *mut c_void;
            rumpuser_component_schedule = component_schedule(cookie: *mut c_void);
            rumpuser_component_kthread = component_kthread();
            rumpuser_component_curlwp = component_curlwp() -> *mut $crate::abi::Lwp;
            rumpuser_component_switchlwp = component_switchlwp(lwp: *mut $crate::abi::Lwp);
            rumpuser_component_kthread_release = component_kthread_release();
            rumpuser_component_errtrans = component_errtrans(host: i32) -> i32;
            rumpuser_sp_init = sp_init(url: *const c_char, os: *const c_char, release: *const c_char, machine: *const c_char) -> i32;
            rumpuser_sp_copyin = sp_copy(client: *mut c_void, from: *const c_void, to: *mut c_void, len: usize) -> i32;
            rumpuser_sp_copyout = sp_copy(client: *mut c_void, from: *const c_void, to: *mut c_void, len: usize) -> i32;
            rumpuser_sp_copyinstr = sp_copystr(client: *mut c_void, from: *const c_void, to: *mut c_void, len: *mut usize) -> i32;
            rumpuser_sp_copyoutstr = sp_copystr(client: *mut c_void, from: *const c_void, to: *mut c_void, len: *mut usize) -> i32;
            rumpuser_sp_anonmmap = sp_anonmmap(client: *mut c_void, size: usize, out: *mut *mut c_void) -> i32;
            rumpuser_sp_raise = sp_raise(client: *mut c_void, signal: i32) -> i32;
            rumpuser_sp_fini = sp_fini(client: *mut c_void);
        }

        /// `rumpuser_thread_exit`, which may unwind the thread's C frames.
        ///
        /// # Safety
        /// Only for the kernel.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn rumpuser_thread_exit() -> ! {
            // SAFETY: called by the kernel on a thread of its own.
            unsafe { $crate::hypercall::thread_exit::<$host>() }
        }
    };
}

/// Defines the C symbols that the kernel's PCI asks for, for a host that is a
/// [`PciHost`](crate::pci::PciHost). Call it once in a program, in a crate that allows
/// `unsafe_code`, in a module of its own.
#[macro_export]
macro_rules! export_pci_hypercalls {
    ($host:ty) => {
        use ::core::ffi::{c_int, c_uint, c_ulong};
        $crate::__define_hypercalls! { $host;
            rumpcomp_pci_map = pci_map(address: c_ulong, len: c_ulong) -> *mut c_void;
            rumpcomp_pci_confread = pci_confread(bus: c_uint, device: c_uint, function: c_uint, offset: c_int, value: *mut c_uint) -> c_int;
            rumpcomp_pci_confwrite = pci_confwrite(bus: c_uint, device: c_uint, function: c_uint, offset: c_int, value: c_uint) -> c_int;
            rumpcomp_pci_irq_map = pci_irq_map(bus: c_uint, device: c_uint, function: c_uint, line: c_int, cookie: c_uint) -> c_int;
            rumpcomp_pci_irq_establish = pci_irq_establish(cookie: c_uint, handler: $crate::pci::interrupt::Handler, arg: *mut c_void) -> *mut c_void;
            rumpcomp_pci_dmalloc = pci_dmalloc(size: usize, align: usize, bus: *mut c_ulong, address: *mut c_ulong) -> c_int;
            rumpcomp_pci_dmafree = pci_dmafree(address: c_ulong, size: usize);
            rumpcomp_pci_dmamem_map = pci_dmamem_map(segments: *const $crate::hypercall::DmaSegment, count: usize, size: usize, out: *mut *mut c_void) -> c_int;
            rumpcomp_pci_virt_to_mach = pci_virt_to_mach(address: *mut c_void) -> c_ulong;
            rumpcomp_pci_iospace_init = pci_iospace_init() -> c_int;
            rumpcomp_pci_access_map = pci_access_map(io: c_int, address: c_ulong, len: c_ulong, handle: *mut c_ulong) -> c_int;
            rumpcomp_pci_access_read = pci_access_read(handle: c_ulong, width: c_uint) -> c_uint;
            rumpcomp_pci_access_write = pci_access_write(handle: c_ulong, width: c_uint, value: c_uint);
            rumpcomp_pci_is_gone = pci_is_gone(handle: c_ulong, start: *mut c_ulong, len: *mut c_ulong) -> c_int;
            rumpcomp_pci_irq_alloc = pci_irq_alloc(bus: c_uint, device: c_uint, function: c_uint, kind: c_int, count: c_int, cookie: c_uint) -> c_int;
            rumpcomp_pci_irq_release = pci_irq_release(bus: c_uint, device: c_uint, function: c_uint, count: c_int, cookie: c_uint);
            rumpcomp_pci_irq_disestablish = pci_irq_disestablish(established: *mut c_void);
            rumpcomp_pci_dma_window = pci_dma_window(start: *mut c_ulong, len: *mut c_ulong, offset: *mut c_ulong);
        }
    };
}

/// Inner part of [`export_hypercalls!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __define_hypercalls {
    ($host:ty; $($symbol:ident = $function:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        #[allow(unused_imports)]
        use ::core::ffi::{c_char, c_long, c_void};
        $(
            /// A hypercall, see rumpuser(3). A Rust panic in it ends the
            /// program with a message: it cannot unwind into the kernel.
            ///
            /// # Safety
            /// Only for the kernel, as rumpuser(3) says.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $symbol($($arg: $type),*) $(-> $result)? {
                // SAFETY: the kernel keeps the contract of rumpuser(3).
                unsafe { $crate::hypercall::$function::<$host>($($arg),*) }
            }
        )*
    };
}
