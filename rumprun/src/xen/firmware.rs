//! What is passed to the firmware of an HVM guest, in whose place the image is: the command
//! line and an archive, by the device model (QEMU's docs/specs/fw_cfg), for Xen's own start info
//! has none for such a guest; and how many CPUs there are, by Xen's tools
//! (hvm/hvm_info_table.h), for the tables of ACPI are the firmware's to make.

use crate::acpi::{Madt, Memory, number};
use crate::boot::Module;
use crate::cpu::port;
use crate::say;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Ports: which item, and its bytes, one after the other.
const SELECT: u16 = 0x510;
const DATA: u16 = 0x511;
/// Items.
const SIGNATURE: u16 = 0;
const LINE_SIZE: u16 = 0x14;
const LINE: u16 = 0x15;
const FILES: u16 = 0x19;
/// Longest command line.
const LONGEST: usize = 4096;
/// Most files that are looked at, and how long what is said of each is, in which its name comes
/// last.
const MOST: usize = 256;
const ENTRY: usize = 64;
const NAME: usize = 8;
/// The file that is the archive.
const ARCHIVE: &[u8] = b"opt/rumprun/root";

/// A device that has such items.
trait Items {
    fn read(&self, item: u16, bytes: &mut [u8]);
}

/// QEMU's.
struct Ports;

impl Items for Ports {
    fn read(&self, item: u16, bytes: &mut [u8]) {
        // SAFETY: the ports of this device, which nothing else uses; where there is none
        // reading gives ones.
        unsafe {
            port::write_u16(SELECT, item);
            port::read_bytes(DATA, bytes);
        }
    }
}

/// The first bytes of an item; `None` where there is no such device.
fn word(items: &impl Items, item: u16) -> Option<[u8; 4]> {
    let mut word = [0; 4];
    items.read(SIGNATURE, &mut word);
    if &word != b"QEMU" {
        return None;
    }
    items.read(item, &mut word);
    Some(word)
}

fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn line(items: &impl Items) -> Option<String> {
    let len = u32::from_le_bytes(word(items, LINE_SIZE)?) as usize;
    let mut bytes = vec![0; len.min(LONGEST)];
    items.read(LINE, &mut bytes);
    let text = text(&bytes);
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

/// The item that a file is, and its length.
fn file(items: &impl Items, name: &[u8]) -> Option<(u16, usize)> {
    let count = u32::from_be_bytes(word(items, FILES)?) as usize;
    let mut all = vec![0; 4 + ENTRY * count.min(MOST)];
    items.read(FILES, &mut all);
    let (entries, _) = all[4..].as_chunks::<ENTRY>();
    let found = entries.iter().find(|entry| text(&entry[NAME..]) == name)?;
    let [a, b, c, d, high, low, ..] = *found;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    Some((u16::from_be_bytes([high, low]), len))
}

fn archive(items: &impl Items) -> Option<Vec<u8>> {
    let (item, len) = file(items, ARCHIVE)?;
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(len).is_err() {
        say!("rumprun: there is no memory for the root file system, of {len} bytes");
        return None;
    }
    bytes.resize(len, 0);
    items.read(item, &mut bytes);
    Some(bytes)
}

/// The archive, if there is one. It stays in memory, as what a loader loads does.
pub(crate) fn module() -> Option<Module> {
    Some(Module {
        bytes: archive(&Ports)?.leak(),
        command_line: String::new(),
    })
}

/// The command line, if there is one.
pub(crate) fn command_line() -> Option<String> {
    line(&Ports)
}

/// Where the table of Xen's tools is, how long it can be, and where it has the number of CPUs.
const TABLE: u64 = 0x9_f800;
const TABLE_LONGEST: usize = 2048;
const CPUS: usize = 16;
/// The most CPUs that a guest can have.
const MANY: u64 = 128;

/// The CPUs of an HVM guest, as firmware would tell them: the number of a local APIC is twice
/// that of its CPU. Lines of interrupts have no controller.
pub(crate) fn cpus(memory: &impl Memory) -> Option<Madt> {
    let header = memory.bytes(TABLE, 16)?;
    let len = number::<4>(header, 8)? as usize;
    if &header[..8] != b"HVM INFO" || !(CPUS + 4..=TABLE_LONGEST).contains(&len) {
        return None;
    }
    let table = memory.bytes(TABLE, len)?;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let count = number::<4>(table, CPUS)?;
    (sum == 0 && (1..=MANY).contains(&count)).then(|| Madt {
        local: 0xfee0_0000,
        cpus: (0..count as u32).map(|cpu| 2 * cpu).collect(),
        ..Madt::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Low(std::vec::Vec<u8>);

    impl Memory for Low {
        fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
            let start = usize::try_from(address.checked_sub(TABLE)?).ok()?;
            self.0.get(start..start.checked_add(len)?)
        }
    }

    #[test]
    fn cpus_are_those_of_a_table_that_is_sound() {
        let mut table = std::vec![0; 100];
        table[..8].copy_from_slice(b"HVM INFO");
        table[8] = 60;
        table[CPUS] = 3;
        let sum = table[..60]
            .iter()
            .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[12] = sum.wrapping_neg();
        let found = |table: &[u8]| cpus(&Low(table.into())).map(|madt| madt.cpus);
        assert_eq!(found(&table), Some(std::vec![0, 2, 4]));
        for (at, byte) in [
            (0, b'X'),
            (8, 10),
            (8, 200),
            (9, 200),
            (12, 1),
            (CPUS, 4),
            (CPUS + 2, 1),
        ] {
            let mut wrong = table.clone();
            wrong[at] = byte;
            assert_eq!(found(&wrong), None, "{at}");
        }
        assert_eq!(found(&[]), None);
    }

    struct Given<'a>(&'a [u8], u32);

    impl Items for Given<'_> {
        fn read(&self, item: u16, bytes: &mut [u8]) {
            let size = self.1.to_le_bytes();
            let from: &[u8] = match item {
                SIGNATURE => b"QEMU",
                LINE_SIZE => &size,
                LINE => self.0,
                _ => &[],
            };
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = from.get(at).copied().unwrap_or(0);
            }
        }
    }

    /// Files, in a directory that says that there are so many.
    struct Files<'a>(&'a [(&'a [u8], &'a [u8])], u32);

    impl Items for Files<'_> {
        fn read(&self, item: u16, bytes: &mut [u8]) {
            const FIRST: u16 = 0x20;
            let mut directory = std::vec::Vec::from(self.1.to_be_bytes());
            for (number, (name, data)) in (FIRST..).zip(self.0) {
                directory.extend((data.len() as u32).to_be_bytes());
                directory.extend(number.to_be_bytes());
                directory.extend([0; 2]);
                let mut long = [0; ENTRY - NAME];
                long[..name.len()].copy_from_slice(name);
                directory.extend(long);
            }
            let from: &[u8] = match item {
                SIGNATURE => b"QEMU",
                super::FILES => &directory,
                _ => self.0[usize::from(item - FIRST)].1,
            };
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = from.get(at).copied().unwrap_or(0);
            }
        }
    }

    struct Nothing;

    impl Items for Nothing {
        fn read(&self, _: u16, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn the_line_ends_at_its_zero_or_its_size() {
        assert_eq!(
            line(&Given(b"net=10.0.0.1/8\0", 15)).as_deref(),
            Some("net=10.0.0.1/8")
        );
        assert_eq!(line(&Given(b"net", 2)).as_deref(), Some("ne"));
        assert_eq!(line(&Given(b"a\0b", 3)).as_deref(), Some("a"));
        // A size that cannot be.
        assert_eq!(line(&Given(b"x", u32::MAX)).as_deref(), Some("x"));
        assert_eq!(line(&Given(b"", 0)), None);
        assert_eq!(line(&Nothing), None);
    }

    #[test]
    fn an_archive_is_a_file_of_this_name() {
        let files: &[(&[u8], &[u8])] = &[
            (b"etc/other", b"other"),
            (ARCHIVE, b"070701..."),
            (b"opt/rumprun/root2", b""),
        ];
        let found = |count| archive(&Files(files, count));
        assert_eq!(found(3).as_deref(), Some(&b"070701..."[..]));
        // What is behind the last is zeros, and no file's.
        assert_eq!(found(1), None);
        assert_eq!(found(u32::MAX).as_deref(), Some(&b"070701..."[..]));
        assert_eq!(archive(&Files(&[], 0)), None);
        assert_eq!(archive(&Nothing), None);
    }
}
