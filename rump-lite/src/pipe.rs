//! Pipes: `pipe(2)`.

use crate::file::{File, Object};
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::user::{Reader, Writer};
use crate::wait::{self, WaitQueue};
use alloc::collections::VecDeque;
use rump_hyper::errno::Errno;

/// `PIPE_SIZE` of NetBSD.
const CAPACITY: usize = 16 * 1024;
/// `PIPE_BUF`: what is at most that long is written as a whole.
const ATOMIC: usize = 512;

/// A pipe.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    buffer: VecDeque<u8>,
    reader_gone: bool,
    writer_gone: bool,
    pub(crate) waiters: WaitQueue,
}

impl Pipe {
    pub(crate) fn queued(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.buffer.len()
    }

    pub(crate) fn reader_gone(&self) -> bool {
        self.reader_gone
    }

    pub(crate) fn writer_gone(&self) -> bool {
        self.writer_gone
    }
}

impl Kernel {
    /// One of the ends has been closed.
    pub(crate) fn close_pipe(&mut self, pipe: usize, reader: bool) {
        let end = &mut self.pipes[pipe];
        if reader {
            end.reader_gone = true;
        } else {
            end.writer_gone = true;
        }
        if end.reader_gone && end.writer_gone {
            self.pipes.remove(pipe);
        } else {
            self.notify(Object::Reader(pipe), wait::ANY);
        }
    }
}

impl Guard {
    pub(crate) fn read_pipe(
        &mut self,
        lwp: &Lwp,
        file: File,
        pipe: usize,
        out: &mut Writer<'_>,
    ) -> Result<usize, Errno> {
        if out.left() == 0 {
            return Ok(0);
        }
        loop {
            let end = &mut self.pipes[pipe];
            if !end.buffer.is_empty() {
                let (front, back) = end.buffer.as_slices();
                let taken = out.put(front) + out.put(back);
                end.buffer.drain(..taken);
                self.notify(file.object, wait::WRITE);
                return Ok(taken);
            }
            if end.writer_gone {
                return Ok(0);
            }
            if file.nonblocking {
                return Err(Errno::AGAIN);
            }
            self.wait_for(lwp, file.object, wait::READ, None)?;
        }
    }

    pub(crate) fn write_pipe(
        &mut self,
        lwp: &Lwp,
        file: File,
        pipe: usize,
        from: &mut Reader<'_>,
    ) -> Result<usize, Errno> {
        let atomic = from.left() <= ATOMIC;
        let mut written = 0;
        loop {
            let end = &mut self.pipes[pipe];
            if end.reader_gone {
                return Err(Errno::PIPE);
            }
            if from.left() == 0 {
                return Ok(written);
            }
            let room = end.room();
            if room > 0 && (!atomic || from.left() <= room) {
                let buffer = &mut end.buffer;
                written += from.take(room, |part| buffer.extend(part));
                self.notify(file.object, wait::READ);
                continue;
            }
            if file.nonblocking {
                return if written > 0 {
                    Ok(written)
                } else {
                    Err(Errno::AGAIN)
                };
            }
            self.wait_for(lwp, file.object, wait::WRITE, None)?;
        }
    }
}
