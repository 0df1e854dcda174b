//! What an interface can leave to its driver.

use rump_sys::abi;
use std::fmt;

/// What an interface could leave to its driver, and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `IFCAP_*` of `<net/if.h>`.
    pub possible: u64,
    /// Those of them that are in use.
    pub enabled: u64,
}

impl Capabilities {
    /// Making the checksums of TCP and UDP.
    pub const CHECKSUMS_OUT: u64 = abi::IFCAP_CSUM_TCPv4_Tx
        | abi::IFCAP_CSUM_UDPv4_Tx
        | abi::IFCAP_CSUM_TCPv6_Tx
        | abi::IFCAP_CSUM_UDPv6_Tx;
    /// Checking the checksums of TCP and UDP.
    pub const CHECKSUMS_IN: u64 = abi::IFCAP_CSUM_TCPv4_Rx
        | abi::IFCAP_CSUM_UDPv4_Rx
        | abi::IFCAP_CSUM_TCPv6_Rx
        | abi::IFCAP_CSUM_UDPv6_Rx;
    /// Cutting up TCP segments.
    pub const SEGMENTATION: u64 = abi::IFCAP_TSOv4 | abi::IFCAP_TSOv6;
    /// Putting TCP segments together.
    pub const LARGE_RECEIVE: u64 = abi::IFCAP_LRO;
    /// All of these.
    pub const OFFLOADS: u64 =
        Self::CHECKSUMS_OUT | Self::CHECKSUMS_IN | Self::SEGMENTATION | Self::LARGE_RECEIVE;
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 4] = [
            (Capabilities::CHECKSUMS_OUT, "checksums out"),
            (Capabilities::CHECKSUMS_IN, "checksums in"),
            (Capabilities::SEGMENTATION, "segmentation"),
            (Capabilities::LARGE_RECEIVE, "large receive"),
        ];
        let enabled: Vec<&str> = NAMES
            .iter()
            .filter(|(bits, _)| self.enabled & bits != 0)
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&if enabled.is_empty() {
            "none".into()
        } else {
            enabled.join(", ")
        })
    }
}
