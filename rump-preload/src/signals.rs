//! Signals of the program: they interrupt calls that wait in the kernel, and what faults in a
//! guarded copy is not told to it.
//!
//! The library stands in front of `sigaction(2)` ([`crate::actions`]): Linux knows a handler of
//! this library, which runs the program's, at once or when the thread has left the kernel
//! ([`crate::held`]), and has a thread that waits there woken. A thread cannot be woken by a
//! handler of its own, as that makes calls of the kernel; another does it.
#![allow(unsafe_code)]

use crate::dispatch;
use crate::guarded;
use crate::held;
use crate::inside::{is_inside, stay};
use crate::next::Next;
use libc::{SA_RESETHAND, SA_RESTART, SA_SIGINFO, SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, SIGSYS};
use libc::{c_int, c_void, sigaction as Action, siginfo_t, ucontext_t};
use rump_linux::wait::Waker;
use std::cell::Cell;
use std::collections::HashMap;
use std::mem::{MaybeUninit, transmute};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering, compiler_fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SIGNALS: usize = 65;

/// What the program has set for each signal; null is nothing yet. They are never freed: a
/// handler may be looking at one.
static ACTIONS: [AtomicPtr<Action>; SIGNALS] = [const { AtomicPtr::new(null_mut()) }; SIGNALS];

/// Threads that wait, by number.
static WAITING: Mutex<Option<HashMap<i32, Waker>>> = Mutex::new(None);
/// Where handlers write the numbers of their threads to.
static DOORBELL: AtomicI32 = AtomicI32::new(-1);
/// Where these are read.
static HEARD: AtomicI32 = AtomicI32::new(-1);

/// What has come while a thread was in a call.
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

pub(crate) type Real = unsafe extern "C" fn(c_int, *const Action, *mut Action) -> c_int;

// SAFETY: its type.
pub(crate) static REAL: Next<Real> = unsafe { Next::new(c"sigaction") };

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
    compiler_fence(Ordering::SeqCst);
    // What has come before did not find it waiting.
    if CAME.get() != Came::Nothing {
        waker.wake();
    }
}

/// It waits no more; whether a signal has come meanwhile.
pub(crate) fn awake() -> bool {
    WAITS.set(false);
    if let Some(waiting) = &mut *waiting() {
        waiting.remove(&number());
    }
    CAME.get() != Came::Nothing
}

/// Forgets what came, and says whether a call that it interrupted is to be made again.
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
    HEARD.store(read, Ordering::Release);
    DOORBELL.store(write, Ordering::Release);
    Ok(())
}

/// The two ends of the doorbell; -1 is none.
pub(crate) fn doorbell() -> [i32; 2] {
    [&HEARD, &DOORBELL].map(|end| end.load(Ordering::Acquire))
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
pub(crate) fn set(signal: c_int, new: &Action) -> Action {
    // SAFETY: numbers and an optional function.
    let mut old: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    if let Some(real) = REAL.get() {
        // SAFETY: borrowed, and one action is written.
        unsafe { real(signal, new, &raw mut old) };
    }
    old
}

/// What the program has set last for a signal that it handles.
pub(crate) fn kept(signal: c_int) -> Option<&'static Action> {
    let place = ACTIONS.get(usize::try_from(signal).ok()?)?;
    // SAFETY: null, or one that is never freed.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

pub(crate) fn keep(signal: c_int, action: &Action) {
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

/// Whether this library looks after a signal whatever the program does.
pub(crate) fn is_ours(signal: c_int) -> bool {
    let installed = DOORBELL.load(Ordering::Acquire) >= 0;
    let faults = signal == SIGSEGV || signal == SIGBUS;
    faults && installed || signal == SIGSYS && dispatch::is_on()
}

/// Whether the thread's own instruction raised it, which cannot go on before it is handled.
fn is_fault(signal: c_int, info: &siginfo_t) -> bool {
    let faults = [
        SIGSEGV,
        SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        SIGSYS,
    ];
    faults.contains(&signal) && info.si_code > 0
}

pub(crate) extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let faults = signal == SIGSEGV || signal == SIGBUS;
    // SAFETY: what Linux gives a handler with `SA_SIGINFO`.
    let (told, interrupted) = unsafe { (&*info, &mut *context.cast::<ucontext_t>()) };
    if faults {
        let instruction = &mut interrupted.uc_mcontext.gregs[libc::REG_RIP as usize];
        if let Some(next) = guarded::after_fault(*instruction as usize) {
            *instruction = next as i64;
            return;
        }
    }
    if signal == SIGSYS && dispatch::answer(told, interrupted) {
        return;
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
    if is_inside() && !is_fault(signal, told) {
        note(action.sa_flags & SA_RESTART != 0);
        return held::hold(signal, told, interrupted);
    }
    if action.sa_flags & SA_RESETHAND != 0 {
        reset(signal);
    }
    let _program = dispatch::Program::begin();
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

/// The signal has no handler any more.
fn reset(signal: c_int) {
    // SAFETY: numbers and an optional function.
    let mut default: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    default.sa_sigaction = SIG_DFL;
    if is_ours(signal) {
        keep(signal, &default);
    } else {
        set(signal, &default);
        ACTIONS[signal as usize].store(null_mut(), Ordering::Release);
    }
}

/// Notes that a signal is to be handled, and has this thread woken if it waits.
fn note(restarts: bool) {
    if !restarts {
        CAME.set(Came::Interrupting);
    } else if CAME.get() == Came::Nothing {
        CAME.set(Came::Restarting);
    }
    compiler_fence(Ordering::SeqCst);
    if !WAITS.get() {
        return;
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
