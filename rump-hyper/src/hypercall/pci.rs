//! `rumpcomp_pci_*`: what the kernel's component `pci` asks of its host, and what our
//! component `pcihost` asks beyond that (`rump_pci.h`).

use crate::errno::{Errno, status};
use crate::pci::interrupt::{self, Established, Handler};
use crate::pci::{Kind, PciHost, bus};
use alloc::boxed::Box;
use core::ffi::{c_int, c_uint, c_ulong, c_void};
use core::ptr::null_mut;

/// `struct rumpcomp_pci_dmaseg`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DmaSegment {
    /// The device's address.
    pub bus: c_ulong,
    /// How many bytes.
    pub len: c_ulong,
    /// The kernel's address.
    pub address: c_ulong,
}

/// `rumpcomp_pci_confread`: nothing there reads as ones, also for callers that do not
/// look at the result.
pub unsafe fn pci_confread<H: PciHost>(
    bus: c_uint,
    device: c_uint,
    function: c_uint,
    offset: c_int,
    value: *mut c_uint,
) -> c_int {
    let read = bus::config_read(bus, device, function, offset);
    // SAFETY: a place for the word, by the module's contract.
    unsafe { value.write(read.unwrap_or(u32::MAX)) };
    status(read.map(drop))
}

/// `rumpcomp_pci_confwrite`
pub unsafe fn pci_confwrite<H: PciHost>(
    bus: c_uint,
    device: c_uint,
    function: c_uint,
    offset: c_int,
    value: c_uint,
) -> c_int {
    status(bus::config_write(bus, device, function, offset, value))
}

/// `rumpcomp_pci_map`: null if that cannot be mapped.
pub unsafe fn pci_map<H: PciHost>(address: c_ulong, len: c_ulong) -> *mut c_void {
    bus::map(address, len).map_or(null_mut(), |start| start.as_ptr().cast())
}

/// `rumpcomp_pci_iospace_init`: ports are reached by `rumpcomp_pci_access_map`.
pub unsafe fn pci_iospace_init<H: PciHost>() -> c_int {
    0
}

/// `rumpcomp_pci_access_map`: a handle of what is read and written by calls.
pub unsafe fn pci_access_map<H: PciHost>(
    io: c_int,
    address: c_ulong,
    len: c_ulong,
    handle: *mut c_ulong,
) -> c_int {
    status(bus::by_call(io != 0, address, len).map(|found| {
        // SAFETY: a place for the handle, by the module's contract.
        unsafe { handle.write(found) };
    }))
}

/// `rumpcomp_pci_access_read`
pub unsafe fn pci_access_read<H: PciHost>(handle: c_ulong, width: c_uint) -> c_uint {
    bus::read(handle, width as usize)
}

/// `rumpcomp_pci_access_write`
pub unsafe fn pci_access_write<H: PciHost>(handle: c_ulong, width: c_uint, value: c_uint) {
    bus::write(handle, width as usize, value);
}

/// `rumpcomp_pci_is_gone`: whether the device that has such a register does not answer any more.
pub unsafe fn pci_is_gone<H: PciHost>(
    handle: c_ulong,
    start: *mut c_ulong,
    len: *mut c_ulong,
) -> c_int {
    let gone = bus::gone(handle);
    if let Some(region) = &gone {
        // SAFETY: places for both, by the module's contract.
        unsafe {
            start.write(region.start);
            len.write(region.end - region.start);
        }
    }
    gone.is_some().into()
}

fn allocate<H: PciHost>(
    slot: (c_uint, c_uint, c_uint),
    kind: c_int,
    count: c_int,
    cookie: c_uint,
) -> Result<(), Errno> {
    let function = bus::function(slot.0, slot.1, slot.2).ok_or(Errno::NXIO)?;
    let kind = Kind::of(kind).ok_or(Errno::INVAL)?;
    let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
    interrupt::allocate::<H>(&function, kind, count, cookie)
}

/// `rumpcomp_pci_irq_map`: the function's line, by a cookie.
pub unsafe fn pci_irq_map<H: PciHost>(
    bus: c_uint,
    device: c_uint,
    function: c_uint,
    _line: c_int,
    cookie: c_uint,
) -> c_int {
    status(allocate::<H>(
        (bus, device, function),
        Kind::Intx as c_int,
        1,
        cookie,
    ))
}

/// `rumpcomp_pci_irq_alloc`: vectors of a kind, with cookies from `cookie` on.
pub unsafe fn pci_irq_alloc<H: PciHost>(
    bus: c_uint,
    device: c_uint,
    function: c_uint,
    kind: c_int,
    count: c_int,
    cookie: c_uint,
) -> c_int {
    status(allocate::<H>((bus, device, function), kind, count, cookie))
}

/// `rumpcomp_pci_irq_release`: undoes either.
pub unsafe fn pci_irq_release<H: PciHost>(
    bus: c_uint,
    device: c_uint,
    function: c_uint,
    count: c_int,
    cookie: c_uint,
) {
    if let Some(function) = bus::function(bus, device, function) {
        interrupt::release::<H>(&*function, cookie, usize::try_from(count).unwrap_or(0));
    }
}

/// `rumpcomp_pci_irq_establish`: null if there is no such vector, or no thread.
pub unsafe fn pci_irq_establish<H: PciHost>(
    cookie: c_uint,
    handler: Handler,
    arg: *mut c_void,
) -> *mut c_void {
    interrupt::establish::<H>(cookie, handler, arg).map_or(null_mut(), |established| {
        Box::into_raw(Box::new(established)).cast()
    })
}

/// `rumpcomp_pci_irq_disestablish`: the handler is not called when this returns.
pub unsafe fn pci_irq_disestablish<H: PciHost>(established: *mut c_void) {
    // SAFETY: what `pci_irq_establish` returned, once, by the module's contract.
    let established = unsafe { Box::from_raw(established.cast::<Established>()) };
    interrupt::disestablish::<H>(*established);
}

/// `rumpcomp_pci_dmalloc`
pub unsafe fn pci_dmalloc<H: PciHost>(
    size: usize,
    align: usize,
    bus: *mut c_ulong,
    address: *mut c_ulong,
) -> c_int {
    status(H::dma_allocate(size, align).map(|memory| {
        // SAFETY: places for the two addresses, by the module's contract.
        unsafe {
            bus.write(memory.bus);
            address.write(memory.address.as_ptr().expose_provenance() as c_ulong);
        }
    }))
}

/// `rumpcomp_pci_dmafree`
pub unsafe fn pci_dmafree<H: PciHost>(address: c_ulong, size: usize) {
    let address = core::ptr::with_exposed_provenance_mut(address as usize);
    // SAFETY: memory of `pci_dmalloc` with its size, by the module's contract.
    unsafe { H::dma_release(address, size) };
}

/// `rumpcomp_pci_dmamem_map`: the memory is mapped; segments of one allocation only.
pub unsafe fn pci_dmamem_map<H: PciHost>(
    segments: *const DmaSegment,
    count: usize,
    _size: usize,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: so many segments, by the module's contract.
    let segments = unsafe { core::slice::from_raw_parts(segments, count) };
    let contiguous = segments
        .windows(2)
        .all(|pair| pair[0].address + pair[0].len == pair[1].address);
    let Some(first) = segments.first().filter(|_| contiguous) else {
        return Errno::INVAL.0;
    };
    let address = core::ptr::with_exposed_provenance_mut(first.address as usize);
    // SAFETY: a place for the address, by the module's contract.
    unsafe { out.write(address) };
    0
}

/// `rumpcomp_pci_virt_to_mach`: 0, which is in no window, for what no device reaches.
pub unsafe fn pci_virt_to_mach<H: PciHost>(address: *mut c_void) -> c_ulong {
    H::dma_window()
        .and_then(|window| window.translate(address.addr() as u64, 1))
        .unwrap_or(0)
}

/// `rumpcomp_pci_dma_window`: the window; its length is 0 if there is none.
pub unsafe fn pci_dma_window<H: PciHost>(
    start: *mut c_ulong,
    len: *mut c_ulong,
    offset: *mut c_ulong,
) {
    let window = H::dma_window();
    // SAFETY: places for three numbers, by the module's contract.
    unsafe {
        start.write(window.map_or(0, |window| window.start));
        len.write(window.map_or(0, |window| window.len));
        offset.write(window.map_or(0, |window| window.offset));
    }
}
