//! Recording frames: a back end around another, and a file that Wireshark reads.
//!
//! The file is pcapng (draft-ietf-opsawg-pcapng): one section, one interface, and for
//! each frame an Enhanced Packet Block with its direction and its time in nanoseconds.
//! That is all that is written of the format, so it is written here.
//!
//! A frame whose checksum was left to the other side is recorded with the checksum that
//! it is to have; one that is to be cut up is recorded as the one segment that it is,
//! as captures of Linux's are. What is sent is recorded first, as sent, even if the back
//! end then drops it.
//!
//! Recording is never in the way: when the file cannot be written any more, what was
//! recorded stays, frames go on, and [`Tee::error`] says why.

use crate::iface::link::{Backend, Batch, HostErrno, Offload, Offloads, Statistics, Transmit};
use rump_sys::hyper::vif::offload::restore;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A back end whose frames are recorded.
///
/// ```no_run
/// use rump::iface::{Tap, Tee};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().boot()?;
/// let link = kernel.attach(Tee::to_file(Tap::open("tap0")?, "tap0.pcapng")?)?;
/// # Ok(())
/// # }
/// ```
pub struct Tee<B> {
    inner: B,
    record: Mutex<Record>,
}

struct Record {
    file: Box<dyn Write + Send>,
    /// The blocks of a batch, and one frame in one piece.
    blocks: Vec<u8>,
    frame: Vec<u8>,
    frames: u64,
    error: Option<io::Error>,
}

/// The `epb_flags` of a packet block: where it went.
#[derive(Clone, Copy)]
enum Direction {
    Inbound = 1,
    Outbound = 2,
}

impl<B: Backend> Tee<B> {
    /// Records what goes through a back end. What is written is a whole batch at a time;
    /// there is no need to buffer it.
    ///
    /// # Errors
    /// The beginning of the record could not be written.
    pub fn new(inner: B, file: impl Write + Send + 'static) -> io::Result<Self> {
        let mut file: Box<dyn Write + Send> = Box::new(file);
        let mut blocks = Vec::new();
        section(&mut blocks);
        file.write_all(&blocks)?;
        let record = Record {
            file,
            blocks,
            frame: Vec::new(),
            frames: 0,
            error: None,
        };
        Ok(Self {
            inner,
            record: Mutex::new(record),
        })
    }

    /// The same to a file, which is made, or emptied. A FIFO does too, for a Wireshark
    /// that reads it meanwhile.
    ///
    /// # Errors
    /// The file could not be made or written.
    pub fn to_file(inner: B, path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(inner, File::create(path)?)
    }

    /// What goes through it.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// How many frames were recorded.
    pub fn frames(&self) -> u64 {
        self.record().frames
    }

    /// Why recording ended, if it did.
    pub fn error(&self) -> Option<String> {
        self.record().error.as_ref().map(ToString::to_string)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Records the frames that `each` adds.
    fn batch(&mut self, each: impl FnOnce(&mut Self)) {
        if self.error.is_some() {
            return;
        }
        self.blocks.clear();
        each(self);
        if let Err(error) = self.file.write_all(&self.blocks) {
            self.error = Some(error);
        }
    }

    /// Adds the frame in `self.frame`.
    fn add(&mut self, offload: Offload, direction: Direction) {
        // One that claims what is not so is recorded as it came.
        let _ = restore(&mut self.frame, offload);
        packet(&mut self.blocks, &self.frame, direction);
        self.frames += 1;
    }
}

impl<B: Backend> Backend for Tee<B> {
    fn offers(&self) -> Offloads {
        self.inner.offers()
    }

    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), HostErrno> {
        self.inner.set_receive_offloads(offloads)
    }

    fn queues(&self) -> usize {
        self.inner.queues()
    }

    fn link(&self) -> bool {
        self.inner.link()
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        let before = batch.frames().len();
        let result = self.inner.receive(queue, batch);
        let new = batch.frames().get(before..).unwrap_or_default();
        if !new.is_empty() {
            self.record().batch(|record| {
                for frame in new {
                    record.frame.clear();
                    record.frame.extend_from_slice(frame.bytes());
                    record.add(frame.offload, Direction::Inbound);
                }
            });
        }
        result
    }

    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        // An answer to it must not be recorded before.
        self.record().batch(|record| {
            for frame in frames {
                record.frame.resize(frame.len(), 0);
                frame.copy_to(&mut record.frame);
                record.add(frame.offload(), Direction::Outbound);
            }
        });
        self.inner.send(queue, frames)
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
}

impl<B: fmt::Debug> fmt::Debug for Tee<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

// Numbers of the draft, by its sections.
/// 4.1, Section Header Block.
const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// 4.2, Interface Description Block.
const INTERFACE: u32 = 1;
const LINKTYPE_ETHERNET: u16 = 1;
const IF_TSRESOL: u16 = 9;
/// 4.3, Enhanced Packet Block.
const PACKET: u32 = 6;
const EPB_FLAGS: u16 = 2;
/// 3.5, the end of options.
const END: u32 = 0;

/// A block (3.1): type, length, body up to a multiple of 4, length.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    let length = (out.len() - start + 4) as u32;
    out.extend(length.to_ne_bytes());
    out[start + 4..start + 8].copy_from_slice(&length.to_ne_bytes());
}

/// An option (3.5) of up to 4 bytes.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_ne_bytes());
    out.extend((value.len() as u16).to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// What stands before the packets.
fn section(out: &mut Vec<u8>) {
    block(out, SECTION, |out| {
        out.extend(BYTE_ORDER.to_ne_bytes());
        // Version 1.0, and a section whose length is not known yet.
        out.extend(1u16.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        out.extend((-1i64).to_ne_bytes());
    });
    block(out, INTERFACE, |out| {
        out.extend(LINKTYPE_ETHERNET.to_ne_bytes());
        out.extend([0; 2]);
        // Frames are recorded whole.
        out.extend(0u32.to_ne_bytes());
        // Times are in 10^-9 seconds.
        option(out, IF_TSRESOL, &[9]);
        out.extend(END.to_ne_bytes());
    });
}

fn packet(out: &mut Vec<u8>, frame: &[u8], direction: Direction) {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = time.map_or(0, |time| time.as_nanos() as u64);
    block(out, PACKET, |out| {
        out.extend(0u32.to_ne_bytes());
        out.extend(((time >> 32) as u32).to_ne_bytes());
        out.extend((time as u32).to_ne_bytes());
        // As many bytes as there were.
        out.extend((frame.len() as u32).to_ne_bytes());
        out.extend((frame.len() as u32).to_ne_bytes());
        out.extend(frame);
        out.resize(out.len().next_multiple_of(4), 0);
        option(out, EPB_FLAGS, &(direction as u32).to_ne_bytes());
        out.extend(END.to_ne_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iface::Pair;
    use crate::iface::link::Piece;
    use std::sync::Arc;

    /// A file that can be looked at, and that is full at some point.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<Vec<u8>>>, usize);

    impl Write for Shelf {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut shelf = self.0.lock().unwrap();
            if shelf.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            shelf.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The types of the blocks, and the frames with their directions.
    fn read(mut file: &[u8]) -> (Vec<u32>, Vec<(Vec<u8>, u32)>) {
        let (mut kinds, mut frames) = (Vec::new(), Vec::new());
        while !file.is_empty() {
            let length = word(file, 4) as usize;
            assert_eq!((length % 4, word(file, length - 4) as usize), (0, length));
            kinds.push(word(file, 0));
            if word(file, 0) == PACKET {
                let len = word(file, 20) as usize;
                let options = 28 + len.next_multiple_of(4);
                assert_eq!(word(file, 24) as usize, len);
                assert_eq!(word(file, options), u32::from(EPB_FLAGS) | 4 << 16);
                frames.push((file[28..28 + len].to_vec(), word(file, options + 4)));
            }
            file = &file[length..];
        }
        (kinds, frames)
    }

    fn send(backend: &impl Backend, bytes: &[u8]) {
        let pieces = [Piece::new(bytes)];
        let frame = Transmit::new(&pieces, Offload::default());
        assert_eq!(backend.send(0, &[frame]), Ok(1));
    }

    #[test]
    fn frames_of_both_directions_are_recorded() {
        let (near, far) = Pair::new();
        let shelf = Shelf(Arc::default(), usize::MAX);
        let tee = Tee::new(near, shelf.clone()).unwrap();
        send(&tee, &[1; 61]);
        send(&far, &[2; 64]);
        let mut batch = Batch::new(rump_sys::hyper::vif::Pool::new(0));
        tee.receive(0, &mut batch).unwrap();
        let (kinds, frames) = read(&shelf.0.lock().unwrap());
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET]);
        assert_eq!(frames, [(vec![1; 61], 2), (vec![2; 64], 1)]);
        assert_eq!((tee.frames(), tee.error()), (2, None));
    }

    #[test]
    fn a_full_disk_does_not_stop_frames() {
        assert!(Tee::new(Pair::new().0, Shelf::default()).is_err());
        let (near, far) = Pair::new();
        let shelf = Shelf(Arc::default(), 300);
        let tee = Tee::new(near, shelf.clone()).unwrap();
        for _ in 0..5 {
            send(&tee, &[3; 100]);
        }
        assert!(tee.error().is_some());
        assert_eq!(far.statistics().received, 5);
        assert_eq!(read(&shelf.0.lock().unwrap()).1, [(vec![3; 100], 2)]);
    }
}
