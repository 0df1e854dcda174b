//! Settings and counters of the kernel, by name: `sysctl(7)`.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::sysctl;
//!
//! # let _kernel = rump::Kernel::builder().boot()?;
//! sysctl::set("net.inet.tcp.sendspace", 128 * 1024)?;
//! println!("net.inet.tcp.sendspace = {}", sysctl::get("net.inet.tcp.sendspace")?);
//! for node in sysctl::list("kern")? {
//!     println!("{}: {:?}", node.name(), node.kind());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Names are looked up in the running kernel, so that whatever its components have is
//! there. rump-lite has what this family of crates itself reads and sets.

use crate::error::Errno;
use crate::sys::sysctl as raw;
use rump_sys::abi;
use std::ffi::c_int;
use std::fmt;
use std::io;

/// What could not be done to which node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is none of this name.
    #[error("there is no sysctl node {name}: {parent} has no {missing}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The part of it that is there.
        parent: String,
        /// What is not there.
        missing: String,
    },
    /// It could not be read.
    #[error("sysctl node {name} cannot be read: {source}")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It could not be set.
    #[error("sysctl node {name} cannot be set to {value}: {source}")]
    Write {
        /// Which.
        name: String,
        /// To what.
        value: Value,
        /// Why.
        source: io::Error,
    },
    /// It is of another kind.
    #[error("sysctl node {name} is {kind}, and cannot be set to {value}")]
    Kind {
        /// Which.
        name: String,
        /// What it is.
        kind: Kind,
        /// What it was to be.
        value: Value,
    },
}

impl Error {
    /// The kernel's error number.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Unknown { .. } => Some(Errno::ENOENT),
            Self::Read { source, .. } | Self::Write { source, .. } => Errno::of(source),
            Self::Kind { .. } => Some(Errno::EINVAL),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unknown { .. } => io::ErrorKind::NotFound,
            Error::Read { source, .. } | Error::Write { source, .. } => source.kind(),
            Error::Kind { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// What a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Further nodes.
    Node,
    /// An `int`.
    Int,
    /// A string.
    Text,
    /// A 64-bit number.
    Quad,
    /// Something else, as bytes.
    Struct,
    /// A truth value.
    Bool,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "a node with others below it",
            Self::Int => "an int",
            Self::Text => "a string",
            Self::Quad => "a 64-bit number",
            Self::Struct => "a structure",
            Self::Bool => "a truth value",
        })
    }
}

/// A value that was read, or is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// Of an `int`.
    Int(i32),
    /// Of a 64-bit number.
    Quad(u64),
    /// Of a string.
    Text(String),
    /// Of a truth value.
    Bool(bool),
    /// Of anything else.
    Bytes(Vec<u8>),
}

impl Value {
    /// The number, if it is one and fits.
    pub fn number(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value.into()),
            Self::Quad(value) => value.try_into().ok(),
            Self::Bool(value) => Some(value.into()),
            Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// As a node of this kind keeps it; `None` if it cannot be of that kind.
    fn bytes(&self, kind: Kind) -> Option<Vec<u8>> {
        Some(match (kind, self) {
            (Kind::Int, _) => i32::try_from(self.number()?).ok()?.to_ne_bytes().into(),
            (Kind::Quad, Self::Quad(value)) => value.to_ne_bytes().into(),
            (Kind::Quad, _) => u64::try_from(self.number()?).ok()?.to_ne_bytes().into(),
            (Kind::Bool, _) => match self.number()? {
                value @ (0 | 1) => vec![value as u8],
                _ => return None,
            },
            (Kind::Text, Self::Text(text)) if !text.contains('\0') => {
                text.bytes().chain([0]).collect()
            }
            (Kind::Struct, Self::Bytes(bytes)) => bytes.clone(),
            _ => return None,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Quad(value) => value.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Bytes(bytes) => write!(f, "({} bytes)", bytes.len()),
        }
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Quad(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A setting or a counter, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    name: String,
    number: Vec<c_int>,
    kind: Kind,
    writable: bool,
}

impl Node {
    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it can be set.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Its value.
    ///
    /// # Errors
    /// [`Error::Read`]; some need an argument, and cannot be read like this.
    pub fn get(&self) -> Result<Value, Error> {
        let value = raw::bytes(&self.number).map_err(|source| Error::Read {
            name: self.name.clone(),
            source,
        })?;
        Ok(match (self.kind, value.len()) {
            (Kind::Int, 4) => Value::Int(i32::from_ne_bytes(first(&value))),
            (Kind::Quad, 8) => Value::Quad(u64::from_ne_bytes(first(&value))),
            (Kind::Bool, 1) => Value::Bool(value[0] != 0),
            (Kind::Text, _) => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                Value::Text(String::from_utf8_lossy(text).into_owned())
            }
            _ => Value::Bytes(value),
        })
    }

    /// Sets it.
    ///
    /// # Errors
    /// [`Error::Kind`] if it cannot have such a value; [`Error::Write`] if the kernel
    /// does not want it, or the node cannot be set.
    pub fn set(&self, value: impl Into<Value>) -> Result<(), Error> {
        let value = value.into();
        let name = self.name.clone();
        let Some(bytes) = value.bytes(self.kind) else {
            return Err(Error::Kind {
                name,
                kind: self.kind,
                value,
            });
        };
        raw::set(&self.number, &bytes).map_err(|source| Error::Write {
            name,
            value,
            source,
        })
    }

    /// Those below it; none if it holds a value.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn children(&self) -> Result<Vec<Node>, Error> {
        if self.kind == Kind::Node {
            below(&self.name, &self.number)
        } else {
            Ok(Vec::new())
        }
    }
}

fn first<const N: usize>(value: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&value[..N]);
    array
}

fn below(parent: &str, number: &[c_int]) -> Result<Vec<Node>, Error> {
    let found = raw::children(number).map_err(|source| Error::Read {
        name: parent.into(),
        source,
    })?;
    let node = |raw: abi::sysctlnode| {
        let name = raw.sysctl_name.split(|byte| *byte == 0).next()?;
        let name = std::str::from_utf8(name).ok()?;
        let kind = match raw.sysctl_flags & abi::SYSCTL_TYPEMASK {
            abi::CTLTYPE_NODE => Kind::Node,
            abi::CTLTYPE_INT => Kind::Int,
            abi::CTLTYPE_STRING => Kind::Text,
            abi::CTLTYPE_QUAD => Kind::Quad,
            abi::CTLTYPE_BOOL => Kind::Bool,
            _ => Kind::Struct,
        };
        Some(Node {
            name: if parent.is_empty() {
                name.into()
            } else {
                format!("{parent}.{name}")
            },
            number: number.iter().copied().chain([raw.sysctl_num]).collect(),
            kind,
            writable: raw.sysctl_flags & abi::CTLFLAG_READWRITE == abi::CTLFLAG_READWRITE,
        })
    };
    Ok(found.into_iter().filter_map(node).collect())
}

/// Looks a node up, such as "net.inet.tcp.sendspace".
///
/// # Errors
/// [`Error::Unknown`], and [`Error::Read`] if the kernel could not be asked.
#[doc(alias = "sysctlnametomib")]
pub fn node(name: &str) -> Result<Node, Error> {
    let mut at = Node {
        name: String::new(),
        number: Vec::new(),
        kind: Kind::Node,
        writable: false,
    };
    for part in name.split('.') {
        let nodes = at.children()?;
        let wanted = |node: &Node| {
            let own = node.name.rsplit('.').next();
            own == Some(part)
        };
        at = nodes
            .into_iter()
            .find(wanted)
            .ok_or_else(|| Error::Unknown {
                name: name.into(),
                parent: if at.name.is_empty() {
                    "the kernel".into()
                } else {
                    at.name.clone()
                },
                missing: part.into(),
            })?;
    }
    Ok(at)
}

/// The value of a node.
///
/// # Errors
/// As [`node`] and [`Node::get`].
#[doc(alias = "sysctlbyname")]
pub fn get(name: &str) -> Result<Value, Error> {
    node(name)?.get()
}

/// Sets a node.
///
/// # Errors
/// As [`node`] and [`Node::set`].
pub fn set(name: &str, value: impl Into<Value>) -> Result<(), Error> {
    node(name)?.set(value)
}

/// The nodes below one; below all, if the name is empty.
///
/// # Errors
/// As [`node`] and [`Node::children`].
pub fn list(name: &str) -> Result<Vec<Node>, Error> {
    if name.is_empty() {
        below("", &[])
    } else {
        node(name)?.children()
    }
}
