//! `timerfd_create(2)`.

use crate::errno::Errno;
use crate::host::Host;
use crate::lock::Mutex;
use crate::raw::general::CLOCK_MONOTONIC;
use crate::still::Lock;
use crate::wait::Watchers;

/// A timer that can be waited for; times in nanoseconds of its clock.
pub(crate) struct Timer {
    pub(crate) clock: u32,
    setting: Mutex<Setting>,
    pub(crate) watchers: Watchers,
}

#[derive(Clone, Copy, Default)]
struct Setting {
    next: Option<u64>,
    interval: u64,
}

impl Timer {
    pub(crate) fn new(clock: u32) -> Self {
        Self {
            clock,
            setting: Mutex::default(),
            watchers: Watchers::default(),
        }
    }

    /// Sets when it goes off; what is left of the old setting, and its interval.
    pub(crate) fn set(&self, host: &dyn Host, next: Option<u64>, interval: u64) -> (u64, u64) {
        let old = self.get(host);
        *self.setting.lock() = Setting { next, interval };
        self.watchers.ring();
        old
    }

    /// How long until it goes off next (0 if it is not set), and the interval.
    pub(crate) fn get(&self, host: &dyn Host) -> (u64, u64) {
        let (now, setting) = (host.now(self.clock), *self.setting.lock());
        let left = match setting.next {
            None => 0,
            Some(next) if next > now => next - now,
            Some(_) if setting.interval == 0 => 0,
            Some(next) => setting.interval - (now - next) % setting.interval,
        };
        (left, setting.interval)
    }

    /// How often it went off since the last time that this was asked.
    pub(crate) fn take(&self, host: &dyn Host) -> Result<u64, Errno> {
        let now = host.now(self.clock);
        let mut setting = self.setting.lock();
        let next = setting
            .next
            .filter(|next| *next <= now)
            .ok_or(Errno::EAGAIN)?;
        if setting.interval == 0 {
            setting.next = None;
            return Ok(1);
        }
        let times = (now - next) / setting.interval + 1;
        setting.next = Some(next + times * setting.interval);
        Ok(times)
    }

    pub(crate) fn ready(&self, host: &dyn Host) -> (bool, u64) {
        let (now, setting) = (host.now(self.clock), *self.setting.lock());
        let due = setting.next.filter(|next| *next <= now);
        let times = |next: u64| (now - next).checked_div(setting.interval).unwrap_or(0);
        (
            due.is_some(),
            due.map_or(0, |next| next + times(next) * setting.interval),
        )
    }

    pub(crate) fn locks(&self) -> [&dyn Lock; 2] {
        [&self.setting, self.watchers.lock()]
    }

    /// When it goes off, in the clock of deadlines.
    pub(crate) fn expiry(&self, host: &dyn Host) -> Option<u64> {
        let next = self.setting.lock().next?;
        let left = next.saturating_sub(host.now(self.clock));
        Some(host.now(CLOCK_MONOTONIC).saturating_add(left))
    }
}
