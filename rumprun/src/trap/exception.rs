//! Exceptions: pages on demand, and what ends the image or is the program's to handle.

use super::{Frame, Next};
use crate::{console, cpu, exit, memory, process, sched};

/// Names by vector (Intel SDM volume 3, 6.3.1).
const NAMES: [&str; 22] = [
    "division by zero",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound exceeded",
    "invalid instruction",
    "floating-point unit absent",
    "double fault",
    "coprocessor overrun",
    "invalid task state",
    "segment absent",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "x87 floating-point error",
    "misaligned access",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection fault",
];

/// What an exception is called.
pub(crate) fn name(vector: u64) -> &'static str {
    usize::try_from(vector)
        .ok()
        .and_then(|vector| NAMES.get(vector).copied())
        .unwrap_or("unknown exception")
}

/// On the stack of exceptions.
pub(super) fn handle(frame: &mut Frame) -> Next {
    match frame.vector {
        2 => return interrupt_that_cannot_wait(),
        14 => {
            let address = cpu::fault_address();
            if memory::space::fault(address, frame.error) {
                return Next::Return;
            }
            if let Some(fixed) = memory::copy::fixed(frame.rip) {
                frame.rip = fixed;
                return Next::Return;
            }
        }
        _ => {}
    }
    sched::note_fault(cpu::fault_address());
    let by_program = frame.vector != 8 && frame.vector != 18 && !frame.in_kernel();
    if by_program && sched::in_program() {
        return Next::OnThread(by_program_thread);
    }
    fatal(frame)
}

/// On the kernel stack of a thread whose program did something wrong.
extern "C" fn by_program_thread(frame: &mut Frame) {
    let address = sched::fault_address();
    cpu::Interrupts::enable();
    process::fault(frame, address);
}

/// Another CPU wants this one to stop, or the machine is broken.
fn interrupt_that_cannot_wait() -> Next {
    cpu::halt()
}

/// The kernel itself did something wrong.
fn fatal(frame: &Frame) -> ! {
    let address = cpu::fault_address();
    console::last_words(format_args!(
        "{} in the kernel (vector {}, error {:#x}, address {address:#x}{})\n{frame:?}",
        name(frame.vector),
        frame.vector,
        frame.error,
        memory::describe(address),
    ));
    console::backtrace(frame.rip, frame.rbp);
    exit::failed()
}
