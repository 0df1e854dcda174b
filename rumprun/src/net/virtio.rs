//! virtio-net over PCI: virtio 1.1, 4.1 and 5.1.
//!
//! One pair of queues. Frames that are sent are copied into memory of the device's, so that
//! the sender has its own back at once; those that come are copied out of it. Checksums, and
//! cutting up TCP segments that are sent, are left to the device where it offers that.

use super::counters::Counters;
use super::queue::Queue;
use crate::memory::heap;
use crate::memory::tables::map_device;
use crate::pci::config::command;
use crate::pci::msi::{self, Table};
use crate::pci::{Found, Location, capability};
use crate::sync::Lock;
use crate::trap::line::Line;
use core::fmt;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rump_hyper::errno::Errno;
use rump_hyper::vif::abi::Offload;
use rump_hyper::vif::{Backend, Batch, Offloads, Statistics, Transmit};

/// Of Red Hat's; network cards, transitional and not.
const VENDOR: u16 = 0x1af4;
const DEVICES: [u16; 2] = [0x1000, 0x1041];

/// Feature bits: 5.1.3 and 6.
const CSUM: u64 = 1 << 0;
const GUEST_CSUM: u64 = 1 << 1;
const MAC: u64 = 1 << 5;
const HOST_TSO4: u64 = 1 << 11;
const HOST_TSO6: u64 = 1 << 12;
const HOST_ECN: u64 = 1 << 13;
const STATUS: u64 = 1 << 16;
const VERSION_1: u64 = 1 << 32;

/// Device status: 2.1.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Buffers of a queue.
const BUFFERS: u16 = 256;
/// Bytes of a buffer for a frame that comes: the header, and a frame of Ethernet with a tag.
const RECEIVE: usize = 2048;
/// Bytes of the header: that of [`Offload`], and how many buffers there are.
const HEADER: usize = size_of::<Offload>() + 2;

/// Structures of the device, by the number of their capability: 4.1.4.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Structure {
    Common = 1,
    Notify = 2,
    Device = 4,
}

/// Offsets in the common structure: 4.1.4.3.
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0;
    pub(super) const DEVICE_FEATURE: usize = 4;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 8;
    pub(super) const DRIVER_FEATURE: usize = 12;
    pub(super) const CONFIG_VECTOR: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_SIZE: usize = 24;
    pub(super) const QUEUE_VECTOR: usize = 26;
    pub(super) const QUEUE_ENABLE: usize = 28;
    pub(super) const QUEUE_NOTIFY: usize = 30;
    pub(super) const QUEUE_ADDRESSES: usize = 32;
    pub(super) const LEN: u64 = 56;
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It lacks a structure, or one is not where it could be.
    Structure,
    /// It has no table of interrupts, or all vectors are taken.
    Interrupts,
    /// It is not of virtio 1, or did not take what was chosen.
    Features,
    /// It has no queues, or only small ones.
    Queues,
    /// There is no memory.
    Memory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Structure => "its registers are not where virtio 1 has them",
            Self::Interrupts => "it has no MSI-X, or all vectors are taken",
            Self::Features => "it is not of virtio 1",
            Self::Queues => "its queues are too small",
            Self::Memory => "there is no memory for its queues",
        })
    }
}

/// Registers, and how many bytes there are.
#[derive(Clone, Copy, Debug)]
struct Registers {
    start: *mut u8,
    len: u64,
}

impl Registers {
    /// Finds a structure of the device; the multiplier of the one for notifications.
    fn find(
        location: Location,
        bars: &[crate::pci::bars::Bar],
        which: Structure,
        least: u64,
    ) -> Result<(Self, u32), Error> {
        capability::find(location, capability::VENDOR)
            .filter(|at| at + 20 <= 256 && location.read_u8(at + 3) == which as u8)
            .find_map(|at| {
                let index = usize::from(location.read_u8(at + 4));
                let bar = bars.iter().find(|bar| bar.index == index && !bar.io)?;
                let offset = u64::from(location.read(at + 8));
                let len = u64::from(location.read(at + 12));
                if bar.address == 0 || len < least || offset + len > bar.len {
                    return None;
                }
                let start = map_device(bar.address + offset, len).ok()?;
                Some((Self { start, len }, location.read(at + 16)))
            })
            .ok_or(Error::Structure)
    }

    fn at<T>(self, offset: usize) -> *mut T {
        assert!(offset as u64 + size_of::<T>() as u64 <= self.len);
        self.start.wrapping_add(offset).cast()
    }

    fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: inside the structure, whose fields are aligned.
        unsafe { self.at::<T>(offset).read_volatile() }
    }

    fn write<T>(self, offset: usize, value: T) {
        // SAFETY: as above; what the fields do is what their names say.
        unsafe { self.at::<T>(offset).write_volatile(value) }
    }
}

/// A queue with its interrupt, and where the device is told of it.
#[derive(Debug)]
struct Half {
    queue: Lock<Queue>,
    line: Line,
    notify: *mut u16,
    number: u16,
}

impl Half {
    fn notify(&self) {
        // SAFETY: the register of this queue, which takes its number.
        unsafe { self.notify.write_volatile(self.number) };
    }
}

/// A network card.
pub struct Virtio {
    location: Location,
    receive: Half,
    transmit: Half,
    offers: Offloads,
    address: [u8; 6],
    /// The structure with the link's state, where it tells it.
    status: Option<Registers>,
    woken: AtomicBool,
    counters: Counters,
    // For as long as the device may signal.
    _table: Table,
}

// SAFETY: registers, which may be reached from all CPUs; queues are under locks.
unsafe impl Send for Virtio {}
// SAFETY: as above.
unsafe impl Sync for Virtio {}

impl Virtio {
    /// Whether a function is such a card.
    pub fn is_one(function: &Found) -> bool {
        function.vendor == VENDOR && DEVICES.contains(&function.device)
    }

    /// Takes a card over.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn new(location: Location) -> Result<Self, Error> {
        let bars = msi::regions(location);
        let (registers, _) = Registers::find(location, &bars, Structure::Common, common::LEN)?;
        let (notify, multiplier) = Registers::find(location, &bars, Structure::Notify, 2)?;
        let (device, _) = Registers::find(location, &bars, Structure::Device, 8)?;
        let table = Table::find(location, &bars).ok_or(Error::Interrupts)?;
        location.command(command::MEMORY | command::MASTER, 0);
        // Reset, and until it says that it is.
        registers.write(common::STATUS, 0_u8);
        while registers.read::<u8>(common::STATUS) != 0 {
            core::hint::spin_loop();
        }
        registers.write(common::STATUS, ACKNOWLEDGE);
        registers.write(common::STATUS, ACKNOWLEDGE | DRIVER);
        let features = negotiate(registers)?;
        table.enable();
        registers.write(common::CONFIG_VECTOR, 0xffff_u16);
        let half = |number: u16| -> Result<Half, Error> {
            let line = Line::new().ok_or(Error::Interrupts)?;
            if usize::from(number) >= table.len() {
                return Err(Error::Interrupts);
            }
            table.set(number.into(), &line);
            let queue = set_up_queue(registers, number)?;
            let at = u64::from(registers.read::<u16>(common::QUEUE_NOTIFY)) * u64::from(multiplier);
            if at + 2 > notify.len {
                return Err(Error::Structure);
            }
            Ok(Half {
                queue: Lock::new(queue),
                line,
                notify: notify.at(at as usize),
                number,
            })
        };
        let (receive, transmit) = (half(0)?, half(1)?);
        let mut address = [0; 6];
        for (at, byte) in address.iter_mut().enumerate() {
            *byte = device.read(at);
        }
        if features & MAC == 0 {
            crate::random::fill(&mut address);
            address[0] = 2;
        }
        let mut card = Self {
            location,
            receive,
            transmit,
            offers: Offloads::NONE,
            address,
            status: (features & STATUS != 0).then_some(device),
            woken: AtomicBool::new(false),
            counters: Counters::default(),
            _table: table,
        };
        for (feature, offload) in [
            (CSUM, Offloads::TX_CSUM),
            (HOST_TSO4, Offloads::TX_TSO4),
            (HOST_TSO6, Offloads::TX_TSO6),
            (GUEST_CSUM, Offloads::RX_CSUM),
        ] {
            if features & feature != 0 {
                card.offers = card.offers | offload;
            }
        }
        card.transmit.queue.lock().interrupts(false);
        let status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
        registers.write(common::STATUS, status);
        card.fill()?;
        Ok(card)
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        self.location
    }

    /// Its Ethernet address.
    pub fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Gives it buffers for all frames that it has room for.
    fn fill(&self) -> Result<(), Error> {
        let mut queue = self.receive.queue.lock();
        while queue.room() > 0 {
            let buffer = heap::allocate(RECEIVE, 16);
            if buffer.is_null() {
                return Err(Error::Memory);
            }
            // SAFETY: just allocated, and the device's from here on.
            unsafe { queue.give(buffer.addr() as u64, RECEIVE as u32, true) };
        }
        drop(queue);
        self.receive.notify();
        Ok(())
    }

    /// Takes frames that have come, up to a full batch.
    fn take(&self, batch: &mut Batch) {
        let mut given = false;
        while !batch.is_full() {
            let Some((buffer, len, written)) = self.receive.queue.lock().take() else {
                break;
            };
            let written = written as usize;
            if let Some(frame) = written.checked_sub(HEADER).filter(|len| *len > 0) {
                // SAFETY: a buffer that came back, whose first bytes the device has written.
                let bytes = unsafe { core::slice::from_raw_parts(buffer as *const u8, written) };
                let mut to = batch.buffer();
                to[..frame].copy_from_slice(&bytes[HEADER..]);
                batch.push(to, frame, claim(bytes));
                self.counters.received.fetch_add(1, Ordering::Relaxed);
            } else {
                self.counters.receive_drops.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the same buffer again.
            given |= unsafe { self.receive.queue.lock().give(buffer, len, true) };
        }
        if given && self.receive.queue.lock().must_notify() {
            self.receive.notify();
        }
    }

    /// Frees the memory of frames that were sent.
    fn reclaim(queue: &mut Queue) {
        while let Some((buffer, len, _)) = queue.take() {
            // SAFETY: allocated by `copy` with this length, and the device is done with it.
            unsafe { heap::release(buffer as *mut u8, len as usize) };
        }
    }

    /// Waits until there is room for a frame; not for ever.
    fn wait_for_room(&self) -> bool {
        for _ in 0..10 {
            let mut queue = self.transmit.queue.lock();
            queue.interrupts(true);
            Self::reclaim(&mut queue);
            if queue.room() > 0 {
                queue.interrupts(false);
                return true;
            }
            drop(queue);
            self.transmit.line.wait(Some(Duration::from_millis(100)));
        }
        self.transmit.queue.lock().interrupts(false);
        false
    }
}

/// Chooses features and tells the device.
fn negotiate(registers: Registers) -> Result<u64, Error> {
    let mut offered = 0;
    for half in 0..2_u32 {
        registers.write(common::DEVICE_FEATURE_SELECT, half);
        offered |= u64::from(registers.read::<u32>(common::DEVICE_FEATURE)) << (32 * half);
    }
    let mut wanted = VERSION_1 | MAC | STATUS | CSUM | GUEST_CSUM;
    if offered & CSUM != 0 {
        wanted |= HOST_TSO4 | HOST_TSO6 | HOST_ECN;
    }
    let taken = offered & wanted;
    if taken & VERSION_1 == 0 {
        return Err(Error::Features);
    }
    for half in 0..2_u32 {
        registers.write(common::DRIVER_FEATURE_SELECT, half);
        registers.write(common::DRIVER_FEATURE, (taken >> (32 * half)) as u32);
    }
    registers.write(common::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if registers.read::<u8>(common::STATUS) & FEATURES_OK == 0 {
        return Err(Error::Features);
    }
    Ok(taken)
}

/// Makes a queue and tells the device of it: number, vector and queue have one number.
fn set_up_queue(registers: Registers, number: u16) -> Result<Queue, Error> {
    registers.write(common::QUEUE_SELECT, number);
    let most: u16 = registers.read(common::QUEUE_SIZE);
    if most < 2 {
        return Err(Error::Queues);
    }
    // A power of two, says 2.6; whatever it says, ours is one.
    let len = BUFFERS.min(1 << most.ilog2());
    registers.write(common::QUEUE_SIZE, len);
    registers.write(common::QUEUE_VECTOR, number);
    if registers.read::<u16>(common::QUEUE_VECTOR) != number {
        return Err(Error::Interrupts);
    }
    let queue = Queue::new(len).ok_or(Error::Memory)?;
    for (at, address) in queue.addresses().into_iter().enumerate() {
        // Two halves: 64-bit fields need not be written in one (4.1.3.1).
        let offset = common::QUEUE_ADDRESSES + 8 * at;
        registers.write(offset, address as u32);
        registers.write(offset + 4, (address >> 32) as u32);
    }
    registers.write(common::QUEUE_ENABLE, 1_u16);
    Ok(queue)
}

/// What the device says of a frame; the header has the layout of [`Offload`].
fn claim(bytes: &[u8]) -> Offload {
    let field = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    Offload {
        flags: bytes[0],
        gso_type: bytes[1],
        hdr_len: field(2),
        gso_size: field(4),
        csum_start: field(6),
        csum_offset: field(8),
    }
}

/// A frame with its header in memory for the device: address and length.
fn copy(frame: &Transmit<'_>) -> Option<(u64, u32)> {
    let len = HEADER + frame.len();
    let memory = heap::allocate(len, 16);
    if memory.is_null() {
        return None;
    }
    // SAFETY: just allocated.
    let bytes = unsafe {
        memory.write_bytes(0, len);
        core::slice::from_raw_parts_mut(memory, len)
    };
    let offload = frame.offload();
    bytes[0] = offload.flags;
    bytes[1] = offload.gso_type;
    for (at, value) in [
        (2, offload.hdr_len),
        (4, offload.gso_size),
        (6, offload.csum_start),
        (8, offload.csum_offset),
    ] {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    frame.copy_to(&mut bytes[HEADER..]);
    Some((memory.addr() as u64, len as u32))
}

impl Backend for Virtio {
    fn offers(&self) -> Offloads {
        self.offers
    }

    fn link(&self) -> bool {
        /// `VIRTIO_NET_S_LINK_UP`, behind the address.
        const UP: u16 = 1;
        self.status
            .is_none_or(|status| status.read::<u16>(6) & UP != 0)
    }

    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        loop {
            if self.woken.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            self.receive.queue.lock().interrupts(false);
            self.take(batch);
            if !batch.is_empty() {
                return Ok(());
            }
            let queue = self.receive.queue.lock();
            queue.interrupts(true);
            let waiting = queue.is_waiting();
            drop(queue);
            if !waiting && self.receive.line.wait(None).is_none() {
                return Ok(());
            }
        }
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut sent = 0;
        for frame in frames {
            let Some((buffer, len)) = copy(frame) else {
                break;
            };
            loop {
                let mut queue = self.transmit.queue.lock();
                Self::reclaim(&mut queue);
                // SAFETY: just allocated, and the device's from here on.
                if unsafe { queue.give(buffer, len, false) } {
                    sent += 1;
                    break;
                }
                drop(queue);
                // It has to know of those that it has.
                self.transmit.notify();
                if !self.wait_for_room() {
                    // SAFETY: the device did not get it.
                    unsafe { heap::release(buffer as *mut u8, len as usize) };
                    self.counters.send_drops.fetch_add(1, Ordering::Relaxed);
                    return Ok(sent);
                }
            }
        }
        if self.transmit.queue.lock().must_notify() {
            self.transmit.notify();
        }
        self.counters.sent.fetch_add(sent as u64, Ordering::Relaxed);
        Ok(sent)
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.receive.line.fire();
    }

    fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }
}

impl fmt::Debug for Virtio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio-net at {}", self.location)
    }
}
