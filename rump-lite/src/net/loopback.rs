//! The loopback interface's device: frames that are sent wait in a queue until they are
//! received. They are IP packets without a link header.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// The largest packet that TCP makes: room for 32 KiB of data behind the headers, so that
/// blocks of powers of two are not left with a short segment at their end.
const MTU: usize = 32 * 1024 + 60;

/// Buffers that are kept for the next frames.
const KEPT: usize = 16;

/// A packet. The buffer may be longer: it is used again, and not cleared.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    buffer: Vec<u8>,
    length: usize,
}

impl Frame {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// The device.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    queue: VecDeque<Frame>,
    spare: Vec<Frame>,
    /// What the next `receive` gives, once.
    current: Option<Frame>,
}

impl Loopback {
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
    let result = write(&mut frame.buffer[..length]);
    queue.push_back(frame);
    result
}

impl Device for Loopback {
    type RxToken<'a> = Receive<'a>;
    type TxToken<'a> = Send<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Receive<'_>, Send<'_>)> {
        let frame = self.current.as_ref()?;
        let send = Send {
            queue: &mut self.queue,
            spare: &mut self.spare,
        };
        Some((Receive(frame.bytes()), send))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Send<'_>> {
        Some(Send {
            queue: &mut self.queue,
            spare: &mut self.spare,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        // A frame does not leave memory.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
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
