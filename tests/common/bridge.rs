//! A network of Linux's, in which the kernel has interfaces beside one another: a bridge, with
//! TAP interfaces at its ports.

#![allow(dead_code)]

use super::common::{self, netns};
use super::stream::BothWays;
use rump::iface::{IpNet, Link, Tap};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A bridge with an address in two nets, and the address that the kernel is to have there.
pub struct Net {
    pub bridge: String,
    pub number: u32,
}

impl Net {
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        common::boot();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bridge = format!("bridge{number}");
        netns::ip(&format!(
            "link add {bridge} type bridge forward_delay 0 mcast_snooping 0"
        ))?;
        let net = Self { bridge, number };
        netns::ip(&format!(
            "address add 10.2.{number}.1/24 dev {}",
            net.bridge
        ))?;
        netns::ip(&format!(
            "address add fd00:2:{number}::1/64 dev {} nodad",
            net.bridge
        ))?;
        netns::ip(&format!("link set {} up", net.bridge))?;
        Ok(net)
    }

    /// A TAP interface at the bridge.
    pub fn tap(&self) -> Result<Tap> {
        let tap = Tap::open("rumptap%d")?;
        netns::ip(&format!(
            "link set {} master {} up",
            tap.name(),
            self.bridge
        ))?;
        Ok(tap)
    }

    pub fn v4(&self) -> String {
        format!("10.2.{}.2", self.number)
    }

    pub fn v6(&self) -> String {
        format!("fd00:2:{}::2", self.number)
    }

    /// An interface over a TAP, with addresses.
    pub fn upper(&self) -> Result<Link> {
        let link = common::boot().attach(self.tap()?)?;
        link.add_address(IpNet::new(self.v4().parse()?, 24)?)?;
        link.add_address(IpNet::new(self.v6().parse()?, 64)?)?;
        Ok(link)
    }

    /// One over another, in the place of a network card.
    pub fn lower(&self) -> Result<Link> {
        Ok(common::boot().attach(self.tap()?)?)
    }

    pub fn streams(&self) -> io::Result<Vec<BothWays>> {
        [self.v4(), self.v6()]
            .iter()
            .map(|to| BothWays::start(to))
            .collect()
    }
}

/// Waits until each side of all of them has received so much more.
pub fn advance(streams: &[BothWays], bytes: u64) {
    streams.iter().for_each(|stream| stream.advance(bytes));
}

/// Ends them.
pub fn finish(streams: Vec<BothWays>) -> io::Result<()> {
    streams.into_iter().try_for_each(|stream| {
        stream.finish()?;
        Ok(())
    })
}
