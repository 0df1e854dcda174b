//! Numbers, addresses and texts in a datagram.

use super::{MOST, Malformed, Protocol, Text};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::ops::RangeInclusive;

/// Puts a datagram together.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: u16) -> Self {
        Self(Vec::with_capacity(64)).u16(kind)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, number: u8) -> Self {
        self.bytes(&[number])
    }

    pub(super) fn u16(self, number: u16) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn u128(self, number: u128) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn address(self, address: IpAddr) -> Self {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.bytes(&address.octets())
    }

    pub(super) fn ports(self, ports: &RangeInclusive<u16>) -> Self {
        self.u16(*ports.start()).u16(*ports.end())
    }

    /// 0 and 0 are none.
    pub(super) fn some_ports(self, ports: Option<&RangeInclusive<u16>>) -> Self {
        match ports {
            Some(ports) => self.ports(ports),
            None => self.u16(0).u16(0),
        }
    }

    pub(super) fn text<const N: usize>(self, text: &Text<N>) -> Self {
        let text = text.as_str().as_bytes();
        self.u8(text.len() as u8).bytes(text)
    }

    pub(super) fn done(self) -> Vec<u8> {
        debug_assert!(self.0.len() <= MOST);
        self.0
    }
}

/// Takes one apart.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        (bytes.len() <= MOST)
            .then_some(Self(bytes))
            .ok_or(Malformed)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Malformed> {
        self.bytes().map(u128::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn protocol(&mut self) -> Result<Protocol, Malformed> {
        Protocol::of(self.u8()?).ok_or(Malformed)
    }

    /// One of IPv4 is never taken for one of IPv6.
    pub(super) fn address(&mut self) -> Result<IpAddr, Malformed> {
        let octets: [u8; 16] = self.bytes()?;
        Ok(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
    }

    pub(super) fn ports(&mut self) -> Result<RangeInclusive<u16>, Malformed> {
        let (first, last) = (self.u16()?, self.u16()?);
        (0 < first && first <= last)
            .then_some(first..=last)
            .ok_or(Malformed)
    }

    pub(super) fn some_ports(&mut self) -> Result<Option<RangeInclusive<u16>>, Malformed> {
        if self.0.starts_with(&[0; 4]) {
            self.bytes::<4>()?;
            return Ok(None);
        }
        self.ports().map(Some)
    }

    pub(super) fn text<const N: usize>(&mut self) -> Result<Text<N>, Malformed> {
        let len = usize::from(self.u8()?);
        let (text, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Text::new(core::str::from_utf8(text).map_err(|_| Malformed)?)
    }

    /// There is nothing behind the message.
    pub(super) fn done(self) -> Result<(), Malformed> {
        self.0.is_empty().then_some(()).ok_or(Malformed)
    }
}
