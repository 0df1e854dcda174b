//! Tables that are right, and such as are not.

use super::*;
use std::vec;
use std::vec::Vec;

struct Fake {
    start: u64,
    bytes: Vec<u8>,
}

impl Memory for Fake {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }
}

/// A table with its header and checksum.
fn made(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend(((HEADER + body.len()) as u32).to_le_bytes());
    table.resize(HEADER, 0);
    table.extend(body);
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0_u8.wrapping_sub(sum);
    table
}

const FIRST: u64 = 0xe_0010;

/// A machine of two CPUs in memory, and where its tables begin.
fn machine() -> (Fake, Vec<usize>) {
    let mut madt = 0xfee0_0000_u32.to_le_bytes().to_vec();
    madt.extend([1, 0, 0, 0]);
    madt.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    madt.extend([0, 8, 1, 2, 1, 0, 0, 0]);
    madt.extend([0, 8, 2, 3, 2, 0, 0, 0]);
    madt.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]);
    madt.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    madt.extend([2, 10, 0, 0, 2, 0, 0, 0, 5, 0]);
    let mut hpet = vec![0; 4];
    hpet.extend([0, 64, 0, 0]);
    hpet.extend(0xfed0_0000_u64.to_le_bytes());
    let mut mcfg = vec![0; 8];
    mcfg.extend(0xb000_0000_u64.to_le_bytes());
    mcfg.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    let dsdt = made(b"DSDT", b"\x10\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05\x00\x00");
    let mut tables = vec![
        made(b"APIC", &madt),
        made(b"HPET", &hpet),
        made(b"MCFG", &mcfg),
        dsdt,
    ];
    let mut at = FIRST as usize + 64;
    let mut places: Vec<usize> = Vec::new();
    for table in &tables {
        places.push(at);
        at += table.len().next_multiple_of(16);
    }
    let mut fadt = vec![0; 240 - HEADER];
    fadt[40 - HEADER..44 - HEADER].copy_from_slice(&(places[3] as u32).to_le_bytes());
    fadt[64 - HEADER..68 - HEADER].copy_from_slice(&0x604_u32.to_le_bytes());
    fadt[76 - HEADER..80 - HEADER].copy_from_slice(&0x608_u32.to_le_bytes());
    fadt[112 - HEADER..116 - HEADER].copy_from_slice(&(1_u32 << 10).to_le_bytes());
    fadt[116 - HEADER] = 1;
    fadt[120 - HEADER..122 - HEADER].copy_from_slice(&0xcf9_u16.to_le_bytes());
    fadt[128 - HEADER] = 6;
    tables.push(made(b"FACP", &fadt));
    places.push(at);
    at += 256;
    let list: Vec<u8> = [0, 1, 2, 4]
        .iter()
        .flat_map(|table| (places[*table] as u32).to_le_bytes())
        .collect();
    tables.push(made(b"RSDT", &list));
    places.push(at);
    let mut root = b"RSD PTR \0OEMOEM\0".to_vec();
    root.extend((at as u32).to_le_bytes());
    let sum = root.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    root[8] = 0_u8.wrapping_sub(sum);
    let mut bytes = vec![0; 0x1000];
    bytes[16..16 + 20].copy_from_slice(&root);
    for (table, at) in tables.iter().zip(&places) {
        let at = at - 0xe_0000;
        bytes[at..at + table.len()].copy_from_slice(table);
    }
    let start = 0xe_0000;
    (Fake { start, bytes }, places)
}

#[test]
fn a_machine_is_read() {
    let (memory, _) = machine();
    assert_eq!(search(&memory), Some(FIRST));
    let machine = read(&memory, FIRST).unwrap();
    let madt = machine.madt.unwrap();
    assert_eq!(madt.cpus, [0, 2, 256]);
    assert_eq!(madt.local, 0xfee0_0000);
    assert_eq!(
        madt.io,
        [Io {
            address: 0xfec0_0000,
            first: 0
        }]
    );
    assert_eq!(
        madt.overrides,
        [Override {
            irq: 0,
            line: 2,
            flags: 5
        }]
    );
    assert_eq!(machine.hpet, Some(0xfed0_0000));
    assert_eq!((machine.mcfg.len(), machine.mcfg[0].last), (1, 255));
    let fixed = machine.fixed.unwrap();
    assert_eq!(fixed.reset, Some((0xcf9, 6)));
    assert_eq!(fixed.timer, Some(0x608));
    let value = 5 << 10 | 1 << 13;
    assert_eq!(fixed.off, Some(Sleep::Ports([(0x604, value), (0, value)])));
    assert_eq!(machine.malformed, Vec::<[u8; 4]>::new());
}

#[test]
fn a_table_with_a_wrong_sum_is_left_out() {
    let (mut memory, places) = machine();
    memory.bytes[places[0] - 0xe_0000 + 40] ^= 1;
    let machine = read(&memory, FIRST).unwrap();
    assert_eq!(machine.madt, None);
    assert_eq!(machine.malformed, [*b"APIC"]);
    assert!(machine.hpet.is_some());
}

#[test]
fn power_off_is_a_package_of_constants() {
    for (aml, expected) in [
        (&b"\x08_S5_\x12\x06\x04\x00\x01\x00\x00"[..], Some((0, 1))),
        (
            b"\x08\\_S5_\x12\x0a\x04\x0a\x07\x0a\x07\x00\x00",
            Some((7, 7)),
        ),
        (
            b"\x08_S5_\x12\x46\x00\x04\x0a\x07\x0a\x07\x00\x00",
            Some((7, 7)),
        ),
        (b"\x08_S5_\x12\x06\x04\x0a\x08\x00", None),
        (b"\x08_S5_\x12\x06\x01\x00\x00", None),
        (b"\x08_S5_\x12\xff", None),
        (b"\x08_S5_\x12", None),
        (b"\x08_S5_\x14\x06\x04\x00\x00", None),
        (b"_S5_\x12\x06\x04\x00\x00", None),
    ] {
        assert_eq!(power_off_types(aml), expected, "{aml:x?}");
    }
}

/// Whatever is written over the tables, reading them ends, and without a panic; and with sums
/// that are right for what is wrong, so that the parsers see it.
#[test]
fn nonsense_is_survived() {
    let (whole, places) = machine();
    let mut random = 99_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut changed = 0;
    for _ in 0..50_000 {
        let mut memory = Fake {
            start: whole.start,
            bytes: whole.bytes.clone(),
        };
        let table = places[next(places.len())] - 0xe_0000;
        for _ in 0..=next(4) {
            let at = table + next(HEADER + 40);
            memory.bytes[at] = [0, 1, 0xff, 0x7f, next(256) as u8][next(5)];
        }
        if next(4) == 0 {
            let len = next(memory.bytes.len());
            memory.bytes.truncate(len);
        } else {
            let len = number::<4>(&memory.bytes, table + 4).unwrap_or(0) as usize;
            let end = table.saturating_add(len);
            if let Some(bytes @ [_, _, _, _, _, _, _, _, _, _, ..]) =
                memory.bytes.get_mut(table..end)
            {
                let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
                bytes[9] = bytes[9].wrapping_sub(sum);
            }
        }
        if read(&memory, FIRST) != read(&whole, FIRST) {
            changed += 1;
        }
    }
    assert!(changed > 10_000, "{changed}");
}
