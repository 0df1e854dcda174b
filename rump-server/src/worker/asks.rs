//! Asking the worker from within its process, where there is no supervisor.

use crate::messages::{Reply, Request};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By which a thread asks the worker what `rump ctl` asks a supervisor. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Asks(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    /// What was asked; `None` when nobody answers any more.
    waiting: Mutex<Option<VecDeque<Asked>>>,
    bell: EventFd,
}

/// Something that was asked.
#[derive(Debug)]
pub(super) struct Asked {
    request: Request,
    reply: SyncSender<Reply>,
}

impl Asked {
    /// What is wanted.
    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// Tells who has asked.
    pub(super) fn answer(self, reply: Reply) {
        // There is room for it.
        let _ = self.reply.try_send(reply);
    }
}

impl Asks {
    /// For one worker.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Arc::new(Desk {
            waiting: Mutex::new(Some(VecDeque::new())),
            bell: EventFd::from_flags(flags)?,
        })))
    }

    fn waiting(&self) -> MutexGuard<'_, Option<VecDeque<Asked>>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and waits for the answer.
    pub fn ask(&self, request: Request) -> Reply {
        let (reply, answer) = sync_channel(1);
        let asked = Asked { request, reply };
        match &mut *self.waiting() {
            Some(waiting) => waiting.push_back(asked),
            // With it goes the only one who could answer.
            None => drop(asked),
        }
        let _ = self.0.bell.write(1);
        let ended = |_| Reply::Error("the server has ended".into());
        answer.recv().unwrap_or_else(ended)
    }

    /// Asks in words ([`Request::of_words`]); the answer is JSON, of a [`Reply`].
    pub fn ask_in_words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> String {
        let request = Request::of_words(words);
        let reply = request.map_or_else(Reply::Error, |request| self.ask(request));
        serde_json::to_string(&reply).unwrap_or_default()
    }

    /// What is ready when something was asked.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }

    /// The next that was asked.
    pub(super) fn take(&self) -> Option<Asked> {
        let mut waiting = self.waiting();
        let waiting = waiting.as_mut()?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            let _ = self.0.bell.read();
        }
        next
    }

    /// Nothing is answered from here on.
    pub(super) fn end(&self) {
        self.waiting().take();
    }
}
