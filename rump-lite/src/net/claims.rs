//! Who is asked before a port is taken: `rump_claims.h`, as `netbsd-src/kern/libclaims`
//! has it for NetBSD.
//!
//! A bind is asked about without the kernel's lock; the rest is done with it. A connection
//! in `TIME_WAIT` has no port here.
#![allow(unsafe_code, clippy::missing_safety_doc)]

use super::Stack;
use super::ports::Place;
use crate::kernel::{self, Guard};
use crate::socket::address::Name;
use core::ffi::{c_int, c_void};
use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use rump_hyper::claims::{self as abi, Endpoint, Ops, Tell};
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, Ipv4Address, Ipv6Address};

/// Who is asked; null for nobody. Changed under the kernel's lock.
static OPS: AtomicPtr<Ops> = AtomicPtr::new(null_mut());

fn ops() -> Option<&'static Ops> {
    // SAFETY: null, or a table that stays for good, by the interface.
    unsafe { OPS.load(Ordering::Relaxed).as_ref() }
}

fn protocol(tcp: bool) -> u8 {
    if tcp { abi::TCP } else { abi::UDP }
}

/// One or two places, as the interface has them.
fn endpoints(tcp: bool, place: Place, port: u16) -> impl Iterator<Item = Endpoint> {
    const V4: IpAddress = IpAddress::Ipv4(Ipv4Address::UNSPECIFIED);
    const V6: IpAddress = IpAddress::Ipv6(Ipv6Address::UNSPECIFIED);
    let (first, second) = match place {
        Place::At(address) => (address, None),
        Place::AnyV4 => (V4, None),
        Place::AnyV6 => (V6, None),
        Place::AnyOfBoth => (V6, Some(V4)),
    };
    let endpoint = move |address| Endpoint {
        address: match address {
            IpAddress::Ipv4(address) => address.to_ipv6_mapped().octets(),
            IpAddress::Ipv6(address) => address.octets(),
        },
        port,
        protocol: protocol(tcp),
        pad: 0,
    };
    [Some(first), second].into_iter().flatten().map(endpoint)
}

fn place(endpoint: &Endpoint) -> Place {
    match Ipv6Address::from(endpoint.address).to_ipv4_mapped() {
        Some(address) if address.is_unspecified() => Place::AnyV4,
        Some(address) => Place::At(address.into()),
        None if endpoint.address == [0; 16] => Place::AnyV6,
        None => Place::At(Ipv6Address::from(endpoint.address).into()),
    }
}

unsafe extern "C" fn used(stack: *mut c_void, endpoint: *const Endpoint) -> c_int {
    // SAFETY: the host passes what it was given, during the call that gave it.
    let (stack, endpoint) = unsafe { (&*stack.cast::<Stack>(), &*endpoint) };
    stack.uses(endpoint).into()
}

impl Stack {
    fn uses(&self, endpoint: &Endpoint) -> bool {
        let (port, place) = (endpoint.port, place(endpoint));
        let (ports, tcp) = match endpoint.protocol {
            abi::TCP => (&self.tcp_ports, true),
            _ => (&self.udp_ports, false),
        };
        let mut bound = ports.bound_to(port).iter();
        bound.any(|bound| bound.place.overlaps(place))
            || tcp
                && ports.has_connections(port)
                && self
                    .local_ends()
                    .any(|end| end.port == port && place.fit(end.addr) > 0)
    }

    /// What the host is given to ask with.
    fn question(&self) -> *mut c_void {
        from_ref(self).cast_mut().cast()
    }

    /// A socket or connection is gone that had this port.
    pub(crate) fn port_is_left(&self, tcp: bool, port: u16) {
        if let Some(ops) = ops() {
            let protocol = protocol(tcp).into();
            // SAFETY: the host uses what it is given during the call, to read.
            unsafe { (ops.gone)(protocol, port.into(), used, self.question()) };
        }
    }
}

impl Guard {
    /// `bind(2)`. The socket stays, though its descriptor may be closed meanwhile.
    pub(crate) fn claim_and_bind(&mut self, socket: usize, name: Name) -> Result<(), Errno> {
        let Some(ops) = ops() else {
            return self.bind(socket, name);
        };
        let entry = &self.sockets[socket];
        let (tcp, endpoint) = (entry.is_tcp(), entry.endpoint(name)?);
        if endpoint.port == 0 {
            return self.bind(socket, name);
        }
        let place = entry.place(endpoint);
        let wanted = || endpoints(tcp, place, endpoint.port);
        let mut granted = 0;
        let mut answer = Ok(());
        for endpoint in wanted() {
            // SAFETY: the host reads it during the call.
            let error = self.unlocked(|| unsafe { (ops.claim)(&raw const endpoint) });
            if error != 0 {
                answer = Err(Errno(error));
                break;
            }
            granted += 1;
        }
        let result = answer.and_then(|()| self.bind(socket, name));
        for endpoint in wanted().take(granted) {
            // SAFETY: the host uses what it is given during the call, to read.
            unsafe { (ops.bound)(&raw const endpoint, used, self.net.question()) };
        }
        result
    }
}

/// Has the host asked from now on. Whoever binds without asking has the lock meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_claims_set(ops: *const Ops) -> c_int {
    let Some(_kernel) = kernel::lock() else {
        return Errno::NXIO.0;
    };
    OPS.store(ops.cast_mut(), Ordering::Relaxed);
    0
}

/// Tells of all that has a port.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_claims_list(tell: Tell, arg: *mut c_void) {
    let Some(kernel) = kernel::lock() else {
        return;
    };
    let net = &kernel.net;
    let bound = [(true, &net.tcp_ports), (false, &net.udp_ports)];
    let bound = bound
        .into_iter()
        .flat_map(|(tcp, ports)| ports.all().map(move |(port, place)| (tcp, place, port)));
    let connected = net
        .local_ends()
        .map(|end| (true, Place::At(end.addr), end.port));
    for endpoint in bound
        .chain(connected)
        .flat_map(|(tcp, place, port)| endpoints(tcp, place, port))
    {
        // SAFETY: function and argument belong together, by the interface.
        unsafe { tell(arg, &raw const endpoint) };
    }
    // SAFETY: as above.
    unsafe { tell(arg, null()) };
}
