//! From one thread to another.

use super::thread::{ON_CPU, SP, Thread};
use super::{ThreadRef, program};
use crate::cpu::{self, Cpu, Interrupts};
use core::arch::{asm, global_asm};
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

global_asm!(
    r#"
    .section .text.rumprun_switch, "ax", @progbits
    # rdi = the thread that runs, rsi = the next; interrupts are off. What a C function keeps
    # for its caller is on the stack; the store that says so is behind those that do it, as
    # x86 keeps stores in order. From there on the old stack is not touched: another CPU may
    # run on it.
    .global rumprun_switch
    .hidden rumprun_switch
rumprun_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi + {SP}], rsp
    mov dword ptr [rdi + {ON_CPU}], 0
1:  cmp dword ptr [rsi + {ON_CPU}], 0
    je 2f
    pause
    jmp 1b
2:  mov dword ptr [rsi + {ON_CPU}], 1
    mov rsp, [rsi + {SP}]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

    # Where a new thread begins; its stack is as `prepare` has made it.
    .global rumprun_thread
    .hidden rumprun_thread
rumprun_thread:
    call {begin}
    ud2
    "#,
    SP = const SP,
    ON_CPU = const ON_CPU,
    begin = sym begin,
);

/// Has the stack of a new thread look as if it had switched away.
pub(super) fn prepare(thread: &Thread) {
    let entry: u64;
    // SAFETY: an address.
    unsafe { asm!("lea {}, [rip + rumprun_thread]", out(reg) entry, options(nomem, nostack)) };
    // Six registers, the return address, and two zeros that end a backtrace and align the
    // stack for the call.
    let words = [0, 0, 0, 0, 0, 0, entry, 0, 0];
    let sp = thread.stack_top() - 8 * words.len() as u64;
    // SAFETY: the stack is the thread's, which does not run yet.
    unsafe { (sp as *mut [u64; 9]).write(words) };
    thread.sp.set(sp);
}

/// The first code of a thread.
extern "C" fn begin() -> ! {
    arrived();
    Interrupts::enable();
    super::with_current(|this| {
        // SAFETY: only the thread itself calls it, here and once.
        if let Some(main) = unsafe { (*this.main.get()).as_mut() } {
            main();
        }
    });
    super::exit()
}

/// Switches to a thread that is on no list. Interrupts are off. Returns when somebody
/// switches back, perhaps on another CPU.
pub(super) fn to(cpu: &Cpu, next: ThreadRef) {
    let sched = &cpu.sched;
    let this = sched.thread.load(Ordering::Relaxed);
    // SAFETY: the CPU holds a count of the thread that runs.
    program::save(unsafe { &*this });
    cpu.kernel_stack.store(next.stack_top(), Ordering::Relaxed);
    sched.priority.store(next.priority, Ordering::Relaxed);
    next.last_cpu.store(cpu.index, Ordering::Relaxed);
    cpu::data::set_lwp(next.host.lwp());
    let next = ThreadRef::into_raw(next).cast_mut();
    sched.thread.store(next, Ordering::Relaxed);
    sched.before.store(this, Ordering::Relaxed);
    // SAFETY: both exist: the one by the count that is in `before`, the other by that in
    // `thread`. `next` was prepared, or has switched away, or is about to have.
    unsafe {
        asm!("call rumprun_switch", in("rdi") this, in("rsi") next, clobber_abi("sysv64"));
    }
    arrived();
}

/// What is to be done on the stack of the thread that runs now for the one before it. The
/// CPU is asked for anew: it may be another than the one that the thread left.
fn arrived() {
    let before = cpu::current()
        .sched
        .before
        .swap(null_mut(), Ordering::Relaxed);
    // SAFETY: `to` put the CPU's count of it there. If it has ended this was the last, and its
    // stack is not used any more.
    drop(unsafe { ThreadRef::from_raw(before) });
    super::with_current(program::restore);
}
