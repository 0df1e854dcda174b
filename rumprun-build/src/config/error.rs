//! What can stop a description from becoming tables, and what is only reported.
//!
//! config(1), given an ioconf file, prints most mistakes and still writes its tables
//! with the offending line left out; released trees rely on that (they name devices
//! that other ports define). Such mistakes are [`Complaint`]s here. An [`Error`] is
//! what leaves nothing sensible to write.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A line of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What sort of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComplaintKind {
    /// The line does not follow the grammar known here.
    Syntax,
    /// The line says something that cannot be.
    Meaning,
}

/// A mistake that leaves the rest of the description usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Where it was found.
    pub at: Position,
    /// What sort of mistake it is.
    pub kind: ComplaintKind,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// A description that cannot be turned into tables.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ioconf file itself cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that another one includes cannot be read: the tree is incomplete.
    #[error("{at}: cannot read the included file {}: {source}", .path.display())]
    Include {
        /// The line that includes it.
        at: Position,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file includes itself, perhaps by way of others.
    #[error("{at}: {} is being read already, including it again would never end", .path.display())]
    IncludeCycle {
        /// The line that includes it.
        at: Position,
        /// The file.
        path: PathBuf,
    },
    /// `else` or `endif` without `ifdef`, or `ifdef` without `endif`.
    #[error("{at}: {problem}")]
    Conditional {
        /// The line.
        at: Position,
        /// What does not match.
        problem: &'static str,
    },
    /// A line that does not follow config(5).
    #[error("{at}: {problem}")]
    Syntax {
        /// The line.
        at: Position,
        /// What was expected and what was found.
        problem: String,
    },
    /// The file does not start with `ioconf NAME`, as a component's must.
    #[error("{at}: the description of a component starts with `ioconf NAME`")]
    NotAComponent {
        /// The first statement, or the end of the file.
        at: Position,
    },
    /// A device whose parent nothing in the description provides.
    #[error("{at}: `{instance} at {parent}` can never attach: {reason}")]
    Orphan {
        /// Where the device is asked for.
        at: Position,
        /// The device.
        instance: String,
        /// What it is to attach to.
        parent: String,
        /// What is missing.
        reason: String,
    },
}
