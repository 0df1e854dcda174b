//! Text for the outside: the serial port COM1, or where there is none Xen's console, or port
//! 0xe9.
//!
//! 0xe9 is QEMU's `isa-debugcon`. A line is written under a lock, so that CPUs do not mix
//! theirs.

use crate::cpu::port;
use crate::sync::Lock;
use crate::xen::console::Console;
use core::fmt::{self, Write};

const COM1: u16 = 0x3f8;
const DEBUG: u16 = 0xe9;

/// Where text goes.
#[derive(Clone, Copy, Debug)]
enum Device {
    /// Not looked for yet.
    Unknown,
    /// A 16550 at COM1.
    Serial,
    /// That of a guest of Xen's.
    Xen(Console),
    /// Port 0xe9.
    Debug,
}

static DEVICE: Lock<Device> = Lock::new(Device::Unknown);

impl Device {
    /// The scratch register of a serial port keeps what is written to it.
    fn find() -> Self {
        // SAFETY: COM1's ports, which nothing else uses: 115200 baud, 8 bits, no parity, one
        // stop bit, FIFOs on, no interrupts.
        unsafe {
            port::write_u8(COM1 + 7, 0x5a);
            if port::read_u8(COM1 + 7) != 0x5a {
                return Console::find().map_or(Self::Debug, Self::Xen);
            }
            for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 3)]
            {
                port::write_u8(COM1 + register, value);
            }
        }
        Self::Serial
    }

    fn write(&mut self, bytes: &[u8]) {
        if matches!(self, Self::Unknown) {
            *self = Self::find();
        }
        if let Self::Xen(console) = self {
            return console.write(bytes);
        }
        for chunk in bytes.chunks(16) {
            // SAFETY: a serial port whose FIFO is empty takes 16 bytes; one that is stuck is
            // not waited for. 0xe9 takes any.
            unsafe {
                if matches!(self, Self::Serial) {
                    for _ in 0..100_000 {
                        if port::read_u8(COM1 + 5) & 0x20 != 0 {
                            break;
                        }
                    }
                    chunk.iter().for_each(|byte| port::write_u8(COM1, *byte));
                } else {
                    chunk.iter().for_each(|byte| port::write_u8(DEBUG, *byte));
                }
            }
        }
    }
}

impl Device {
    /// Writes lines: a terminal wants a carriage return.
    fn write_text(&mut self, text: &[u8]) {
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                self.write(b"\r\n");
            }
            self.write(line);
        }
    }
}

impl Write for Device {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_text(text.as_bytes());
        Ok(())
    }
}

/// Writes text: a new line begins at its start.
pub fn text(text: &[u8]) {
    DEVICE.lock().write_text(text);
}

/// Writes bytes as they are.
pub fn write(bytes: &[u8]) {
    DEVICE.lock().write(bytes);
}

/// Writes a line. For messages of the kernel itself; see [`say!`](crate::say).
pub fn line(text: fmt::Arguments<'_>) {
    let mut device = DEVICE.lock();
    let _ = device.write_fmt(text);
    device.write(b"\r\n");
}

/// Writes a line even if another CPU, or this one, was stopped while it wrote one.
pub fn last_words(text: fmt::Arguments<'_>) {
    let mut device = match DEVICE.try_lock() {
        Some(mut device) => {
            let _ = device.write_fmt(text);
            device.write(b"\r\n");
            return;
        }
        None => Device::find(),
    };
    let _ = device.write_fmt(text);
    device.write(b"\r\n");
}

/// Waits until what was written has been taken, where that is known.
pub(crate) fn flush() {
    let device = DEVICE.try_lock().map(|device| *device);
    if let Device::Xen(console) = device.unwrap_or_else(Device::find) {
        console.flush();
    }
}

/// Writes the addresses that the calls on a stack return to, from the innermost on: as far
/// as there are frame pointers.
pub(crate) fn backtrace(rip: u64, mut frame: u64) {
    last_words(format_args!("  at {rip:#x}"));
    for _ in 0..32 {
        let (Some(next), Some(back)) = (load(frame), load(frame.wrapping_add(8))) else {
            return;
        };
        if back == 0 || next <= frame {
            return;
        }
        last_words(format_args!("  at {back:#x}"));
        frame = next;
    }
}

/// A word that may not be there. It is looked for in the page tables: a fault would come in on the
/// stack that this may run on.
fn load(address: u64) -> Option<u64> {
    use crate::memory::tables::{PRESENT, TABLES};
    let entry = TABLES.try_lock()?.look(address)?;
    let mut bytes = [0; 8];
    if !address.is_multiple_of(8) || entry & PRESENT == 0 {
        return None;
    }
    crate::memory::copy::peek(&mut bytes, address).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Writes a line of the kernel's on the console.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::console::line(format_args!($($text)*)) };
}
