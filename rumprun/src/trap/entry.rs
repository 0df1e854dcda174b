//! The assembly of the entries.

use super::frame::{Frame, RIP, SYSTEM_CALL, VECTOR};
use crate::cpu::data::{KERNEL_STACK, PROGRAM_STACK};
use core::arch::{asm, global_asm};
use core::mem::offset_of;

global_asm!(
    r#"
    .macro save_registers
        push rdi
        push rsi
        push rdx
        push rcx
        push rax
        push r8
        push r9
        push r10
        push r11
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        sub rsp, 256
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movaps [rsp + 16 * \n], xmm\n
        .endr
    .endm

    .macro restore_xmm
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movaps xmm\n, [rsp + 16 * \n]
        .endr
        add rsp, 256
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
    .endm

    .section .text.rumprun_entry, "ax", @progbits

    # One entry of eight bytes for each vector: it pushes a zero where the CPU pushes no
    # error code, and its own address, which tells the vector.
    .balign 16
    .global rumprun_vectors
    .hidden rumprun_vectors
rumprun_vectors:
    .macro plain count
        .rept \count
        .balign 8
        push 0
        call rumprun_trap
        .endr
    .endm
    .macro with_error count
        .rept \count
        .balign 8
        xchg ax, ax
        call rumprun_trap
        .endr
    .endm
    plain 8
    with_error 1        # 8 double fault
    plain 1
    with_error 5        # 10 to 14
    plain 2
    with_error 1        # 17 alignment check
    plain 3
    with_error 1        # 21 control protection
    plain 7
    with_error 2        # 29, 30 of AMD's
    plain 225

    # On the stack of the vector. The return address of the call is where the frame has the
    # vector.
rumprun_trap:
    cld
    save_registers
    mov rax, [rsp + {VECTOR}]
    lea rcx, [rip + rumprun_vectors]
    sub rax, rcx
    shr rax, 3
    mov [rsp + {VECTOR}], rax
    mov rdi, rsp
    mov rbp, rsp
    call {arrive}
    mov rsp, rax
    test rdx, rdx
    jz rumprun_resume
    mov rdi, rsp
    call rdx

    # Restores the frame that the stack pointer is at.
    .global rumprun_resume
    .hidden rumprun_resume
rumprun_resume:
    restore_xmm
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    add rsp, 16
    iretq

    # From the program, with interrupts off (FMASK). Nothing is pushed before the kernel
    # stack is there: what is below the program's stack pointer is the program's.
    .balign 16
    .global rumprun_system_call
    .hidden rumprun_system_call
rumprun_system_call:
    mov gs:[{PROGRAM_STACK}], rsp
    mov rsp, gs:[{KERNEL_STACK}]
    push 0x10
    push gs:[{PROGRAM_STACK}]
    push r11
    push 8
    push rcx
    push rax
    push {SYSTEM_CALL}
    save_registers
    sti
    mov rdi, rsp
    call {system_call}
    cmp qword ptr [rsp + {VECTOR}], {SYSTEM_CALL}
    jne rumprun_resume
    # As sysret does, in ring 0: rcx is where to go on, r11 the flags. Once the flags are
    # back an interrupt may come; it leaves what is above the stack pointer alone.
    restore_xmm
    add rsp, 8
    pop r10
    pop r9
    pop r8
    pop rax
    add rsp, 8
    pop rdx
    pop rsi
    pop rdi
    mov rcx, [rsp + 16]
    mov r11, [rsp + 32]
    push r11
    popfq
    mov rsp, [rsp + 40]
    jmp rcx

    # From the program, which calls the kernel's function that r11 has (rump-sys, `gate`), as
    # C calls: onto the kernel stack, which is empty, and back. The frame pointer leads from
    # the one stack to the other.
    .balign 16
    .global rumprun_gate
    .hidden rumprun_gate
rumprun_gate:
    push rbp
    mov rbp, rsp
    mov rsp, gs:[{KERNEL_STACK}]
    call r11
    mov rsp, rbp
    pop rbp
    ret
    "#,
    VECTOR = const VECTOR,
    SYSTEM_CALL = const SYSTEM_CALL,
    PROGRAM_STACK = const PROGRAM_STACK,
    KERNEL_STACK = const KERNEL_STACK,
    arrive = sym super::arrive,
    system_call = sym super::syscall::system_call,
);

// What the assembly reckons with: after the pops of a system call's return, the stack
// pointer is at the vector.
const _: () = assert!(
    RIP == VECTOR + 16
        && offset_of!(Frame, rflags) == VECTOR + 32
        && offset_of!(Frame, rsp) == VECTOR + 40
        && offset_of!(Frame, r15) == 256
);

/// Where a vector comes in.
pub(crate) fn entry_of(vector: u8) -> u64 {
    let vectors: u64;
    // SAFETY: an address.
    unsafe {
        asm!("lea {}, [rip + rumprun_vectors]", out(reg) vectors, options(nomem, nostack, preserves_flags))
    };
    vectors + 8 * u64::from(vector)
}

/// Where system calls come in.
pub(super) fn call_entry() -> u64 {
    let entry: u64;
    // SAFETY: an address.
    unsafe {
        asm!("lea {}, [rip + rumprun_system_call]", out(reg) entry, options(nomem, nostack, preserves_flags))
    };
    entry
}

/// Goes on with the registers of a frame, which is copied to where it is to be first: also
/// over what this runs on. Interrupts are off.
///
/// # Safety
/// `to` is on the kernel stack of the current thread, above `from` or elsewhere, and what the
/// frame says is safe to run. Nothing that is on the stack now is needed any more.
pub(crate) unsafe fn resume_copied(from: *const Frame, to: *mut Frame) -> ! {
    // SAFETY: by contract. Downwards, for the two may overlap with `to` above. Interrupts
    // are off, so that the part below the stack pointer stays.
    unsafe {
        asm!(
            "std",
            "lea rsi, [rsi + {last}]",
            "lea rdi, [rdi + {last}]",
            "rep movsq",
            "cld",
            "lea rsp, [rdi + 8]",
            "jmp rumprun_resume",
            last = const size_of::<Frame>() - 8,
            in("rsi") from, in("rdi") to, in("rcx") size_of::<Frame>() / 8,
            options(noreturn)
        )
    }
}
