//! Calls to Xen: the instruction that leaves a guest, `vmcall` or AMD's `vmmcall`. A page of
//! code by Xen would do the same (Xen's advisory XSA-466 recommends not to use it).

use super::abi::{self, cpuid};
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU32, Ordering};

/// What this machine is: the first of Xen's cpuid leaves, with one of these in the low bits.
static FOUND: AtomicU32 = AtomicU32::new(0);
const NOT_XEN: u32 = 1;
const INTEL: u32 = 2;
const AMD: u32 = 3;

fn find() -> u32 {
    if __cpuid(1).ecx & 1 << 31 == 0 {
        return NOT_XEN;
    }
    // Behind the leaves of another hypervisor that it looks like.
    let xen = (cpuid::FIRST..cpuid::LAST)
        .step_by(cpuid::STEP as usize)
        .find(|leaf| {
            let leaf = __cpuid(*leaf);
            [leaf.ebx, leaf.ecx, leaf.edx] == cpuid::SIGNATURE
        });
    let vendor = __cpuid(0);
    let mut name = [0; 12];
    for (part, register) in name.chunks_mut(4).zip([vendor.ebx, vendor.edx, vendor.ecx]) {
        part.copy_from_slice(&register.to_le_bytes());
    }
    let amd = matches!(&name, b"AuthenticAMD" | b"HygonGenuine");
    xen.map_or(NOT_XEN, |leaf| leaf | if amd { AMD } else { INTEL })
}

fn found() -> u32 {
    // Whoever is second finds the same.
    match FOUND.load(Ordering::Relaxed) {
        0 => {
            let found = find();
            FOUND.store(found, Ordering::Relaxed);
            found
        }
        found => found,
    }
}

/// Whether this is a guest of Xen's.
pub(crate) fn is_xen() -> bool {
    cfg!(feature = "image") && found() != NOT_XEN
}

/// A leaf of Xen's, counted from its first.
fn leaf(number: u32, sub: u32) -> core::arch::x86_64::CpuidResult {
    __cpuid_count((found() & !0xff) + number, sub)
}

/// The frequency of the time stamp counter, in Hz, if Xen says it.
pub(crate) fn frequency() -> Option<u64> {
    let khz = is_xen().then(|| leaf(cpuid::TIME, 0).ecx)?;
    (khz != 0).then_some(u64::from(khz) * 1000)
}

/// Xen's number of the CPU that calls.
pub(super) fn cpu() -> Option<u32> {
    let leaf = leaf(cpuid::HVM, 0);
    (leaf.eax & cpuid::HAS_CPU != 0).then_some(leaf.ebx)
}

/// An error number of Xen's: those of Linux on x86 (errno.h), positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub i64);

/// Calls Xen.
///
/// # Safety
/// This is a guest of Xen's. What the call does with the arguments, and with memory that they
/// point to, is what is wanted.
unsafe fn call(number: u32, arguments: [u64; 3]) -> Result<i64, Refused> {
    let [first, second, third] = arguments;
    let result: i64;
    // SAFETY: by contract; the registers of arguments may be changed (arch-x86/xen-x86_64.h).
    unsafe {
        if found() & 0xff == AMD {
            asm!("vmmcall", inout("rax") u64::from(number) => result,
                 inout("rdi") first => _, inout("rsi") second => _, inout("rdx") third => _,
                 out("r10") _, out("r8") _, options(nostack));
        } else {
            asm!("vmcall", inout("rax") u64::from(number) => result,
                 inout("rdi") first => _, inout("rsi") second => _, inout("rdx") third => _,
                 out("r10") _, out("r8") _, options(nostack));
        }
    }
    if result < 0 {
        Err(Refused(-result))
    } else {
        Ok(result)
    }
}

/// Calls Xen with a structure.
///
/// # Safety
/// As for [`call`]; the structure is that of the operation.
unsafe fn with<T>(number: u32, operation: u64, argument: &mut T) -> Result<i64, Refused> {
    // SAFETY: by contract. Xen looks the address up in our page tables.
    unsafe { call(number, [operation, (&raw mut *argument).addr() as u64, 0]) }
}

/// Calls Xen for operations on grants; each says by itself what became of it.
///
/// # Safety
/// As for [`call`]; the structures are those of the operation.
pub(super) unsafe fn grants<T>(operation: u64, all: &mut [T]) -> Result<(), Refused> {
    let (start, count) = (all.as_mut_ptr().addr() as u64, all.len() as u64);
    // SAFETY: by contract. Xen looks the address up in our page tables.
    unsafe { call(abi::hypercall::GRANT_TABLE, [operation, start, count]) }.map(drop)
}

/// A parameter of a domain, as the operations on it have it.
#[repr(C)]
struct Parameter {
    domain: u16,
    pad: u16,
    index: u32,
    value: u64,
}

impl Parameter {
    /// One of this domain.
    fn own(index: u32, value: u64) -> Self {
        Self {
            domain: abi::SELF,
            pad: 0,
            index,
            value,
        }
    }
}

/// A parameter of this domain.
pub(super) fn parameter(index: u32) -> Result<u64, Refused> {
    let mut parameter = Parameter::own(index, 0);
    // SAFETY: the structure of this operation.
    unsafe { with(abi::hypercall::HVM, abi::hvm::GET_PARAM, &mut parameter)? };
    Ok(parameter.value)
}

/// Sets a parameter of this domain.
pub(super) fn set_parameter(index: u32, value: u64) -> Result<(), Refused> {
    let mut parameter = Parameter::own(index, value);
    // SAFETY: the structure of this operation.
    unsafe { with(abi::hypercall::HVM, abi::hvm::SET_PARAM, &mut parameter) }.map(drop)
}

/// Has a page of Xen's be at an address, at which there is nothing.
///
/// # Safety
/// The address is nobody else's.
pub(super) unsafe fn place(space: u32, index: u64, address: u64) -> Result<(), Refused> {
    #[repr(C)]
    struct Place {
        domain: u16,
        size: u16,
        space: u32,
        index: u64,
        frame: u64,
    }
    let mut place = Place {
        domain: abi::SELF,
        size: 0,
        space,
        index,
        frame: address / crate::memory::PAGE64,
    };
    // SAFETY: by contract.
    unsafe { with(abi::hypercall::MEMORY, abi::ADD_TO_PHYSMAP, &mut place) }.map(drop)
}

/// Has events of a CPU interrupt it with a vector.
pub(super) fn set_upcall_vector(cpu: u32, vector: u8) -> Result<(), Refused> {
    #[repr(C)]
    struct Upcall {
        cpu: u32,
        vector: u8,
    }
    let mut upcall = Upcall { cpu, vector };
    // SAFETY: the structure of this operation.
    unsafe {
        with(
            abi::hypercall::HVM,
            abi::hvm::SET_UPCALL_VECTOR,
            &mut upcall,
        )
    }
    .map(drop)
}

/// Tells the other end of an event channel.
pub(super) fn send(port: u32) {
    let mut port = port;
    // A port that is no more has nobody to be told.
    // SAFETY: the structure of this operation is the port.
    let _ = unsafe { with(abi::hypercall::EVENT_CHANNEL, abi::event::SEND, &mut port) };
}

/// Lets the events of a port come, also one that has come while they were masked.
pub(super) fn unmask(port: u32) -> Result<(), Refused> {
    let mut port = port;
    // SAFETY: as above.
    unsafe { with(abi::hypercall::EVENT_CHANNEL, abi::event::UNMASK, &mut port) }.map(drop)
}

/// Has the events of a port come to a CPU.
pub(super) fn bind(port: u32, cpu: u32) -> Result<(), Refused> {
    let mut bind = [port, cpu];
    // SAFETY: two words, in this order.
    unsafe {
        with(
            abi::hypercall::EVENT_CHANNEL,
            abi::event::BIND_VCPU,
            &mut bind,
        )
    }
    .map(drop)
}

/// A new port that a domain may bind to.
pub(super) fn new_port(domain: u16) -> Result<u32, Refused> {
    #[repr(C)]
    struct Unbound {
        own: u16,
        other: u16,
        port: u32,
    }
    let mut unbound = Unbound {
        own: abi::SELF,
        other: domain,
        port: 0,
    };
    // SAFETY: the structure of this operation.
    unsafe {
        with(
            abi::hypercall::EVENT_CHANNEL,
            abi::event::ALLOC_UNBOUND,
            &mut unbound,
        )?
    };
    Ok(unbound.port)
}

/// A port of ours that is bound to one that a domain has for us.
pub(super) fn bind_other(domain: u16, port: u32) -> Result<u32, Refused> {
    #[repr(C)]
    struct Bind {
        domain: u16,
        port: u32,
        own: u32,
    }
    let mut bind = Bind {
        domain,
        port,
        own: 0,
    };
    // SAFETY: the structure of this operation.
    unsafe {
        with(
            abi::hypercall::EVENT_CHANNEL,
            abi::event::BIND_INTERDOMAIN,
            &mut bind,
        )?
    };
    Ok(bind.own)
}

/// Gives a port back.
pub(super) fn close(port: u32) {
    let mut port = port;
    // One that is no more is as good as closed.
    // SAFETY: the structure of this operation is the port.
    let _ = unsafe { with(abi::hypercall::EVENT_CHANNEL, abi::event::CLOSE, &mut port) };
}

/// Lets other CPUs run.
pub(super) fn give_way() {
    // SAFETY: it has no argument.
    let _ = unsafe { call(abi::hypercall::SCHED, [abi::sched::YIELD, 0, 0]) };
}

/// Ends the domain.
pub(super) fn shut_down(reason: u32) {
    let mut reason = reason;
    // SAFETY: the structure of this operation is the reason. It does not return.
    let _ = unsafe { with(abi::hypercall::SCHED, abi::sched::SHUTDOWN, &mut reason) };
}
