//! `execve(2)` by a client of a kernel elsewhere: the program that takes its place gets the
//! sockets that are not closed then.
//!
//! Its process in the kernel is a copy of this one ([`rump::remote::Successor`]). Placeholders
//! that Linux leaves open show under which numbers it has which socket, however they came
//! there (`posix_spawn(3)`'s actions, `dup2(2)`): they are known by their inodes.
#![allow(unsafe_code)]

use crate::answer::linuxs;
use crate::inside::{Inside, is_inside};
use crate::kernel;
use crate::next::Next;
use libc::{c_char, c_int, pid_t};
use rump::remote::Successor;
use rump_linux::inherit::to_text;
use rump_linux::raw::general::{__NR_execve, __NR_fcntl, F_SETFD};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;

/// Strings, and a null pointer at the end.
type Strings = *const *const c_char;

/// The variable in which a program is told what it gets: the number of its process in the
/// kernel, the inodes of placeholders, and what they stand for in the same order.
pub(crate) const VARIABLE: &str = "RUMP_RUN_INHERITED";

/// What a program is told that loads this library, so that one that is started without
/// variables does.
const NEEDED: [&str; 3] = ["LD_PRELOAD", rump_run::VARIABLE, rump_run::FUNCTIONS_ONLY];

/// What a program is to be started with.
struct Ready {
    successor: Successor,
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

/// The inode of an open file, and whether it is a socket's.
pub(crate) fn inode(fd: c_int) -> Option<(u64, bool)> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: written if it succeeds.
    let status = unsafe {
        if libc::fstat(fd, status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    Some((
        status.st_ino,
        status.st_mode & libc::S_IFMT == libc::S_IFSOCK,
    ))
}

/// Has a placeholder closed at `execve(2)`, or not.
pub(crate) fn close_at_exec(fd: c_int, closes: bool) {
    let arguments = [fd as u64, F_SETFD.into(), closes.into(), 0, 0, 0];
    linuxs(__NR_fcntl, arguments);
}

/// How a program is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In the place of this one.
    Execute,
    /// In a child, which first does with descriptors what only Linux knows.
    Spawn,
}

/// Has the kernel make a process for a program, if there is something for it to get.
fn ready(way: Way, environment: Strings) -> Option<Ready> {
    if is_inside() {
        return None;
    }
    let process = kernel::elsewhere()?;
    let _inside = Inside::enter();
    let heirlooms = process.heirlooms(way == Way::Spawn);
    if heirlooms.is_empty() {
        return None;
    }
    for one in process.heirlooms(false) {
        close_at_exec(one.number, false);
    }
    let mut inodes = String::new();
    for one in &heirlooms {
        let (inode, _) = inode(one.number)?;
        let comma = if inodes.is_empty() { "" } else { "," };
        inodes.push_str(&format!("{comma}{inode}"));
    }
    process.set_close_at_exec(&heirlooms, false);
    let successor = Successor::new();
    process.set_close_at_exec(&heirlooms, true);
    let successor = match successor {
        Ok(successor) => successor,
        Err(error) => {
            eprintln!("rump: a program that is executed gets no sockets: {error}");
            return None;
        }
    };
    let told = format!(
        "{VARIABLE}={} {inodes} {}",
        successor.number(),
        to_text(&heirlooms)
    );
    let mut strings = Vec::from([CString::new(told).ok()?]);
    // SAFETY: the caller's, as of `execve(2)`.
    let given = unsafe { strings_of(environment) };
    let names = |string: &CStr, name: &str| {
        let rest = string.to_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    };
    for name in NEEDED {
        let is_given = given.iter().any(|string| names(string, name));
        if let Some(value) = std::env::var_os(name).filter(|_| !is_given) {
            let string = [name.as_bytes(), b"=", value.as_bytes()].concat();
            strings.extend(CString::new(string));
        }
    }
    let others = given.into_iter().filter(|string| !names(string, VARIABLE));
    strings.extend(others.map(CString::from));
    let pointers = strings.iter().map(|string| string.as_ptr());
    let pointers = pointers.chain([null()]).collect();
    Some(Ready {
        successor,
        _strings: strings,
        pointers,
    })
}

/// # Safety
/// As of `execve(2)`.
unsafe fn strings_of<'a>(start: Strings) -> Vec<&'a CStr> {
    let mut strings = Vec::new();
    if start.is_null() {
        return strings;
    }
    // SAFETY: by contract.
    unsafe {
        while !(*start.add(strings.len())).is_null() {
            strings.push(CStr::from_ptr(*start.add(strings.len())));
        }
    }
    strings
}

/// Starts a program with this environment, or one that says more. It succeeds with 0, if it
/// returns at all.
fn handing_on<R: Default + PartialEq>(
    way: Way,
    environment: Strings,
    start: impl FnOnce(Strings) -> R,
) -> R {
    let Some(ready) = ready(way, environment) else {
        return start(environment);
    };
    let result = start(ready.pointers.as_ptr());
    let _inside = Inside::enter();
    if result == R::default() {
        // It is the new program's.
        std::mem::forget(ready.successor);
        return result;
    }
    // SAFETY: the thread's own, which is to say what `start` said.
    unsafe {
        let errno = *libc::__errno_location();
        drop(ready);
        *libc::__errno_location() = errno;
    }
    result
}

/// The system call.
pub(crate) fn call([path, arguments, environment, ..]: [u64; 6]) -> i64 {
    let environment = std::ptr::with_exposed_provenance(environment as usize);
    handing_on(Way::Execute, environment, |environment| {
        let environment = environment.expose_provenance() as u64;
        linuxs(__NR_execve, [path, arguments, environment, 0, 0, 0])
    })
}

unsafe extern "C" {
    static environ: Strings;
}

/// The program's own.
fn own() -> Strings {
    // SAFETY: the C library's; who changes it meanwhile is at fault as it is without this.
    unsafe { environ }
}

type Execute = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;
type ExecuteOpen = unsafe extern "C" fn(c_int, Strings, Strings) -> c_int;
type Spawn = unsafe extern "C" fn(
    *mut pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    Strings,
    Strings,
) -> c_int;

// SAFETY: their types.
static EXECVE: Next<Execute> = unsafe { Next::new(c"execve") };
// SAFETY: as above.
static EXECVPE: Next<Execute> = unsafe { Next::new(c"execvpe") };
// SAFETY: as above.
static FEXECVE: Next<ExecuteOpen> = unsafe { Next::new(c"fexecve") };
// SAFETY: as above.
static SPAWN: Next<Spawn> = unsafe { Next::new(c"posix_spawn") };
// SAFETY: as above.
static SPAWNP: Next<Spawn> = unsafe { Next::new(c"posix_spawnp") };

/// execve(2)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: *const c_char, arguments: Strings, with: Strings) -> c_int {
    let Some(real) = EXECVE.get() else { return -1 };
    // SAFETY: the caller's.
    handing_on(Way::Execute, with, |with| unsafe {
        real(path, arguments, with)
    })
}

/// execvpe(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(file: *const c_char, arguments: Strings, with: Strings) -> c_int {
    let Some(real) = EXECVPE.get() else { return -1 };
    // SAFETY: the caller's.
    handing_on(Way::Execute, with, |with| unsafe {
        real(file, arguments, with)
    })
}

/// execv(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: by contract.
    unsafe { execve(path, arguments, own()) }
}

/// execvp(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: by contract.
    unsafe { execvpe(file, arguments, own()) }
}

/// fexecve(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Strings, with: Strings) -> c_int {
    let Some(real) = FEXECVE.get() else { return -1 };
    // SAFETY: the caller's.
    handing_on(Way::Execute, with, |with| unsafe {
        real(fd, arguments, with)
    })
}

/// Functions that start a program beside this one.
macro_rules! spawns {
    ($($name:ident $real:ident;)*) => {$(
        /// posix_spawn(3)
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            pid: *mut pid_t,
            path: *const c_char,
            actions: *const libc::posix_spawn_file_actions_t,
            attributes: *const libc::posix_spawnattr_t,
            arguments: Strings,
            with: Strings,
        ) -> c_int {
            let Some(real) = $real.get() else { return libc::ENOSYS };
            // SAFETY: the caller's.
            handing_on(Way::Spawn, with, |with| unsafe {
                real(pid, path, actions, attributes, arguments, with)
            })
        }
    )*};
}

spawns! {
    posix_spawn SPAWN;
    posix_spawnp SPAWNP;
}

/// Functions with their arguments one by one: those in registers are put before those on the
/// stack, which makes strings of all, for a function that takes them so. The address to return
/// to is kept behind.
macro_rules! lists {
    ($($name:ident $takes:ident;)*) => {$(
        /// execl(3)
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char) -> c_int {
            std::arch::naked_asm!(
                "pop rax",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "push rax",
                "call {takes}",
                "pop rcx",
                "add rsp, 40",
                "push rcx",
                "ret",
                takes = sym $takes,
            )
        }
    )*};
}

lists! {
    execl execv;
    execlp execvp;
    execle execv_with;
}

/// # Safety
/// As of execle(3), whose environment comes behind the null pointer.
unsafe extern "C" fn execv_with(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: by contract.
    unsafe {
        let count = strings_of(arguments).len();
        execve(path, arguments, (*arguments.add(count + 1)).cast())
    }
}
