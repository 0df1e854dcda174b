//! What stands for a socket: messages in a [lane] each way, and memory for frames.

use super::{bell, lock};
use crate::sys::xen::Cable;
use nix::sys::eventfd::EventFd;
use rump_ring::lane::{self, Lane, Receiver, Sender};
use rump_ring::{Broken, Shared};
use rump_sys::hyper::linux::cable::{self, End, Medium, Shape, Side, Socket};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes of a lane for messages, and of the longest message: more than the longest that there is.
pub(super) const DATA: usize = 2048;
pub(super) const LONGEST: usize = 1024;

/// What the platform has for a connection; its memory is there as long as this.
pub(super) trait Platform: Send + Sync + fmt::Debug {
    /// Memory for messages that go, and that come.
    fn control(&self) -> [Shared; 2];
    /// Has the other side look.
    fn ring(&self);
    /// Waits until the other side rings; false when the connection is closed. One thread does.
    fn wait(&self) -> bool;
    /// Makes memory for both.
    fn share(&self, len: usize) -> io::Result<Shared>;
    /// Maps what the other side has made.
    fn map(&self, len: usize) -> io::Result<Shared>;
    /// Closes it at both ends.
    fn close(&self);
}

impl Platform for Cable {
    fn control(&self) -> [Shared; 2] {
        self.control()
    }

    fn ring(&self) {
        self.ring();
    }

    fn wait(&self) -> bool {
        self.wait()
    }

    fn share(&self, len: usize) -> io::Result<Shared> {
        self.share(len)
    }

    fn map(&self, len: usize) -> io::Result<Shared> {
        self.map(len)
    }

    fn close(&self) {
        self.close();
    }
}

/// What a connection has, as long as anybody uses its memory.
struct Line {
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    /// Somebody waits for room for a message.
    waits: AtomicBool,
    /// The memory of frames, while it is used.
    frames: Mutex<Option<(Shared, Shape)>>,
    side: Side,
    bell: EventFd,
    closed: AtomicBool,
    user: u32,
    // Dropped last: the memory is its.
    cable: Box<dyn Platform>,
}

impl Line {
    /// Does what is to be done when the other side has rung.
    fn rang(&self) {
        let closed = self.closed.load(Ordering::Acquire);
        let waits = self.waits.swap(false, Ordering::AcqRel);
        if closed || waits || lock(&self.receiver).is_waiting() {
            let _ = self.bell.write(1);
        }
        if let Some((memory, shape)) = *lock(&self.frames) {
            cable::rouse(memory, shape, self.side);
        }
    }

    /// Hears the other side until the connection is closed.
    fn hear(&self) {
        // What the other side rang for before there was somebody to hear it rings no more.
        self.rang();
        while self.cable.wait() {
            self.rang();
        }
        self.closed.store(true, Ordering::Release);
        self.rang();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn take(&self, bytes: &mut [u8]) -> Result<Option<usize>, Broken> {
        let mut receiver = lock(&self.receiver);
        let Some(seen) = receiver.next(bytes)? else {
            return Ok(None);
        };
        receiver.release();
        if receiver.must_wake() {
            self.cable.ring();
        }
        Ok(Some(seen.len))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("cable", &self.cable)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire(Arc<Line>);

impl Wire {
    /// One over this, which is this side's; the other counts as this user.
    pub(super) fn begin(cable: Box<dyn Platform>, side: Side, user: u32) -> io::Result<Socket> {
        let [outgoing, incoming] = cable.control();
        let lane = |memory| Lane::new(memory, 0, DATA, LONGEST);
        let line = Arc::new(Line {
            sender: Mutex::new(Sender::new(lane(outgoing))),
            receiver: Mutex::new(Receiver::new(lane(incoming))),
            waits: AtomicBool::new(false),
            frames: Mutex::default(),
            side,
            bell: bell()?,
            closed: AtomicBool::new(false),
            user,
            cable,
        });
        let heard = Arc::clone(&line);
        std::thread::Builder::new()
            .name("rump-xen".into())
            .spawn(move || heard.hear())?;
        Ok(Socket::of(Arc::new(Self(line))))
    }

    fn end(&self, memory: Shared, shape: Shape) -> End {
        *lock(&self.0.frames) = Some((memory, shape));
        let frames = Frames {
            line: Arc::clone(&self.0),
            memory,
        };
        End::over(Box::new(frames), shape, self.0.side)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The thread ends, and the memory stays with who still has frames in it.
        self.0.cable.close();
    }
}

fn wrong(what: impl fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}

impl cable::Wire for Wire {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let broken = |Broken| wrong("the other side's messages are broken");
        let line = &self.0;
        if line.is_closed() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if bytes.len() > LONGEST {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut sender = lock(&line.sender);
        loop {
            let put = sender.put(bytes.len(), [0; lane::NOTE], |body| body.push(bytes));
            if put.map_err(broken)? {
                sender.tell();
                drop(sender);
                line.cable.ring();
                return Ok(());
            }
            line.waits.store(true, Ordering::Release);
            if sender.may_wait(bytes.len()).map_err(broken)? {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        let line = &self.0;
        for again in [false, true] {
            if again {
                // Whoever puts one in from here on rings again.
                let _ = line.bell.read();
            }
            match line.take(bytes) {
                Ok(Some(len)) if len > bytes.len() => return Err(wrong("a message is too long")),
                Ok(Some(len)) => return Ok(Some(len)),
                Ok(None) => {}
                Err(Broken) => return Err(wrong("the other side's messages are broken")),
            }
        }
        if line.is_closed() {
            // For who looks again.
            let _ = line.bell.write(1);
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(None)
    }

    fn file(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }

    fn user(&self) -> u32 {
        self.0.user
    }

    fn shut_down(&self) {
        self.0.cable.close();
    }

    fn make(&self, shape: Shape) -> io::Result<End> {
        let memory = self.0.cable.share(shape.memory())?;
        Ok(self.end(memory, shape))
    }

    fn map(&self, shape: Shape) -> io::Result<End> {
        let memory = self.0.cable.map(shape.memory()).map_err(wrong)?;
        Ok(self.end(memory, shape))
    }
}

/// The memory of frames.
#[derive(Debug)]
struct Frames {
    line: Arc<Line>,
    memory: Shared,
}

impl Medium for Frames {
    fn memory(&self) -> Shared {
        self.memory
    }

    fn ring(&self) {
        self.line.cable.ring();
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        *lock(&self.line.frames) = None;
    }
}
