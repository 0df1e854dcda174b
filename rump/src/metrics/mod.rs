//! What the kernel has counted: TCP, UDP, IP, mbufs, lwps, interfaces, hypercalls.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::metrics::Snapshot;
//! use rump::net::{TcpListener, TcpStream};
//!
//! # let _kernel = rump::Kernel::builder().boot()?;
//! let before = Snapshot::take()?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! TcpStream::connect(listener.local_addr()?)?;
//! let since = Snapshot::take()?.since(&before);
//! // rump-lite counts less than NetBSD does.
//! if let Some(connections) = since.get("rump_tcp_connects_total") {
//!     assert!(connections >= 1);
//! }
//! print!("{since}");
//! # Ok(())
//! # }
//! ```
//!
//! A snapshot prints itself in the text format of Prometheus, which an exporter can serve
//! as it is. Values are not read at one instant. What a kernel does not count is absent,
//! and not 0.

mod source;
mod table;

use std::fmt;
use std::io;

/// Whether a value only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It counts events since boot.
    Counter,
    /// It says how much there is at the moment.
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, in the style of Prometheus: `rump_tcp_accepts_total`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it is about, if there are several of the name: `("interface", "vif0")`.
    pub label: Option<(&'static str, String)>,
    /// The value, in what the name says (`bytes`), else a count.
    pub value: u64,
}

/// All values at about one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(Vec<Metric>);

impl Snapshot {
    /// Reads all values.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down).
    pub fn take() -> io::Result<Self> {
        crate::kernel::check_running()?;
        let mut metrics = Vec::new();
        source::protocols(&mut metrics);
        source::interfaces(&mut metrics);
        source::memory(&mut metrics);
        source::processes(&mut metrics);
        source::hypercalls(&mut metrics);
        Ok(Self(metrics))
    }

    /// The values, those of one name together.
    pub fn iter(&self) -> std::slice::Iter<'_, Metric> {
        self.0.iter()
    }

    /// The value of this name; the sum, if there are several.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter()
            .filter(|metric| metric.name == name)
            .map(|metric| metric.value)
            .reduce(u64::wrapping_add)
    }

    /// How much was counted since an earlier one; gauges are as they are now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |now: &Metric| {
            let same = |then: &&Metric| then.name == now.name && then.label == now.label;
            match now.kind {
                Kind::Counter => earlier.iter().find(same).map_or(0, |then| then.value),
                Kind::Gauge => 0,
            }
        };
        let since = |now: &Metric| Metric {
            value: now.value.saturating_sub(before(now)),
            ..now.clone()
        };
        Self(self.iter().map(since).collect())
    }
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = &'a Metric;
    type IntoIter = std::slice::Iter<'a, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for metric in self {
            if metric.name != last {
                last = metric.name;
                writeln!(f, "# HELP {last} {}", metric.help)?;
                writeln!(f, "# TYPE {last} {}", metric.kind)?;
            }
            match &metric.label {
                None => writeln!(f, "{last} {}", metric.value)?,
                Some((label, of)) => writeln!(f, "{last}{{{label}=\"{of}\"}} {}", metric.value)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &'static str, kind: Kind, of: Option<&str>, value: u64) -> Metric {
        Metric {
            name,
            help: "What it says.",
            kind,
            label: of.map(|of| ("interface", of.into())),
            value,
        }
    }

    #[test]
    fn counters_are_subtracted_and_gauges_are_not() {
        let snapshot = |counter, gauge| {
            Snapshot(vec![
                metric("c", Kind::Counter, Some("vif0"), counter),
                metric("c", Kind::Counter, Some("vif1"), 1),
                metric("g", Kind::Gauge, None, gauge),
            ])
        };
        let since = snapshot(15, 5).since(&snapshot(11, 9));
        assert_eq!((since.get("c"), since.get("g")), (Some(4), Some(5)));
        assert_eq!(since.get("other"), None);
        // An interface that is new counts from 0, and one that was made again too.
        assert_eq!(snapshot(2, 0).since(&Snapshot::default()).get("c"), Some(3));
        assert_eq!(snapshot(2, 0).since(&snapshot(9, 0)).get("c"), Some(0));
    }

    #[test]
    fn the_text_is_that_of_prometheus() {
        let snapshot = Snapshot(vec![
            metric("c", Kind::Counter, Some("vif0"), 1),
            metric("c", Kind::Counter, Some("vif1"), 2),
            metric("g", Kind::Gauge, None, 3),
        ]);
        assert_eq!(
            snapshot.to_string(),
            "# HELP c What it says.\n# TYPE c counter\nc{interface=\"vif0\"} 1\nc{interface=\"vif1\"} 2\n\
             # HELP g What it says.\n# TYPE g gauge\ng 3\n"
        );
    }
}
