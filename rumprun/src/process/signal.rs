//! Signals: signal(7).
//!
//! A signal is *pending* for the program or for one thread until a thread that does not
//! block it is about to go back to the program ([`deliver`]): at the end of a system call, or
//! of an exception. There its handler is entered, on the thread's stack or on the one that
//! was set for signals, with the registers saved in the layout that Linux has
//! (`<asm/sigcontext.h>`), so that a handler may look at them and change them.
//!
//! What a handler may change of the register state that the kernel does not use is saved
//! with `xsave`, right behind.
//!
//! # Known limits
//! A thread that makes no system call is not interrupted. Stopping and continuing do nothing.

use super::copy::{self, Plain, Result};
use super::state;
use super::task::Task;
use crate::sync::Lock;
use crate::trap::Frame;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

const SIGNALS: u32 = 64;

/// Signals of one thread, or of the program, that were not handled yet.
#[derive(Debug, Default)]
pub struct Pending {
    set: u64,
    told: Vec<Told>,
}

/// What is told of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`, or sender and its user.
    pub about: u64,
}

impl Pending {
    fn add(&mut self, told: Told) {
        if self.set & bit(told.signal) == 0 {
            self.set |= bit(told.signal);
            self.told.push(told);
        }
    }

    fn take(&mut self, among: u64) -> Option<Told> {
        let at = self
            .told
            .iter()
            .position(|told| bit(told.signal) & among != 0)?;
        let told = self.told.remove(at);
        self.set &= !bit(told.signal);
        Some(told)
    }
}

/// A stack for handlers: `stack_t`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stack {
    start: u64,
    size: u64,
}

impl Stack {
    fn holds(&self, at: u64) -> bool {
        // Its end is its first stack pointer.
        at > self.start && at - self.start <= self.size
    }
}

/// `struct sigaction` as the kernel has it.
#[derive(Clone, Copy, Debug, Default)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

static ACTIONS: Lock<[Action; SIGNALS as usize]> = Lock::new(
    [Action {
        handler: DEFAULT,
        flags: 0,
        restorer: 0,
        mask: 0,
    }; SIGNALS as usize],
);

/// Those of the program as a whole.
static PENDING: Lock<Pending> = Lock::new(Pending {
    set: 0,
    told: Vec::new(),
});

fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Signals that cannot be blocked.
const ALWAYS: u64 = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1);

/// Signals that by default do nothing: SIGCHLD, SIGURG, SIGWINCH, SIGCONT; and those that
/// would stop a program, which is not done here.
const HARMLESS: u64 = 1 << (SIGCHLD - 1)
    | 1 << (SIGURG - 1)
    | 1 << (SIGWINCH - 1)
    | 1 << (SIGCONT - 1)
    | 1 << (SIGSTOP - 1)
    | 1 << (SIGTSTP - 1)
    | 1 << (SIGTTIN - 1)
    | 1 << (SIGTTOU - 1);

/// Whether a signal has no effect now.
fn is_ignored(signal: u32) -> bool {
    match ACTIONS.lock()[signal as usize - 1].handler {
        IGNORE => true,
        DEFAULT => HARMLESS & bit(signal) != 0,
        _ => false,
    }
}

/// Whether a signal ends the program, for there is no handler.
fn is_fatal(signal: u32) -> bool {
    ACTIONS.lock()[signal as usize - 1].handler == DEFAULT && HARMLESS & bit(signal) == 0
}

/// Whether a thread has a signal to handle.
pub fn is_pending(task: &Task) -> bool {
    let mask = task.mask.load(Ordering::Acquire);
    let own = task.pending.lock().set;
    (own | PENDING.lock().set) & !mask != 0
}

/// Sends a signal to a thread.
pub fn send_to(task: &Task, told: Told) {
    if !is_ignored(told.signal) || task.mask.load(Ordering::Acquire) & bit(told.signal) != 0 {
        task.pending.lock().add(told);
        task.interrupt();
    }
}

/// Sends a signal to the program: to a thread that does not block it. One that ends the program
/// does that here, whatever its threads are at: one may compute, or wait in a call of the rump
/// kernel's, and make no system call for long.
pub fn send(told: Told) {
    let tasks = super::tasks();
    let open =
        |task: &&alloc::sync::Arc<Task>| task.mask.load(Ordering::Acquire) & bit(told.signal) == 0;
    let to = tasks.iter().find(open);
    if is_ignored(told.signal) && to.is_some() {
        return;
    }
    if to.is_some() && is_fatal(told.signal) {
        super::end_by(told.signal, None);
    }
    PENDING.lock().add(told);
    if let Some(task) = to {
        task.interrupt();
    }
}

fn by_user(signal: u32, code: i32) -> Told {
    Told {
        signal,
        code,
        about: super::PID.into(),
    }
}

/// The names of signals.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// What a signal is called.
pub fn name(signal: u32) -> &'static str {
    NAMES
        .get((signal as usize).wrapping_sub(1))
        .unwrap_or(&"a real-time signal")
}

/// A call about signals; `None` if it is about something else. The calls that end a handler,
/// or change what the frame goes back to, are not among them.
pub fn call(task: &Task, number: u32, args: &Args) -> Option<Result<i64>> {
    let done = match number {
        __NR_rt_sigaction => action(args),
        __NR_rt_sigprocmask => mask(task, args),
        __NR_rt_sigpending => {
            let set = task.pending.lock().set | PENDING.lock().set;
            copy::put(&(set & task.mask.load(Ordering::Acquire)), args[0]).map(|()| 0)
        }
        __NR_rt_sigsuspend => suspend(task, args),
        __NR_rt_sigtimedwait => timed_wait(task, args),
        __NR_pause => {
            task.pause(None);
            Err(Errno::EINTR)
        }
        __NR_kill => match args[0] as i32 {
            0 | -1 => to_program(args[1], SI_USER as i32),
            pid if pid.unsigned_abs() == super::PID => to_program(args[1], SI_USER as i32),
            _ => Err(Errno::ESRCH),
        },
        __NR_tkill => to_thread(args[0], args[1]),
        __NR_tgkill if args[0] as u32 == super::PID => to_thread(args[1], args[2]),
        __NR_tgkill => Err(Errno::ESRCH),
        __NR_rt_sigqueueinfo if args[0] as u32 == super::PID => to_program(args[1], -1),
        __NR_rt_sigqueueinfo => Err(Errno::ESRCH),
        _ => return None,
    };
    Some(done)
}

fn to_program(signal: u64, code: i32) -> Result<i64> {
    let signal = number(signal)?;
    if let Some(signal) = signal {
        send(by_user(signal, code));
    }
    Ok(0)
}

fn to_thread(id: u64, signal: u64) -> Result<i64> {
    const SI_TKILL: i32 = -6;
    let signal = number(signal)?;
    let tasks = super::tasks();
    let task = tasks.iter().find(|task| u64::from(task.id) == id);
    let task = task.ok_or(Errno::ESRCH)?;
    if let Some(signal) = signal {
        send_to(task, by_user(signal, SI_TKILL));
    }
    Ok(0)
}

/// A number of a signal; 0 only asks whether there is somebody.
fn number(signal: u64) -> Result<Option<u32>> {
    match signal as u32 {
        0 => Ok(None),
        signal if signal <= SIGNALS => Ok(Some(signal)),
        _ => Err(Errno::EINVAL),
    }
}

fn action(args: &Args) -> Result<i64> {
    let signal = number(args[0])?.ok_or(Errno::EINVAL)?;
    if args[3] != 8 {
        return Err(Errno::EINVAL);
    }
    let new: Option<[u64; 4]> = match args[1] {
        0 => None,
        at => Some(copy::get(at)?),
    };
    if new.is_some() && ALWAYS & bit(signal) != 0 {
        return Err(Errno::EINVAL);
    }
    let old = {
        let mut actions = ACTIONS.lock();
        let action = &mut actions[signal as usize - 1];
        let old = *action;
        if let Some([handler, flags, restorer, mask]) = new {
            *action = Action {
                handler,
                flags,
                restorer,
                mask: mask & !ALWAYS,
            };
        }
        old
    };
    if args[2] != 0 {
        let words = [old.handler, old.flags, old.restorer, old.mask];
        copy::put(&words, args[2])?;
    }
    Ok(0)
}

fn mask(task: &Task, args: &Args) -> Result<i64> {
    if args[3] != 8 {
        return Err(Errno::EINVAL);
    }
    let old = task.mask.load(Ordering::Acquire);
    if args[1] != 0 {
        let set: u64 = copy::get(args[1])?;
        let new = match args[0] as u32 {
            SIG_BLOCK => old | set,
            SIG_UNBLOCK => old & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        task.mask.store(new & !ALWAYS, Ordering::Release);
    }
    if args[2] != 0 {
        copy::put(&old, args[2])?;
    }
    Ok(0)
}

/// Has a thread wait with another mask; the old one comes back after the handler.
pub fn wait_with(task: &Task, mask: u64) {
    let old = task.mask.swap(mask & !ALWAYS, Ordering::AcqRel);
    task.saved_mask.lock().get_or_insert(old);
}

/// The end of such a wait: the mask stays until a handler was entered if there is one to be.
pub fn wait_is_over(task: &Task) {
    if !task.has_signal()
        && let Some(old) = task.saved_mask.lock().take()
    {
        task.mask.store(old, Ordering::Release);
    }
}

fn suspend(task: &Task, args: &Args) -> Result<i64> {
    if args[1] != 8 {
        return Err(Errno::EINVAL);
    }
    wait_with(task, copy::get(args[0])?);
    task.pause(None);
    Err(Errno::EINTR)
}

fn timed_wait(task: &Task, args: &Args) -> Result<i64> {
    if args[3] != 8 {
        return Err(Errno::EINVAL);
    }
    let set: u64 = copy::get::<u64>(args[0])? & !ALWAYS;
    let deadline = match args[2] {
        0 => None,
        at => Some(crate::time::monotonic_ns().saturating_add(copy::time(at)?)),
    };
    // What is waited for interrupts the sleep.
    let old = task.mask.fetch_and(!set, Ordering::AcqRel);
    let result = loop {
        let own = task.pending.lock().take(set);
        if let Some(told) = own.or_else(|| PENDING.lock().take(set)) {
            break Ok(told);
        }
        if task.has_signal() {
            break Err(Errno::EINTR);
        }
        if task.pause(deadline) {
            break Err(Errno::EAGAIN);
        }
    };
    task.mask.store(old, Ordering::Release);
    let told = result?;
    if args[1] != 0 {
        copy::copyout(&info(told), args[1])?;
    }
    Ok(told.signal.into())
}

/// sigaltstack(2).
pub fn set_stack(task: &Task, args: &Args, rsp: u64) -> Result<i64> {
    const SMALLEST: u64 = 2048;
    let mut stack = task.signal_stack.lock();
    let old = *stack;
    let on_it = old.size > 0 && old.holds(rsp);
    let new: Option<[u64; 3]> = match args[0] {
        0 => None,
        at => Some(copy::get(at)?),
    };
    if args[1] != 0 {
        let flags = if old.size == 0 {
            SS_DISABLE
        } else if on_it {
            SS_ONSTACK
        } else {
            0
        };
        copy::put(&[old.start, flags.into(), old.size], args[1])?;
    }
    if let Some([start, flags, size]) = new {
        if on_it {
            return Err(Errno::EPERM);
        }
        *stack = match flags as u32 {
            SS_DISABLE => Stack::default(),
            0 | SS_ONSTACK if size < SMALLEST => return Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Stack { start, size },
            _ => return Err(Errno::EINVAL),
        };
    }
    Ok(0)
}

/// `siginfo_t`.
fn info(told: Told) -> [u8; 128] {
    let mut bytes = [0; 128];
    bytes[..4].copy_from_slice(&told.signal.to_ne_bytes());
    bytes[8..12].copy_from_slice(&told.code.to_ne_bytes());
    bytes[16..24].copy_from_slice(&told.about.to_ne_bytes());
    bytes
}

/// What a handler is given on its stack: `struct rt_sigframe` of x86-64.
#[repr(C)]
#[derive(Clone, Copy)]
struct OnStack {
    /// Where the handler returns to.
    restorer: u64,
    /// `uc_flags`, `uc_link`, `uc_stack`.
    context: [u64; 5],
    /// `struct sigcontext`: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags,
    /// segments, error, vector, mask, address, register state, reserved.
    registers: [u64; 32],
    /// `uc_sigmask`.
    mask: u64,
    info: [u8; 128],
}

// SAFETY: words and bytes, without a gap.
unsafe impl Plain for OnStack {}

const _: () = assert!(size_of::<OnStack>() == 440);

/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | UC_FP_XSTATE`.
const CONTEXT_FLAGS: u64 = 7;

/// Enters handlers for signals that are there, or ends the program by them. The last thing
/// before a thread goes back to the program. `call` is the number of a system call that was
/// interrupted and has changed nothing.
pub fn deliver(task: &Task, frame: &mut Frame, mut call: Option<u64>) {
    loop {
        let open = !task.mask.load(Ordering::Acquire);
        let own = task.pending.lock().take(open);
        let Some(told) = own.or_else(|| PENDING.lock().take(open)) else {
            break;
        };
        let action = ACTIONS.lock()[told.signal as usize - 1];
        match action.handler {
            IGNORE => {}
            DEFAULT if HARMLESS & bit(told.signal) != 0 => {}
            DEFAULT => super::end_by(told.signal, None),
            _ => {
                let again = call.take();
                if let Some(number) = again.filter(|_| action.flags & u64::from(SA_RESTART) != 0) {
                    frame.rip -= 2;
                    frame.rax = number;
                }
                if enter(task, frame, action, told, 0).is_err() {
                    super::end_by(SIGSEGV, None);
                }
            }
        }
    }
    // No handler wanted the mask of the wait.
    if let Some(old) = task.saved_mask.lock().take() {
        task.mask.store(old, Ordering::Release);
    }
}

/// A fault of the program's: enters its handler. Without one, or if the signal is blocked, it
/// ends the program.
pub fn fault(task: &Task, frame: &mut Frame, told: Told) {
    let action = ACTIONS.lock()[told.signal as usize - 1];
    let blocked = task.mask.load(Ordering::Acquire) & bit(told.signal) != 0;
    let vector = frame.vector;
    if blocked
        || action.handler == DEFAULT
        || action.handler == IGNORE
        || enter(task, frame, action, told, vector).is_err()
    {
        super::end_by(told.signal, Some((frame, told.about)));
    }
}

/// Has the frame go to a handler.
fn enter(task: &Task, frame: &mut Frame, action: Action, told: Told, vector: u64) -> Result<()> {
    const RED_ZONE: u64 = 128;
    let stack = *task.signal_stack.lock();
    let wants = action.flags & u64::from(SA_ONSTACK) != 0;
    let top = if wants && stack.size > 0 && !stack.holds(frame.rsp) {
        stack.start + stack.size
    } else {
        frame.rsp.checked_sub(RED_ZONE).ok_or(Errno::EFAULT)?
    };
    let state_size = state::size()? as u64;
    let below = top.checked_sub(state_size).ok_or(Errno::EFAULT)?;
    let registers_at = below & !63;
    let below = registers_at.checked_sub(size_of::<OnStack>() as u64);
    let at = (below.ok_or(Errno::EFAULT)? & !15)
        .checked_sub(8)
        .ok_or(Errno::EFAULT)?;
    let old = task.saved_mask.lock().take();
    let mask = old.unwrap_or_else(|| task.mask.load(Ordering::Acquire));
    let address = if matches!(told.signal, SIGSEGV | SIGBUS) {
        told.about
    } else {
        0
    };
    let mut registers = [0; 32];
    registers[..18].copy_from_slice(&[
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
        frame.rdi,
        frame.rsi,
        frame.rbp,
        frame.rbx,
        frame.rdx,
        frame.rax,
        frame.rcx,
        frame.rsp,
        frame.rip,
        frame.rflags,
    ]);
    // What user code has in its segment registers on Linux.
    registers[18] = 0x33 | 0x2b << 48;
    registers[19] = if vector == 14 { frame.error } else { 0 };
    registers[20] = vector;
    registers[21] = mask;
    registers[22] = address;
    registers[23] = registers_at;
    state::save(frame, registers_at)?;
    let on_stack = OnStack {
        restorer: action.restorer,
        context: [CONTEXT_FLAGS, 0, stack.start, 0, stack.size],
        registers,
        mask,
        info: info(told),
    };
    copy::put(&on_stack, at)?;
    let mut blocked = task.mask.load(Ordering::Acquire) | action.mask;
    if action.flags & u64::from(SA_NODEFER) == 0 {
        blocked |= bit(told.signal);
    }
    task.mask.store(blocked & !ALWAYS, Ordering::Release);
    if action.flags & u64::from(SA_RESETHAND) != 0 {
        ACTIONS.lock()[told.signal as usize - 1] = Action::default();
    }
    frame.rip = action.handler;
    frame.rsp = at;
    frame.rdi = told.signal.into();
    frame.rsi = at + core::mem::offset_of!(OnStack, info) as u64;
    frame.rdx = at + core::mem::offset_of!(OnStack, context) as u64;
    frame.rax = 0;
    frame.rflags &= !(1 << 10 | 1 << 8);
    frame.restore_all();
    Ok(())
}

/// rt_sigreturn(2): goes on where the handler's context says.
///
/// # Errors
/// `EFAULT`: it is not there any more.
pub fn return_from(task: &Task, frame: &mut Frame) -> Result<()> {
    // The handler's `ret` has taken the restorer's address away.
    let on_stack: OnStack = copy::get(frame.rsp.wrapping_sub(8))?;
    let registers = on_stack.registers;
    if registers[23] != 0 {
        state::restore(frame, registers[23])?;
    }
    [
        frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15,
        frame.rdi, frame.rsi, frame.rbp, frame.rbx, frame.rdx, frame.rax, frame.rcx, frame.rsp,
        frame.rip,
    ] = *registers.first_chunk().ok_or(Errno::EFAULT)?;
    // Flags that a program may change by itself.
    const FLAGS: u64 = 0x0024_4cd5 & !(1 << 18);
    frame.rflags = frame.rflags & !FLAGS | registers[17] & FLAGS;
    task.mask.store(on_stack.mask & !ALWAYS, Ordering::Release);
    frame.restore_all();
    Ok(())
}
