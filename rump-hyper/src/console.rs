//! The kernel's console.
//!
//! Output is kept in a ring of the last few thousand bytes and handed on line
//! by line: to a sink if the program set one, else to the host if
//! `RUMP_VERBOSE` asks for it, else nowhere. A kernel that panics has its last
//! lines printed, whatever the setting.

use crate::cold::Cold;
use crate::host::Host;
use crate::params;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes kept.
const KEPT: usize = 8192;
/// A line longer than this is handed on in pieces.
const LINE: usize = 256;

struct Console {
    ring: [u8; KEPT],
    /// Bytes ever written.
    written: usize,
    line: [u8; LINE],
    filled: usize,
    sink: Option<fn(&[u8])>,
}

static CONSOLE: Cold<Console> = Cold::new(Console {
    ring: [0; KEPT],
    written: 0,
    line: [0; LINE],
    filled: 0,
    sink: None,
});

impl Console {
    /// Stores a byte; returns a line if that completed one.
    fn push(&mut self, byte: u8) -> Option<([u8; LINE], usize)> {
        self.ring[self.written % KEPT] = byte;
        self.written += 1;
        self.line[self.filled] = byte;
        self.filled += 1;
        if byte != b'\n' && self.filled < LINE {
            return None;
        }
        let line = (self.line, self.filled);
        self.filled = 0;
        Some(line)
    }

    fn tail(&self) -> Vec<u8> {
        let start = self.written.saturating_sub(KEPT);
        (start..self.written)
            .map(|at| self.ring[at % KEPT])
            .collect()
    }
}

/// Hands console output to a function from now on, line by line. It is called
/// from kernel threads that may hold locks: it must neither block for long nor
/// call the kernel.
///
/// ```
/// rump_hyper::console::set_sink(|line| eprint!("{}", String::from_utf8_lossy(line)));
/// ```
pub fn set_sink(sink: fn(&[u8])) {
    CONSOLE.with(|console| console.sink = Some(sink));
}

/// The last console output.
pub fn tail() -> Vec<u8> {
    CONSOLE
        .try_with(|console| console.tail())
        .unwrap_or_default()
}

/// 0 not known yet, 1 quiet, 2 verbose.
static VERBOSE: AtomicU8 = AtomicU8::new(0);

fn verbose<H: Host>() -> bool {
    let known = VERBOSE.load(Ordering::Relaxed);
    if known != 0 {
        return known == 2;
    }
    let asked = params::lookup::<H>("RUMP_VERBOSE").is_ok_and(|value| !value.starts_with('0'));
    VERBOSE.store(1 + u8::from(asked), Ordering::Relaxed);
    asked
}

/// Takes console output from the kernel.
pub fn write<H: Host>(text: &[u8]) {
    for &byte in text {
        let (line, sink) = CONSOLE.with(|console| (console.push(byte), console.sink));
        let Some((line, len)) = line else { continue };
        match sink {
            Some(sink) => sink(&line[..len]),
            None if verbose::<H>() => H::console(&line[..len]),
            None => {}
        }
    }
}

/// Ends the program with a message and the console's last lines.
pub fn die<H: Host>(why: &str) -> ! {
    H::console(b"rump: ");
    H::console(why.as_bytes());
    H::console(b"; the kernel's last words:\n");
    let tail = tail();
    let mut lines: Vec<&[u8]> = tail.rsplit(|byte| *byte == b'\n').take(24).collect();
    lines.reverse();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        H::console(b"rump| ");
        H::console(line);
        H::console(b"\n");
    }
    H::abort()
}
