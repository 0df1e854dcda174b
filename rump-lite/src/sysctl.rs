//! `sysctl(3)`: what the kernel tells about itself, and what can be set.
//!
//! The nodes are a table of numbers and names. `CTL_QUERY`, by which programs find a
//! node by its name, is answered from it.

use crate::boot::{RELEASE, SYSTEM, VERSION, rumpns_maxfiles};
use crate::kernel::Kernel;
use crate::socket::address::Family;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;
use rump_abi as abi;
use rump_hyper::errno::Errno;

/// What a node holds.
enum Leaf {
    Text(fn(&Kernel) -> String),
    Number(fn(&Kernel) -> c_int),
    /// And what it may be set to.
    Setting(
        fn(&mut Kernel) -> &mut c_int,
        fn(&Kernel) -> RangeInclusive<c_int>,
    ),
}

struct Node {
    number: &'static [c_int],
    name: &'static str,
    leaf: Leaf,
}

const fn node(number: &'static [c_int], name: &'static str, leaf: Leaf) -> Node {
    Node { number, name, leaf }
}

use abi::{AF_INET, AF_INET6, CTL_HW as HW, CTL_KERN as KERN, CTL_NET as NET};
use abi::{IPPROTO_IP as IP, IPPROTO_IPV6 as IPV6, IPPROTO_TCP as TCP};

/// `TCPCTL_SENDSPACE` and `TCPCTL_RECVSPACE` of `<netinet/tcp_var.h>`.
const SENDSPACE: c_int = 2;
const RECVSPACE: c_int = 3;

/// What a socket may buffer.
const SPACE: RangeInclusive<c_int> = 1..=1 << 30;

static NODES: &[Node] = &[
    node(
        &[KERN, abi::KERN_OSTYPE],
        "kern.ostype",
        Leaf::Text(|_| SYSTEM.to_owned()),
    ),
    node(
        &[KERN, abi::KERN_OSRELEASE],
        "kern.osrelease",
        Leaf::Text(|_| RELEASE.to_owned()),
    ),
    node(
        &[KERN, abi::KERN_OSREV],
        "kern.osrevision",
        Leaf::Number(|_| 0),
    ),
    node(
        &[KERN, abi::KERN_VERSION],
        "kern.version",
        Leaf::Text(|_| VERSION.to_owned()),
    ),
    node(
        &[KERN, abi::KERN_MAXFILES],
        "kern.maxfiles",
        Leaf::Number(|_| rumpns_maxfiles.load(Ordering::Relaxed)),
    ),
    node(
        &[KERN, abi::KERN_HOSTNAME],
        "kern.hostname",
        Leaf::Text(|kernel| kernel.settings.hostname.clone()),
    ),
    node(
        &[KERN, abi::KERN_SBMAX],
        "kern.sbmax",
        // As in NetBSD, no less than 16 KiB.
        Leaf::Setting(|kernel| &mut kernel.settings.sbmax, |_| 16 << 10..=1 << 30),
    ),
    node(
        &[NET, AF_INET, IP, abi::IPCTL_ANONPORTMIN],
        "net.inet.ip.anonportmin",
        Leaf::Setting(
            |kernel| &mut kernel.settings.anonymous[0].first,
            |kernel| kernel.settings.anonymous[0].firsts(),
        ),
    ),
    node(
        &[NET, AF_INET, IP, abi::IPCTL_ANONPORTMAX],
        "net.inet.ip.anonportmax",
        Leaf::Setting(
            |kernel| &mut kernel.settings.anonymous[0].last,
            |kernel| kernel.settings.anonymous[0].lasts(),
        ),
    ),
    node(
        &[NET, AF_INET, TCP, SENDSPACE],
        "net.inet.tcp.sendspace",
        Leaf::Setting(|kernel| &mut kernel.settings.sendspace, |_| SPACE),
    ),
    node(
        &[NET, AF_INET, TCP, RECVSPACE],
        "net.inet.tcp.recvspace",
        Leaf::Setting(|kernel| &mut kernel.settings.recvspace, |_| SPACE),
    ),
    node(
        &[NET, AF_INET6, IPV6, abi::IPV6CTL_DEFHLIM],
        "net.inet6.ip6.hlim",
        Leaf::Number(|_| Family::DEFAULT_HOPS.into()),
    ),
    node(
        &[NET, AF_INET6, IPV6, abi::IPV6CTL_ANONPORTMIN],
        "net.inet6.ip6.anonportmin",
        Leaf::Setting(
            |kernel| &mut kernel.settings.anonymous[1].first,
            |kernel| kernel.settings.anonymous[1].firsts(),
        ),
    ),
    node(
        &[NET, AF_INET6, IPV6, abi::IPV6CTL_ANONPORTMAX],
        "net.inet6.ip6.anonportmax",
        Leaf::Setting(
            |kernel| &mut kernel.settings.anonymous[1].last,
            |kernel| kernel.settings.anonymous[1].lasts(),
        ),
    ),
    node(
        &[HW, abi::HW_MACHINE],
        "hw.machine",
        Leaf::Text(|_| "rump-lite".to_owned()),
    ),
    node(
        &[HW, abi::HW_NCPU],
        "hw.ncpu",
        Leaf::Number(|kernel| kernel.settings.cpus),
    ),
    node(
        &[HW, abi::HW_PAGESIZE],
        "hw.pagesize",
        Leaf::Number(|_| 4096),
    ),
];

impl Kernel {
    /// The value of a node, strings with their NUL; and what it was set to, if that is not
    /// empty.
    pub(crate) fn sysctl(&mut self, name: &[c_int], new: &[u8]) -> Result<Vec<u8>, Errno> {
        if let Some((&abi::CTL_QUERY, parent)) = name.split_last() {
            return query(parent);
        }
        if let [NET, abi::AF_ROUTE, 0, family, what, argument] = *name {
            return match (what, argument) {
                (abi::NET_RT_DUMP, _) => Ok(self.dump_routes(family)),
                (abi::NET_RT_FLAGS, abi::RTF_LLDATA) => Ok(self.dump_neighbors(family)),
                _ => Err(self.lacks(format_args!("list {what} of net.route"), Errno::OPNOTSUPP)),
            };
        }
        let Some(node) = NODES.iter().find(|node| node.number == name) else {
            let name = name
                .iter()
                .map(|part| format!("{part}"))
                .collect::<Vec<_>>()
                .join(".");
            return Err(self.lacks(format_args!("sysctl node {name}"), Errno::NOENT));
        };
        let value = match &node.leaf {
            Leaf::Text(text) => text(self).into_bytes().into_iter().chain([0]).collect(),
            Leaf::Number(number) => number(self).to_ne_bytes().into(),
            Leaf::Setting(setting, range) => {
                let range = range(self);
                let setting = setting(self);
                let old = setting.to_ne_bytes();
                if !new.is_empty() {
                    let new = c_int::from_ne_bytes(new.try_into().map_err(|_| Errno::INVAL)?);
                    if !range.contains(&new) {
                        return Err(Errno::INVAL);
                    }
                    *setting = new;
                }
                return Ok(old.into());
            }
        };
        if new.is_empty() {
            Ok(value)
        } else {
            Err(Errno::PERM)
        }
    }
}

/// The nodes below one, as structures of `CTL_QUERY`.
fn query(parent: &[c_int]) -> Result<Vec<u8>, Errno> {
    let depth = parent.len();
    let mut children: Vec<&Node> = NODES
        .iter()
        .filter(|node| node.number.len() > depth && node.number.starts_with(parent))
        .collect();
    children.dedup_by_key(|node| node.number[depth]);
    if children.is_empty() {
        let leaf = NODES.iter().any(|node| node.number == parent);
        return Err(if leaf { Errno::NOTDIR } else { Errno::NOENT });
    }
    Ok(children
        .into_iter()
        .flat_map(|node| describe(node, depth))
        .collect())
}

/// A `struct sysctlnode` of what a node is called at this depth.
fn describe(node: &Node, depth: usize) -> [u8; size_of::<abi::sysctlnode>()] {
    let kind = if node.number.len() > depth + 1 {
        abi::CTLTYPE_NODE
    } else {
        match node.leaf {
            Leaf::Text(_) => abi::CTLTYPE_STRING,
            Leaf::Number(_) => abi::CTLTYPE_INT,
            Leaf::Setting(..) => abi::CTLTYPE_INT | abi::CTLFLAG_READWRITE,
        }
    };
    let name = node.name.split('.').nth(depth).unwrap_or_default();
    let mut bytes = [0; size_of::<abi::sysctlnode>()];
    bytes[..4].copy_from_slice(&(abi::SYSCTL_VERSION | kind).to_ne_bytes());
    bytes[4..8].copy_from_slice(&node.number[depth].to_ne_bytes());
    bytes[8..8 + name.len()].copy_from_slice(name.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_name_for_each_of_its_numbers() {
        for node in NODES {
            assert_eq!(
                node.number.len(),
                node.name.split('.').count(),
                "{}",
                node.name
            );
            assert!(node.name.split('.').all(|part| part.len() < 32));
        }
        let together = |depth: usize| {
            let mut numbers: Vec<_> = NODES
                .iter()
                .filter_map(|node| node.number.get(..depth))
                .collect();
            numbers.dedup();
            let distinct: alloc::collections::BTreeSet<_> = numbers.iter().collect();
            assert_eq!(numbers.len(), distinct.len(), "siblings stand together");
        };
        (1..4).for_each(together);
    }
}
