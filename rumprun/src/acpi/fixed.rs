//! Powering off and resetting: the fixed description table, ACPI 6.5, 5.2.9, and the
//! constant `_S5` of the differentiated one.

use super::{HEADER, Memory, number, table};

/// What the fixed description table says of the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// How to power off.
    pub off: Option<Sleep>,
    /// Port and value of the reset register.
    pub reset: Option<(u16, u8)>,
    /// Port of the power management timer.
    pub timer: Option<u16>,
}

/// Registers that put the machine to sleep, and what to write for its deepest state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Ports of PM1a and PM1b (0 is none), each with a value.
    Ports([(u16, u16); 2]),
    /// The sleep control register in memory, of machines without the ports.
    Memory(u64, u8),
}

/// `SLP_EN` of PM1 control: 4.8.3.2.1.
const SLEEP_ENABLE: u16 = 1 << 13;
/// Flags: the reset register is there; the fixed hardware is not.
const RESET: u64 = 1 << 10;
const REDUCED: u64 = 1 << 20;

/// A generic address: its space (0 memory, 1 ports) and the address.
fn generic(table: &[u8], at: usize) -> Option<(u64, u64)> {
    let address = number::<8>(table, at + 4)?;
    (address != 0).then_some((number::<1>(table, at)?, address))
}

fn port(address: u64) -> Option<u16> {
    u16::try_from(address).ok().filter(|port| *port != 0)
}

/// Reads the table, and the one that it names.
pub(super) fn fixed(fadt: &[u8], memory: &impl Memory) -> Option<Fixed> {
    let flags = number::<4>(fadt, 112)?;
    let reset = generic(fadt, 116)
        .filter(|_| flags & RESET != 0)
        .and_then(|(space, address)| {
            let value = number::<1>(fadt, 128)? as u8;
            (space == 1).then_some((port(address)?, value))
        });
    let timer = number::<4>(fadt, 76)
        .filter(|_| flags & REDUCED == 0)
        .and_then(port);
    let dsdt = number::<8>(fadt, 140)
        .filter(|address| *address != 0)
        .or(number::<4>(fadt, 40))?;
    let types = table(memory, dsdt)
        .ok()
        .and_then(|dsdt| power_off_types(&dsdt[HEADER..]));
    let off = types.and_then(|(a, b)| {
        if flags & REDUCED != 0 {
            // SLP_TYP in bits 2 to 4, SLP_EN in bit 5: 4.8.3.7.
            let (space, address) = generic(fadt, 244)?;
            return (space == 0).then_some(Sleep::Memory(address, a << 2 | 1 << 5));
        }
        let value = |kind: u8| u16::from(kind) << 10 | SLEEP_ENABLE;
        let first = port(number::<4>(fadt, 64)?)?;
        let second = number::<4>(fadt, 68).and_then(port).unwrap_or(0);
        Some(Sleep::Ports([(first, value(a)), (second, value(b))]))
    });
    Some(Fixed { off, reset, timer })
}

/// The values of `SLP_TYP` for the state S5, from the AML of the name `_S5`: a package of at
/// least two constants (20.2).
pub fn power_off_types(aml: &[u8]) -> Option<(u8, u8)> {
    /// NameOp, PackageOp.
    const NAME: u8 = 0x08;
    const PACKAGE: u8 = 0x12;
    aml.windows(5).enumerate().find_map(|(at, window)| {
        if &window[..4] != b"_S5_" || window[4] != PACKAGE {
            return None;
        }
        // The name is defined here: by itself, or from the root.
        let defined = matches!(aml[..at], [.., NAME] | [.., NAME, b'\\']);
        if !defined {
            return None;
        }
        // The package's length says in its two highest bits how many bytes follow; then the
        // number of elements, and the elements.
        let length = *aml.get(at + 5)?;
        let elements = at + 6 + usize::from(length >> 6);
        let count = *aml.get(elements)?;
        let (first, rest) = constant(aml.get(elements + 1..)?)?;
        let (second, _) = constant(rest)?;
        (count >= 2 && first < 8 && second < 8).then_some((first, second))
    })
}

/// A small constant: zero, one, or a byte with its prefix.
fn constant(aml: &[u8]) -> Option<(u8, &[u8])> {
    match *aml {
        [value @ (0 | 1), ref rest @ ..] => Some((value, rest)),
        [0x0a, value, ref rest @ ..] => Some((value, rest)),
        _ => None,
    }
}
