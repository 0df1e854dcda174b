//! A queue: takes requests of its ring, has the disk do them, and answers them when they are
//! done, in whatever order that is. One thread has it.
//!
//! What is to be written is copied from the front end before the disk is told of it, and what
//! was read is copied to it afterwards ([`pages`](super::pages)). The disk reads and writes that
//! memory itself, also where it is one of Xen's ([`memory`](super::memory)): a byte is copied once.
//!
//! A request that finds no memory is held until another is done; those behind it stay in the
//! ring.

use super::super::abi::disk;
use super::super::back_ring::BackRing;
use super::super::foreign::Granted;
use super::super::ring::Broken;
use super::done::{Done, Finished};
use super::errands::{Errand, Errands};
use super::memory::{Memory, Pool};
use super::pages::Pages;
use super::request::{self, Asked, Refusal, Segment, Transfer, Wish};
use crate::block::Shape;
use crate::block::medium::{Medium, Request};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rump_hyper::errno::Errno;

/// Requests that are taken together at most.
const TOGETHER: usize = 32;

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Job {
    id: u64,
    write: bool,
    offset: u64,
    segments: Vec<Segment>,
    memory: Memory,
    teller: Arc<Done>,
}

impl Request for Job {
    fn is_write(&self) -> bool {
        self.write
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    fn done(self: Box<Self>, result: Result<(), Errno>) {
        let teller = self.teller.clone();
        teller.tell(Finished::Job(self, result));
    }
}

impl Job {
    fn operation(&self) -> u8 {
        if self.write { disk::WRITE } else { disk::READ }
    }
}

/// What a result is to the front end.
fn status(result: Result<(), Errno>) -> i16 {
    match result {
        Ok(()) => disk::OKAY,
        Err(Errno::OPNOTSUPP) => disk::UNKNOWN,
        Err(_) => disk::ERROR,
    }
}

/// The queue.
pub(super) struct Desk<P> {
    ring: BackRing,
    pages: P,
    medium: Arc<dyn Medium>,
    shape: Shape,
    pool: Pool,
    /// Taken, and waits for memory.
    held: Option<Asked>,
    /// How many are neither answered nor held.
    under_way: usize,
    done: Arc<Done>,
    errands: Arc<Errands>,
}

impl<P: Pages> Desk<P> {
    pub(super) fn new(
        ring: BackRing,
        pages: P,
        (medium, pool): (Arc<dyn Medium>, Pool),
        done: Arc<Done>,
        errands: Arc<Errands>,
    ) -> Self {
        Self {
            ring,
            pages,
            shape: medium.shape(),
            medium,
            pool,
            held: None,
            under_way: 0,
            done,
            errands,
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Shows the front end the answers; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        self.ring.publish()
    }

    /// Asks to be told of the next request, unless one is held; whether there is one already.
    pub(super) fn ask(&self) -> Result<bool, Broken> {
        Ok(self.held.is_none() && self.ring.ask()?)
    }

    fn answer(&mut self, id: u64, operation: u8, status: i16) {
        let response = request::response(id, operation, status);
        self.ring.answer(&response);
    }

    /// Answers what is done; whether there was something.
    pub(super) fn finish(&mut self) -> bool {
        let all = self.done.take();
        let mut unread = vec![false; all.len()];
        let mut copies = Vec::new();
        for (number, finished) in all.iter().enumerate() {
            if let Finished::Job(job, Ok(())) = finished
                && !job.write
            {
                let mut rest = &job.memory[..];
                for segment in &job.segments {
                    let (from, behind) = rest.split_at(segment.len);
                    copies.push((number, segment.at, from));
                    rest = behind;
                }
            }
        }
        if !copies.is_empty() {
            self.pages.put(copies, &mut |number| unread[number] = true);
        }
        let some = !all.is_empty();
        self.under_way -= all.len();
        for (finished, unread) in all.into_iter().zip(unread) {
            match finished {
                Finished::Job(job, result) => {
                    let result = if unread { Err(Errno::IO) } else { result };
                    self.answer(job.id, job.operation(), status(result));
                    self.pool.put(job.memory);
                }
                Finished::Errand {
                    id,
                    operation,
                    result,
                } => self.answer(id, operation, status(result)),
            }
        }
        some
    }

    /// Takes requests and has them done; whether there was one.
    pub(super) fn take(&mut self) -> Result<bool, Broken> {
        let mut jobs = Vec::new();
        let mut some = false;
        while jobs.len() < TOGETHER {
            let asked = match self.held.take() {
                Some(asked) => asked,
                None => match self.ring.take()? {
                    Some(request) => request::read(self.shape, &request),
                    None => break,
                },
            };
            if !self.plan(asked, &mut jobs) {
                break;
            }
            some = true;
        }
        self.start(jobs);
        Ok(some)
    }

    /// Plans what is asked for, or holds it: false.
    fn plan(&mut self, asked: Asked, jobs: &mut Vec<Job>) -> bool {
        let Asked {
            id,
            operation,
            wish,
        } = asked;
        let wish = wish.and_then(|wish| self.look_up(wish));
        match wish {
            Err(refusal) => {
                let status = match refusal {
                    Refusal::Error => disk::ERROR,
                    Refusal::Unknown => disk::UNKNOWN,
                };
                self.answer(id, operation, status);
            }
            Ok(Wish::Transfer(transfer)) => {
                let Some(memory) = self.pool.take(transfer.len) else {
                    if self.under_way + jobs.len() == 0 {
                        // None will come.
                        self.answer(id, operation, disk::ERROR);
                        return true;
                    }
                    self.held = Some(Asked {
                        id,
                        operation,
                        wish: Ok(Wish::Transfer(transfer)),
                    });
                    return false;
                };
                let Transfer {
                    write,
                    offset,
                    segments,
                    ..
                } = transfer;
                jobs.push(Job {
                    id,
                    write,
                    offset,
                    segments,
                    memory,
                    teller: self.done.clone(),
                });
            }
            Ok(other) => {
                let discard = match other {
                    Wish::Discard { offset, len } => Some((offset, len)),
                    _ => None,
                };
                self.under_way += 1;
                self.errands.push(Errand {
                    id,
                    operation,
                    discard,
                    teller: self.done.clone(),
                });
            }
        }
        true
    }

    /// Has the segments copied that are in a page of the front end's.
    fn look_up(&mut self, wish: Wish) -> Result<Wish, Refusal> {
        let Wish::Indirect {
            write,
            first,
            grant,
            count,
        } = wish
        else {
            return Ok(wish);
        };
        let mut segments = vec![0; count * disk::SEGMENT];
        let mut copied = true;
        let from = Granted { grant, offset: 0 };
        let copies = vec![(0, from, &mut segments[..])];
        self.pages.take(copies, &mut |_| copied = false);
        if !copied {
            return Err(Refusal::Error);
        }
        request::transfer(self.shape, write, first, &segments).map(Wish::Transfer)
    }

    /// Copies what is to be written, and starts all.
    fn start(&mut self, mut jobs: Vec<Job>) {
        let mut copied = vec![true; jobs.len()];
        let mut copies = Vec::new();
        for (number, job) in jobs.iter_mut().enumerate() {
            if !job.write {
                continue;
            }
            let Job {
                memory, segments, ..
            } = job;
            let mut rest = &mut memory[..];
            for segment in segments {
                let (to, behind) = rest.split_at_mut(segment.len);
                copies.push((number, segment.at, to));
                rest = behind;
            }
        }
        if !copies.is_empty() {
            self.pages
                .take(copies, &mut |number| copied[number] = false);
        }
        let mut requests: Vec<Box<dyn Request>> = Vec::with_capacity(jobs.len());
        for (job, copied) in jobs.into_iter().zip(copied) {
            if copied {
                requests.push(Box::new(job));
            } else {
                self.answer(job.id, job.operation(), disk::ERROR);
                self.pool.put(job.memory);
            }
        }
        self.under_way += requests.len();
        if !requests.is_empty() {
            self.medium.start(requests);
        }
    }
}
