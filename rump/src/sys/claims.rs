//! Who is asked before a port is taken: `rump_claims.h`.
//!
//! The kernel's questions go to the table of [`crate::net::claims`], of which there is
//! one, as there is one kernel; so nothing here has an owner.
#![allow(unsafe_code)]

use super::upcall;
use crate::error::Errno;
use crate::lwp;
use crate::net::claims::{Place, TABLE};
use rump_ring::control::Protocol;
use rump_sys::claims as raw;
use rump_sys::hyper::claims::{self as abi, Endpoint, Ops, Used};
use std::ffi::{c_int, c_void};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::ptr::{from_mut, null};

fn protocol(number: u32) -> Option<Protocol> {
    match u8::try_from(number) {
        Ok(abi::TCP) => Some(Protocol::Tcp),
        Ok(abi::UDP) => Some(Protocol::Udp),
        _ => None,
    }
}

fn place(endpoint: &Endpoint) -> Option<Place> {
    Some(Place {
        protocol: protocol(endpoint.protocol.into())?,
        address: Ipv6Addr::from(endpoint.address).to_canonical(),
        port: endpoint.port,
    })
}

fn endpoint(place: Place) -> Endpoint {
    let address = match place.address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Endpoint {
        address: address.octets(),
        port: place.port,
        protocol: match place.protocol {
            Protocol::Tcp => abi::TCP,
            Protocol::Udp => abi::UDP,
        },
        pad: 0,
    }
}

unsafe extern "C" fn claim(wanted: *const Endpoint) -> c_int {
    // SAFETY: the kernel passes one that stays during the call.
    let Some(wanted) = place(unsafe { &*wanted }) else {
        return 0;
    };
    // What it may wait for comes without this thread's virtual CPU.
    upcall::wrap(|| TABLE.claim(wanted)).map_or_else(Errno::raw, |()| 0)
}

/// Asks the kernel, which is in a call to `bound` or `gone`.
fn ask(used: Used, arg: *mut c_void) -> impl Fn(Place) -> bool {
    // SAFETY: function and argument belong together and are good during the kernel's call.
    move |place| unsafe { used(arg, &endpoint(place)) != 0 }
}

unsafe extern "C" fn bound(at: *const Endpoint, used: Used, arg: *mut c_void) {
    // SAFETY: the kernel passes one that stays during the call.
    if let Some(at) = place(unsafe { &*at }) {
        TABLE.bound(at, ask(used, arg));
    }
}

unsafe extern "C" fn gone(number: u32, port: u32, used: Used, arg: *mut c_void) {
    if let (Some(protocol), Ok(port)) = (protocol(number), u16::try_from(port)) {
        TABLE.gone(protocol, port, ask(used, arg));
    }
}

static OPS: Ops = Ops { claim, bound, gone };

/// Has the kernel ask, or not.
pub(crate) fn set(asking: bool) -> io::Result<()> {
    lwp::enter_here()?;
    upcall::ready()?;
    let ops = if asking { &raw const OPS } else { null() };
    // SAFETY: the table is there for good.
    Errno::check(unsafe { raw::rump_claims_set(ops) })?;
    Ok(())
}

unsafe extern "C" fn tell<F: FnMut(Option<Place>)>(told: *mut c_void, at: *const Endpoint) {
    // SAFETY: `list` passes it, and the kernel calls this before it returns, on its thread or,
    // in an image, on another that it waits for.
    let told = unsafe { &mut *told.cast::<F>() };
    // SAFETY: null, or one that stays during the call.
    match unsafe { at.as_ref() } {
        None => told(None),
        Some(at) => place(at).into_iter().for_each(|at| told(Some(at))),
    }
}

/// Tells of all that has a port in the kernel, and at last of `None`: until then nothing
/// changes. What is called must not call the kernel.
pub(crate) fn list<F: FnMut(Option<Place>) + Send>(mut told: F) -> io::Result<()> {
    lwp::enter_here()?;
    // SAFETY: `tell` is for what the pointer points to.
    unsafe { raw::rump_claims_list(tell::<F>, from_mut(&mut told).cast()) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_they_were() {
        for address in ["0.0.0.0", "10.1.2.3", "::", "fe80::1"] {
            let address: IpAddr = address.parse().unwrap();
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let at = Place {
                    protocol,
                    address,
                    port: 80,
                };
                assert_eq!(place(&endpoint(at)), Some(at));
            }
        }
        let strange = Endpoint {
            address: [0; 16],
            port: 1,
            protocol: 132,
            pad: 0,
        };
        assert_eq!(place(&strange), None);
    }
}
