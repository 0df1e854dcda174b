//! Sleeping on the address of a word.

use super::queue::List;
use super::timer::Sleeper;
use super::{Thread, ThreadRef, current, give_way, next, wake};
use crate::cpu::{self, Interrupts};
use crate::memory::copy;
use crate::sync::Lock;
use core::sync::atomic::{AtomicU32, Ordering};

const BUCKETS: usize = 256;

static TABLE: [Lock<List>; BUCKETS] = [const { Lock::new(List::new()) }; BUCKETS];

fn bucket(address: u64) -> &'static Lock<List> {
    // Fibonacci hashing: words lie at multiples of 4.
    &TABLE[(address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % BUCKETS]
}

/// Sleeps while the word is what is expected, until [`unpark`] is called on its address or
/// the monotonic clock has come to the deadline. Comparing and going to sleep are one step.
/// May return for no reason; returns false only when the deadline has passed.
pub fn park(word: &AtomicU32, expected: u32, deadline_ns: Option<u64>) -> bool {
    let address = core::ptr::from_ref(word).addr() as u64;
    park_if(address, deadline_ns, || {
        word.load(Ordering::SeqCst) == expected
    })
}

/// The same for the address of a word of the program's, which may not be there: that is as
/// if it were something else.
pub fn park_at(address: u64, expected: u32, deadline_ns: Option<u64>) -> bool {
    park_if(address, deadline_ns, || copy::load(address) == Ok(expected))
}

/// Sleeps until a time of the monotonic clock.
pub fn sleep_until(deadline_ns: u64) {
    let word = AtomicU32::new(0);
    while park(&word, 0, Some(deadline_ns)) {}
}

/// Sleeps on an address if `stays` says so under the lock of its bucket.
fn park_if(address: u64, deadline_ns: Option<u64>, stays: impl FnOnce() -> bool) -> bool {
    let _off = Interrupts::off();
    let cpu = cpu::current();
    let mut list = bucket(address).lock();
    if !stays() {
        return true;
    }
    let this = current();
    this.parked_on.store(address, Ordering::Relaxed);
    this.timed_out.set(false);
    let sleep = this.sleeps.get() + 1;
    this.sleeps.set(sleep);
    this.timer.set(None);
    if let Some(deadline) = deadline_ns {
        this.timer.set(Some((cpu.index, deadline)));
        let sleeper = Sleeper {
            thread: this.clone(),
            address,
            sleep,
        };
        cpu.sched.timers.lock().add(deadline, sleeper);
    }
    list.push(this);
    drop(list);
    next(cpu);
    // Woken: whoever took it off the list has written it before.
    !super::with_current(|this| this.timed_out.get())
}

/// Wakes up to `count` threads that sleep on an address, those first that slept first.
/// Returns how many. The address is not looked at.
///
/// If one of them comes before the caller, it runs first; where interrupts are off that is
/// left to the handler of an interrupt, which looks at its end.
pub fn unpark(address: u64, count: usize) -> usize {
    let mut woken = 0;
    while woken < count {
        let found = bucket(address)
            .lock()
            .remove(|thread| thread.parked_on.load(Ordering::Relaxed) == address);
        match found {
            Some(thread) => rouse(thread),
            None => break,
        }
        woken += 1;
    }
    if woken > 0 {
        give_way();
    }
    woken
}

/// Wakes this thread if it sleeps, for no reason of its own. Returns whether it did.
pub fn unpark_thread(thread: &Thread) -> bool {
    let address = thread.parked_on.load(Ordering::Relaxed);
    let found = bucket(address)
        .lock()
        .remove(|other| core::ptr::eq(other, thread));
    let was_there = found.is_some();
    if let Some(thread) = found {
        rouse(thread);
        give_way();
    }
    was_there
}

/// A thread that was taken off its list has a timer no more, and runs.
fn rouse(thread: ThreadRef) {
    if let Some((cpu, deadline)) = thread.timer.take()
        && let Some(cpu) = cpu::data::all().nth(cpu)
    {
        cpu.sched.timers.lock().remove(deadline, thread.id());
    }
    wake(thread);
}

/// The time of a sleeper has come. It may have been woken, and sleep again, since its timer
/// was taken out.
pub(super) fn time_out(sleeper: &Sleeper) {
    let found = bucket(sleeper.address).lock().remove(|thread| {
        core::ptr::eq(thread, &*sleeper.thread) && thread.sleeps.get() == sleeper.sleep
    });
    if let Some(thread) = found {
        thread.timed_out.set(true);
        thread.timer.set(None);
        wake(thread);
    }
}
