//! What was found out about one thing, as text that is safe to print.

use serde::{Deserialize, Serialize};

/// The longest text of a finding, in characters.
const LONGEST: usize = 2000;
/// The longest line of a program that is quoted.
const LONGEST_LINE: usize = 160;

/// Is it there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is, and it works.
    Found,
    /// It is not.
    Missing,
    /// Something is there or was named, and it does not do.
    Wrong,
}

/// The answer about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub status: Status,
    /// Its version or place; or what is wrong.
    pub detail: String,
}

impl Finding {
    pub fn found(detail: impl AsRef<str>) -> Self {
        Self::new(Status::Found, detail.as_ref())
    }

    pub fn missing(detail: impl AsRef<str>) -> Self {
        Self::new(Status::Missing, detail.as_ref())
    }

    pub fn wrong(detail: impl AsRef<str>) -> Self {
        Self::new(Status::Wrong, detail.as_ref())
    }

    pub fn new(status: Status, detail: &str) -> Self {
        Self {
            status,
            detail: plain(detail, LONGEST),
        }
    }
}

/// The line of a program's output that says most: the first with "error" in it, else
/// the first that is not empty.
pub fn telling_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .find(|line| line.contains("error"))
        .or_else(|| lines().next());
    plain(line.unwrap_or(""), LONGEST_LINE)
}

/// The first line that is not empty.
pub fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    plain(line.unwrap_or(""), LONGEST_LINE)
}

/// Without control characters, which could write anywhere on a terminal, and not longer
/// than `longest`.
fn plain(text: &str, longest: usize) -> String {
    let mut plain: String = text
        .trim()
        .chars()
        .take(longest)
        .map(|c| match c {
            '\n' => c,
            '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    if text.trim().chars().nth(longest).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_output_is_made_plain_and_short() {
        let finding = Finding::found("\x1b[2Jred\talert\r\nline");
        assert_eq!(finding.detail, "\u{fffd}[2Jred alert\u{fffd}\nline");
        assert_eq!(
            first_line(b"\n \n\xff\xfe 1.0\nmore"),
            "\u{fffd}\u{fffd} 1.0"
        );
        assert_eq!(first_line(b""), "");
        let long = first_line(&[b'x'; 100_000]);
        assert_eq!(long.chars().count(), LONGEST_LINE + 1);
        assert!(long.ends_with('…'));
        let long = Finding::missing("ä".repeat(100_000));
        assert_eq!(long.detail.chars().count(), LONGEST + 1);
    }

    #[test]
    fn the_line_with_the_error_tells_most() {
        let text = b"warning: unused\nerror: linker `cc` not found\n";
        assert_eq!(telling_line(text), "error: linker `cc` not found");
        assert_eq!(telling_line(b"\nusage: x\n"), "usage: x");
    }
}
