//! What a front end asks for: one request, or a page of segments, as bytes that were copied out
//! of the ring. Pure functions: what comes out of them is inside the disk, inside the front
//! end's pages, and of whole sectors, whatever was in.

use super::super::abi::disk;
use super::super::foreign::Granted;
use crate::block::Shape;
use crate::memory::PAGE;
use alloc::vec::Vec;

/// Segments of a request at most. All of them are in one page.
pub(super) const MOST: usize = 64;
/// The most bytes of a transfer.
pub(super) const LONGEST: usize = MOST * PAGE;

/// A part of a page of the front end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub at: Granted,
    pub len: usize,
}

/// Something to read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub write: bool,
    /// Where, in bytes.
    pub offset: u64,
    /// How many bytes: those of the segments.
    pub len: usize,
    pub segments: Vec<Segment>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Transfer(Transfer),
    /// A transfer whose segments are in a page of the front end's, so many.
    Indirect {
        write: bool,
        /// In units.
        first: u64,
        grant: u32,
        count: usize,
    },
    Flush,
    /// In bytes.
    Discard {
        offset: u64,
        len: u64,
    },
}

/// Why it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It makes no sense, or the disk cannot do it.
    Error,
    /// There is no such operation.
    Unknown,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The front end's number, which comes back with the response.
    pub id: u64,
    /// The operation that the response says.
    pub operation: u8,
    pub wish: Result<Wish, Refusal>,
}

/// A response.
pub(super) fn response(id: u64, operation: u8, status: i16) -> [u8; disk::RESPONSE] {
    let mut bytes = [0; disk::RESPONSE];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8] = operation;
    bytes[10..12].copy_from_slice(&status.to_le_bytes());
    bytes
}

/// Little-endian words at places.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

const UNIT: u64 = disk::UNIT as u64;

/// Units of a disk.
pub(super) fn units(shape: Shape) -> u64 {
    shape.sectors * (u64::from(shape.sector_size) / UNIT)
}

/// Where so many units from one on are, in bytes, if they are whole sectors of the disk.
fn place(shape: Shape, first: u64, count: u64) -> Result<(u64, u64), Refusal> {
    let sector = u64::from(shape.sector_size) / UNIT;
    let end = first.checked_add(count).ok_or(Refusal::Error)?;
    if count == 0
        || end > units(shape)
        || !first.is_multiple_of(sector)
        || !count.is_multiple_of(sector)
    {
        return Err(Refusal::Error);
    }
    Ok((first * UNIT, count * UNIT))
}

/// A transfer of the segments that these bytes have.
pub(super) fn transfer(
    shape: Shape,
    write: bool,
    first: u64,
    bytes: &[u8],
) -> Result<Transfer, Refusal> {
    const LAST: u8 = (PAGE / disk::UNIT - 1) as u8;
    if write && shape.read_only {
        return Err(Refusal::Error);
    }
    let mut segments = Vec::with_capacity(bytes.len() / disk::SEGMENT);
    let mut count = 0;
    for segment in bytes.chunks_exact(disk::SEGMENT) {
        let (from, to) = (segment[4], segment[5]);
        if from > to || to > LAST {
            return Err(Refusal::Error);
        }
        let units = u64::from(to - from) + 1;
        segments.push(Segment {
            at: Granted {
                grant: u32_at(segment, 0),
                offset: u16::from(from) * disk::UNIT as u16,
            },
            len: units as usize * disk::UNIT,
        });
        count += units;
    }
    let (offset, len) = place(shape, first, count)?;
    Ok(Transfer {
        write,
        offset,
        len: len as usize,
        segments,
    })
}

/// Whether an operation is a transfer to the disk; what else it is is not known.
fn is_write(operation: u8) -> Result<bool, Refusal> {
    match operation {
        disk::READ => Ok(false),
        disk::WRITE => Ok(true),
        _ => Err(Refusal::Unknown),
    }
}

/// Reads a request to a disk.
pub(super) fn read(shape: Shape, request: &[u8; disk::REQUEST]) -> Asked {
    let (id, first) = (u64_at(request, 8), u64_at(request, 16));
    let operation = match request[0] {
        disk::INDIRECT => request[1],
        operation => operation,
    };
    let wish = || match request[0] {
        disk::INDIRECT => {
            let write = is_write(operation)?;
            let count = usize::from(u16_at(request, 2));
            if !(1..=MOST).contains(&count) || write && shape.read_only {
                return Err(Refusal::Error);
            }
            let grant = u32_at(request, 28);
            Ok(Wish::Indirect {
                write,
                first,
                grant,
                count,
            })
        }
        // One with bytes beside is two things, in an order that nobody has said.
        disk::FLUSH if request[1] == 0 => Ok(Wish::Flush),
        disk::FLUSH => Err(Refusal::Error),
        disk::DISCARD if shape.read_only => Err(Refusal::Error),
        // That nothing can be read of it any more is not what discards here do.
        disk::DISCARD if request[1] != 0 => Err(Refusal::Unknown),
        disk::DISCARD => {
            let (offset, len) = place(shape, first, u64_at(request, 24))?;
            Ok(Wish::Discard { offset, len })
        }
        _ => {
            let write = is_write(operation)?;
            let count = usize::from(request[1]);
            if count > disk::SEGMENTS {
                return Err(Refusal::Error);
            }
            let segments = &request[24..][..count * disk::SEGMENT];
            transfer(shape, write, first, segments).map(Wish::Transfer)
        }
    };
    Asked {
        id,
        operation,
        wish: wish(),
    }
}

const _: () = assert!(MOST * disk::SEGMENT <= PAGE && disk::SEGMENTS <= MOST);

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) const SHAPE: Shape = Shape {
        sector_size: 512,
        sectors: 4096,
        read_only: false,
    };

    /// A request with segments: grant, first and last unit.
    pub(in super::super) fn request(
        operation: u8,
        id: u64,
        first: u64,
        segments: &[(u32, u8, u8)],
    ) -> [u8; disk::REQUEST] {
        let mut request = [0; disk::REQUEST];
        (request[0], request[1]) = (operation, segments.len() as u8);
        request[8..16].copy_from_slice(&id.to_le_bytes());
        request[16..24].copy_from_slice(&first.to_le_bytes());
        for (to, from) in request[24..].chunks_exact_mut(8).zip(segments) {
            to.copy_from_slice(&segment(from));
        }
        request
    }

    pub(in super::super) fn segment((grant, from, to): &(u32, u8, u8)) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&grant.to_le_bytes());
        (bytes[4], bytes[5]) = (*from, *to);
        bytes
    }

    fn wish(shape: Shape, request: &[u8; disk::REQUEST]) -> Result<Wish, Refusal> {
        read(shape, request).wish
    }

    #[test]
    fn requests_are_read_as_linux_writes_them() {
        let asked = read(SHAPE, &request(1, 7, 8, &[(9, 2, 7), (10, 0, 1)]));
        let segment = |grant, offset, len| Segment {
            at: Granted { grant, offset },
            len,
        };
        let write = Transfer {
            write: true,
            offset: 4096,
            len: 4096,
            segments: [segment(9, 1024, 3072), segment(10, 0, 1024)].into(),
        };
        assert_eq!((asked.id, asked.operation), (7, 1));
        assert_eq!(asked.wish, Ok(Wish::Transfer(write)));
        assert_eq!(wish(SHAPE, &request(3, 7, 0, &[])), Ok(Wish::Flush));
        let mut discard = request(5, 7, 16, &[]);
        discard[24] = 24;
        let (offset, len) = (8192, 12288);
        assert_eq!(wish(SHAPE, &discard), Ok(Wish::Discard { offset, len }));
        discard[1] = 1;
        assert_eq!(wish(SHAPE, &discard), Err(Refusal::Unknown));
        let mut indirect = request(6, 7, 16, &[]);
        (indirect[1], indirect[2], indirect[28]) = (1, 64, 33);
        let asked = read(SHAPE, &indirect);
        // The response says what it was about.
        assert_eq!(asked.operation, disk::WRITE);
        let first = Wish::Indirect {
            write: true,
            first: 16,
            grant: 33,
            count: 64,
        };
        assert_eq!(asked.wish, Ok(first));
        assert_eq!(response(7, 1, -2), [7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 254, 255]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = Err(Refusal::Error);
        let full = [(1, 0, 7); 11];
        for (operation, first, segments) in [
            (0, 0, &[][..]),
            (0, 4096, &[(1, 0, 0)]),
            (0, 4090, &[(1, 0, 7)]),
            (0, u64::MAX, &[(1, 0, 0)]),
            (1, 0, &[(1, 3, 2)]),
            (1, 0, &[(1, 0, 8)]),
            (1, 0, &[(1, 0, 7), (2, 5, 0)]),
            (3, 0, &full),
            (5, 0, &[]),
        ] {
            let request = request(operation, 1, first, segments);
            assert_eq!(
                wish(SHAPE, &request),
                error,
                "{operation} {first} {segments:?}"
            );
        }
        let mut long = request(0, 1, 0, &full);
        long[1] = 12;
        assert_eq!(wish(SHAPE, &long), error);
        for count in [0, 65, 512] {
            let mut indirect = request(6, 1, 0, &[]);
            indirect[2..4].copy_from_slice(&u16::to_le_bytes(count));
            assert_eq!(wish(SHAPE, &indirect), error);
        }
        for operation in [2, 4, 7, 255] {
            assert_eq!(
                wish(SHAPE, &request(operation, 1, 0, &full)),
                Err(Refusal::Unknown)
            );
            let mut indirect = request(6, 1, 0, &[]);
            (indirect[1], indirect[2]) = (operation, 1);
            assert_eq!(wish(SHAPE, &indirect), Err(Refusal::Unknown));
        }
    }

    #[test]
    fn disks_that_are_not_to_be_written_are_not() {
        let shape = Shape {
            read_only: true,
            ..SHAPE
        };
        let mut indirect = request(6, 1, 0, &[]);
        (indirect[1], indirect[2]) = (1, 1);
        let mut discard = request(5, 1, 0, &[]);
        discard[24] = 1;
        for write in [request(1, 1, 0, &[(1, 0, 0)]), indirect, discard] {
            assert_eq!(wish(shape, &write), Err(Refusal::Error));
        }
        assert!(transfer(shape, true, 0, &segment(&(1, 0, 0))).is_err());
        assert!(wish(shape, &request(0, 1, 0, &[(1, 0, 0)])).is_ok());
        assert_eq!(wish(shape, &request(3, 1, 0, &[])), Ok(Wish::Flush));
    }

    #[test]
    fn sectors_are_whole() {
        let shape = Shape {
            sector_size: 4096,
            sectors: 512,
            read_only: false,
        };
        for (first, segments, right) in [
            (8, &[(1, 0, 7)][..], true),
            (8, &[(1, 0, 3), (2, 4, 7)], true),
            (4, &[(1, 0, 7)], false),
            (8, &[(1, 0, 6)], false),
            (4088, &[(1, 0, 7)], true),
            (4096, &[(1, 0, 7)], false),
        ] {
            let request = request(0, 1, first, segments);
            assert_eq!(wish(shape, &request).is_ok(), right, "{first} {segments:?}");
        }
    }

    /// What holds of any transfer.
    fn is_sound(shape: Shape, transfer: &Transfer) -> bool {
        let end = transfer.offset + transfer.len as u64;
        let sum: usize = transfer.segments.iter().map(|segment| segment.len).sum();
        let inside = |segment: &Segment| {
            segment.len > 0 && usize::from(segment.at.offset) + segment.len <= PAGE
        };
        end <= shape.sectors * u64::from(shape.sector_size)
            && transfer.offset.is_multiple_of(shape.sector_size.into())
            && transfer.len.is_multiple_of(shape.sector_size as usize)
            && (1..=LONGEST).contains(&transfer.len)
            && sum == transfer.len
            && transfer.segments.iter().all(inside)
            && !(transfer.write && shape.read_only)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Whatever bytes a request has, or the page that it names: what is done is inside the
        /// disk and inside pages.
        #[test]
        fn whatever_is_asked_is_checked(
            mut request in any::<[u8; disk::REQUEST]>(),
            mut page in prop::collection::vec(any::<u8>(), MOST * disk::SEGMENT),
            operation in 0_u8..8,
            count in 0_u8..14,
            first in 0_u64..5000,
            sane in any::<[bool; 4]>(),
            large: bool,
            read_only: bool,
        ) {
            let shape = if large {
                Shape { sector_size: 4096, sectors: 512, read_only }
            } else {
                Shape { read_only, ..SHAPE }
            };
            if sane[0] {
                (request[0], request[1]) = (operation, count);
            }
            if sane[1] {
                request[16..24].copy_from_slice(&first.to_le_bytes());
            }
            if sane[2] {
                request[3] = 0;
                for segment in request[24..].chunks_exact_mut(8).chain(page.chunks_exact_mut(8)) {
                    (segment[4], segment[5]) = (segment[4] & 3, segment[5] | 4);
                    if !sane[3] {
                        continue;
                    }
                    (segment[4], segment[5]) = (0, 7);
                }
            }
            match read(shape, &request).wish {
                Ok(Wish::Transfer(transfer)) => prop_assert!(is_sound(shape, &transfer)),
                Ok(Wish::Indirect { write, first, count, .. }) => {
                    prop_assert!((1..=MOST).contains(&count));
                    let page = &page[..count * disk::SEGMENT];
                    if let Ok(transfer) = transfer(shape, write, first, page) {
                        prop_assert!(is_sound(shape, &transfer));
                    }
                }
                Ok(Wish::Discard { offset, len }) => {
                    prop_assert!(!read_only && len > 0);
                    let size = shape.sectors * u64::from(shape.sector_size);
                    prop_assert!(offset.checked_add(len).is_some_and(|end| end <= size));
                }
                Ok(Wish::Flush) | Err(_) => {}
            }
        }
    }
}
