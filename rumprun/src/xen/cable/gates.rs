//! What the program calls: `rump_sys::xen`, which explains each.

use super::super::ctl;
use super::{Cable, Errno, Ordering, accept, close, desk, find, forget, keep};
use alloc::sync::Arc;
use core::ffi::c_int;
use rump_sys::xen::Cable as Told;

fn result(done: Result<(), Errno>) -> c_int {
    done.map_or_else(|errno| errno.0, |()| 0)
}

/// Gives a cable to the program.
///
/// # Safety
/// `to` is the program's.
unsafe fn give(cable: Arc<Cable>, to: *mut Told) {
    let [outgoing, incoming] = cable.pages().map(|page| page.address() as *mut u8);
    let told = Told {
        id: cable.id,
        outgoing,
        incoming,
        domain: cable.domain.into(),
        address: cable.address,
        pad: [0; 2],
    };
    keep(cable);
    // SAFETY: by contract.
    unsafe { to.write(told) };
}

unsafe extern "C" fn offer() -> c_int {
    super::OFFERS.store(true, Ordering::Release);
    let asked = desk::ask(desk::Wish::Offer);
    result(asked.then_some(()).ok_or(Errno::NXIO))
}

unsafe extern "C" fn accept_one(to: *mut Told) -> c_int {
    // SAFETY: the program's.
    unsafe { give(accept(), to) };
    0
}

unsafe extern "C" fn connect(number: c_int, to: *mut Told) -> c_int {
    let number = u32::try_from(number).ok();
    // SAFETY: the program's.
    result(desk::connect(number).map(|cable| unsafe { give(cable, to) }))
}

fn with(id: u64, call: impl FnOnce(&Cable) -> Result<(), Errno>) -> c_int {
    result(find(id).ok_or(Errno::NXIO).and_then(|cable| call(&cable)))
}

unsafe extern "C" fn ring(id: u64) -> c_int {
    with(id, |cable| {
        cable.channel.notify();
        Ok(())
    })
}

unsafe extern "C" fn wait(id: u64) -> c_int {
    with(id, |cable| cable.wait().then_some(()).ok_or(Errno::NXIO))
}

unsafe extern "C" fn share(id: u64, len: usize, memory: *mut *mut u8) -> c_int {
    with(id, |cable| {
        let start = cable.share(len).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the program's.
        unsafe { memory.write(start as *mut u8) };
        Ok(())
    })
}

unsafe extern "C" fn map(id: u64, len: usize, memory: *mut *mut u8) -> c_int {
    with(id, |cable| {
        let start = cable.map(len).map_err(|_| Errno::INVAL)?;
        // SAFETY: the program's.
        unsafe { memory.write(start as *mut u8) };
        Ok(())
    })
}

unsafe extern "C" fn close_one(id: u64) -> c_int {
    with(id, |cable| {
        close(cable);
        Ok(())
    })
}

unsafe extern "C" fn forget_one(id: u64) -> c_int {
    result(forget(id).map(drop).ok_or(Errno::NXIO))
}

unsafe extern "C" fn listen() -> c_int {
    result(ctl::open())
}

unsafe extern "C" fn order(text: *mut u8, room: usize, len: *mut usize) -> c_int {
    let order = ctl::hear();
    let bytes = &order.as_bytes()[..order.len().min(room)];
    // SAFETY: the program's, with so much room.
    unsafe {
        text.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        len.write(bytes.len());
    }
    0
}

unsafe extern "C" fn say(name: *const u8, len: usize, text: *const u8, text_len: usize) -> c_int {
    // SAFETY: the program's, so long each.
    let [name, text] = [(name, len), (text, text_len)]
        .map(|(start, len)| unsafe { core::slice::from_raw_parts(start, len) });
    let [Ok(name), Ok(text)] = [name, text].map(core::str::from_utf8) else {
        return Errno::INVAL.0;
    };
    result(ctl::tell(name, text))
}

rump_sys::export_gates! {
    rump_xen_offer = offer;
    rump_xen_accept = accept_one;
    rump_xen_connect = connect;
    rump_xen_ring = ring;
    rump_xen_wait = wait;
    rump_xen_share = share;
    rump_xen_map = map;
    rump_xen_close = close_one;
    rump_xen_forget = forget_one;
    rump_xen_listen = listen;
    rump_xen_order = order;
    rump_xen_say = say;
}
