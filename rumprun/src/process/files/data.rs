//! Reading and writing.

use super::{Args, File, Files};
use crate::process::copy::{self, Result};
use crate::process::tree::{Device, Kind};
use alloc::borrow::Cow;
use alloc::vec;
use rump_linux::Errno;
use rump_linux::raw::general::*;

/// The most that one call moves: `MAX_RW_COUNT` of Linux.
const MOST: u64 = 0x7fff_f000;
/// How much is copied at a time where the program's memory is not read or written at once.
const CHUNK: usize = 16 << 10;

impl Files {
    /// How long a file is.
    pub(super) fn size(&self, file: &File) -> u64 {
        match &file.text {
            Some(text) => text.len() as u64,
            None => self.tree.lock().get(file.node).size(),
        }
    }

    /// Copies from a file at a position to the program.
    fn copy_from(&self, file: &File, at: u64, to: u64, length: u64) -> Result<u64> {
        let length = length.min(MOST);
        if length == 0 {
            return Ok(0);
        }
        if let Some(text) = &file.text {
            return part(text, at, to, length);
        }
        let tree = self.tree.lock();
        match &tree.get(file.node).kind {
            Kind::Directory { .. } => Err(Errno::EISDIR),
            Kind::File(Cow::Borrowed(data)) => {
                // It stays where it is, whoever writes to the file.
                let data: &'static [u8] = data;
                drop(tree);
                part(data, at, to, length)
            }
            Kind::File(Cow::Owned(data)) => part(data, at, to, length),
            Kind::Device(device) => {
                let device = *device;
                drop(tree);
                self.copy_from_device(device, to, length)
            }
            Kind::Link(_) | Kind::Stored(_) | Kind::Told(_) => Err(Errno::EINVAL),
        }
    }

    fn copy_from_device(&self, device: Device, to: u64, length: u64) -> Result<u64> {
        let fill = match device {
            // Nobody types: the end of the input.
            Device::Console | Device::Null => return Ok(0),
            Device::Zero | Device::Full => |_: &Files, _: &mut [u8]| {},
            Device::Random => |files: &Files, bytes: &mut [u8]| files.outside.random(bytes),
        };
        let mut bytes = vec![0; CHUNK.min(length as usize)];
        let mut done = 0;
        while done < length {
            let now = bytes.len().min((length - done) as usize);
            fill(self, &mut bytes[..now]);
            match copy::copyout(&bytes[..now], to + done) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(()) => done += now as u64,
            }
        }
        Ok(done)
    }

    /// Copies from the program to a file, at a position or its end. Returns how much, and the
    /// position behind it.
    fn copy_to(&self, file: &File, at: Option<u64>, from: u64, length: u64) -> Result<(u64, u64)> {
        let device = {
            let tree = self.tree.lock();
            match &tree.get(file.node).kind {
                Kind::Directory { .. } => return Err(Errno::EISDIR),
                Kind::Link(_) | Kind::Stored(_) | Kind::Told(_) => return Err(Errno::EINVAL),
                Kind::File(_) => None,
                Kind::Device(device) => Some(*device),
            }
        };
        let length = length.min(MOST);
        match device {
            Some(Device::Full) => return Err(Errno::ENOSPC),
            Some(Device::Null | Device::Zero | Device::Random) => return Ok((length, 0)),
            Some(Device::Console) | None => {}
        }
        let mut bytes = vec![0; CHUNK.min(length as usize)];
        let (mut done, mut end) = (0, at.unwrap_or(0));
        while done < length {
            let now = bytes.len().min((length - done) as usize);
            let chunk = &mut bytes[..now];
            let moved = from
                .checked_add(done)
                .ok_or(Errno::EFAULT)
                .and_then(|from| copy::copyin(from, chunk))
                .and_then(|()| match device {
                    Some(_) => {
                        self.outside.print(chunk);
                        Ok(0)
                    }
                    None => {
                        let at = at.map(|at| at.saturating_add(done));
                        self.tree().write(file.node, at, chunk)
                    }
                });
            match moved {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(start) => {
                    done += now as u64;
                    end = start + now as u64;
                }
            }
        }
        Ok((done, end))
    }

    /// Reads where the file stands, into several buffers.
    fn read_on(&self, file: &File, buffers: &[(u64, u64)]) -> Result<i64> {
        file.reads()?;
        let mut position = file.position.lock();
        let done = self.read_at(file, *position, buffers)?;
        *position += done;
        Ok(done as i64)
    }

    fn read_at(&self, file: &File, at: u64, buffers: &[(u64, u64)]) -> Result<u64> {
        file.reads()?;
        let mut done = 0;
        for (to, length) in buffers {
            match self.copy_from(file, at.saturating_add(done), *to, *length) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(now) => {
                    done += now;
                    if now < *length {
                        break;
                    }
                }
            }
        }
        Ok(done)
    }

    fn write_on(&self, file: &File, buffers: &[(u64, u64)]) -> Result<i64> {
        file.writes()?;
        let mut position = file.position.lock();
        let appends = file.flags() & O_APPEND != 0;
        let at = (!appends).then_some(*position);
        let (done, end) = self.write_at(file, at, buffers)?;
        if done > 0 {
            *position = end;
        }
        Ok(done as i64)
    }

    fn write_at(&self, file: &File, at: Option<u64>, buffers: &[(u64, u64)]) -> Result<(u64, u64)> {
        file.writes()?;
        let (mut done, mut end) = (0, at.unwrap_or(0));
        for (from, length) in buffers {
            let at = at.map(|at| at.saturating_add(done));
            match self.copy_to(file, at, *from, *length) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok((now, behind)) => {
                    done += now;
                    if now > 0 {
                        end = behind;
                    }
                    if now < *length {
                        break;
                    }
                }
            }
        }
        Ok((done, end))
    }

    pub(super) fn read(&self, args: &Args) -> Result<i64> {
        self.read_on(&*self.file(args[0])?, &[(args[1], args[2])])
    }

    pub(super) fn write(&self, args: &Args) -> Result<i64> {
        self.write_on(&*self.file(args[0])?, &[(args[1], args[2])])
    }

    pub(super) fn readv(&self, args: &Args, at: Option<u64>) -> Result<i64> {
        let file = self.file(args[0])?;
        let buffers = copy::vectors(args[1], args[2])?;
        match at {
            Some(at) if at != u64::MAX => Ok(self.read_at(&file, place(at)?, &buffers)? as i64),
            _ => self.read_on(&file, &buffers),
        }
    }

    pub(super) fn writev(&self, args: &Args, at: Option<u64>) -> Result<i64> {
        let file = self.file(args[0])?;
        let buffers = copy::vectors(args[1], args[2])?;
        match at {
            Some(at) if at != u64::MAX => {
                let (done, _) = self.write_at(&file, Some(place(at)?), &buffers)?;
                Ok(done as i64)
            }
            _ => self.write_on(&file, &buffers),
        }
    }

    pub(super) fn pread(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        let done = self.read_at(&file, place(args[3])?, &[(args[1], args[2])])?;
        Ok(done as i64)
    }

    pub(super) fn pwrite(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        let at = Some(place(args[3])?);
        let (done, _) = self.write_at(&file, at, &[(args[1], args[2])])?;
        Ok(done as i64)
    }

    /// sendfile(2) to a file, from a file: to what is none it is `rump-linux`'s.
    pub(super) fn send_file(&self, args: &Args) -> Result<i64> {
        let (to, from) = (self.file(args[0])?, self.file(args[1])?);
        self.copy_between(&from, args[2], &to, 0, args[3])
    }

    /// copy_file_range(2).
    pub(super) fn copy_file_range(&self, args: &Args) -> Result<i64> {
        let (from, to) = (self.file(args[0])?, self.file(args[2])?);
        if args[5] != 0 {
            return Err(Errno::EINVAL);
        }
        self.copy_between(&from, args[1], &to, args[3], args[4])
    }

    /// Copies bytes; a position that the program keeps is at an address that is not 0.
    fn copy_between(
        &self,
        from: &File,
        from_place: u64,
        to: &File,
        to_place: u64,
        length: u64,
    ) -> Result<i64> {
        from.reads()?;
        to.writes()?;
        if to.flags() & O_APPEND != 0 {
            return Err(Errno::EINVAL);
        }
        let position = |file: &File, at: u64| match at {
            0 => Ok(*file.position.lock()),
            at => place(copy::get(at)?),
        };
        let (start, target) = (position(from, from_place)?, position(to, to_place)?);
        let mut done = 0;
        while done < length.min(MOST) {
            let mut tree = self.tree();
            let data = tree.data(from.node)?;
            let at = usize::try_from(start + done).unwrap_or(usize::MAX);
            let rest = data.get(at..).unwrap_or_default();
            let now = rest.len().min(CHUNK).min((length - done) as usize);
            if now == 0 {
                break;
            }
            let chunk = rest[..now].to_vec();
            tree.write(to.node, Some(target.saturating_add(done)), &chunk)?;
            done += now as u64;
        }
        for (file, at, start) in [(from, from_place, start), (to, to_place, target)] {
            match at {
                0 => *file.position.lock() = start + done,
                at => copy::put(&(start + done), at)?,
            }
        }
        Ok(done as i64)
    }

    pub(super) fn lseek(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        if let Kind::Device(_) = self.tree.lock().get(file.node).kind {
            return Err(Errno::ESPIPE);
        }
        let mut position = file.position.lock();
        let size = self.size(&file);
        let by = args[1] as i64;
        let to = match args[2] as u32 {
            SEEK_SET => Some(by),
            SEEK_CUR => by.checked_add(*position as i64),
            SEEK_END => by.checked_add(size as i64),
            // There are no holes but the end.
            SEEK_DATA | SEEK_HOLE if by < 0 || by as u64 >= size => return Err(Errno::ENXIO),
            SEEK_DATA => Some(by),
            SEEK_HOLE => Some(size as i64),
            _ => return Err(Errno::EINVAL),
        };
        let to = to.filter(|to| *to >= 0).ok_or(Errno::EINVAL)?;
        *position = to as u64;
        Ok(to)
    }

    /// fsync(2) and its like.
    pub(super) fn sync(&self, fd: u64) -> Result<i64> {
        let file = self.file(fd)?;
        self.tree.lock().sync(Some(file.node)).map(|()| 0)
    }

    /// sync(2).
    pub(super) fn sync_all(&self) -> Result<i64> {
        self.tree.lock().sync(None).map(|()| 0)
    }

    pub(super) fn ftruncate(&self, args: &Args) -> Result<i64> {
        let file = self.file(args[0])?;
        file.writes().map_err(|_| Errno::EINVAL)?;
        self.tree().resize(file.node, length(args[1])?)?;
        Ok(0)
    }

    pub(super) fn fallocate(&self, args: &Args) -> Result<i64> {
        const KEEP_SIZE: u64 = 1;
        let file = self.file(args[0])?;
        file.writes()?;
        if args[1] & !KEEP_SIZE != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = place(args[2])?.checked_add(place(args[3])?);
        let end = length(end.ok_or(Errno::EFBIG)?)?;
        let mut tree = self.tree();
        if args[1] == 0 && end > tree.data(file.node)?.len() {
            tree.resize(file.node, end)?;
        }
        Ok(0)
    }
}

/// A part of what is there.
fn part(data: &[u8], at: u64, to: u64, length: u64) -> Result<u64> {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = data.get(start..).unwrap_or_default();
    let length = rest.len().min(length as usize);
    copy::copyout(&rest[..length], to)?;
    Ok(length as u64)
}

fn place(at: u64) -> Result<u64> {
    i64::try_from(at)
        .map(|at| at as u64)
        .map_err(|_| Errno::EINVAL)
}

pub(super) fn length(of: u64) -> Result<usize> {
    let of = i64::try_from(of).map_err(|_| Errno::EINVAL)?;
    usize::try_from(of).map_err(|_| Errno::EFBIG)
}
