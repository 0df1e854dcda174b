//! Interrupts: which vector is whose.

use super::{Frame, Next, line};
use crate::cpu::{self, apic, port};
use crate::sched;
use crate::xen::event;

/// Silences the two 8259 controllers, which firmware leaves alive, and moves what they may
/// still bring away from the exceptions' vectors.
pub(crate) fn silence_legacy() {
    /// Where they bring what is no interrupt.
    const BASE: u8 = 0x20;
    // SAFETY: the controllers' ports: initialisation words 1 to 4, then all lines masked.
    unsafe {
        for (controller, base, wiring) in [(0x20, BASE, 4), (0xa0, BASE + 8, 2)] {
            port::write_u8(controller, 0x11);
            port::write_u8(controller + 1, base);
            port::write_u8(controller + 1, wiring);
            port::write_u8(controller + 1, 1);
            port::write_u8(controller + 1, 0xff);
        }
    }
}

/// On the stack of interrupts.
pub(super) fn handle(vector: u8) -> Next {
    match vector {
        apic::TIMER => {
            apic::end();
            sched::tick();
        }
        apic::LOOK => {
            apic::end();
            sched::look();
        }
        apic::FORGET => {
            apic::end();
            cpu::answer();
        }
        event::VECTOR => {
            apic::end();
            event::came();
        }
        // By the manual it must not be ended.
        apic::SPURIOUS => {}
        _ => {
            line::came(vector);
            apic::end();
        }
    }
    if sched::wants_switch() {
        return Next::OnThread(preempt);
    }
    Next::Return
}

/// On the kernel stack of the thread that was interrupted, with interrupts off.
extern "C" fn preempt(_frame: &mut Frame) {
    sched::yield_now();
}
