//! What smoltcp sees of an interface: frames that are sent wait in a queue. Those of `lo0`,
//! IP packets without a link header, are received from there; those of others are handed
//! to the host.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetFrame;

/// The largest packet that TCP makes: room for 32 KiB of data behind the headers, so that
/// blocks of powers of two are not left with a short segment at their end.
pub(crate) const LOOPBACK_MTU: usize = 32 * 1024 + 60;

/// Buffers that are kept for the next frames.
const KEPT: usize = 16;

/// A packet. The buffer may be longer: it is used again, and not cleared.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    buffer: Vec<u8>,
    length: usize,
    /// Of the link header.
    header: usize,
}

impl Frame {
    /// The IP packet.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.header..self.length]
    }

    /// All of it.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// The device.
#[derive(Debug)]
pub(crate) struct Queue {
    capabilities: DeviceCapabilities,
    queue: VecDeque<Frame>,
    spare: Vec<Frame>,
    /// What the next `receive` gives, once.
    current: Option<Frame>,
}

impl Queue {
    fn new(medium: Medium, mtu: usize, checksum: ChecksumCapabilities) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = medium;
        capabilities.max_transmission_unit = mtu;
        capabilities.checksum = checksum;
        Self {
            capabilities,
            queue: VecDeque::new(),
            spare: Vec::new(),
            current: None,
        }
    }

    pub(crate) fn loopback() -> Self {
        // A frame does not leave memory.
        Self::new(Medium::Ip, LOOPBACK_MTU, ChecksumCapabilities::ignored())
    }

    /// For Ethernet frames with packets of that length at most.
    pub(crate) fn ethernet(mtu: usize) -> Self {
        // What is received was checked before, or by the host.
        let mut checksum = ChecksumCapabilities::default();
        for one in [
            &mut checksum.ipv4,
            &mut checksum.tcp,
            &mut checksum.udp,
            &mut checksum.icmpv4,
            &mut checksum.icmpv6,
        ] {
            *one = Checksum::Tx;
        }
        Self::new(
            Medium::Ethernet,
            mtu + EthernetFrame::<&[u8]>::header_len(),
            checksum,
        )
    }

    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.capabilities.max_transmission_unit = mtu + EthernetFrame::<&[u8]>::header_len();
    }

    /// A frame that came, whose link header has that length.
    pub(crate) fn copy(&mut self, bytes: &[u8], header: usize) -> Frame {
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.buffer.clear();
        frame.buffer.extend_from_slice(bytes);
        frame.length = bytes.len();
        frame.header = header.min(bytes.len());
        frame
    }

    /// Takes all that is to be sent.
    pub(crate) fn take_all(&mut self) -> VecDeque<Frame> {
        core::mem::take(&mut self.queue)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Sends a packet of that length, which `write` fills.
    pub(crate) fn send<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        send(&mut self.queue, &mut self.spare, length, write)
    }

    /// The next packet to be received.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        self.queue.pop_front()
    }

    /// Lets smoltcp receive this one.
    pub(crate) fn present(&mut self, frame: Frame) {
        self.current = Some(frame);
    }

    /// Takes back what was presented.
    pub(crate) fn withdraw(&mut self) -> Frame {
        self.current.take().unwrap_or_default()
    }

    /// Gives a packet's buffer back.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        if self.spare.len() < KEPT {
            self.spare.push(frame);
        }
    }
}

fn send<R>(
    queue: &mut VecDeque<Frame>,
    spare: &mut Vec<Frame>,
    length: usize,
    write: impl FnOnce(&mut [u8]) -> R,
) -> R {
    let mut frame = spare.pop().unwrap_or_default();
    if frame.buffer.len() < length {
        frame.buffer.resize(length, 0);
    }
    frame.length = length;
    frame.header = 0;
    let result = write(&mut frame.buffer[..length]);
    queue.push_back(frame);
    result
}

impl Device for Queue {
    type RxToken<'a> = Receive<'a>;
    type TxToken<'a> = Send<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Receive<'_>, Send<'_>)> {
        let frame = self.current.as_ref()?;
        let send = Send {
            queue: &mut self.queue,
            spare: &mut self.spare,
        };
        Some((Receive(frame.whole()), send))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Send<'_>> {
        Some(Send {
            queue: &mut self.queue,
            spare: &mut self.spare,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// A packet being received.
pub(crate) struct Receive<'a>(&'a [u8]);

impl RxToken for Receive<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a packet to be sent.
pub(crate) struct Send<'a> {
    queue: &'a mut VecDeque<Frame>,
    spare: &'a mut Vec<Frame>,
}

impl TxToken for Send<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        send(self.queue, self.spare, length, f)
    }
}
