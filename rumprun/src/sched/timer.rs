//! Threads of a CPU that sleep until some time.

use super::ThreadRef;
use crate::cpu::apic;
use alloc::collections::BTreeMap;

/// Who sleeps.
#[derive(Debug)]
pub(super) struct Sleeper {
    pub(super) thread: ThreadRef,
    /// The address that it sleeps on.
    pub(super) address: u64,
    /// Which of the thread's sleeps it is.
    pub(super) sleep: u64,
}

/// By when they want to be woken, and the number of the thread.
#[derive(Debug)]
pub(super) struct Timers {
    sleepers: BTreeMap<(u64, u64), Sleeper>,
    /// When the timer interrupts, `u64::MAX` if it does not. What is set for earlier than is
    /// needed is left so: it costs an interrupt, and to set the timer may cost more.
    set_for: u64,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self {
            sleepers: BTreeMap::new(),
            set_for: u64::MAX,
        }
    }

    /// Adds one. On the CPU whose timers they are.
    pub(super) fn add(&mut self, deadline: u64, sleeper: Sleeper) {
        self.sleepers
            .insert((deadline, sleeper.thread.id()), sleeper);
        self.set(deadline);
    }

    /// Takes one away that was woken otherwise.
    pub(super) fn remove(&mut self, deadline: u64, thread: u64) {
        self.sleepers.remove(&(deadline, thread));
    }

    /// One whose time has come.
    pub(super) fn expired(&mut self, now: u64) -> Option<Sleeper> {
        let first = self.sleepers.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Has the timer interrupt by this time. On the CPU whose timers they are.
    pub(super) fn set(&mut self, deadline: u64) {
        if deadline < self.set_for {
            self.set_for = deadline;
            apic::set_timer(deadline);
        }
    }

    /// The timer has interrupted: sets it anew, also for the end of a turn (0 is none), and for
    /// the kernel's clocks (`u64::MAX` is never).
    pub(super) fn set_next(&mut self, slice_end: u64, clocks: u64) {
        self.set_for = u64::MAX;
        if slice_end != 0 {
            self.set(slice_end);
        }
        self.set(clocks);
        if let Some(((deadline, _), _)) = self.sleepers.first_key_value() {
            self.set(*deadline);
        }
    }
}
