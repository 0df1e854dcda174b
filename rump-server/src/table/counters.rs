//! What is counted, and why frames do not pass.

use crate::wire::Malformed;
use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a frame does not pass.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// A word for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

reasons! {
    /// It ends within a header.
    Short = "short",
    /// Its headers are too many, or too long.
    Headers = "headers",
    /// A length or version is wrong.
    Length = "length",
    /// A VLAN's tag, or another protocol than ARP and IP.
    Ethertype = "ethertype",
    /// A fragment that hides ports (RFC 1858).
    Tiny = "tiny-fragment",
    /// A fragment without a first one that passed, or that overlaps another (RFC 5722).
    Fragment = "fragment",
    /// The Ethernet source is not the host's.
    SourceMac = "source-mac",
    /// The source address is not the host's.
    SourceAddress = "source-address",
    /// The source port is not the application's.
    SourcePort = "source-port",
    /// ARP that tells what is not so.
    Arp = "arp",
    /// Neighbour discovery that tells what is not so, or what only routers say.
    Neighbour = "neighbour",
    /// An ICMP error about a packet that the application has not got.
    IcmpError = "icmp-error",
    /// Another ICMP message that applications do not send.
    Icmp = "icmp",
    /// Neither TCP, UDP, ICMP nor IGMP.
    Protocol = "protocol",
    /// By way of others.
    SourceRoute = "source-route",
    /// What is said to be left to do to it is wrong.
    Offload = "offload",
    /// Longer than the link allows.
    TooLong = "too-long",
    /// For nobody here.
    Nobody = "nobody",
    /// The application has gone to a NIC of its own.
    Away = "away",
    /// There was no room in the ring.
    Full = "full",
    /// The uplink did not take it.
    Uplink = "uplink",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Short => Self::Short,
            Malformed::Headers => Self::Headers,
            Malformed::Length => Self::Length,
            Malformed::Ethertype => Self::Ethertype,
            Malformed::Tiny => Self::Tiny,
        }
    }
}

/// Frames and bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Counts some.
    pub fn add(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> (u64, u64) {
        (
            self.frames.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// What is counted of an application, or of a NIC.
#[derive(Debug, Default)]
pub struct Counters {
    /// What the server took from it and passed on.
    pub taken: Traffic,
    /// What the server brought to it.
    pub brought: Traffic,
    dropped: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    /// Counts frames that did not pass.
    pub fn dropped(&self, reason: Reason, frames: u64) {
        self.dropped[reason as usize].fetch_add(frames, Ordering::Relaxed);
    }

    /// How many did not pass, by reason, where there are any.
    pub fn drops(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        let count = |reason: &Reason| {
            let count = self.dropped[*reason as usize].load(Ordering::Relaxed);
            (count > 0).then_some((*reason, count))
        };
        Reason::ALL.iter().filter_map(count)
    }

    /// The numbers of before, where a server goes on for another.
    pub fn restore(&self, taken: (u64, u64), brought: (u64, u64), drops: &[(String, u64)]) {
        self.taken.add(taken.0, taken.1);
        self.brought.add(brought.0, brought.1);
        for (name, count) in drops {
            if let Some(reason) = Reason::ALL.iter().find(|reason| reason.name() == name) {
                self.dropped(*reason, *count);
            }
        }
    }
}
