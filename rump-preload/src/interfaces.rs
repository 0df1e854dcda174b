//! `getifaddrs(3)` and its kin, which the C library answers by calls of its own that nobody can
//! take the place of.
#![allow(unsafe_code)]

use crate::inside::{Inside, is_inside};
use crate::kernel;
use crate::next::Next;
use libc::{AF_INET, AF_INET6, AF_PACKET, c_char, c_int, c_uint, ifaddrs};
use libc::{if_nameindex as NameIndex, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_ll};
use rump_linux::interfaces::{self, Address, Interface, NAME};
use rump_linux::raw::if_arp::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use std::collections::HashMap;
use std::ffi::CStr;
use std::net::IpAddr;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Room for an address of any of the families.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Room([u8; 32]);

/// What an entry points to.
#[repr(C)]
struct Parts {
    name: [u8; NAME + 1],
    /// Address, mask, and broadcast address.
    addresses: [Room; 3],
}

/// A list that a program has.
#[derive(Default)]
struct List {
    entries: Vec<ifaddrs>,
    parts: Vec<Parts>,
    names: Vec<NameIndex>,
}

// SAFETY: pointers into the list itself, which goes where the list goes.
unsafe impl Send for List {}

/// Lists by the address that the program knows them by.
static LISTS: Mutex<Option<HashMap<usize, List>>> = Mutex::new(None);

fn lists() -> MutexGuard<'static, Option<HashMap<usize, List>>> {
    LISTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's interfaces; `None` if the C library is to answer.
fn kernels() -> Option<Result<Vec<Interface>, c_int>> {
    if is_inside() || kernel::is_child() {
        return None;
    }
    let _inside = Inside::enter();
    let interfaces = kernel::process().interfaces();
    Some(interfaces.map_err(|errno| errno.0 as c_int))
}

fn fail(errno: c_int) -> c_int {
    // SAFETY: the thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// An address as C has it.
fn room<T>(value: &T) -> Room {
    const { assert!(size_of::<T>() <= size_of::<Room>()) };
    let mut room = Room([0; 32]);
    // SAFETY: as long as both are; structures of numbers.
    unsafe {
        let from = (&raw const *value).cast::<u8>();
        from.copy_to_nonoverlapping(room.0.as_mut_ptr(), size_of::<T>());
    }
    room
}

fn ip(address: IpAddr, scope: u32) -> Room {
    match address {
        IpAddr::V4(address) => room(&sockaddr_in {
            sin_family: AF_INET as u16,
            sin_port: 0,
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(address.octets()),
            },
            sin_zero: [0; 8],
        }),
        IpAddr::V6(address) => room(&sockaddr_in6 {
            sin6_family: AF_INET6 as u16,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr {
                s6_addr: address.octets(),
            },
            sin6_scope_id: if address.is_unicast_link_local() {
                scope
            } else {
                0
            },
        }),
    }
}

/// The address of the interface itself.
fn packet(one: &Interface) -> Room {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&one.hardware.unwrap_or_default());
    let kind = if one.is_loopback() {
        ARPHRD_LOOPBACK
    } else {
        ARPHRD_ETHER
    };
    room(&sockaddr_ll {
        sll_family: AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: one.index as c_int,
        sll_hatype: kind as u16,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    })
}

fn mask(one: &Address) -> IpAddr {
    match one.address {
        IpAddr::V4(_) => interfaces::mask(one.prefix).into(),
        IpAddr::V6(_) => {
            let bits = u128::MAX.checked_shl(128 - u32::from(one.prefix.min(128)));
            std::net::Ipv6Addr::from_bits(bits.unwrap_or(0)).into()
        }
    }
}

fn parts(one: &Interface, addresses: [Room; 3]) -> Parts {
    let mut name = [0; NAME + 1];
    name[..NAME].copy_from_slice(&one.name);
    Parts { name, addresses }
}

/// One entry for each interface, and then one for each of their addresses, as Linux has them.
fn list(all: &[Interface]) -> List {
    let none = Room([0; 32]);
    let mut entries = Vec::new();
    let mut every = Vec::new();
    for one in all {
        every.push((one.flags, parts(one, [packet(one), none, none])));
    }
    for one in all {
        for address in &one.addresses {
            let broadcast = address.broadcast.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
            let broadcast = match address.broadcast {
                Some(_) => ip(broadcast.into(), 0),
                None => none,
            };
            let main = ip(address.address, one.index);
            let all = [main, ip(mask(address), 0), broadcast];
            every.push((one.flags, parts(one, all)));
        }
    }
    let (flags, mut parts): (Vec<_>, Vec<_>) = every.into_iter().unzip();
    for (flags, parts) in flags.iter().zip(&mut parts) {
        let address = |room: &mut Room| -> *mut sockaddr {
            if room.0[..2] == [0; 2] {
                null_mut()
            } else {
                room.0.as_mut_ptr().cast()
            }
        };
        let [main, mask, broadcast] = &mut parts.addresses;
        entries.push(ifaddrs {
            ifa_next: null_mut(),
            ifa_name: parts.name.as_mut_ptr().cast(),
            ifa_flags: *flags,
            ifa_addr: address(main),
            ifa_netmask: address(mask),
            ifa_ifu: address(broadcast),
            ifa_data: null_mut(),
        });
    }
    let start = entries.as_mut_ptr();
    for (at, entry) in entries.iter_mut().enumerate().rev().skip(1) {
        entry.ifa_next = start.wrapping_add(at + 1);
    }
    List {
        entries,
        parts,
        names: Vec::new(),
    }
}

/// Keeps a list for as long as the program has it.
fn keep(list: List, place: usize) {
    lists().get_or_insert_default().insert(place, list);
}

/// Takes one back; false if it is none of these.
fn give_back(place: usize) -> bool {
    let _inside = Inside::enter();
    lists()
        .as_mut()
        .is_some_and(|lists| lists.remove(&place).is_some())
}

/// getifaddrs(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getifaddrs(out: *mut *mut ifaddrs) -> c_int {
    type Get = unsafe extern "C" fn(*mut *mut ifaddrs) -> c_int;
    // SAFETY: its type.
    static REAL: Next<Get> = unsafe { Next::new(c"getifaddrs") };
    match kernels() {
        // SAFETY: handed on.
        None => REAL.get().map_or(-1, |real| unsafe { real(out) }),
        Some(Err(errno)) => fail(errno),
        Some(Ok(all)) => {
            let _inside = Inside::enter();
            let mut list = list(&all);
            drop(all);
            let start = match list.entries.is_empty() {
                true => null_mut(),
                false => list.entries.as_mut_ptr(),
            };
            keep(list, start.expose_provenance());
            // SAFETY: the caller's.
            unsafe { *out = start };
            0
        }
    }
}

/// freeifaddrs(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freeifaddrs(list: *mut ifaddrs) {
    type Free = unsafe extern "C" fn(*mut ifaddrs);
    // SAFETY: its type.
    static REAL: Next<Free> = unsafe { Next::new(c"freeifaddrs") };
    if !give_back(list.expose_provenance())
        && let Some(real) = REAL.get()
    {
        // SAFETY: handed on.
        unsafe { real(list) };
    }
}

/// if_nameindex(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn if_nameindex() -> *mut NameIndex {
    type Get = unsafe extern "C" fn() -> *mut NameIndex;
    // SAFETY: its type.
    static REAL: Next<Get> = unsafe { Next::new(c"if_nameindex") };
    match kernels() {
        // SAFETY: handed on.
        None => REAL.get().map_or(null_mut(), |real| unsafe { real() }),
        Some(Err(errno)) => {
            fail(errno);
            null_mut()
        }
        Some(Ok(all)) => {
            let _inside = Inside::enter();
            let mut list = list(&all);
            for (at, one) in all.iter().enumerate() {
                list.names.push(NameIndex {
                    if_index: one.index,
                    if_name: list.parts[at].name.as_mut_ptr().cast(),
                });
            }
            drop(all);
            list.names.push(NameIndex {
                if_index: 0,
                if_name: null_mut(),
            });
            let start = list.names.as_mut_ptr();
            keep(list, start.expose_provenance());
            start
        }
    }
}

/// if_freenameindex(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn if_freenameindex(list: *mut NameIndex) {
    type Free = unsafe extern "C" fn(*mut NameIndex);
    // SAFETY: its type.
    static REAL: Next<Free> = unsafe { Next::new(c"if_freenameindex") };
    if !give_back(list.expose_provenance())
        && let Some(real) = REAL.get()
    {
        // SAFETY: handed on.
        unsafe { real(list) };
    }
}

/// if_nametoindex(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn if_nametoindex(name: *const c_char) -> c_uint {
    type Find = unsafe extern "C" fn(*const c_char) -> c_uint;
    // SAFETY: its type.
    static REAL: Next<Find> = unsafe { Next::new(c"if_nametoindex") };
    let Some(told) = kernels() else {
        // SAFETY: handed on.
        return REAL.get().map_or(0, |real| unsafe { real(name) });
    };
    let _inside = Inside::enter();
    // SAFETY: the caller's.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let all = told.unwrap_or_default();
    let found = all.iter().find(|one| one.name() == name);
    found.map_or_else(
        || {
            fail(libc::ENODEV);
            0
        },
        |one| one.index,
    )
}

/// if_indextoname(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn if_indextoname(index: c_uint, name: *mut c_char) -> *mut c_char {
    type Find = unsafe extern "C" fn(c_uint, *mut c_char) -> *mut c_char;
    // SAFETY: its type.
    static REAL: Next<Find> = unsafe { Next::new(c"if_indextoname") };
    let Some(told) = kernels() else {
        // SAFETY: handed on.
        return REAL
            .get()
            .map_or(null_mut(), |real| unsafe { real(index, name) });
    };
    let _inside = Inside::enter();
    let all = told.unwrap_or_default();
    let Some(one) = all.iter().find(|one| one.index == index) else {
        fail(libc::ENXIO);
        return null_mut();
    };
    // SAFETY: the caller's room, of as many bytes.
    unsafe { one.name.as_ptr().copy_to_nonoverlapping(name.cast(), NAME) };
    name
}
