//! What can go wrong with interfaces, routes and neighbours.

use crate::error::Errno;
use std::io;
use std::net::IpAddr;

/// What was not possible, with what, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No interface has that name.
    #[error("the kernel has no interface {name}{}", Listed(.there))]
    Absent {
        /// The name.
        name: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// An interface cannot have such a name.
    #[error("{name:?} is no name of an interface: it has 1 to 15 characters and ends in a number")]
    Name {
        /// The name.
        name: String,
    },
    /// The kernel, or its driver, refused what was asked of an interface.
    #[error("{interface}: cannot {operation}: {source}")]
    Interface {
        /// Which.
        interface: String,
        /// What was asked.
        operation: String,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else on the link has that address.
    #[error(
        "{interface}: another host on the link has the address {address}; it was removed again"
    )]
    Conflict {
        /// Where.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// A route or a neighbour could not be changed or read.
    #[error("cannot {operation}: {source}")]
    Route {
        /// What was asked.
        operation: String,
        /// Why not.
        source: io::Error,
    },
}

/// The interfaces there are, for the message.
struct Listed<'a>(&'a [String]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (it has {})", self.0.join(", "))
    }
}

impl Error {
    /// That something was not possible with routes or neighbours, or with the list of
    /// interfaces.
    pub(super) fn route(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Route {
            operation: operation.into(),
            source,
        }
    }

    /// The kernel's error number, if it gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Absent { .. } => Some(Errno::ENXIO),
            Self::Name { .. } => Some(Errno::EINVAL),
            Self::Conflict { .. } => Some(Errno::EADDRINUSE),
            Self::Interface { source, .. } | Self::Route { source, .. } => Errno::of(source),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Absent { .. } => io::ErrorKind::NotFound,
            Error::Name { .. } => io::ErrorKind::InvalidInput,
            Error::Conflict { .. } => io::ErrorKind::AddrInUse,
            Error::Interface { source, .. } | Error::Route { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
