//! Where the values come from.
//!
//! A kernel answers for a part that it does not have with an error, which here means that
//! there is nothing to tell.

use super::table::{MBUF_TYPES, PROTOCOLS};
use super::{Kind, Metric};
use crate::iface::Interface;
use crate::sys::sysctl as raw;
use crate::sysctl;
use rump_sys::abi;
use std::ffi::c_int;
use std::mem::offset_of;

fn plain(name: &'static str, help: &'static str, kind: Kind, value: u64) -> Metric {
    Metric {
        name,
        help,
        kind,
        label: None,
        value,
    }
}

/// The 64-bit number at a place, if there is one.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

/// The counters of TCP, UDP and IP.
pub(super) fn protocols(metrics: &mut Vec<Metric>) {
    for (node, rows) in PROTOCOLS {
        let Ok(sysctl::Value::Bytes(counters)) = sysctl::get(node) else {
            continue;
        };
        let value = |index: usize| number(&counters, index * size_of::<u64>());
        metrics.extend(rows.iter().filter_map(|&(index, name, help)| {
            Some(plain(name, help, Kind::Counter, value(index)?))
        }));
    }
}

/// The counters of all interfaces.
pub(super) fn interfaces(metrics: &mut Vec<Metric>) {
    let all = Interface::list().unwrap_or_default();
    let counted: Vec<_> = all
        .iter()
        .filter_map(|interface| Some((interface, interface.statistics().ok()?.metrics())))
        .collect();
    let count = counted.first().map_or(0, |(_, counters)| counters.len());
    for index in 0..count {
        metrics.extend(counted.iter().map(|(interface, counters)| {
            let (name, help, value) = counters[index];
            Metric {
                label: Some(("interface", interface.name().into())),
                ..plain(name, help, Kind::Counter, value)
            }
        }));
    }
}

/// The mbufs.
pub(super) fn memory(metrics: &mut Vec<Metric>) {
    let Ok(sysctl::Value::Bytes(stats)) = sysctl::get("kern.mbuf.stats") else {
        return;
    };
    let types = offset_of!(abi::mbstat, m_mtypes);
    metrics.extend(MBUF_TYPES.iter().enumerate().filter_map(|(number, name)| {
        let count = stats
            .get(types + number * size_of::<u16>()..)?
            .first_chunk()?;
        Some(Metric {
            label: Some(("type", (*name).into())),
            ..plain(
                "rump_mbufs",
                "Mbufs in use, by type; the kernel counts to 65,535.",
                Kind::Gauge,
                u16::from_ne_bytes(*count).into(),
            )
        })
    }));
    const COUNTERS: [(usize, &str, &str); 2] = [
        (
            offset_of!(abi::mbstat, m_drops),
            "rump_mbuf_failures_total",
            "Times there was no memory for an mbuf.",
        ),
        (
            offset_of!(abi::mbstat, m_drain),
            "rump_mbuf_drains_total",
            "Times the protocols were asked to give mbufs back.",
        ),
    ];
    metrics.extend(COUNTERS.iter().filter_map(|&(at, name, help)| {
        Some(plain(name, help, Kind::Counter, number(&stats, at)?))
    }));
}

/// Processes and lwps of the kernel.
pub(super) fn processes(metrics: &mut Vec<Metric>) {
    // Of each process what comes before the number of its lwps, and that.
    const ELEMENT: usize = abi::KINFO_PROC2_NLWPS + size_of::<u64>();
    const MOST: c_int = 65_536;
    // Asked by name first: it needs arguments.
    if sysctl::node("kern.proc2").is_err() {
        return;
    }
    let Ok(found) = raw::bytes(&[
        abi::CTL_KERN,
        abi::KERN_PROC2,
        abi::KERN_PROC_ALL,
        0,
        ELEMENT as c_int,
        MOST,
    ]) else {
        return;
    };
    let lwps = found
        .chunks_exact(ELEMENT)
        .filter_map(|process| number(process, abi::KINFO_PROC2_NLWPS));
    metrics.push(plain(
        "rump_processes",
        "Processes of the kernel, with its own.",
        Kind::Gauge,
        lwps.clone().count() as u64,
    ));
    metrics.push(plain(
        "rump_lwps",
        "Kernel threads (lwps), with its own.",
        Kind::Gauge,
        lwps.sum(),
    ));
}

/// What happened below the kernel.
pub(super) fn hypercalls(metrics: &mut Vec<Metric>) {
    let stats = rump_sys::stats::stats();
    metrics.extend(
        [
            (
                "rump_hypercall_mutex_contended_total",
                "Mutexes that were not free at once.",
                stats.mutex_contended,
            ),
            (
                "rump_hypercall_rwlock_contended_total",
                "Read-write locks that were not free at once.",
                stats.rw_contended,
            ),
            (
                "rump_hypercall_cv_waits_total",
                "Waits on condition variables.",
                stats.cv_waits,
            ),
            (
                "rump_hypercall_sleeps_total",
                "Times a thread went to sleep in the host.",
                stats.sleeps,
            ),
            (
                "rump_hypercall_wakes_total",
                "Times a thread was woken through the host.",
                stats.wakes,
            ),
            (
                "rump_hypercall_spin_hits_total",
                "Spins that saved a sleep.",
                stats.spin_hits,
            ),
            (
                "rump_hypercall_spin_misses_total",
                "Spins in vain.",
                stats.spin_misses,
            ),
        ]
        .map(|(name, help, value)| plain(name, help, Kind::Counter, value)),
    );
}
