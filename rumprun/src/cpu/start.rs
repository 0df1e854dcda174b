//! Starting the other CPUs: Intel SDM volume 3, 9.4.
//!
//! A CPU begins in real mode at a page below 1 MiB. The code there goes to protected mode and
//! jumps to the image, which goes on as at boot ([`crate::boot`]). CPUs are started one after
//! the other, so that one page and one place for the new stack are enough.

use super::apic;
use crate::memory::stack::Stack;
use crate::{say, sched, time};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where they begin.
const PAGE: u64 = 0x8000;
/// Offset of the new stack's top in that page; a small stack ends below.
const STACK: u64 = 0xff8;

global_asm!(
    r#"
    .pushsection .rodata.rumprun_start, "a", @progbits
    .code16
    .global rumprun_start
    .hidden rumprun_start
rumprun_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl 3f - rumprun_start + {PAGE}
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x18, $rumprun_start_32
    .balign 8
2:  .quad 0
    .quad 0x00af9b000000ffff        # 0x08: 64-bit code
    .quad 0x00cf93000000ffff        # 0x10: data
    .quad 0x00cf9b000000ffff        # 0x18: 32-bit code
3:  .word 31
    .long 2b - rumprun_start + {PAGE}
    .global rumprun_start_end
    .hidden rumprun_start_end
rumprun_start_end:
    .popsection

    .pushsection .text.rumprun_start, "ax", @progbits
    .code32
rumprun_start_32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl ${PAGE} + {STACK}, %esp
    call rumprun_long_mode
    ljmp $8, $1f
    .code64
1:  movl $0x10, %eax
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movq {PAGE} + {STACK}, %rsp
    xorl %ebp, %ebp
    pushq $0
    jmp {begin}
    .popsection
    "#,
    PAGE = const PAGE,
    STACK = const STACK,
    begin = sym begin,
    options(att_syntax)
);

/// How many CPUs run, and what the next one is to be.
static RUNNING: AtomicUsize = AtomicUsize::new(1);

/// The first Rust on another CPU: on the stack of its idle thread, interrupts off.
extern "C" fn begin() -> ! {
    super::features::enable();
    // First, for in the mode of MSRs its number cannot be read before.
    apic::enable();
    let index = RUNNING.load(Ordering::Acquire);
    let top: u64;
    // SAFETY: the place is this CPU's until it says that it runs.
    unsafe { top = ((PAGE + STACK) as *const u64).read_volatile() };
    sched::set_up(index, top);
    crate::trap::set_up_calls();
    crate::xen::enable();
    RUNNING.store(index + 1, Ordering::Release);
    sched::idle()
}

/// Starts the CPUs with these APIC numbers, beside the one that calls.
pub(crate) fn others(cpus: &[u32]) {
    let (start, end): (u64, u64);
    // SAFETY: addresses.
    unsafe {
        asm!("lea {}, [rip + rumprun_start]", "lea {}, [rip + rumprun_start_end]",
             out(reg) start, out(reg) end, options(nomem, nostack, preserves_flags));
        // The first MiB is not given out, and this part of it is memory on every PC.
        core::ptr::copy_nonoverlapping(start as *const u8, PAGE as *mut u8, (end - start) as usize);
    }
    let own = apic::id();
    for cpu in cpus.iter().copied().filter(|cpu| *cpu != own) {
        if cpu > apic::highest() || RUNNING.load(Ordering::Acquire) == super::data::MANY {
            say!("rumprun: CPU {cpu} is not used: there are more than can be reached");
            continue;
        }
        let Ok(stack) = Stack::new() else {
            say!("rumprun: CPU {cpu} is not used: there is no memory for its stack");
            return;
        };
        // It has the stack for good.
        let stack = core::mem::ManuallyDrop::new(stack);
        // SAFETY: the place of the next CPU's stack; no other is being started.
        unsafe { ((PAGE + STACK) as *mut u64).write_volatile(stack.top()) };
        if !start_one(cpu) {
            say!("rumprun: CPU {cpu} does not start");
            // It may yet come, and then onto this stack: no other can be started.
            return;
        }
    }
}

/// Resets a CPU, starts it, and waits until it runs.
fn start_one(cpu: u32) -> bool {
    let before = RUNNING.load(Ordering::Acquire);
    apic::send_init(cpu);
    // Ten milliseconds, says the manual, of the time of the 82489DX; if it was too short the
    // second round is not.
    for (after_init, wait) in [(200_000, 50_000_000), (10_000_000, 1_000_000_000)] {
        pause(after_init, || false);
        apic::send_start(cpu, (PAGE >> 12) as u8);
        if pause(wait, || RUNNING.load(Ordering::Acquire) != before) {
            return true;
        }
    }
    false
}

/// Waits so many nanoseconds, or until something is so.
fn pause(ns: u64, until: impl Fn() -> bool) -> bool {
    let end = time::monotonic_ns() + ns;
    while time::monotonic_ns() < end {
        if until() {
            return true;
        }
        core::hint::spin_loop();
    }
    until()
}
