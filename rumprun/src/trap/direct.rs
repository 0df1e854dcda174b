//! Hot calls of the program that the kernel is linked with: functions that its C library has,
//! too, and that are here without the instruction of a system call. `cargo rumprun` has the
//! linker take these where the program calls those (`--wrap` of ld(1)).
//!
//! All but the clock come in where system calls do, with the registers as the instruction
//! leaves them, so that they are interrupted, restarted and handled with signals as those
//! are. The time is told on the program's own stack, as Linux's vDSO does it.
//!
//! Unlike the library's they are no points at which pthread_cancel(3) ends a thread.

use crate::process::clock;
use core::arch::global_asm;

global_asm!(
    r#"
    .macro direct name, number
    .global __wrap_\name
    .type __wrap_\name, @function
__wrap_\name:
    mov eax, \number
    jmp rumprun_direct
    .size __wrap_\name, . - __wrap_\name
    .endm

    .section .text.rumprun_direct, "ax", @progbits
    direct read, 0
    direct write, 1

    .global __wrap_recv
    .type __wrap_recv, @function
__wrap_recv:
    mov eax, 45
    xor r8d, r8d
    xor r9d, r9d
    jmp rumprun_direct
    .size __wrap_recv, . - __wrap_recv

    .global __wrap_send
    .type __wrap_send, @function
__wrap_send:
    mov eax, 44
    xor r8d, r8d
    xor r9d, r9d
    jmp rumprun_direct
    .size __wrap_send, . - __wrap_send

    .global __wrap_clock_gettime
    .type __wrap_clock_gettime, @function
__wrap_clock_gettime:
    sub rsp, 8
    call {clock_gettime}
    add rsp, 8
    jmp 1f
    .size __wrap_clock_gettime, . - __wrap_clock_gettime

    # A system call by a jump: rcx is where it returns to, r11 the flags.
rumprun_direct:
    mov r10, rcx
    pushfq
    pop r11
    cli
    lea rcx, [rip + 1f]
    jmp rumprun_system_call
    # Where a call that is restarted goes on.
    syscall
1:  cmp rax, -4095
    jae 2f
    ret
2:  neg eax
    push rax
    call __errno_location
    pop rcx
    mov [rax], ecx
    mov rax, -1
    ret
    "#,
    clock_gettime = sym clock_gettime,
);

/// `clock_gettime(2)`: 0, or a negative errno.
extern "C" fn clock_gettime(id: u32, to: u64) -> i64 {
    match clock::tell(id, to) {
        Ok(()) => 0,
        Err(errno) => -i64::from(errno.0),
    }
}
