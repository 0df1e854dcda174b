//! The program's memory: mmap(2) and its like.
//!
//! Pages are the machine's ([`space`]). A mapping of a file is a copy of it, so that it may
//! only be private, or shared for reading. `brk(2)` has a range of its own.

use super::copy::{self, Result};
use super::files::Files;
use super::lock::Mutex;
use crate::memory::PAGE;
use crate::memory::space::{self, Place, Rights, SpaceError};
use alloc::vec;
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

const PAGE64: u64 = PAGE as u64;
/// What `brk(2)` can grow to, in bytes; addresses alone, as nothing is there before it is
/// touched.
const BREAK: u64 = 64 << 30;

/// Where the program's break is.
#[derive(Clone, Copy, Debug, Default)]
struct Break {
    start: u64,
    end: u64,
}

static BREAK_OF_PROGRAM: Mutex<Break> = Mutex::new(Break { start: 0, end: 0 });

impl From<SpaceError> for Errno {
    fn from(error: SpaceError) -> Self {
        match error {
            SpaceError::NoMemory | SpaceError::NotMapped => Self::ENOMEM,
            SpaceError::BadRange => Self::EINVAL,
            SpaceError::Exists => Self::EEXIST,
        }
    }
}

/// The rights that `PROT_*` ask for.
pub fn rights(protection: u64) -> Rights {
    let protection = protection as u32;
    let any = PROT_READ | PROT_WRITE | PROT_EXEC;
    Rights {
        read: protection & any != 0,
        write: protection & PROT_WRITE != 0,
        execute: protection & PROT_EXEC != 0,
    }
}

/// A call about memory; `None` if it is about something else.
pub fn call(files: &Files, number: u32, args: &Args) -> Option<Result<i64>> {
    let done = match number {
        __NR_mmap => mmap(files, args),
        __NR_munmap => munmap(args[0], args[1]).map(|()| 0),
        __NR_mprotect => protect(args),
        __NR_brk => Ok(set_break(args[0]) as i64),
        __NR_mremap => mremap(args),
        __NR_madvise => advise(args),
        __NR_msync | __NR_mlock | __NR_mlock2 | __NR_munlock | __NR_mlockall | __NR_munlockall => {
            Ok(0)
        }
        __NR_mincore => mincore(args),
        _ => return None,
    };
    Some(done)
}

fn whole(length: u64) -> Result<u64> {
    let whole = length.checked_next_multiple_of(PAGE64);
    whole.filter(|whole| *whole > 0).ok_or(Errno::EINVAL)
}

fn mmap(files: &Files, args: &Args) -> Result<i64> {
    let [hint, length, protection, flags, fd, offset] = *args;
    let flags = flags as u32;
    if length == 0 || !offset.is_multiple_of(PAGE64) {
        return Err(Errno::EINVAL);
    }
    let size = length
        .checked_next_multiple_of(PAGE64)
        .ok_or(Errno::ENOMEM)?;
    let place = if flags & MAP_FIXED_NOREPLACE != 0 {
        Place::FixedFree(hint)
    } else if flags & MAP_FIXED != 0 {
        Place::Fixed(hint)
    } else if hint != 0 {
        Place::Hint(hint & !(PAGE64 - 1))
    } else {
        Place::Anywhere
    };
    if flags & MAP_ANONYMOUS != 0 {
        return Ok(space::map(place, size, rights(protection))? as i64);
    }
    let shared = flags & MAP_TYPE != MAP_PRIVATE;
    if shared && protection as u32 & PROT_WRITE != 0 {
        // What is written would have to come into the file.
        return Err(Errno::ENODEV);
    }
    let source = files.copied(fd as i32)?;
    let start = space::map(place, size, Rights::READ_WRITE)?;
    let filled = fill(&source, start, length, offset);
    let wanted = rights(protection);
    let done = filled.and_then(|()| Ok(space::protect(start, size, wanted)?));
    match done {
        Ok(()) => Ok(start as i64),
        Err(errno) => {
            // Just mapped; nobody uses it.
            let _ = space::unmap(start, size);
            Err(errno)
        }
    }
}

fn fill(source: &impl rump_linux::File, to: u64, length: u64, offset: u64) -> Result<()> {
    let mut bytes = vec![0; (64 << 10).min(length as usize)];
    let mut done = 0;
    while done < length {
        let most = bytes.len().min((length - done) as usize);
        let now = source.read_at(offset + done, &mut bytes[..most])?;
        if now == 0 {
            break;
        }
        copy::copyout(&bytes[..now], to + done)?;
        done += now as u64;
    }
    Ok(())
}

fn munmap(start: u64, length: u64) -> Result<()> {
    if !start.is_multiple_of(PAGE64) {
        return Err(Errno::EINVAL);
    }
    Ok(space::unmap(start, whole(length)?)?)
}

fn protect(args: &Args) -> Result<i64> {
    if !args[0].is_multiple_of(PAGE64) {
        return Err(Errno::EINVAL);
    }
    if args[1] != 0 {
        space::protect(args[0], whole(args[1])?, rights(args[2]))?;
    }
    Ok(0)
}

/// Moves the break, or tells where it is.
fn set_break(to: u64) -> u64 {
    let mut now = BREAK_OF_PROGRAM.lock();
    if now.start == 0 {
        let Ok(start) = space::map(Place::Anywhere, BREAK, Rights::NONE) else {
            return 0;
        };
        *now = Break { start, end: start };
    }
    if to < now.start || to > now.start + BREAK {
        return now.end;
    }
    let pages = |at: u64| at.next_multiple_of(PAGE64);
    let (old, new) = (pages(now.end), pages(to));
    let moved = if new > old {
        space::protect(old, new - old, Rights::READ_WRITE)
    } else if new < old {
        space::discard(new, old - new).and_then(|()| space::protect(new, old - new, Rights::NONE))
    } else {
        Ok(())
    };
    if moved.is_ok() {
        now.end = to;
    }
    now.end
}

/// Makes a mapping shorter, or longer where it is. It is not moved: what asks for that (the C
/// library's `realloc`) can copy as well, and does when it is refused.
fn mremap(args: &Args) -> Result<i64> {
    let [start, old, new, flags, ..] = *args;
    if !start.is_multiple_of(PAGE64) || old == 0 {
        return Err(Errno::EINVAL);
    }
    let (old, new) = (whole(old)?, whole(new)?);
    if flags as u32 & MREMAP_FIXED != 0 {
        return Err(Errno::ENOMEM);
    }
    let area = space::area_from(start).filter(|area| area.start <= start);
    let area = area.ok_or(Errno::EFAULT)?;
    if new < old {
        space::unmap(start + new, old - new)?;
    } else if new > old {
        let more = Place::FixedFree(start + old);
        space::map(more, new - old, area.rights).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(start as i64)
}

fn advise(args: &Args) -> Result<i64> {
    if !args[0].is_multiple_of(PAGE64) {
        return Err(Errno::EINVAL);
    }
    if args[1] == 0 {
        return Ok(0);
    }
    match args[2] as u32 {
        MADV_DONTNEED | MADV_FREE | MADV_REMOVE => {
            space::discard(args[0], whole(args[1])?)?;
            Ok(0)
        }
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_HUGEPAGE
        | MADV_NOHUGEPAGE | MADV_DONTDUMP | MADV_DODUMP | MADV_DONTFORK | MADV_DOFORK
        | MADV_COLD | MADV_MERGEABLE | MADV_UNMERGEABLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn mincore(args: &Args) -> Result<i64> {
    let size = whole(args[1])?;
    if !args[0].is_multiple_of(PAGE64) {
        return Err(Errno::EINVAL);
    }
    let mut at = args[0];
    while at < args[0] + size {
        let area = space::area_from(at).filter(|area| area.start <= at);
        at = area.ok_or(Errno::ENOMEM)?.end;
    }
    let pages = vec![1_u8; (size / PAGE64) as usize];
    copy::copyout(&pages, args[2])?;
    Ok(0)
}
