//! `read(2)` and `write(2)`, with vectors, and copies from one descriptor to another.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::host::File;
use crate::memory::{Buffers, MOST, get, put};
use crate::object::{Description, Object, Socket};
use crate::piece::PIECE;
use crate::process::Process;
use crate::raw::general;
use alloc::sync::Arc;
use rump_abi::{POLLIN, POLLOUT};

impl Process {
    fn read_from(&self, one: &Arc<Description>, buffers: &Buffers) -> Outcome {
        match &one.object {
            Object::Socket(socket) => {
                if buffers.len() == 0 && socket.is_stream() {
                    return Ok(0);
                }
                let (received, ..) = self.receive(one, socket, buffers, 0, 0)?;
                Ok(received.length as i64)
            }
            Object::Pipe(fd) => {
                let mut piece = self.piece();
                let data = &mut piece[..buffers.len().min(PIECE as u64) as usize];
                let length = self.attempt(one, POLLIN, one.waits(), None, || {
                    Ok(self.kernel.read(fd.number, data)?)
                })?;
                buffers.write(&*self.host, 0, &data[..length])?;
                Ok(length as i64)
            }
            Object::Event(event) => self.number(one, buffers, || event.take()),
            Object::Timer(timer) => self.number(one, buffers, || timer.take(&*self.host)),
            Object::Epoll(_) => Err(Errno::EINVAL),
            Object::Netlink(_) => Err(Errno::ENOTSOCK),
        }
    }

    /// Reads a number of eight bytes.
    fn number(
        &self,
        one: &Arc<Description>,
        buffers: &Buffers,
        take: impl FnMut() -> Result<u64, Errno>,
    ) -> Outcome {
        if buffers.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let number = self.attempt(one, POLLIN, one.waits(), None, take)?;
        buffers.write(&*self.host, 0, &number.to_ne_bytes())?;
        Ok(8)
    }

    fn write_to(&self, one: &Arc<Description>, buffers: &Buffers) -> Outcome {
        match &one.object {
            Object::Socket(socket) => self.send(one, socket, buffers, &[], &[], 0),
            Object::Pipe(fd) => {
                let mut piece = self.piece();
                let mut done = 0;
                while done < buffers.len() {
                    let part = &mut piece[..(buffers.len() - done).min(PIECE as u64) as usize];
                    buffers.read(&*self.host, done, part)?;
                    let once = self.attempt(one, POLLOUT, one.waits(), None, || {
                        Ok(self.kernel.write(fd.number, part)?)
                    });
                    match once {
                        Ok(length) => done += length as u64,
                        Err(_) if done > 0 => break,
                        Err(errno) => {
                            if errno == Errno::EPIPE {
                                self.host.broken_pipe();
                            }
                            return Err(errno);
                        }
                    }
                }
                Ok(done as i64)
            }
            Object::Event(event) => {
                if buffers.len() < 8 {
                    return Err(Errno::EINVAL);
                }
                let mut number = [0; 8];
                buffers.read(&*self.host, 0, &mut number)?;
                let number = u64::from_ne_bytes(number);
                self.attempt(one, POLLOUT, one.waits(), None, || event.add(number))?;
                Ok(8)
            }
            Object::Timer(_) | Object::Epoll(_) => Err(Errno::EINVAL),
            Object::Netlink(_) => Err(Errno::ENOTSOCK),
        }
    }
}

pub(crate) fn read(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.read_from(one, &Buffers::one(args[1], args[2])?)
}

pub(crate) fn write(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.write_to(one, &Buffers::one(args[1], args[2])?)
}

fn vectors(process: &Process, args: &Args) -> Result<Buffers, Errno> {
    Buffers::several(&*process.host, args[1], args[2], Errno::EINVAL)
}

pub(crate) fn readv(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.read_from(one, &vectors(process, args)?)
}

pub(crate) fn writev(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.write_to(one, &vectors(process, args)?)
}

/// `lseek(2)`, `pread(2)` and others that need a position.
pub(crate) fn no_position(_: &Process, _: &Args) -> Outcome {
    Err(Errno::ESPIPE)
}

/// `sendfile(2)`: from a file of the host's to a socket of the kernel's. From a descriptor of
/// the kernel's there is nothing to map, which is `EINVAL` in Linux, too.
pub(crate) fn sendfile(process: &Process, args: &Args) -> Outcome {
    let [to, from, place, count, ..] = *args;
    if process.owns(from as i32) {
        return Err(Errno::EINVAL);
    }
    if !process.owns(to as i32) {
        return Ok(process.host.call(general::__NR_sendfile, *args));
    }
    let one = process.find(to)?;
    let socket = one.socket().ok_or(Errno::EINVAL)?;
    let file = process.host.file(from as i32)?;
    let start = match place {
        0 => file.position().map_err(no_file)?,
        place => {
            let start: i64 = get(&*process.host, place)?;
            u64::try_from(start).map_err(|_| Errno::EINVAL)?
        }
    };
    let result = process.copy_file(&one, socket, &*file, start, count.min(MOST));
    let done = *result.as_ref().unwrap_or(&0) as u64;
    match place {
        0 => file.set_position(start + done)?,
        place => put(&*process.host, place, &((start + done) as i64))?,
    }
    result
}

/// What cannot be positioned cannot be mapped.
fn no_file(errno: Errno) -> Errno {
    if errno == Errno::ESPIPE {
        Errno::EINVAL
    } else {
        errno
    }
}

impl Process {
    fn copy_file(
        &self,
        one: &Arc<Description>,
        socket: &Socket,
        file: &dyn File,
        start: u64,
        count: u64,
    ) -> Outcome {
        let mut piece = self.piece();
        let mut done = 0;
        while done < count {
            let room = &mut piece[..(count - done).min(PIECE as u64) as usize];
            let copied = file.read_at(start + done, room).and_then(|length| {
                let part = &room[..length];
                if part.is_empty() {
                    return Ok(0);
                }
                self.send_part(one, socket, part)
            });
            match copied {
                Ok(0) => break,
                Ok(length) => done += length as u64,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(no_file(errno)),
            }
        }
        Ok(done as i64)
    }
}

/// `splice(2)`, for which programs fall back to `read(2)` and `write(2)`, as they do for
/// files that cannot be mapped.
pub(crate) fn splice(process: &Process, args: &Args) -> Outcome {
    if process.owns(args[0] as i32) || process.owns(args[2] as i32) {
        return Err(Errno::EINVAL);
    }
    Ok(process.host.call(general::__NR_splice, *args))
}
