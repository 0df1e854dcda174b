//! Sleeping on words of the program's memory: futex(2).
//!
//! A thread that waits is on the list of the word's address, and sleeps on a word of its
//! own ([`Task::sleep`]), which whoever wakes it sets: so a signal wakes it as well as a
//! `FUTEX_WAKE` does, and neither is lost. The word is compared under the lock of the list.
//!
//! There is one program, so that private and shared words are the same.

use super::copy::{self, Result};
use super::task::{Task, Woken};
use crate::sync::Lock;
use crate::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

struct Waiter {
    address: u64,
    /// Those that only wake-ups with a common bit wake.
    bits: u32,
    task: Arc<Task>,
}

const LISTS: usize = 64;

static TABLE: [Lock<Vec<Waiter>>; LISTS] = [const { Lock::new(Vec::new()) }; LISTS];

fn list(address: u64) -> &'static Lock<Vec<Waiter>> {
    &TABLE[(address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % LISTS]
}

const ANY: u32 = u32::MAX;

/// The call.
pub fn futex(task: &Arc<Task>, args: &Args) -> Result<i64> {
    let operation = args[1] as u32;
    let address = args[0];
    let value = args[2] as u32;
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let command = operation & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    match command {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            let bits = if command == FUTEX_WAIT {
                ANY
            } else {
                args[5] as u32
            };
            let deadline = match args[3] {
                0 => None,
                at => {
                    let time = copy::time(at)?;
                    Some(if command == FUTEX_WAIT {
                        time::monotonic_ns().saturating_add(time)
                    } else if operation & FUTEX_CLOCK_REALTIME != 0 {
                        super::clock::deadline_of_wall(time)
                    } else {
                        time
                    })
                }
            };
            wait(task, address, value, bits, deadline)
        }
        FUTEX_WAKE => Ok(wake(address, value, ANY) as i64),
        FUTEX_WAKE_BITSET => Ok(wake(address, value, args[5] as u32) as i64),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            if command == FUTEX_CMP_REQUEUE && copy::get::<u32>(address)? != args[5] as u32 {
                return Err(Errno::EAGAIN);
            }
            requeue(address, value, args[4], args[3] as u32)
        }
        FUTEX_WAKE_OP => {
            let fulfilled = operate(args[4], args[5] as u32)?;
            let mut woken = wake(address, value, ANY);
            if fulfilled {
                woken += wake(args[4], args[3] as u32, ANY);
            }
            Ok(woken as i64)
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn wait(
    task: &Arc<Task>,
    address: u64,
    expected: u32,
    bits: u32,
    deadline: Option<u64>,
) -> Result<i64> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    // Its page may have to come first, which is not for under a lock.
    copy::get::<u32>(address)?;
    {
        let mut list = list(address).lock();
        if copy::get::<u32>(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        task.prepare();
        list.push(Waiter {
            address,
            bits,
            task: task.clone(),
        });
    }
    let woken = task.sleep(deadline);
    if woken == Woken::ByWaker {
        return Ok(0);
    }
    // Whoever takes it out of the list has woken it.
    let mut list = list_of(task, address);
    let at = list
        .iter()
        .position(|waiter| Arc::ptr_eq(&waiter.task, task));
    match at {
        Some(at) => {
            list.remove(at);
            match woken {
                Woken::BySignal => Err(Errno::EINTR),
                _ => Err(Errno::ETIMEDOUT),
            }
        }
        None => Ok(0),
    }
}

/// The list that a thread is on, if it still is: it may have been moved.
fn list_of(task: &Arc<Task>, address: u64) -> crate::sync::Guard<'static, Vec<Waiter>> {
    let first = list(address).lock();
    let here = |list: &Vec<Waiter>| list.iter().any(|waiter| Arc::ptr_eq(&waiter.task, task));
    if here(&first) {
        return first;
    }
    drop(first);
    for other in &TABLE {
        let other = other.lock();
        if here(&other) {
            return other;
        }
    }
    list(address).lock()
}

/// Wakes as many as that; how many it were.
pub fn wake(address: u64, most: u32, bits: u32) -> usize {
    let mut list = list(address).lock();
    let mut woken = 0;
    list.retain(|waiter| {
        let wakes = waiter.address == address && waiter.bits & bits != 0 && woken < most as usize;
        if wakes {
            woken += 1;
            waiter.task.wake();
        }
        !wakes
    });
    woken
}

/// Wakes some, and has others wait for another word.
fn requeue(from: u64, most: u32, to: u64, others: u32) -> Result<i64> {
    if !to.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let woken = wake(from, most, ANY);
    let mut moved = Vec::new();
    {
        let mut list = list(from).lock();
        let mut at = 0;
        while at < list.len() && moved.len() < others as usize {
            if list[at].address == from {
                let mut waiter = list.remove(at);
                waiter.address = to;
                moved.push(waiter);
            } else {
                at += 1;
            }
        }
    }
    // Who is in neither list for a moment and is woken by a signal finds itself woken.
    let count = moved.len();
    list(to).lock().append(&mut moved);
    Ok((woken + count) as i64)
}

/// `FUTEX_WAKE_OP`: changes a word, and tells whether what it was compares as asked.
fn operate(address: u64, coded: u32) -> Result<bool> {
    // Signed, of twelve bits each.
    let signed = |bits: u32| ((bits << 20) as i32) >> 20;
    let (operation, compare) = (coded >> 28 & 7, coded >> 24 & 15);
    let mut by = signed(coded >> 12 & 0xfff);
    let against = signed(coded & 0xfff);
    if coded >> 28 & 8 != 0 {
        by = 1_i32.wrapping_shl(by as u32);
    }
    copy::get::<u32>(address)?;
    // All that change it by this call have this lock.
    let _list = list(address).lock();
    let old = copy::get::<i32>(address)?;
    let new = match operation {
        FUTEX_OP_SET => by,
        FUTEX_OP_ADD => old.wrapping_add(by),
        FUTEX_OP_OR => old | by,
        FUTEX_OP_ANDN => old & !by,
        FUTEX_OP_XOR => old ^ by,
        _ => return Err(Errno::ENOSYS),
    };
    copy::put(&new, address)?;
    Ok(match compare {
        FUTEX_OP_CMP_EQ => old == against,
        FUTEX_OP_CMP_NE => old != against,
        FUTEX_OP_CMP_LT => old < against,
        FUTEX_OP_CMP_LE => old <= against,
        FUTEX_OP_CMP_GT => old > against,
        FUTEX_OP_CMP_GE => old >= against,
        _ => return Err(Errno::ENOSYS),
    })
}
