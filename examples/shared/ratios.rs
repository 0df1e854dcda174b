//! One measured row, as a line of JSON.

use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;

/// A result of one benchmark. `ours` and `rival` are medians of runs that took turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `topic/benchmark`.
    pub name: String,
    /// What rump reached, in `unit`.
    pub ours: f64,
    /// What it is compared with reached; none if there is only a goal.
    pub rival: Option<f64>,
    /// The unit of `ours` and `rival`.
    pub unit: String,
    /// Above 1, ours is better; none without a rival.
    pub ratio: Option<f64>,
    /// What the rival is.
    pub rival_is: Option<String>,
    /// What the running kernel says it is.
    pub kernel: String,
    /// How often each side ran after the warm-up.
    pub runs: usize,
    /// (max - min) / median of ours.
    pub spread: f64,
    /// When it was measured, in UTC (ISO 8601).
    pub when: String,
    /// Virtual CPUs of the kernel, where one ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<usize>,
    /// (max - min) / median of the rival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival_spread: Option<f64>,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Row {
    /// Whether the row says anything about NetBSD. What was measured on another kernel
    /// is written down but counts for nothing, except where rump-lite is what is measured.
    pub fn counts(&self) -> bool {
        self.kernel.starts_with("NetBSD ")
            || ["lite/", "fresh/"]
                .iter()
                .any(|of_lite| self.name.starts_with(of_lite))
    }
}

/// The median of some measurements.
///
/// # Panics
/// If there are none.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "the median of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// (max - min) / |median|; 0 where all are the same.
///
/// # Panics
/// If there are none.
pub fn spread(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::MIN, f64::max);
    let min = values.iter().copied().fold(f64::MAX, f64::min);
    if max > min {
        (max - min) / median(values).abs()
    } else {
        0.0
    }
}

/// Adds a row to a file of rows.
///
/// # Errors
/// The file cannot be written.
pub fn append(path: &Path, row: &Row) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{}\n", serde_json::to_string(row)?).as_bytes())
}

/// Reads a file of rows. Lines that are no rows, as a run that was cut short may leave
/// them, are passed to `complain` and skipped.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path, mut complain: impl FnMut(String)) -> io::Result<Vec<Row>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(row) => rows.push(row),
            Err(_) if line.trim().is_empty() => {}
            Err(error) => complain(format!("{}:{}: {error}", path.display(), number + 1)),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_written_form() {
        let line = r#"{"name":"loopback/stream-64k","ours":612.4,"rival":1290.1,"unit":"MiB/s","ratio":0.475,"rival_is":"Linux TCP loopback","kernel":"NetBSD 8.99.25","runs":7,"spread":0.12,"when":"2025-11-23T05:00:00Z"}"#;
        let row: Row = serde_json::from_str(line).unwrap();
        assert_eq!(row.ratio, Some(0.475));
        assert!(row.counts());
        assert_eq!(serde_json::to_string(&row).unwrap(), line);
    }

    #[test]
    fn a_row_without_rival_has_null() {
        let line = r#"{"name":"boot/init","ours":5.0,"rival":null,"unit":"ms","ratio":null,"rival_is":null,"kernel":"other 1","runs":7,"spread":0.1,"when":"2025-11-23T05:00:00Z"}"#;
        let row: Row = serde_json::from_str(line).unwrap();
        assert!(!row.counts());
        assert_eq!(serde_json::to_string(&row).unwrap(), line);
    }

    #[test]
    fn median_and_spread() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(spread(&[2.0, 1.0, 3.0]), 1.0);
        assert_eq!(spread(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn appended_rows_are_read_back() {
        let path = std::env::temp_dir().join(format!("ratios-{}.jsonl", std::process::id()));
        let row: Row = serde_json::from_str(
            r#"{"name":"a/b","ours":1.0,"rival":null,"unit":"s","ratio":null,"rival_is":null,"kernel":"k","runs":5,"spread":0.0,"when":"w"}"#,
        )
        .unwrap();
        append(&path, &row).unwrap();
        append(&path, &row).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"name\":\"cut sho"))
            .unwrap();
        let mut complaints = Vec::new();
        let rows = read(&path, |complaint| complaints.push(complaint)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rows, [row.clone(), row]);
        assert!(
            complaints.len() == 1 && complaints[0].contains(":3:"),
            "{complaints:?}"
        );
    }
}
