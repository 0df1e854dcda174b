//! Models of whose turn it is to wait for a vector.
//!
//! A device answers at once; what is checked is that somebody always waits for its
//! interrupts while somebody waits for an answer, and never two at a time.

use crate::host::{LoomHost as H, model};
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use rump_hyper::pci::turn::Turn;

#[derive(Default)]
struct State {
    asked: usize,
    answered: usize,
    /// How many sleep, each for what was asked up to then.
    asleep: Vec<usize>,
    over: bool,
}

struct Device {
    turn: Turn,
    state: Mutex<State>,
    /// Who waits for the vector, and who for an answer.
    vector: Condvar,
    answer: Condvar,
    handler: UnsafeCell<()>,
}

// SAFETY: that one thread at a time is in the handler is what is tested.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Waits for an interrupt and handles it; false at the end.
    fn serve(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        while state.asked == state.answered && !state.over {
            state = self.vector.wait(state).unwrap();
        }
        let over = state.over;
        drop(state);
        self.handler.with_mut(|_| thread::yield_now());
        let mut state = self.state.lock().unwrap();
        state.answered = state.asked;
        for _ in std::mem::take(&mut state.asleep) {
            self.turn.leave::<H>(false, false);
        }
        drop(state);
        self.answer.notify_all();
        !over
    }

    fn own(&self) {
        while self.serve() {
            self.turn.pass::<H>();
        }
    }

    /// Asks for something and waits for it.
    fn guest(&self) {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.asked += 1;
            state.asked
        };
        self.vector.notify_all();
        let turn = self.turn.come();
        if turn {
            while self.state.lock().unwrap().answered < number {
                self.serve();
            }
            self.turn.leave::<H>(true, false);
            return;
        }
        let mut state = self.state.lock().unwrap();
        if state.answered < number {
            state.asleep.push(number);
            while state.answered < number {
                state = self.answer.wait(state).unwrap();
            }
        } else {
            self.turn.leave::<H>(false, false);
        }
    }

    fn run(guests: usize, times: usize) {
        let device = Arc::new(Device {
            turn: Turn::new(),
            state: Mutex::new(State::default()),
            vector: Condvar::new(),
            answer: Condvar::new(),
            handler: UnsafeCell::new(()),
        });
        let own = {
            let device = device.clone();
            thread::spawn(move || device.own())
        };
        let others: Vec<_> = (1..guests)
            .map(|_| {
                let device = device.clone();
                thread::spawn(move || device.guest())
            })
            .collect();
        for _ in 0..times {
            device.guest();
        }
        for other in others {
            other.join().unwrap();
        }
        device.state.lock().unwrap().over = true;
        device.vector.notify_all();
        own.join().unwrap();
    }
}

#[test]
fn a_guest_is_let_in_and_is_always_told() {
    model(|| Device::run(1, 3));
}

#[test]
fn two_guests_are_told() {
    model(|| Device::run(2, 2));
}
