//! What is wanted of the thread that talks to xenstore: it alone does, and is told so here.

use super::super::store;
use super::{Arc, Cable};
use crate::sched;
use crate::sync::Lock;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rump_hyper::errno::Errno;

/// A wish of the program's.
#[derive(Debug)]
pub(in super::super) enum Wish {
    /// Say at all back ends here that cables are to be had.
    Offer,
    /// Connect by a network interface of this number, or by any.
    Connect(Option<u32>, Arc<Answer<Arc<Cable>>>),
    /// A cable is closed: say so.
    Close {
        /// Its number.
        id: u64,
        /// Whether its device is a front end.
        front: bool,
    },
    /// Hear what dom0 orders.
    Hear,
    /// Say this, in a node of this name ([`super::super::ctl`]).
    Say(String, String, Arc<Answer<()>>),
}

/// What becomes of a wish.
#[derive(Debug)]
pub(in super::super) struct Answer<T> {
    done: AtomicU32,
    result: Lock<Option<Result<T, Errno>>>,
}

impl<T> Answer<T> {
    fn new() -> Self {
        Self {
            done: AtomicU32::new(0),
            result: Lock::new(None),
        }
    }

    /// Tells who waits.
    pub(in super::super) fn give(&self, result: Result<T, Errno>) {
        *self.result.lock() = Some(result);
        self.done.store(1, Ordering::Release);
        sched::unpark(self.done.as_ptr().addr() as u64, usize::MAX);
    }

    fn wait(&self) -> Result<T, Errno> {
        while self.done.load(Ordering::Acquire) == 0 {
            sched::park(&self.done, 0, None);
        }
        self.result.lock().take().unwrap_or(Err(Errno::NXIO))
    }
}

static WISHES: Lock<VecDeque<Wish>> = Lock::new(VecDeque::new());
/// Whether somebody serves wishes.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Wishes are served from here on: the thread is told of each by [`store::HERE`].
pub(in super::super) fn open() {
    OPEN.store(true, Ordering::Release);
}

/// They are served no more.
pub(in super::super) fn shut() {
    OPEN.store(false, Ordering::Release);
    while let Some(wish) = next() {
        match wish {
            Wish::Connect(_, answer) => answer.give(Err(Errno::NXIO)),
            Wish::Say(.., answer) => answer.give(Err(Errno::NXIO)),
            Wish::Offer | Wish::Close { .. } | Wish::Hear => {}
        }
    }
}

/// The next wish.
pub(in super::super) fn next() -> Option<Wish> {
    WISHES.lock().pop_front()
}

/// Leaves a wish there; whether somebody serves it.
pub(in super::super) fn ask(wish: Wish) -> bool {
    if !OPEN.load(Ordering::Acquire) {
        return false;
    }
    WISHES.lock().push_back(wish);
    store::look();
    true
}

/// Leaves a wish there, and waits for what becomes of it.
fn await_answer<T>(wish: impl FnOnce(Arc<Answer<T>>) -> Wish) -> Result<T, Errno> {
    let answer = Arc::new(Answer::new());
    if !ask(wish(answer.clone())) {
        return Err(Errno::NXIO);
    }
    // One that came as the thread ended is answered by nobody else.
    if !OPEN.load(Ordering::Acquire) {
        shut();
    }
    answer.wait()
}

/// Connects, as [`Wish::Connect`] says.
pub(super) fn connect(number: Option<u32>) -> Result<Arc<Cable>, Errno> {
    await_answer(|answer| Wish::Connect(number, answer))
}

/// Says something, as [`Wish::Say`]; it is there then.
#[cfg_attr(not(feature = "image"), allow(dead_code))]
pub(in super::super) fn say(name: &str, text: &str) -> Result<(), Errno> {
    await_answer(|answer| Wish::Say(name.into(), text.into(), answer))
}
