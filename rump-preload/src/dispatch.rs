//! System calls that the program makes by instructions of its own, and not by a function of
//! the C library: Linux hands them over by `SIGSYS`.
//!
//! This is Syscall User Dispatch (`PR_SET_SYSCALL_USER_DISPATCH` of prctl(2), Linux 5.11): a
//! thread has one range of addresses whose calls go on, which is the C library's code, and a
//! byte that says whether others do. It is on for the program's threads, and off for the
//! kernel's. On a Linux without it such calls are Linux's.
#![allow(unsafe_code)]
// Numbers of calls in patterns.
#![allow(non_upper_case_globals)]

use crate::answer::linuxs;
use crate::symbols;
use libc::{REG_R8, REG_R9, REG_R10, REG_RAX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, SIGSYS};
use libc::{c_int, c_void, dl_phdr_info, siginfo_t, ucontext_t};
use rump_linux::raw::general::*;
use std::cell::Cell;
use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;

/// `<linux/prctl.h>`
const SET: c_int = 59;
const ON: usize = 1;
/// The states of the byte.
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;
/// `SYS_USER_DISPATCH` of `<asm/siginfo.h>`
const CODE: c_int = 2;
/// The length of the instruction.
const SYSCALL: i64 = 2;

/// The C library's code; nothing where calls are not handed over.
static CODE_OF_LIBC: OnceLock<Option<Range<usize>>> = OnceLock::new();

thread_local! {
    static SELECTOR: Cell<u8> = const { Cell::new(ALLOW) };
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// When the library is loaded, before the program's own code.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let functions_only = std::env::var_os(rump_run::FUNCTIONS_ONLY).is_some();
    let code = (!functions_only).then(|| code_of(c"syscall")).flatten();
    let found = code.is_some();
    if CODE_OF_LIBC.set(code).is_err() || !found {
        return;
    }
    crate::signals::start_dispatching();
    arm();
    // SAFETY: a function that takes nothing.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// A child of fork(2) is not armed.
extern "C" fn in_child() {
    if ARMED.get() {
        arm();
    }
}

/// Whether calls may be handed over, so that `SIGSYS` must not be blocked.
pub(crate) fn is_on() -> bool {
    CODE_OF_LIBC.get().is_some_and(Option::is_some)
}

/// Has this thread's calls handed over.
pub(crate) fn arm() {
    let Some(Some(code)) = CODE_OF_LIBC.get() else {
        return;
    };
    let selector = SELECTOR.with(Cell::as_ptr);
    // SAFETY: the byte lives as long as the thread makes calls from elsewhere than the range.
    let result = unsafe { libc::prctl(SET, ON, code.start, code.len(), selector) };
    ARMED.set(result == 0);
    again();
}

/// Calls from elsewhere are handed over again, if they were.
pub(crate) fn again() {
    SELECTOR.set(if ARMED.get() { BLOCK } else { ALLOW });
}

/// Lets this library's own calls pass until the value is dropped.
pub(crate) struct Passing(u8);

impl Passing {
    pub(crate) fn begin() -> Self {
        Self(SELECTOR.replace(ALLOW))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        SELECTOR.set(self.0);
    }
}

/// While this lives the program's own code runs, whatever was interrupted by it.
pub(crate) struct Program(u8);

impl Program {
    pub(crate) fn begin() -> Self {
        let before = SELECTOR.get();
        again();
        Self(before)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        SELECTOR.set(self.0);
    }
}

/// Answers a call that was handed over; `false` if the signal is about something else.
pub(crate) fn answer(info: &siginfo_t, context: &mut ucontext_t) -> bool {
    if info.si_code != CODE {
        return false;
    }
    // SAFETY: the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    let registers = &mut context.uc_mcontext.gregs;
    let number = registers[REG_RAX as usize] as u32;
    let arguments = [REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9]
        .map(|register| registers[register as usize] as u64);
    match number {
        // These are about the thread's stack, which is this handler's now: the instruction is
        // run again, and passes. So do all that follow until the program calls the kernel.
        __NR_clone | __NR_clone3 | __NR_fork | __NR_vfork | __NR_rt_sigreturn
        | __NR_sigaltstack => {
            SELECTOR.set(ALLOW);
            registers[REG_RIP as usize] -= SYSCALL;
        }
        _ => {
            registers[REG_RAX as usize] = symbols::call(number, arguments);
            if number == __NR_rt_sigprocmask {
                keep_mask(context);
            }
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    true
}

/// The mask that was set is not to go with the handler.
fn keep_mask(context: &mut ucontext_t) {
    let mask = &raw mut context.uc_sigmask;
    let arguments = [0, 0, mask.expose_provenance() as u64, 8, 0, 0];
    linuxs(__NR_rt_sigprocmask, arguments);
    // SAFETY: a set that lives.
    unsafe { libc::sigdelset(mask, SIGSYS) };
}

struct Search {
    address: usize,
    found: Option<Range<usize>>,
}

/// The part of memory that the code of a library's is in, by a function of it.
fn code_of(function: &CStr) -> Option<Range<usize>> {
    // SAFETY: the name ends with a null byte.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, function.as_ptr()) } as usize;
    let mut search = Search {
        address,
        found: None,
    };
    // SAFETY: the function takes what is handed on.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

unsafe extern "C" fn look(info: *mut dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: what dl_iterate_phdr(3) hands over, and `code_of` handed on.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    // SAFETY: so many are there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let code = headers.iter().find_map(|header| {
        let start = info.dlpi_addr as usize + header.p_vaddr as usize;
        let range = start..start + header.p_memsz as usize;
        let runs = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0;
        (runs && range.contains(&search.address)).then_some(range)
    });
    search.found = code;
    search.found.is_some().into()
}
