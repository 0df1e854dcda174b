//! What a reactor knows of one descriptor: whether it is ready, and who waits.
//!
//! Events are edges: the kernel tells once that something has changed. So a source is taken
//! to be ready until a call on it says otherwise, and the number of the last event
//! (`edge`) tells whether one came between that call and its being noted down here.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How many calls a task makes in a row before others have to be let run.
const STREAK: u32 = 128;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// One direction of a source.
#[derive(Debug)]
struct State {
    ready: bool,
    /// How many events there were.
    edge: u64,
    /// The kernel was asked to tell.
    registered: bool,
    /// Nobody will hear of it any more.
    ended: bool,
    /// How many calls there were since one would have blocked.
    streak: u32,
    /// The task that polls by itself (`poll_read` and the like): there is one at a time.
    polling: Option<Waker>,
    /// Those that wait in a future of their own, by a number of theirs.
    waiting: Vec<(u64, Waker)>,
}

impl State {
    const fn new() -> Self {
        Self {
            ready: true,
            edge: 0,
            registered: false,
            ended: false,
            streak: 0,
            polling: None,
            waiting: Vec::new(),
        }
    }

    fn wait(&mut self, waiter: Option<u64>, waker: &Waker) {
        let place = match waiter {
            None => &mut self.polling,
            Some(number) => {
                match self.waiting.iter_mut().find(|(own, _)| *own == number) {
                    Some((_, place)) => place.clone_from(waker),
                    None => self.waiting.push((number, waker.clone())),
                }
                return;
            }
        };
        match place {
            Some(place) => place.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }
}

/// A descriptor in a reactor.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) key: usize,
    read: Mutex<State>,
    write: Mutex<State>,
}

impl Source {
    pub(super) const fn new(key: usize) -> Self {
        Self {
            key,
            read: Mutex::new(State::new()),
            write: Mutex::new(State::new()),
        }
    }

    fn state(&self, direction: Direction) -> MutexGuard<'_, State> {
        let state = match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        };
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has happened.
    pub(super) fn event(&self, direction: Direction) {
        let mut state = self.state(direction);
        state.ready = true;
        state.edge += 1;
        let (polling, waiting) = (state.polling.take(), std::mem::take(&mut state.waiting));
        drop(state);
        if let Some(waker) = polling {
            waker.wake();
        }
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// There will be no more events.
    pub(super) fn end(&self) {
        for direction in [Direction::Read, Direction::Write] {
            self.state(direction).ended = true;
            self.event(direction);
        }
    }

    /// Which directions the kernel was asked to tell of.
    pub(super) fn registered(&self) -> impl Iterator<Item = Direction> {
        [Direction::Read, Direction::Write]
            .into_iter()
            .filter(|direction| self.state(*direction).registered)
    }

    /// Makes a call that does not block, now or when there is a reason to. `register` asks
    /// the kernel to tell of this direction, and is called once, when a call first would
    /// have blocked: what has changed by then the kernel tells at once.
    pub(super) fn poll<R>(
        &self,
        direction: Direction,
        waiter: Option<u64>,
        context: &mut Context<'_>,
        register: impl Fn() -> io::Result<()>,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let edge = {
                let mut state = self.state(direction);
                if !state.ready {
                    state.wait(waiter, context.waker());
                    return Poll::Pending;
                }
                state.streak += 1;
                if state.streak > STREAK {
                    state.streak = 0;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                state.edge
            };
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return Poll::Ready(result),
            }
            let mut state = self.state(direction);
            state.streak = 0;
            if state.ended {
                let what = "the socket's reactor was dropped: nobody can wait for it";
                return Poll::Ready(Err(io::Error::other(what)));
            }
            if !state.registered {
                register()?;
                state.registered = true;
            }
            if state.edge == edge {
                state.ready = false;
            }
        }
    }

    /// A future is dropped.
    pub(super) fn forget(&self, direction: Direction, waiter: u64) {
        let mut state = self.state(direction);
        state.waiting.retain(|(number, _)| *number != waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn blocks() -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[test]
    fn a_call_is_made_at_once_and_again_after_an_event() {
        let (source, count) = (Source::new(1), Arc::new(Count::default()));
        let waker = count.clone().into();
        let mut context = Context::from_waker(&waker);
        let (calls, registrations) = (Cell::new(0), Cell::new(0));
        let mut poll = |result: fn() -> io::Result<()>| {
            let register = || {
                registrations.set(registrations.get() + 1);
                Ok(())
            };
            source.poll(Direction::Read, None, &mut context, register, || {
                calls.set(calls.get() + 1);
                result()
            })
        };
        assert!(poll(blocks).is_pending());
        assert!(poll(blocks).is_pending());
        assert_eq!(
            (calls.get(), registrations.get()),
            (1, 1),
            "not ready, so not called"
        );
        source.event(Direction::Write);
        assert!(poll(blocks).is_pending());
        assert_eq!((calls.get(), count.0.load(Ordering::Relaxed)), (1, 0));
        source.event(Direction::Read);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll(|| Ok(())).is_ready());
        assert_eq!((calls.get(), registrations.get()), (2, 1));
    }

    #[test]
    fn an_event_during_the_call_is_not_lost() {
        let source = Source::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let mut calls = 0;
        let result = source.poll(
            Direction::Write,
            None,
            &mut context,
            || Ok(()),
            || {
                calls += 1;
                if calls == 1 {
                    source.event(Direction::Write);
                    return blocks();
                }
                Ok(())
            },
        );
        assert!(result.is_ready() && calls == 2);
    }

    #[test]
    fn all_who_wait_are_woken_and_who_left_is_not() {
        let source = Source::new(1);
        let counts: Vec<_> = (0..4).map(|_| Arc::new(Count::default())).collect();
        for (number, count) in counts.iter().enumerate() {
            let waker = count.clone().into();
            let mut context = Context::from_waker(&waker);
            let waiter = (number > 0).then_some(number as u64);
            // Twice: the second replaces the first.
            for _ in 0..2 {
                let result = source.poll(Direction::Read, waiter, &mut context, || Ok(()), blocks);
                assert!(result.is_pending());
            }
        }
        source.forget(Direction::Read, 2);
        source.event(Direction::Read);
        let woken: Vec<_> = counts
            .iter()
            .map(|count| count.0.load(Ordering::Relaxed))
            .collect();
        assert_eq!(woken, [1, 1, 0, 1]);
    }

    #[test]
    fn others_run_after_many_calls() {
        let (source, count) = (Source::new(1), Arc::new(Count::default()));
        let waker = count.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut calls = 0;
        for round in 1..=3 {
            while source
                .poll(
                    Direction::Read,
                    None,
                    &mut context,
                    || Ok(()),
                    || {
                        calls += 1;
                        Ok(())
                    },
                )
                .is_ready()
            {}
            assert_eq!(calls, round * STREAK);
            assert_eq!(count.0.load(Ordering::Relaxed), round as usize);
        }
    }

    #[test]
    fn nobody_waits_for_ever_when_it_has_ended() {
        let (source, count) = (Source::new(1), Arc::new(Count::default()));
        let waker = count.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut poll = |call| source.poll(Direction::Read, None, &mut context, || Ok(()), call);
        assert!(poll(blocks as fn() -> _).is_pending());
        source.end();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        for _ in 0..2 {
            assert!(matches!(poll(blocks), Poll::Ready(Err(_))));
            assert!(matches!(poll(|| Ok(())), Poll::Ready(Ok(()))));
        }
    }
}
