//! Controllers of interrupt lines: 82093AA I/O APIC.
//!
//! A line of PCI is level-triggered: it stays asserted until the device was served. It is
//! masked when it comes, and let through again when the driver says that it has served it.

use crate::acpi::{Io, Machine};
use crate::memory::tables::map_device;
use crate::sync::Lock;
use alloc::vec::Vec;

/// Registers: which one, and its value.
const SELECT: usize = 0;
const WINDOW: usize = 0x10;
/// Numbers of registers.
const VERSION: u32 = 1;
const TABLE: u32 = 0x10;
/// Of an entry: masked, level-triggered, active low.
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const LOW: u32 = 1 << 13;

struct Controller {
    registers: *mut u8,
    first: u32,
    count: u32,
}

// SAFETY: registers, which are reached under the lock.
unsafe impl Send for Controller {}

static CONTROLLERS: Lock<Vec<Controller>> = Lock::new(Vec::new());

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    controller: u8,
    pin: u8,
}

impl Pin {
    /// As a number that is not 0, and back.
    pub(crate) fn number(self) -> u32 {
        1 << 16 | u32::from(self.controller) << 8 | u32::from(self.pin)
    }

    pub(crate) fn of_number(number: u32) -> Option<Self> {
        (number & 1 << 16 != 0).then_some(Self {
            controller: (number >> 8) as u8,
            pin: number as u8,
        })
    }
}

impl Controller {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: registers of the controller, under the lock.
        unsafe {
            self.registers
                .add(SELECT)
                .cast::<u32>()
                .write_volatile(register);
            self.registers.add(WINDOW).cast::<u32>().read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as above.
        unsafe {
            self.registers
                .add(SELECT)
                .cast::<u32>()
                .write_volatile(register);
            self.registers
                .add(WINDOW)
                .cast::<u32>()
                .write_volatile(value);
        }
    }
}

/// Takes the controllers over, with all lines masked.
pub(crate) fn set_up(machine: &Machine) {
    let found = machine.madt.iter().flat_map(|madt| &madt.io);
    for Io { address, first } in found.take(16) {
        let Ok(registers) = map_device(*address, 0x20) else {
            continue;
        };
        let mut controller = Controller {
            registers,
            first: *first,
            count: 0,
        };
        controller.count = (controller.read(VERSION) >> 16 & 0xff) + 1;
        for pin in 0..controller.count {
            controller.write(TABLE + 2 * pin, MASKED);
        }
        CONTROLLERS.lock().push(controller);
    }
}

/// Has a line come as a vector on a CPU; it is masked yet. `low` is its polarity.
pub(crate) fn route(line: u32, vector: u8, apic: u32, low: bool) -> Option<Pin> {
    let controllers = CONTROLLERS.lock();
    let at = controllers.iter().position(|controller| {
        line.checked_sub(controller.first)
            .is_some_and(|pin| pin < controller.count)
    })?;
    let controller = &controllers[at];
    let pin = line - controller.first;
    let polarity = if low { LOW } else { 0 };
    controller.write(TABLE + 2 * pin, MASKED);
    controller.write(TABLE + 2 * pin + 1, apic << 24);
    controller.write(
        TABLE + 2 * pin,
        MASKED | LEVEL | polarity | u32::from(vector),
    );
    Some(Pin {
        controller: at as u8,
        pin: pin as u8,
    })
}

/// Masks a line, or lets it through.
pub(crate) fn mask(pin: Pin, masked: bool) {
    let controllers = CONTROLLERS.lock();
    if let Some(controller) = controllers.get(usize::from(pin.controller)) {
        let register = TABLE + 2 * u32::from(pin.pin);
        let entry = controller.read(register);
        let bit = if masked { MASKED } else { 0 };
        controller.write(register, entry & !MASKED | bit);
    }
}
