//! The bus and configuration space, on functions of memory.

use super::super::header::Header;
use super::super::{Function, Kind, Region, Vector};
use super::*;
use fastrand::Rng;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec;

/// Slots are the process's: one test at a time uses them.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A function whose configuration space is memory, and may change at every look.
struct Fake {
    config: Mutex<Vec<u32>>,
    regions: [u64; 6],
    changes: Option<Mutex<Rng>>,
    vectors: [usize; 3],
}

impl Fake {
    fn new(config: Vec<u32>, regions: [u64; 6]) -> Self {
        Self {
            config: Mutex::new(config),
            regions,
            changes: None,
            vectors: [1; 3],
        }
    }

    /// An ordinary function with regions of memory and of ports.
    fn device(base: u32) -> Self {
        let mut config = vec![0; 64];
        config[0] = 0x10d3_8086;
        config[4] = base | 0b100;
        config[5] = 0x12;
        config[6] = 0xe000 | 1;
        Self::new(config, [0x2_0000, 0, 0x20, 0, 0, 0])
    }
}

impl Function for Fake {
    fn config_len(&self) -> usize {
        self.config.lock().unwrap().len() * 4
    }
    fn config_read(&self, offset: usize) -> Result<u32, Errno> {
        let mut config = self.config.lock().unwrap();
        if let Some(changes) = &self.changes {
            let mut random = changes.lock().unwrap();
            let at = random.usize(..config.len());
            config[at] = random.u32(..);
        }
        config.get(offset / 4).copied().ok_or(Errno::INVAL)
    }
    fn config_write(&self, offset: usize, value: u32) -> Result<(), Errno> {
        self.config.lock().unwrap()[offset / 4] = value;
        Ok(())
    }
    fn region_len(&self, bar: usize) -> u64 {
        self.regions[bar]
    }
    fn region(&self, bar: usize) -> Result<NonNull<u8>, Errno> {
        // Never looked at; only that it comes out where it should.
        NonNull::new(core::ptr::without_provenance_mut((bar + 1) << 32)).ok_or(Errno::INVAL)
    }
    fn region_read(&self, at: Region, _width: usize) -> Result<u32, Errno> {
        Ok(at.offset as u32 | (at.bar as u32) << 16)
    }
    fn region_write(&self, _: Region, _: usize, _: u32) -> Result<(), Errno> {
        Ok(())
    }
    fn vectors(&self, kind: Kind) -> usize {
        self.vectors[kind as usize]
    }
    fn enable(&self, _: Kind, _: usize) -> Result<(), Errno> {
        Err(Errno::INVAL)
    }
    fn disable(&self) {}
    fn vector(&self, _: usize) -> Option<Arc<dyn Vector>> {
        None
    }
    fn removal(&self) -> Option<Arc<dyn Vector>> {
        None
    }
}

#[test]
fn an_address_leads_to_its_region() {
    let _alone = alone();
    let place = Place::take(Arc::new(Fake::device(0xf000_0000))).unwrap();
    let base = 0x12_f000_0000;
    assert_eq!(map(base, 0x2_0000).unwrap().addr().get(), 1 << 32);
    assert_eq!(
        map(base + 0x100, 4).unwrap().addr().get(),
        (1 << 32) + 0x100
    );
    assert_eq!(map(base, 0x2_0001), Err(Errno::NXIO));
    assert_eq!(map(base - 1, 1), Err(Errno::NXIO));
    assert_eq!(map(u64::MAX, 2), Err(Errno::NXIO));
    let handle = by_call(true, 0xe000, 0x20).unwrap();
    assert_eq!(read(handle + 0x1c, 4), 0x2_001c);
    assert_eq!(read(handle + 0x1d, 4), u32::MAX);
    assert_eq!(by_call(false, 0xe000, 0x20), Err(Errno::NXIO));
    // Another that claims the same makes it nobody's.
    let other = Place::take(Arc::new(Fake::device(0xf000_0000))).unwrap();
    assert_ne!((place.bus(), place.device()), (other.bus(), other.device()));
    assert_eq!(map(base, 4), Err(Errno::NXIO));
    drop(other);
    assert!(map(base, 4).is_ok());
    drop(place);
    assert_eq!(read(handle, 4), u32::MAX);
}

#[test]
fn a_device_that_is_gone_is_known_by_its_registers() {
    let _alone = alone();
    let fake = Arc::new(Fake::device(0xf000_0000));
    let place = Place::take(fake.clone()).unwrap();
    let mapped = map(0x12_f000_0000, 0x100).unwrap().addr().get() as u64;
    let handle = by_call(true, 0xe000, 0x20).unwrap();
    let gone = || [mapped, mapped + 0x1_ffff, handle, handle + 4].map(gone);
    let none = || [const { None }; 4];
    assert_eq!(gone(), none());
    fake.config.lock().unwrap()[CLASS / 4] = u32::MAX;
    let (memory, ports) = (mapped..mapped + 0x2_0000, handle..handle + 0x20);
    assert_eq!(
        gone(),
        [memory.clone(), memory, ports.clone(), ports].map(Some)
    );
    // Nothing is known of what is nobody's.
    for other in [0, mapped - 1, mapped + 0x2_0000, handle | 7 << 42, u64::MAX] {
        assert_eq!(super::gone(other), None, "{other:x}");
    }
    drop(place);
    assert_eq!(gone(), none());
}

#[test]
fn there_is_room_for_many_devices() {
    let _alone = alone();
    let places: Vec<_> = (0..100_u32)
        .map(|number| Place::take(Arc::new(Fake::device(number << 20))).unwrap())
        .collect();
    assert_eq!((places[99].bus(), places[99].device()), (3, 3));
    assert_eq!(config_read(3, 3, 0, 0x10), Ok(99 << 20 | 0b100));
    assert_eq!(config_read(3, 3, 1, 0), Err(Errno::NXIO));
    assert_eq!(config_read(3, 4, 0, 0), Err(Errno::NXIO));
    assert_eq!(config_read(256, 0, 0, 0), Err(Errno::NXIO));
    for offset in [-4, 1, 2, 256, i32::MAX, i32::MIN] {
        assert_eq!(config_read(3, 3, 0, offset), Err(Errno::INVAL));
        assert_eq!(config_write(3, 3, 0, offset, 0), Err(Errno::INVAL));
    }
    drop(places);
    assert_eq!(config_read(0, 0, 0, 0), Err(Errno::NXIO));
}

/// Follows both lists as NetBSD's bus does (`pci_get_capability`,
/// `pci_get_ext_capability`); how many steps that takes.
fn follow(read: &dyn Fn(usize) -> u32, len: usize) -> usize {
    let mut steps = 0;
    if read(4) >> 20 & 1 != 0 {
        let mut at = (read(0x34) & 0xff) as usize;
        while at != 0 {
            assert!(at >= 0x40 && at.is_multiple_of(4) && at < 0x100);
            at = (read(at) >> 8 & 0xff) as usize;
            steps += 1;
            assert!(steps <= 48, "a loop");
        }
    }
    if len > 0x100 {
        let mut at = 0x100;
        while at != 0 {
            assert!(at >= 0x100 && at % 4 == 0 && at + 4 <= len);
            at = (read(at) >> 20) as usize;
            steps += 1;
            assert!(steps <= 48 + 960, "a loop");
        }
    }
    steps
}

#[test]
fn interrupts_that_the_host_does_not_give_are_not_seen() {
    let _alone = alone();
    // The capabilities 0x40 to 0x70: MSI-X, of the vendor, MSI, MSI-X.
    let listed = |vectors| {
        let mut fake = Fake::device(0);
        fake.vectors = vectors;
        let mut config = fake.config.lock().unwrap();
        config[1] = 1 << 20;
        config[13] = 0x40;
        for (at, id, next) in [(0x40, 0x11, 0x50), (0x50, 9, 0x60), (0x60, 5, 0x70)] {
            config[at / 4] = next << 8 | id;
        }
        config[0x70 / 4] = 0x11;
        drop(config);
        let place = Place::take(Arc::new(fake)).unwrap();
        let read = |at| config_read(place.bus(), place.device(), 0, at).unwrap();
        let mut list = vec![];
        let mut at = read(0x34) & 0xff;
        while at != 0 {
            list.push(at);
            at = read(at as i32) >> 8 & 0xff;
        }
        list
    };
    assert_eq!(listed([1, 1, 1]), [0x40, 0x50, 0x60, 0x70]);
    assert_eq!(listed([1, 1, 0]), [0x50, 0x60]);
    assert_eq!(listed([1, 0, 0]), [0x50]);
    assert_eq!(listed([1, 0, 1]), [0x40, 0x50, 0x70]);
}

#[test]
fn garbage_in_configuration_space_does_not_lead_astray() {
    const INPUTS: usize = 16_000;
    let _alone = alone();
    let mut random = Rng::with_seed(0x2545_f491_4f6c_dd1d);
    let (mut taken, mut longest) = (0, 0);
    for input in 0..INPUTS {
        let len = if input % 2 == 0 { 64 } else { 1024 };
        let mut config: Vec<u32> = (0..len).map(|_| random.u32(..)).collect();
        // Some have the longest lists there can be, which end somewhere, or in a loop.
        if input % 8 < 2 {
            config[1] |= 1 << 20;
            config[13] = config[13] & !0xff | 0x40;
            for (at, word) in config.iter_mut().enumerate().skip(16) {
                let next = 4 * (at as u32 + 1);
                *word = match at {
                    ..64 => *word & !0xff00 | (next & 0xff) << 8,
                    _ => *word & 0xf_ffff | (next & 0xfff) << 20,
                };
            }
        }
        if random.u8(..8) > 0 {
            config[3] &= !(0x7f << 16);
        }
        let regions = [0; 6].map(|_: u64| random.u64(..) >> random.u64(..64));
        let mut fake = Fake::new(config, regions);
        if input % 3 == 0 {
            fake.changes = Some(Mutex::new(random.fork()));
        }
        let Ok(place) = Place::take(Arc::new(fake)) else {
            continue;
        };
        taken += 1;
        let (bus, device) = (place.bus(), place.device());
        let read =
            |offset: usize| config_read(bus, device, 0, i32::try_from(offset).unwrap()).unwrap();
        longest = longest.max(follow(&read, len * 4));
        assert_eq!(
            read(0x0c) >> 16 & 0xff,
            0,
            "not the only function, or a bridge"
        );
        let address = random.u64(..) >> random.u64(..64);
        let len = random.u64(..) >> random.u64(..64);
        let _ = map(address, len);
        if let Ok(handle) = by_call(random.bool(), address, len) {
            let _ = super::read(handle.wrapping_add(random.u64(..) >> 40), 4);
        }
        let _ = super::read(random.u64(..), 4);
        super::write(random.u64(..), 2, 0);
    }
    assert!(
        taken > INPUTS / 2 && longest == 48 + 960,
        "{taken} {longest}"
    );
}

#[test]
fn what_is_no_ordinary_function_is_refused() {
    let _alone = alone();
    for (word, value) in [(0, u32::MAX), (0, 0), (3, 1 << 16), (3, 2 << 16)] {
        let fake = Fake::device(0);
        fake.config.lock().unwrap()[word] = value;
        assert_eq!(Header::read(&fake).err(), Some(Errno::NXIO));
    }
    let several = Fake::device(0);
    several.config.lock().unwrap()[3] = 0x80 << 16;
    assert!(Header::read(&several).is_ok());
}
