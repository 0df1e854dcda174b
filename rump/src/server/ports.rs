//! The ports that the kernel chooses from: `net.inet.ip.anonportmin`, and its like.

use crate::sysctl;
use std::ops::RangeInclusive;

/// Smallest and greatest, of both families.
const NODES: [[&str; 2]; 2] = [
    ["net.inet.ip.anonportmin", "net.inet.ip.anonportmax"],
    ["net.inet6.ip6.anonportmin", "net.inet6.ip6.anonportmax"],
];

/// The range in use, and those of before. Dropping it restores them, unless somebody else has
/// set others since.
#[derive(Debug)]
pub(super) struct Range {
    now: RangeInclusive<u16>,
    before: [RangeInclusive<u16>; 2],
}

fn get(node: &str) -> Result<u16, sysctl::Error> {
    let number = sysctl::get(node)?.number().unwrap_or(0);
    Ok(u16::try_from(number).unwrap_or(0))
}

fn range([min, max]: [&str; 2]) -> Result<RangeInclusive<u16>, sysctl::Error> {
    Ok(get(min)?..=get(max)?)
}

/// Sets both ends, the one first that keeps them in order.
fn set([min, max]: [&str; 2], to: &RangeInclusive<u16>) -> Result<(), sysctl::Error> {
    let upwards = *to.start() > get(max)?;
    if upwards {
        sysctl::set(max, i32::from(*to.end()))?;
    }
    sysctl::set(min, i32::from(*to.start()))?;
    if !upwards {
        sysctl::set(max, i32::from(*to.end()))?;
    }
    Ok(())
}

impl Range {
    /// Has the kernel choose from these.
    pub(super) fn set(to: RangeInclusive<u16>) -> Result<Self, sysctl::Error> {
        let range = Self {
            before: [range(NODES[0])?, range(NODES[1])?],
            now: to,
        };
        range.apply()?;
        Ok(range)
    }

    /// The same with others.
    pub(super) fn change(&mut self, to: RangeInclusive<u16>) -> Result<(), sysctl::Error> {
        self.now = to;
        self.apply()
    }

    fn apply(&self) -> Result<(), sysctl::Error> {
        NODES.iter().try_for_each(|nodes| set(*nodes, &self.now))
    }

    /// What the kernel chooses from.
    pub(super) fn ports(&self) -> &RangeInclusive<u16> {
        &self.now
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        for (nodes, before) in NODES.iter().zip(&self.before) {
            // A kernel that is down chooses none.
            if range(*nodes).is_ok_and(|range| range == self.now) {
                let _ = set(*nodes, before);
            }
        }
    }
}
