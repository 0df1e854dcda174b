//! How much slower a guest is than on a machine that has nothing else to do.
//!
//! Without KVM a guest's CPUs are threads that compete with all others of this machine, and
//! a limit of time that a hang is found by is soon over on a busy one. So limits are longer
//! there: as many times as there are threads that want a CPU for each CPU.
//!
//! Weak: it is the load when a test begins that counts.

use std::time::Duration;

/// Where Linux tells how many threads want a CPU (proc(5)).
const LOAD: &str = "/proc/loadavg";
/// However busy the machine is, a hang ends some time.
const MOST: f64 = 8.0;

/// How many times longer something takes at present than if it were alone, 1 to 8. Where
/// nobody tells, it is 1.
pub(crate) fn slowness() -> f64 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string(LOAD).ok();
    load.and_then(|load| of(&load, cpus)).unwrap_or(1.0)
}

/// Of the mean of a minute and of this moment the higher one: one more thread is to run.
fn of(load: &str, cpus: usize) -> Option<f64> {
    let mut words = load.split_whitespace();
    let mean: f64 = words.next()?.parse().ok()?;
    let (running, _) = words.nth(2)?.split_once('/')?;
    // Who reads this is one of them.
    let others = running.parse::<f64>().ok()? - 1.0;
    let slowness = (1.0 + mean.max(others)) / cpus as f64;
    slowness.is_finite().then(|| slowness.clamp(1.0, MOST))
}

/// What a test was told, or that the machine is not slow.
pub(crate) fn sound(told: Option<f64>) -> f64 {
    told.filter(|told| (1.0..=MOST).contains(told))
        .unwrap_or(1.0)
}

/// A limit for a machine that is so slow, in whole seconds.
pub(crate) fn longer(limit: Duration, slowness: f64) -> Duration {
    Duration::from_secs(limit.mul_f64(slowness).as_secs_f64().ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_has_more_time() {
        assert_eq!(of("0.00 0.01 0.05 1/345 12345\n", 2), Some(1.0));
        assert_eq!(of("5.00 0.01 0.05 1/345 12345\n", 2), Some(3.0));
        assert_eq!(of("0.10 0.01 0.05 8/345 12345\n", 2), Some(4.0));
        assert_eq!(of("90.00 1.00 1.00 9/345 1\n", 2), Some(MOST));
        for wrong in [
            "",
            "x 1 1 1/2 3",
            "1 1 1 1 1",
            "NaN 1 1 x/2 1",
            "1 1 1 x/2 1",
        ] {
            assert_eq!(of(wrong, 2), None, "{wrong}");
        }
        assert_eq!(sound(Some(2.5)), 2.5);
        for wrong in [None, Some(f64::NAN), Some(0.0), Some(-1.0), Some(1e9)] {
            assert_eq!(sound(wrong), 1.0);
        }
        assert!((1.0..=MOST).contains(&slowness()));
        let limit = Duration::from_secs(20);
        assert_eq!(longer(limit, 1.0), limit);
        assert_eq!(longer(limit, 2.51), Duration::from_secs(51));
    }
}
