//! What can go wrong with the packet filter.

use crate::error::Errno;
use std::io;

/// What was not possible, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no packet filter.
    #[error("this kernel has no packet filter npf: {source}")]
    Unsupported {
        /// What it said when it was asked for `/dev/npf`.
        source: io::Error,
    },
    /// The kernel's packet filter is one that this crate does not know.
    #[error("npf in this kernel has version {version}; versions {} are supported", super::VERSIONS.map(|it| it.to_string()).join(" and "))]
    Version {
        /// `NPF_VERSION` of its tree.
        version: i32,
    },
    /// A rule cannot be what it is asked to be.
    #[error("the rule {rule:?} cannot be: {problem}")]
    Rule {
        /// The rule, in the words of npf.conf(5).
        rule: String,
        /// Why not.
        problem: String,
    },
    /// A table cannot have this name, or there are two of it.
    #[error("the table <{table}> cannot be: {problem}")]
    Table {
        /// Its name.
        table: String,
        /// Why not.
        problem: String,
    },
    /// The kernel refused the ruleset. The one before is in force.
    #[error("npf refused the ruleset, and the one before stays in force: {source}{}", Place(.place))]
    Refused {
        /// Why.
        source: Errno,
        /// The line of the kernel's source that refused it, if it says so.
        place: Option<String>,
    },
    /// The kernel's answer cannot be read.
    #[error("npf's answer when asked to {operation} makes no sense: {problem}")]
    Answer {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Anything else that the kernel was asked.
    #[error("npf cannot {operation}: {source}")]
    Operation {
        /// What was asked.
        operation: String,
        /// Why not.
        source: io::Error,
    },
}

struct Place<'a>(&'a Option<String>);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(place) => write!(f, " (at {place})"),
            None => Ok(()),
        }
    }
}

impl Error {
    pub(super) fn operation(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Operation {
            operation: operation.into(),
            source,
        }
    }

    /// The kernel's error number, if it gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => Some(*source),
            Self::Unsupported { source } | Self::Operation { source, .. } => Errno::of(source),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unsupported { .. } | Error::Version { .. } => io::ErrorKind::Unsupported,
            Error::Rule { .. } | Error::Table { .. } => io::ErrorKind::InvalidInput,
            Error::Refused { source, .. } => source.kind(),
            Error::Answer { .. } => io::ErrorKind::InvalidData,
            Error::Operation { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

#[test]
fn an_unknown_version_is_named() {
    let error = Error::Version { version: 22 };
    assert_eq!(
        error.to_string(),
        "npf in this kernel has version 22; versions 17 and 20 are supported"
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Unsupported);
}
