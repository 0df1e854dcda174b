//! Signals of the program: they interrupt calls that wait in the kernel, and what faults in a
//! guarded copy is not told to it.
//!
//! The library stands in front of `sigaction(2)`: Linux knows a handler of this library,
//! which makes a note for the thread, if it waits, and runs the program's. A thread cannot
//! be woken by a handler of its own, as that makes calls of the kernel; another does it.
#![allow(unsafe_code)]

use crate::dispatch;
use crate::guarded;
use crate::inside::stay;
use crate::next::Next;
use libc::{SA_RESETHAND, SA_RESTART, SA_SIGINFO, SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, SIGSYS};
use libc::{c_int, c_void, sigaction as Action, siginfo_t, sigset_t, ucontext_t};
use rump_linux::wait::Waker;
use std::cell::Cell;
use std::collections::HashMap;
use std::mem::{MaybeUninit, transmute};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SIGNALS: usize = 65;

/// What the program has set for each signal; null is nothing yet. They are never freed: a
/// handler may be looking at one.
static ACTIONS: [AtomicPtr<Action>; SIGNALS] = [const { AtomicPtr::new(null_mut()) }; SIGNALS];

/// Threads that wait, by number.
static WAITING: Mutex<Option<HashMap<i32, Waker>>> = Mutex::new(None);
/// Where handlers write the numbers of their threads to.
static DOORBELL: AtomicI32 = AtomicI32::new(-1);

/// What has come while a thread waited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Nothing,
    /// Only handlers after which calls are made again (`SA_RESTART`).
    Restarting,
    Interrupting,
}

thread_local! {
    static WAITS: Cell<bool> = const { Cell::new(false) };
    static CAME: Cell<Came> = const { Cell::new(Came::Nothing) };
}

type Real = unsafe extern "C" fn(c_int, *const Action, *mut Action) -> c_int;

// SAFETY: its type.
static REAL: Next<Real> = unsafe { Next::new(c"sigaction") };

/// The number of this thread here. Linux's would be a system call.
fn number() -> i32 {
    static LAST: AtomicI32 = AtomicI32::new(0);
    thread_local!(static NUMBER: Cell<i32> = const { Cell::new(0) });
    if NUMBER.get() == 0 {
        NUMBER.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    }
    NUMBER.get()
}

fn waiting() -> MutexGuard<'static, Option<HashMap<i32, Waker>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread is about to wait in the kernel.
pub(crate) fn asleep(waker: &Waker) {
    waiting()
        .get_or_insert_default()
        .insert(number(), waker.clone());
    WAITS.set(true);
}

/// It waits no more; whether a handler has run meanwhile.
pub(crate) fn awake() -> bool {
    WAITS.set(false);
    if let Some(waiting) = &mut *waiting() {
        waiting.remove(&number());
    }
    CAME.get() != Came::Nothing
}

/// Forgets what came, and says whether the call is to be made again.
pub(crate) fn take_restart() -> bool {
    CAME.replace(Came::Nothing) == Came::Restarting
}

/// While this lives, nobody begins or ends to wait.
pub(crate) struct Still(MutexGuard<'static, Option<HashMap<i32, Waker>>>);

impl Still {
    /// To be called in the child of a fork: none of the threads that waited is there, and the
    /// one that wakes is not, either.
    pub(crate) fn in_child(mut self) -> std::io::Result<()> {
        // Their doorbells are the parent's.
        std::mem::forget(self.0.take());
        drop(self);
        // SAFETY: this library's own, which the child has a copy of.
        unsafe { libc::close(DOORBELL.load(Ordering::Acquire)) };
        start_waking()
    }
}

/// Waits until no thread is about to wait, and lets none do so.
pub(crate) fn still() -> Still {
    Still(waiting())
}

/// Begins to look after faults, and starts the thread that wakes others.
pub(crate) fn start() -> std::io::Result<()> {
    start_waking()?;
    // SAFETY: numbers and an optional function.
    let mut ours: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    ours.sa_sigaction = handler as *const () as usize;
    ours.sa_flags = SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    for signal in [SIGSEGV, SIGBUS] {
        keep(signal, &set(signal, &ours));
    }
    Ok(())
}

fn start_waking() -> std::io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: two numbers are written.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let [read, write] = ends;
    std::thread::Builder::new()
        .name("rump-signals".into())
        .spawn(move || wake(read))?;
    DOORBELL.store(write, Ordering::Release);
    Ok(())
}

/// The thread that wakes.
fn wake(read: i32) {
    stay();
    let mut number = [0; 4];
    // SAFETY: four bytes, which is what is written at once.
    while unsafe { libc::read(read, number.as_mut_ptr().cast(), number.len()) } == 4 {
        let waker = waiting()
            .as_ref()
            .and_then(|waiting| waiting.get(&i32::from_ne_bytes(number)).cloned());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Tells Linux; what it had before.
fn set(signal: c_int, new: &Action) -> Action {
    // SAFETY: numbers and an optional function.
    let mut old: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    if let Some(real) = REAL.get() {
        // SAFETY: borrowed, and one action is written.
        unsafe { real(signal, new, &raw mut old) };
    }
    old
}

fn kept(signal: c_int) -> Option<&'static Action> {
    let place = ACTIONS.get(usize::try_from(signal).ok()?)?;
    // SAFETY: null, or one that is never freed.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

fn keep(signal: c_int, action: &Action) {
    if let Some(place) = usize::try_from(signal).ok().and_then(|at| ACTIONS.get(at)) {
        place.store(Box::into_raw(Box::new(*action)), Ordering::Release);
    }
}

/// Begins to look after calls that Linux hands over.
pub(crate) fn start_dispatching() {
    // SAFETY: numbers and an optional function.
    let mut ours: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    ours.sa_sigaction = handler as *const () as usize;
    // On the thread's stack, as a call of a function would be; in it, others may come.
    ours.sa_flags = SA_SIGINFO | libc::SA_NODEFER;
    keep(SIGSYS, &set(SIGSYS, &ours));
}

extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let faults = signal == SIGSEGV || signal == SIGBUS;
    if faults {
        // SAFETY: what Linux gives a handler with `SA_SIGINFO`.
        let context = unsafe { &mut *context.cast::<ucontext_t>() };
        let instruction = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        if let Some(next) = guarded::after_fault(*instruction as usize) {
            *instruction = next as i64;
            return;
        }
    }
    if signal == SIGSYS {
        // SAFETY: what Linux gives a handler with `SA_SIGINFO`.
        let (info, context) = unsafe { (&*info, &mut *context.cast::<ucontext_t>()) };
        if dispatch::answer(info, context) {
            return;
        }
    }
    let Some(action) = kept(signal) else { return };
    match action.sa_sigaction {
        SIG_IGN if !faults => return,
        SIG_DFL if signal == SIGSYS => {
            set(signal, action);
            // SAFETY: a number; it ends the process as it would have.
            unsafe { libc::raise(signal) };
            return;
        }
        SIG_DFL | SIG_IGN => {
            // As it would have been: the instruction faults once more.
            set(signal, action);
            return;
        }
        _ => {}
    }
    if WAITS.get() {
        note(action.sa_flags & SA_RESTART != 0);
    }
    if action.sa_flags & SA_RESETHAND != 0 {
        let place = &ACTIONS[signal as usize];
        place.store(null_mut(), Ordering::Release);
    }
    // SAFETY: the program's handler, of the form that it said, with what Linux gave.
    unsafe {
        if action.sa_flags & SA_SIGINFO != 0 {
            let run: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                transmute(action.sa_sigaction);
            run(signal, info, context);
        } else {
            let run: extern "C" fn(c_int) = transmute(action.sa_sigaction);
            run(signal);
        }
    }
}

/// Notes that a handler runs while this thread waits, and has it woken.
fn note(restarts: bool) {
    if !restarts {
        CAME.set(Came::Interrupting);
    } else if CAME.get() == Came::Nothing {
        CAME.set(Came::Restarting);
    }
    let number = number().to_ne_bytes();
    // SAFETY: four bytes; a handler may write, and the thread's errno is put back.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(
            DOORBELL.load(Ordering::Acquire),
            number.as_ptr().cast(),
            number.len(),
        );
        *libc::__errno_location() = errno;
    }
}

/// sigaction(2)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    let Some(real) = REAL.get() else { return -1 };
    // SAFETY: null, or the caller's.
    let wanted = unsafe { new.as_ref() };
    let faults = signal == SIGSEGV || signal == SIGBUS;
    let installed = DOORBELL.load(Ordering::Acquire) >= 0;
    let stays = faults && installed || signal == SIGSYS && dispatch::is_on();
    let before = kept(signal);
    let handled = wanted.is_some_and(|new| ![SIG_DFL, SIG_IGN].contains(&new.sa_sigaction));
    let told = match wanted {
        // This library's handler stays.
        Some(_) if stays => None,
        Some(new) if handled && !faults => {
            let mut action = *new;
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags |= SA_SIGINFO;
            // SAFETY: a set that lives.
            unsafe { libc::sigdelset(&raw mut action.sa_mask, SIGSYS) };
            Some(action)
        }
        Some(new) => Some(*new),
        None => None,
    };
    if let Some(new) = wanted.filter(|_| handled || stays) {
        // First, as the signal may come at once.
        keep(signal, new);
    }
    let mut replaced = MaybeUninit::<Action>::zeroed();
    let action = told.as_ref().map_or(null(), |told| &raw const *told);
    // SAFETY: null or a live action; one is written.
    let result = unsafe { real(signal, action, replaced.as_mut_ptr()) };
    if result == 0 && !old.is_null() {
        // SAFETY: all zero or written.
        let mut replaced = unsafe { replaced.assume_init() };
        if replaced.sa_sigaction == handler as *const () as usize
            && let Some(before) = before
        {
            replaced = *before;
        }
        // SAFETY: the caller's.
        unsafe { *old = replaced };
    }
    result
}

/// signal(2), as the C library has it: calls are made again.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(number: c_int, handler: usize) -> usize {
    // SAFETY: numbers and an optional function.
    let mut new: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    new.sa_sigaction = handler;
    new.sa_flags = SA_RESTART;
    let mut old = new;
    // SAFETY: live actions.
    if unsafe { sigaction(number, &raw const new, &raw mut old) } == 0 {
        old.sa_sigaction
    } else {
        libc::SIG_ERR
    }
}

type Mask = unsafe extern "C" fn(c_int, *const sigset_t, *mut sigset_t) -> c_int;

// SAFETY: their types.
static PROCESS_MASK: Next<Mask> = unsafe { Next::new(c"sigprocmask") };
// SAFETY: as above.
static THREAD_MASK: Next<Mask> = unsafe { Next::new(c"pthread_sigmask") };

/// A set without `SIGSYS`, which would end the process if it was blocked.
fn unblocked(set: *const sigset_t) -> Option<sigset_t> {
    // SAFETY: null, or the caller's.
    let mut set = *unsafe { set.as_ref() }?;
    if dispatch::is_on() {
        // SAFETY: a set that lives.
        unsafe { libc::sigdelset(&raw mut set, SIGSYS) };
    }
    Some(set)
}

/// sigprocmask(2)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(
    how: c_int,
    set: *const sigset_t,
    old: *mut sigset_t,
) -> c_int {
    let Some(real) = PROCESS_MASK.get() else {
        return -1;
    };
    let set = unblocked(set);
    let set = set.as_ref().map_or(null(), |set| &raw const *set);
    // SAFETY: null, or what lives here and the caller's.
    unsafe { real(how, set, old) }
}

/// pthread_sigmask(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(
    how: c_int,
    set: *const sigset_t,
    old: *mut sigset_t,
) -> c_int {
    let Some(real) = THREAD_MASK.get() else {
        return libc::EINVAL;
    };
    let set = unblocked(set);
    let set = set.as_ref().map_or(null(), |set| &raw const *set);
    // SAFETY: null, or what lives here and the caller's.
    unsafe { real(how, set, old) }
}
