//! Tables: addresses that rules refer to, and that change without the rules.

use super::Npf;
use super::error::Error;
use crate::Errno;
use crate::sys::npf::Entry;
use ipnet::IpNet;
use rump_sys::abi::npf as abi;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A table of a ruleset, with what is in it at first.
///
/// If nothing is, and the ruleset in force has one of the same name and kind, it keeps what
/// is in that.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) name: String,
    /// `NPF_TABLE_*`.
    pub(super) kind: u32,
    pub(super) entries: Vec<IpNet>,
}

impl Table {
    /// One of addresses. They are found by a hash.
    pub fn hash(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: abi::NPF_TABLE_HASH,
            entries: Vec::new(),
        }
    }

    /// One of prefixes. Later versions of npf take none that is within another that is in
    /// the table already.
    pub fn tree(name: impl Into<String>) -> Self {
        Self {
            kind: abi::NPF_TABLE_TREE,
            ..Self::hash(name)
        }
    }

    /// The same with an address, or all with a prefix.
    #[must_use]
    pub fn with(mut self, net: impl Into<IpNet>) -> Self {
        self.entries.push(net.into());
        self
    }

    pub(super) fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::Table {
            table: self.name.clone(),
            problem: problem.into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let most = abi::NPF_TABLE_MAXNAMELEN - 1;
        if self.name.is_empty() || self.name.len() > most || self.name.contains('\0') {
            return Err(self.wrong(format!("a name has 1 to {most} characters")));
        }
        let long = |net: &&IpNet| net.prefix_len() < net.max_prefix_len();
        match self.entries.iter().find(long) {
            Some(net) if self.kind == abi::NPF_TABLE_HASH => Err(self.wrong(format!(
                "{net} is not an address, as in a table of kind hash"
            ))),
            _ => Ok(()),
        }
    }
}

/// The bytes of an address, and what the kernel takes for its prefix.
pub(super) fn address_and_mask(net: &IpNet) -> (Vec<u8>, u8) {
    let bytes = match net.network() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let whole = net.prefix_len() == net.max_prefix_len();
    let mask = if whole {
        abi::NPF_NO_NETMASK
    } else {
        net.prefix_len()
    };
    (bytes, mask)
}

fn entry(net: &IpNet) -> Entry {
    let (bytes, mask) = address_and_mask(net);
    let mut addr = [0; 4];
    for (word, bytes) in addr.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Entry {
        alen: bytes.len() as i32,
        addr,
        mask,
    }
}

/// What the kernel says is in a table.
fn address(entry: &Entry) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(entry.addr) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    match entry.alen {
        4 => Some(Ipv4Addr::from([bytes[0], bytes[1], bytes[2], bytes[3]]).into()),
        16 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// A table of the ruleset in force. What is changed has effect on the next packet.
#[derive(Debug)]
pub struct ActiveTable<'a> {
    npf: &'a Npf,
    name: CString,
}

impl<'a> ActiveTable<'a> {
    pub(super) fn new(npf: &'a Npf, name: &str) -> Self {
        Self {
            npf,
            // No table has an empty name.
            name: CString::new(name).unwrap_or_default(),
        }
    }

    fn command(&self, what: String, command: i32, net: &IpNet) -> Result<(), Error> {
        let device = &self.npf.device;
        device
            .table_entry(&self.name, command, entry(net))
            .map_err(Error::operation(self.said(&what)))
    }

    fn said(&self, what: &str) -> String {
        format!("{what} the table <{}>", self.name.to_string_lossy())
    }

    /// Adds an address, or all with a prefix.
    ///
    /// # Errors
    /// `EEXIST` if it is there; `EINVAL` if there is no such table in force, or for a
    /// prefix in one of the kind hash.
    #[doc(alias = "NPF_CMD_TABLE_ADD")]
    pub fn add(&self, net: impl Into<IpNet>) -> Result<(), Error> {
        let net = net.into();
        self.command(format!("add {net} to"), abi::NPF_CMD_TABLE_ADD, &net)
    }

    /// Takes one out that was added.
    ///
    /// # Errors
    /// `ENOENT` if it is not there; `EINVAL` if there is no such table in force.
    #[doc(alias = "NPF_CMD_TABLE_REMOVE")]
    pub fn remove(&self, net: impl Into<IpNet>) -> Result<(), Error> {
        let net = net.into();
        let what = format!("take {net} out of");
        // The kernel would say nothing, or take out the prefix that the address is in.
        if !self.addresses()?.contains(&net.network()) {
            return Err(Error::operation(self.said(&what))(Errno::ENOENT.into()));
        }
        self.command(what, abi::NPF_CMD_TABLE_REMOVE, &net)
    }

    /// Whether rules would find an address in it.
    ///
    /// # Errors
    /// `EINVAL` if there is no such table in force.
    #[doc(alias = "NPF_CMD_TABLE_LOOKUP")]
    pub fn contains(&self, address: impl Into<IpAddr>) -> Result<bool, Error> {
        let net = IpNet::from(address.into());
        match self.command(format!("look {net} up in"), abi::NPF_CMD_TABLE_LOOKUP, &net) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// The addresses in it, in no order. Of a prefix it is the first; how long it is is not
    /// told by the kernel.
    ///
    /// # Errors
    /// `EINVAL` if there is no such table in force.
    #[doc(alias = "NPF_CMD_TABLE_LIST")]
    pub fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let entries = self
            .npf
            .device
            .table_entries(&self.name)
            .map_err(Error::operation(self.said("list")))?;
        let addresses: Option<_> = entries.iter().map(address).collect();
        addresses.ok_or(Error::Answer {
            operation: "list a table",
            problem: "an address has not 4 or 16 bytes",
        })
    }

    /// Takes everything out.
    ///
    /// # Errors
    /// `EINVAL` if there is no such table in force.
    #[doc(alias = "NPF_CMD_TABLE_FLUSH")]
    pub fn clear(&self) -> Result<(), Error> {
        let nothing = IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.command("empty".into(), abi::NPF_CMD_TABLE_FLUSH, &nothing)
    }
}
