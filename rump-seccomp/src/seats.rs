//! Which [`Seat`] receives the next call.
//!
//! A seat that has to wait in a call lets another listen, which is set up if there is none, so
//! that calls that wait keep none from being answered.

use crate::listener::Listener;
use crate::seat::Seat;
use crate::supervisor::Shared;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The most seats that listen at a time.
const EARS: usize = 4;
/// How many that do not are kept.
const SPARE: usize = 4;

/// The seats of a listener. Some of them at a time *listen*: receive calls and answer them,
/// until they have to wait in one. Then others listen. So calls that do not wait are answered
/// without anything being handed from thread to thread, and Linux, which wakes all threads
/// that receive, wakes few.
pub(crate) struct Seats {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: Arc<Listener>,
    turn: Mutex<Turn>,
    changed: Condvar,
}

struct Turn {
    /// How many more may listen.
    free: usize,
    /// How many wait for that.
    spare: usize,
    /// There is nobody left to listen to.
    over: bool,
}

impl Seats {
    /// Sets the first ones up.
    pub(crate) fn start(shared: Arc<Shared>, listener: Arc<Listener>) -> io::Result<()> {
        // The programs need a processor, too.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let ears = processors.saturating_sub(1).clamp(1, EARS);
        let seats = Arc::new(Self {
            shared,
            listener,
            turn: Mutex::new(Turn {
                free: ears,
                spare: 0,
                over: false,
            }),
            changed: Condvar::new(),
        });
        (0..ears).try_for_each(|_| seats.add())
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>) -> io::Result<()> {
        let seats = self.clone();
        std::thread::Builder::new()
            .name("rump-seat".into())
            .spawn(move || {
                (seats.shared.enter)();
                seats.serve();
            })
            .map(drop)
    }

    /// Waits until this seat may listen; false if it is not needed any more.
    fn take_turn(&self) -> bool {
        let mut turn = self.turn();
        if turn.free == 0 && turn.spare >= SPARE {
            return false;
        }
        turn.spare += 1;
        while turn.free == 0 && !turn.over {
            let waited = self.changed.wait(turn);
            turn = waited.unwrap_or_else(PoisonError::into_inner);
        }
        turn.spare -= 1;
        turn.free = turn.free.saturating_sub(1);
        !turn.over
    }

    /// Lets another listen.
    pub(crate) fn pass_turn(self: &Arc<Self>) {
        let mut turn = self.turn();
        turn.free += 1;
        if turn.spare > 0 {
            self.changed.notify_one();
            return;
        }
        drop(turn);
        if let Err(error) = self.add() {
            tracing::warn!(%error, "calls wait for each other: no more threads");
        }
    }

    fn end(&self) {
        self.turn().over = true;
        self.changed.notify_all();
    }

    fn serve(self: Arc<Self>) {
        let seat = Seat::new(self.clone());
        loop {
            if !seat.listens() {
                if !self.take_turn() {
                    return;
                }
                seat.listen();
            }
            match self.listener.receive() {
                Ok(Some(notification)) => {
                    let answer = seat.answer(&notification);
                    self.listener.answer(notification.id, answer);
                }
                Ok(None) => return self.end(),
                Err(error) => {
                    tracing::error!(%error, "no more calls of programs are answered");
                    return self.end();
                }
            }
        }
    }
}
