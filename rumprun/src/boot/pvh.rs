//! The entry by PVH (Xen's docs/misc/pvh.pandoc and its public header
//! arch-x86/hvm/start_info.h), or by Multiboot2 (its specification, version 2.0, as GRUB does
//! it), for the first CPU.
//!
//! In: 32-bit protected mode, flat segments, no paging, interrupts off, ebx = address of what
//! the loader says. Out: 64-bit mode, the first 4 GiB at their own addresses in 2 MiB pages, SSE
//! on (the precompiled `core` needs it), the contents of ebx as the first argument of
//! [`start`](super::start).
//!
//! The tables are built by code, for a link cannot hold an address shifted into a page table
//! entry.

use crate::memory::stack;
use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .pushsection .note.rumprun, "aR", @note
    .balign 4
    .long 4, 4, 18                  # name, descriptor, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start
    .popsection

    # The header of Multiboot2, as a note, for it has to be in the first 32 KiB of the file, at
    # a multiple of 8. Not that of Multiboot1: QEMU would believe it, and then refuse a 64-bit
    # file.
    .pushsection .note.rumprun_multiboot2, "aR", @note
    .balign 8
    .long 4, 40, 1
    .asciz "mb2"
    .long 0xe85250d6, 0, 40         # magic, 32-bit protected mode, length
    .long 0x100000000 - 0xe85250d6 - 40
    .short 3, 0                     # tag: the entry
    .long 12, pvh_start, 0
    .short 0, 0                     # tag: the end
    .long 8
    .popsection

    .pushsection .bss.rumprun_boot, "aw", @nobits
    .balign 4096
    .global rumprun_root_table
    .hidden rumprun_root_table
rumprun_root_table:
    .skip 4096
rumprun_second_table:
    .skip 4096
rumprun_third_tables:
    .skip 4 * 4096
    .global rumprun_boot_stack
    .hidden rumprun_boot_stack
rumprun_boot_stack:
    .skip {STACK}
rumprun_boot_stack_top:
    .popsection

    .pushsection .rodata.rumprun_boot, "a", @progbits
    .balign 8
rumprun_boot_segments:
    .quad 0
    .quad 0x00af9b000000ffff        # 0x08: 64-bit code
    .quad 0x00cf93000000ffff        # 0x10: data
rumprun_boot_segments_pointer:
    .word . - rumprun_boot_segments - 1
    .long rumprun_boot_segments
    .popsection

    .pushsection .text.rumprun_boot, "ax", @progbits
    .code32
    .global pvh_start
pvh_start:
    cld
    cli
    movl $rumprun_boot_stack_top, %esp

    # Root and second table: one entry, four entries.
    movl $rumprun_second_table, %eax
    orl $3, %eax                    # present, writable
    movl %eax, rumprun_root_table
    movl $rumprun_third_tables, %eax
    orl $3, %eax
    movl $rumprun_second_table, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b

    # Third tables: 2048 large pages.
    movl $0x83, %eax                # present, writable, large
    movl $rumprun_third_tables, %edi
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b

    movl %ebx, %edi                 # the first argument, through all that follows
    call rumprun_long_mode
    ljmp $8, $2f
    .code64
2:  movl $0x10, %eax
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl $rumprun_boot_stack_top, %esp
    xorl %ebp, %ebp
    pushq $0                        # as if called, from where a backtrace ends
    jmp {start}

    # Turns on paging and 64-bit mode; the caller jumps to the code segment 8 then. EFER.NXE
    # is set where cpuid has it. Clobbers eax, ecx, edx.
    .code32
    .global rumprun_long_mode
    .hidden rumprun_long_mode
rumprun_long_mode:
    movl $0x620, %eax               # PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $rumprun_root_table, %eax
    movl %eax, %cr3
    pushl %ebx
    movl $0x80000001, %eax
    cpuid
    popl %ebx
    andl $0x00100000, %edx          # NX
    shrl $9, %edx                   # EFER.NXE
    orl $0x101, %edx                # EFER.SCE, EFER.LME
    pushl %edx
    movl $0xc0000080, %ecx
    rdmsr
    popl %eax
    wrmsr
    movl $0x80010033, %eax          # PG, WP, NE, ET, MP, PE
    movl %eax, %cr0
    lgdt rumprun_boot_segments_pointer
    ret
    .code64
    .popsection
    "#,
    STACK = const stack::SIZE,
    start = sym super::start,
    options(att_syntax)
);

/// Top of the stack that the first CPU boots on. It becomes that of its idle thread.
pub(super) fn boot_stack() -> u64 {
    let stack: u64;
    // SAFETY: an address.
    unsafe {
        asm!("lea {}, [rip + rumprun_boot_stack]", out(reg) stack, options(nomem, nostack));
    }
    stack + stack::SIZE as u64
}
