//! What one side may leave to the other, checking what others claim, and doing it.

pub mod check;
pub mod finish;
#[cfg(all(test, not(loom)))]
mod fuzz;
#[cfg(all(test, not(loom)))]
mod tests;

pub use check::{Malformed, Segment, Work, check, check_head};
pub use finish::{Cutter, restore};

use core::fmt;
use core::ops::{BitAnd, BitOr, Sub};

/// A set of things that can be left to the other side, from the kernel's point of view.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads(u32);

macro_rules! offloads {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Offloads {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

// `RUMP_VIF_TX_*` and `RUMP_VIF_RX_*`.
offloads! {
    /// Frames are sent whose TCP or UDP checksum is incomplete.
    TX_CSUM = 0x0001;
    /// TCP segments over IPv4 are sent that are longer than the link allows.
    TX_TSO4 = 0x0002;
    /// The same over IPv6.
    TX_TSO6 = 0x0004;
    /// Frames are taken whose checksum is incomplete or was verified.
    RX_CSUM = 0x0100;
    /// TCP segments over IPv4 are taken that are longer than the link allows.
    RX_LRO4 = 0x0200;
    /// The same over IPv6.
    RX_LRO6 = 0x0400;
}

impl Offloads {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(0x0707);
    /// All that concerns what the kernel sends.
    pub const TX: Self = Self(0x0007);
    /// All that concerns what it takes.
    pub const RX: Self = Self(0x0700);

    /// From the C interface; bits without a meaning are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// For the C interface.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What is needed of a back end that is to send such a frame.
    pub fn needed_to_send(work: &Work) -> Self {
        match work {
            Work::None | Work::Verified => Self::NONE,
            Work::Checksum { .. } => Self::TX_CSUM,
            Work::Segment(segment) if segment.v6 => Self::TX_CSUM | Self::TX_TSO6,
            Work::Segment(_) => Self::TX_CSUM | Self::TX_TSO4,
        }
    }

    /// What a kernel must take if it is to get such a frame.
    pub fn needed_to_receive(work: &Work) -> Self {
        match work {
            Work::None => Self::NONE,
            Work::Verified | Work::Checksum { .. } => Self::RX_CSUM,
            Work::Segment(segment) if segment.v6 => Self::RX_CSUM | Self::RX_LRO6,
            Work::Segment(_) => Self::RX_CSUM | Self::RX_LRO4,
        }
    }

    /// Whether all of these are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Offloads {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Offloads {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Offloads {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(
                Self::NAMES
                    .iter()
                    .filter(|(bit, _)| self.contains(*bit))
                    .map(|(_, name)| name),
            )
            .finish()
    }
}
