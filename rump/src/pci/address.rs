//! Where a function is on the host's PCI buses.

use std::fmt;
use std::str::FromStr;

/// The address of a PCI function of the host, as `lspci -D` shows it.
///
/// ```
/// let address: rump::pci::Address = "0000:00:03.0".parse()?;
/// assert_eq!(address.to_string(), "0000:00:03.0");
/// assert_eq!("03:00.1".parse::<rump::pci::Address>()?.to_string(), "0000:03:00.1");
/// # Ok::<(), rump::pci::AddressError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text is no address of a PCI function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a PCI function: it looks like 0000:00:03.0 (domain, bus, device up to 1f, function up to 7), and lspci -D lists them"
)]
pub struct AddressError {
    text: String,
}

impl Address {
    /// The domain (segment).
    pub fn domain(&self) -> u32 {
        self.domain
    }

    /// The bus in the domain.
    pub fn bus(&self) -> u8 {
        self.bus
    }

    /// The device on the bus, up to 31.
    pub fn device(&self) -> u8 {
        self.device
    }

    /// The function of the device, up to 7.
    pub fn function(&self) -> u8 {
        self.function
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

/// A number in hexadecimal digits alone, so many of them.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>, most: u32) -> Option<u32> {
    let sound = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok()?;
    (sound && number <= most).then_some(number)
}

fn parse(text: &str) -> Option<Address> {
    let (slot, function) = text.split_once('.')?;
    let (front, device) = slot.rsplit_once(':')?;
    let (domain, bus) = front.split_once(':').unwrap_or(("0", front));
    Some(Address {
        domain: number(domain, 1..=8, u32::MAX)?,
        bus: u8::try_from(number(bus, 2..=2, 0xff)?).ok()?,
        device: u8::try_from(number(device, 2..=2, 31)?).ok()?,
        function: u8::try_from(number(function, 1..=1, 7)?).ok()?,
    })
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).ok_or_else(|| AddressError { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for domain in [0, 1, 0xffff, 0x1_0000, u32::MAX] {
            for (bus, device, function) in [(0, 0, 0), (0xff, 31, 7), (0x3a, 0x10, 1)] {
                let address = Address {
                    domain,
                    bus,
                    device,
                    function,
                };
                assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":",
            ".",
            "0000:00:03",
            "0000:00:03.8",
            "0000:00:20.0",
            "00000000000:00:03.0",
            "0000:0:03.0",
            "0000:00:3.0",
            "+000:00:03.0",
            "0000:00:03.00",
            "0000:00:03.0 ",
            "../00:03.0",
            "0000:0000:00:03.0",
            "0000:00:03.-",
            "ä:00:03.0",
            "00:03.0\n",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
