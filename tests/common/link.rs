//! A link between the kernel and Linux.

#![allow(dead_code)]

use super::netns::ip;
use rump::iface::{IpNet, Link, Tap};
use std::error::Error;

/// One over a TAP interface, whose ends have these addresses: Linux's, the kernel's, and how
/// long the prefix of both is.
///
/// # Errors
/// What was refused.
pub fn over_tap<const N: usize>(addresses: [(&str, &str, u8); N]) -> Result<Link, Box<dyn Error>> {
    let tap = Tap::open("rumptap%d")?;
    let name = tap.name().to_string();
    let link = super::boot().attach(tap)?;
    for (linux, _, prefix) in addresses {
        let at_once = if linux.contains(':') { "nodad" } else { "" };
        ip(&format!(
            "address add {linux}/{prefix} dev {name} {at_once}"
        ))?;
    }
    ip(&format!("link set {name} up"))?;
    for (_, kernel, prefix) in addresses {
        link.add_address(IpNet::new(kernel.parse()?, prefix)?)?;
    }
    Ok(link)
}
