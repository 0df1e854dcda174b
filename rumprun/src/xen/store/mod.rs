//! xenstore: a tree of texts that a daemon of dom0's keeps, by which domains and their devices
//! find each other (Xen's docs/misc/xenstore.txt and io/xs_wire.h).
//!
//! Requests and replies are messages in two pipes. One thread at a time uses it: the one that
//! sets the devices up, and after it one that waits for what changes. What the daemon says is
//! input, and is checked ([`wire`]).

mod wire;

use super::abi::{hvm, store};
use super::event::Channel;
use super::hypercall::{self, Refused};
use super::page::Page;
use super::pipe::Pipe;
use crate::trap::line;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use core::time::Duration;
use wire::{HEADER, Header};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that wait to be looked at, one for each word of ours; more are told to nobody.
const EVENTS: usize = 1024;

/// The word of what changes here, and not in xenstore ([`look`]).
pub(super) const HERE: &str = "here";
/// Something has changed here, and nobody was told yet.
static CHANGED: AtomicBool = AtomicBool::new(false);
/// The vector of the connection's events, 0 before there is one.
static VECTOR: AtomicU8 = AtomicU8::new(0);

/// Has the thread that waits for what changes look at something that has changed here.
pub(super) fn look() {
    CHANGED.store(true, Ordering::Release);
    line::came(VECTOR.load(Ordering::Acquire));
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// Xen refused what is needed for it.
    Refused(Refused),
    /// What came is no message, or no answer.
    Malformed,
    /// Nothing came in time.
    Silent,
    /// The daemon refused, in its words.
    Denied(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refused(number)) => write!(f, "Xen refuses: error {number}"),
            Self::Malformed => f.write_str("xenstore's daemon sends what is no message"),
            Self::Silent => f.write_str("xenstore's daemon does not answer"),
            Self::Denied(why) => write!(f, "xenstore says {why}"),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<super::pipe::Broken> for Error {
    fn from(_: super::pipe::Broken) -> Self {
        Self::Malformed
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Store {
    requests: Pipe,
    replies: Pipe,
    channel: Channel,
    next: u32,
    events: VecDeque<String>,
}

impl Store {
    /// That of this guest.
    pub(super) fn new() -> Result<Self, Error> {
        let frame = hypercall::parameter(hvm::STORE_FRAME)?;
        let port = hypercall::parameter(hvm::STORE_PORT)?;
        let address = frame
            .checked_mul(4096)
            .filter(|at| *at != 0 && *at < 1 << 32);
        let address = address.ok_or(Error::Malformed)?;
        // SAFETY: Xen says that the page is xenstore's, so that it is nobody else's; the
        // first 4 GiB are mapped.
        let page = unsafe { Page::new(address as *mut u8) }.ok_or(Error::Malformed)?;
        let port = u32::try_from(port).map_err(|_| Error::Malformed)?;
        let pipe = |data, consumer, producer| Pipe {
            page,
            data,
            size: store::SIZE,
            consumer,
            producer,
        };
        let channel = Channel::adopt(port)?;
        VECTOR.store(channel.line().vector(), Ordering::Release);
        Ok(Self {
            requests: pipe(
                store::REQUESTS,
                store::REQUEST_CONSUMER,
                store::REQUEST_PRODUCER,
            ),
            replies: pipe(store::REPLIES, store::REPLY_CONSUMER, store::REPLY_PRODUCER),
            channel,
            next: 1,
            events: VecDeque::new(),
        })
    }

    /// Waits for the other side to read or write.
    fn wait(&self) -> Result<(), Error> {
        match self.channel.line().wait(Some(PATIENCE)) {
            Some(0) | None => Err(Error::Silent),
            Some(_) => Ok(()),
        }
    }

    fn send(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.requests.push(bytes)? {
                0 => self.wait()?,
                len => {
                    bytes = &bytes[len..];
                    self.channel.notify();
                }
            }
        }
        Ok(())
    }

    /// Fills a buffer. Forever is for what may never come.
    fn receive(&self, bytes: &mut [u8], forever: bool) -> Result<(), Error> {
        let mut at = 0;
        while at < bytes.len() {
            match self.replies.pop(&mut bytes[at..])? {
                0 if forever => {
                    self.channel.line().wait(None);
                }
                0 => self.wait()?,
                len => {
                    at += len;
                    self.channel.notify();
                }
            }
        }
        Ok(())
    }

    fn message(&self, forever: bool) -> Result<(Header, Vec<u8>), Error> {
        let mut bytes = [0; HEADER];
        self.receive(&mut bytes, forever)?;
        let header = Header::read(&bytes).ok_or(Error::Malformed)?;
        let mut body = vec![0; header.len as usize];
        self.receive(&mut body, false)?;
        Ok((header, body))
    }

    /// Sends a request and waits for its reply; keeps events that come in between.
    fn ask(&mut self, kind: u32, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let request = wire::request(kind, id, parts).ok_or(Error::Malformed)?;
        self.send(&request)?;
        loop {
            let (header, body) = self.message(false)?;
            if header.kind == store::EVENT {
                self.keep(&body);
                continue;
            }
            if header.id != id {
                // An answer to one that was given up.
                continue;
            }
            return match header.kind {
                store::ERROR => Err(Error::Denied(wire::text(&body))),
                same if same == kind => Ok(body),
                _ => Err(Error::Malformed),
            };
        }
    }

    fn keep(&mut self, body: &[u8]) {
        // Who looks then sees all changes: one that is told often takes no place from others.
        if let Some(token) = wire::token(body)
            && self.events.len() < EVENTS
            && !self.events.contains(&token)
        {
            self.events.push_back(token);
        }
    }

    /// The text at a path.
    pub(super) fn read(&mut self, path: &str) -> Result<String, Error> {
        let body = self.ask(store::READ, &[path.as_bytes(), b"\0"])?;
        Ok(wire::text(&body))
    }

    /// The number at a path, if it is one.
    pub(super) fn number<N: FromStr>(&mut self, path: &str) -> Result<N, Error> {
        self.read(path)?.parse().map_err(|_| Error::Malformed)
    }

    /// Writes a text.
    pub(super) fn write(&mut self, path: &str, text: &str) -> Result<(), Error> {
        let parts: [&[u8]; 3] = [path.as_bytes(), b"\0", text.as_bytes()];
        self.ask(store::WRITE, &parts).map(drop)
    }

    /// Names of what is below a path.
    pub(super) fn list(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let body = self.ask(store::DIRECTORY, &[path.as_bytes(), b"\0"])?;
        Ok(wire::texts(&body))
    }

    /// Asks to be told, with a word of ours, when something at a path or below changes. The
    /// daemon tells so once at the beginning.
    pub(super) fn watch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        let parts: [&[u8]; 4] = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.ask(store::WATCH, &parts).map(drop)
    }

    /// Asks to be told no more.
    pub(super) fn unwatch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        let parts: [&[u8]; 4] = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        self.ask(store::UNWATCH, &parts).map(drop)
    }

    /// Removes what is at a path and below.
    pub(super) fn remove(&mut self, path: &str) -> Result<(), Error> {
        self.ask(store::REMOVE, &[path.as_bytes(), b"\0"]).map(drop)
    }

    /// The word of the next change, which may never come.
    pub(super) fn event(&mut self, forever: bool) -> Result<String, Error> {
        loop {
            if forever && CHANGED.swap(false, Ordering::AcqRel) {
                return Ok(HERE.into());
            }
            if let Some(token) = self.events.pop_front() {
                return Ok(token);
            }
            if forever && self.replies.waiting()? == 0 {
                self.channel.line().wait(None);
                continue;
            }
            let (header, body) = self.message(forever)?;
            if header.kind == store::EVENT {
                self.keep(&body);
            }
        }
    }
}
