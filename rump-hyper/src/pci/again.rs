//! When a handler is called without an interrupt.
//!
//! - A handler that says that the interrupt was not its device's may only not be ready yet.
//!   wm(4) turns interrupts on some time before it takes any; on a machine's own CPU hardly
//!   any comes in between, but here one does, is told to go away with its queue's interrupts
//!   turned off, and no other comes for ever. So such a handler is called again, at ever
//!   longer intervals.
//! - An interrupt may be lost. QEMU 7.2 does so with messages of its 82574L that it puts off
//!   (the register ITR): the device waits for the driver, and the driver for the device. So a
//!   handler is called some more times after the last interrupt, at ever longer intervals, too;
//!   drivers bear that, as lines are shared.
//!
//! Neither goes on for long: a device that does nothing costs nothing.

use core::time::Duration;

/// How often a handler that is not ready is called; that is some 15 s.
const MOST: u32 = 20;
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);
/// From this call on the intervals are that long.
const STEADY: u32 = 7;
/// How long after the last interrupt it is looked whether there was another, at first, and how
/// often: the last time is some 15 s after it.
const AFTERWARDS: Duration = Duration::from_millis(500);
const LOOKS: u32 = 5;

/// What the last call of a handler came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing is expected but interrupts.
    #[default]
    Over,
    /// There was an interrupt, and so many calls since.
    Afterwards(u32),
    /// It was not ready, so many times.
    NotReady(u32),
}

impl Again {
    /// In how much time it is called, if there is no interrupt earlier. Whoever waits for an
    /// answer of the device looks for lost ones in another way.
    pub(super) fn within(&mut self, own: bool) -> Option<Duration> {
        match self {
            Self::Over => None,
            Self::Afterwards(calls) => own.then_some(AFTERWARDS * (1 << *calls)),
            Self::NotReady(calls) => {
                let delay = FIRST * (1 << (*calls).min(STEADY));
                Some(delay.min(LONGEST))
            }
        }
    }

    /// It was called, and has said whether there was something for it.
    pub(super) fn called(&mut self, handled: bool, interrupt: bool) {
        *self = match *self {
            _ if interrupt && handled => Self::Afterwards(0),
            _ if interrupt => Self::NotReady(0),
            Self::Afterwards(calls) if handled && calls + 1 < LOOKS => Self::Afterwards(calls + 1),
            // Perhaps it was just not ready, perhaps there was nothing.
            Self::Afterwards(_) if !handled => Self::NotReady(STEADY),
            Self::NotReady(_) if handled => Self::Afterwards(0),
            Self::NotReady(calls) if calls + 1 < MOST => Self::NotReady(calls + 1),
            _ => Self::Over,
        };
    }

    /// It is not to be called.
    pub(super) fn over(&mut self) {
        *self = Self::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_is_called_again() {
        let mut again = Again::default();
        assert_eq!(again.within(true), None);
        again.called(false, true);
        let mut delays = std::vec::Vec::new();
        while let Some(delay) = again.within(true) {
            delays.push(delay);
            again.called(false, false);
        }
        assert_eq!(delays.len(), 20);
        assert_eq!(delays[0], Duration::from_millis(10));
        assert_eq!(delays[19], Duration::from_secs(1));
        let all: Duration = delays.iter().sum();
        assert!(all > Duration::from_secs(10) && all < Duration::from_secs(20));
        // It waits for an interrupt then, and begins anew when there was one.
        again.called(false, true);
        assert_eq!(again.within(false), Some(Duration::from_millis(10)));
        again.called(true, false);
        assert_eq!(again, Again::Afterwards(0));
    }

    #[test]
    fn after_an_interrupt_others_are_looked_for() {
        let mut again = Again::default();
        again.called(true, true);
        // Another thread is there for what it waits for.
        assert_eq!(again.within(false), None);
        again.called(true, false);
        again.called(true, true);
        assert_eq!(again, Again::Afterwards(0));
        let mut delays = std::vec::Vec::new();
        while let Some(delay) = again.within(true) {
            delays.push(delay.as_millis());
            again.called(true, false);
        }
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000]);
        // A handler that tells whether there was something.
        again.called(true, true);
        let mut all = Duration::ZERO;
        while let Some(delay) = again.within(true) {
            all += delay;
            again.called(false, false);
        }
        assert!(all > Duration::from_secs(10) && all < Duration::from_secs(20));
    }
}
