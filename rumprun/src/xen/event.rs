//! Event channels: bits in the page that is shared with Xen, by port. They come to a CPU as an
//! interrupt of its own vector, through its local APIC (`HVMOP_set_evtchn_upcall_vector`, Xen
//! 4.6 and later), and are then signals of a [`Line`], like the interrupts of devices.
//!
//! A port whose other end is not trusted ([`Channel::of_other`]) is masked when an event comes,
//! until its line is waited for again: it interrupts no more often than it is looked at.

use super::abi::{hvm, shared};
use super::hypercall::{self, Refused};
use super::page::Page;
use crate::cpu;
use crate::trap::line::{self, Line};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use spin::Once;

/// The vector of each CPU.
pub(crate) const VECTOR: u8 = 0xe3;
/// Ports that are looked at; Xen gives out the lowest that is free.
const PORTS: usize = 1024;

static SHARED: Once<Page> = Once::new();
/// The vector of a port's line, 0 if it has none.
static LINES: [AtomicU8; PORTS] = [const { AtomicU8::new(0) }; PORTS];
/// Ports that are masked when an event comes, a bit for each.
static ONCE: [AtomicU64; PORTS / 64] = [const { AtomicU64::new(0) }; PORTS / 64];
/// Xen's numbers of CPUs, by ours, and one more; 0 is none.
static CPUS: [AtomicU32; cpu::data::MANY] = [const { AtomicU32::new(0) }; cpu::data::MANY];

/// The page that is shared with Xen, since [`set_up`].
pub(super) fn shared_page() -> Option<Page> {
    SHARED.get().copied()
}

/// Maps the page. Before there are other CPUs.
pub(super) fn set_up() -> Result<(), Refused> {
    let page = Page::of_xen(super::abi::SPACE_SHARED_INFO, 0)?;
    SHARED.call_once(|| page);
    // Nothing comes that way, as each CPU has a vector of its own. But this is where Xen looks
    // whether a guest is a 64-bit one, and writes the wall clock into its page, which has none
    // before; and by this xl knows that an HVM guest hears of `xl shutdown`.
    hypercall::set_parameter(hvm::CALLBACK, hvm::CALLBACK_LINE)?;
    Ok(())
}

/// Has events come to the CPU that calls.
pub(super) fn enable() -> Result<(), Refused> {
    // By convention the number of the APIC is twice that of the CPU, where cpuid has none.
    let this = cpu::current();
    let number = hypercall::cpu().unwrap_or(this.apic / 2);
    if number as usize >= shared::CPUS {
        // Its part of the page would have to be elsewhere; it does without events.
        return Ok(());
    }
    hypercall::set_upcall_vector(number, VECTOR)?;
    CPUS[this.index].store(number + 1, Ordering::Release);
    Ok(())
}

/// Numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// Takes the ports that are pending for a CPU.
fn take(page: Page, cpu: usize, mut came: impl FnMut(usize)) {
    let base = cpu * shared::CPU_SIZE;
    // First the flag, then the selector, then the bits: what comes meanwhile sets the flag.
    page.u8(base + shared::UPCALL).swap(0, Ordering::SeqCst);
    let selected = page.u64(base + shared::SELECTOR).swap(0, Ordering::SeqCst);
    for word in bits(selected) {
        let pending = page.u64(shared::PENDING + 8 * word);
        let masked = page.u64(shared::MASKED + 8 * word);
        let once = ONCE
            .get(word)
            .map_or(0, |once| once.load(Ordering::Acquire));
        let unmasked = !masked.load(Ordering::Acquire);
        for bit in bits(pending.load(Ordering::Acquire) & unmasked) {
            masked.fetch_or(once & 1 << bit, Ordering::AcqRel);
            pending.fetch_and(!(1 << bit), Ordering::AcqRel);
            came(64 * word + bit);
        }
    }
}

/// Unmasks a port; whether Xen has to do it, because an event has come meanwhile.
fn unmask(page: Page, port: usize) -> bool {
    let (word, bit) = (8 * (port / 64), 1 << (port % 64));
    let masked = page.u64(shared::MASKED + word);
    // Mostly it slept for something else, and no event has come.
    if masked.load(Ordering::SeqCst) & bit == 0 {
        return false;
    }
    // Xen sets the one bit before it looks at the other, as is done here the other way round.
    masked.fetch_and(!bit, Ordering::SeqCst);
    let came = page.u64(shared::PENDING + word).load(Ordering::SeqCst) & bit != 0;
    if came {
        // It unmasks what is masked, and only then tells.
        masked.fetch_or(bit, Ordering::SeqCst);
    }
    came
}

/// Events have come to the CPU that calls. On the stack of interrupts.
pub(crate) fn came() {
    let number = CPUS[cpu::current().index].load(Ordering::Acquire);
    let (Some(page), Some(number)) = (SHARED.get(), number.checked_sub(1)) else {
        return;
    };
    take(*page, number as usize, |port| {
        let vector = LINES
            .get(port)
            .map_or(0, |line| line.load(Ordering::Acquire));
        if vector != 0 {
            line::came(vector);
        }
    });
}

/// An event channel. It is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Channel {
    port: u32,
    line: Line,
}

impl Channel {
    /// One whose port is bound already, as xenstore's.
    pub(super) fn adopt(port: u32) -> Result<Self, Refused> {
        let line = Line::new().ok_or(Refused(super::NO_MEMORY))?;
        let slot = LINES.get(port as usize).ok_or(Refused(super::NO_MEMORY))?;
        slot.store(line.vector(), Ordering::Release);
        let cpu = cpu::data::all().find(|cpu| cpu.apic == line.apic());
        let number = cpu.map_or(0, |cpu| CPUS[cpu.index].load(Ordering::Acquire));
        // Otherwise it comes to the first.
        if let Some(number) = number.checked_sub(1) {
            hypercall::bind(port, number)?;
        }
        hypercall::unmask(port)?;
        Ok(Self { port, line })
    }

    /// A new one that a domain may bind to.
    pub(super) fn new(domain: u16) -> Result<Self, Refused> {
        Self::adopt(hypercall::new_port(domain)?)
    }

    /// One that is bound to a port that a domain has for us.
    pub(super) fn of_other(domain: u16, port: u32) -> Result<Self, Refused> {
        let port = hypercall::bind_other(domain, port)?;
        if let Some(word) = ONCE.get(port as usize / 64) {
            word.fetch_or(1 << (port % 64), Ordering::AcqRel);
        }
        let channel = Self::adopt(port).inspect_err(|_| hypercall::close(port))?;
        // What came while it was being bound found no line: who waits looks once first.
        channel.line.fire();
        Ok(channel)
    }

    /// Lets the next event come, also one that has come already.
    pub(super) fn rearm(&self) {
        let asks = match shared_page() {
            Some(page) if (self.port as usize) < PORTS => unmask(page, self.port as usize),
            _ => true,
        };
        if asks {
            // A port that is no more has no events.
            let _ = hypercall::unmask(self.port);
        }
    }

    /// Its number.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Tells the other side.
    pub(super) fn notify(&self) {
        hypercall::send(self.port);
    }

    /// Where its events come.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(slot) = LINES.get(self.port as usize) {
            slot.store(0, Ordering::Release);
        }
        if let Some(word) = ONCE.get(self.port as usize / 64) {
            word.fetch_and(!(1 << (self.port % 64)), Ordering::AcqRel);
        }
        // From here on its number may be another's.
        hypercall::close(self.port);
    }
}

// The words of a page of bits.
const _: () = assert!(PORTS <= 64 * 64);

/// The clock's words are read elsewhere, and have to lie in the part of a CPU.
const _: () = assert!(shared::CLOCK + 32 <= shared::CPU_SIZE);

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    #[test]
    fn pending_ports_are_taken_once_and_masked_ones_are_left() {
        let page = Page::for_test();
        let word = |offset: usize| -> &'static AtomicU64 {
            let page: &'static Page = std::boxed::Box::leak(std::boxed::Box::new(page));
            page.u64(offset)
        };
        let base = 3 * shared::CPU_SIZE;
        page.u8(base).store(1, Ordering::Relaxed);
        word(base + shared::SELECTOR).store(1 | 1 << 63, Ordering::Relaxed);
        word(shared::PENDING).store(0b1011, Ordering::Relaxed);
        word(shared::PENDING + 8).store(1, Ordering::Relaxed);
        word(shared::PENDING + 8 * 63).store(1 << 63, Ordering::Relaxed);
        word(shared::MASKED).store(0b0010, Ordering::Relaxed);
        let mut ports = Vec::new();
        take(page, 3, |port| ports.push(port));
        // Port 64 is not selected, port 1 is masked.
        assert_eq!(ports, [0, 3, 4095]);
        assert_eq!(page.u8(base).load(Ordering::Relaxed), 0);
        assert_eq!(word(shared::PENDING).load(Ordering::Relaxed), 0b0010);
        ports.clear();
        take(page, 3, |port| ports.push(port));
        assert!(ports.is_empty());
        // A port that is to interrupt once is masked then.
        ONCE[2].fetch_or(1 << 5, Ordering::Relaxed);
        for (left, came) in [(0, 1), (1 << 5, 0)] {
            word(base + shared::SELECTOR).store(1 << 2, Ordering::Relaxed);
            word(shared::PENDING + 16).store(1 << 5, Ordering::Relaxed);
            ports.clear();
            take(page, 3, |port| ports.push(port));
            assert_eq!(ports.len(), came);
            let pending = word(shared::PENDING + 16).load(Ordering::Relaxed);
            let masked = word(shared::MASKED + 16).load(Ordering::Relaxed);
            assert_eq!((pending, masked), (left, 1 << 5));
        }
        ONCE[2].fetch_and(!(1 << 5), Ordering::Relaxed);
    }

    #[test]
    fn xen_is_asked_only_where_an_event_has_come() {
        let page = Page::for_test();
        let masked = page.u64(shared::MASKED + 8);
        let pending = page.u64(shared::PENDING + 8);
        for (before, came, asks, after) in [
            (0b100, 0b100, true, 0b100),
            (0b110, 0b010, false, 0b010),
            (0b010, 0b100, false, 0b010),
        ] {
            masked.store(before, Ordering::Relaxed);
            pending.store(came, Ordering::Relaxed);
            assert_eq!(unmask(page, 66), asks);
            assert_eq!(masked.load(Ordering::Relaxed), after);
        }
    }
}
