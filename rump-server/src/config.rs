//! The configuration file, in TOML.
//!
//! What is wrong in it is told with its line. Users are names or numbers; names are looked up
//! once, when the server starts.

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{CardPlan, HostPlan, Kind, NicPlan, Plan, RightPlan};

use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A file that is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{}:{line}: {what}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// A user, by name or number.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum User {
    Number(u32),
    Name(String),
}

/// All of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Server {
    #[serde(default = "default_socket")]
    socket: PathBuf,
    #[serde(default = "default_control")]
    control: PathBuf,
    user: Option<Spanned<String>>,
    #[serde(default = "default_grace")]
    grace: u64,
    #[serde(default)]
    nic: Vec<Spanned<Nic>>,
    #[serde(default)]
    host: Vec<Spanned<Host>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Nic {
    name: String,
    tap: Option<String>,
    packet: Option<String>,
    pci: Option<Spanned<String>>,
    driver: Option<String>,
    interface: Option<String>,
    #[serde(default = "one")]
    queues: u16,
    #[serde(default = "default_mtu")]
    mtu: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Host {
    name: String,
    nic: Option<String>,
    mac: Option<Spanned<String>>,
    addresses: Vec<Spanned<String>>,
    gateway: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    users: Option<Vec<Spanned<User>>>,
    applications: Option<usize>,
    #[serde(default = "default_ephemeral")]
    ephemeral: [u16; 2],
    #[serde(default = "default_lease")]
    lease: u16,
    #[serde(default = "default_ring")]
    ring: u32,
    #[serde(default)]
    huge_pages: bool,
    #[serde(default = "one")]
    queues: u16,
    frames_per_second: Option<u64>,
    bytes_per_second: Option<u64>,
    #[serde(default)]
    ports: Vec<Spanned<Ports>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ports {
    tcp: Option<Range>,
    udp: Option<Range>,
    users: Vec<Spanned<User>>,
}

/// A port, or the first and the last of several.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Range {
    One(u16),
    Several([u16; 2]),
}

fn default_socket() -> PathBuf {
    "/run/rump/server.sock".into()
}
fn default_control() -> PathBuf {
    "/run/rump/ctl.sock".into()
}
fn default_grace() -> u64 {
    10
}
fn default_mtu() -> u32 {
    1500
}
fn default_ephemeral() -> [u16; 2] {
    [32768, 65535]
}
fn default_lease() -> u16 {
    512
}
fn default_ring() -> u32 {
    1 << 20
}
fn one() -> u16 {
    1
}

/// Reads and checks a configuration file.
///
/// # Errors
/// [`Error`], with the line.
pub fn read(path: &Path) -> Result<Plan, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    parse(&text, path)
}

/// The same for a text that is in no file; `path` is what it is called in errors.
///
/// # Errors
/// [`Error::Wrong`]
pub fn parse(text: &str, path: &Path) -> Result<Plan, Error> {
    let wrong = |at: usize, what: String| Error::Wrong {
        path: path.into(),
        line: 1 + text[..at.min(text.len())].matches('\n').count(),
        what,
    };
    let server: Server = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().into())
    })?;
    plan::of(server).map_err(|(at, what)| wrong(at, what))
}
