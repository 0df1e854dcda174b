//! A network interface of another domain's (io/netif.h): the back end of its front end, as
//! what is behind an interface of the kernel.
//!
//! ```text
//! the front end's requests to send    -> [`from`]: copied by Xen -> the kernel receives
//! its requests to receive             <- [`to`]: copied by Xen   <- the kernel sends
//! ```
//!
//! It has queues, each with a pair of rings, an event channel and a thread of the kernel's; and
//! if the front end wants to say which frames go to which queue, a control ring ([`control`]). The
//! rings are mapped; frames are copied by Xen ([`foreign`](super::foreign)), so that each byte of
//! the front end's is read once and stays as it was checked. It is there while its front end is
//! connected ([`back`](super::back)), and takes its pages out of the mappings when it is dropped.
//!
//! # What a front end can do
//! All that it writes is checked in [`said`], [`packet`], [`control`] and [`BackRing`]; what makes
//! no sense ends this interface's link, and nothing else. Nobody waits for it: a frame that it has no room for is
//! lost. An event masks its port until the thread of this interface has looked, which sleeps
//! for a while if it has looked in vain a few times.
//!
//! # What is known to be weak
//! - What the kernel sends is copied twice: into memory that Xen can be told of, and by Xen.

mod control;
mod from;
mod groups;
mod hash;
mod packet;
mod said;
mod to;

use super::abi::net;
use super::back_ring::BackRing;
use super::device::Problem;
use super::event::Channel;
use super::foreign::Mapping;
use super::hypercall::Refused;
use super::store::Store;
use crate::net::counters::Counters;
use crate::process::lock::Mutex;
use crate::{sched, time};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use control::Control;
use core::sync::atomic::{AtomicBool, Ordering};
use groups::Groups;
use hash::{Hash, Hashing};
use packet::Nonsense;
#[cfg(test)]
pub(super) use packet::Packet;
use rump_hyper::errno::Errno;
use rump_hyper::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use said::{Ends, Said};

/// How often an event may come for nothing before it is slept for a while, and how long.
const IN_VAIN: u32 = 8;
const WHILE_NS: u64 = 2_000_000;

/// Queues at most. Each has a thread, an interrupt vector and buffers of its own.
const QUEUES: usize = 8;

/// The interface.
#[derive(Debug)]
pub(crate) struct Netback {
    /// Where it is in xenstore, for messages.
    path: String,
    queues: Vec<Queue>,
    /// Which frames go to which; changed by the control ring, if there is one.
    hashing: Arc<Mutex<Hashing>>,
    groups: Mutex<Groups>,
    _control: Option<Control>,
    offers: Offloads,
    address: [u8; 6],
    link: AtomicBool,
    counters: Counters,
}

/// A queue.
#[derive(Debug)]
struct Queue {
    from: Mutex<from::From>,
    to: Mutex<to::To>,
    channel: Channel,
    woken: AtomicBool,
    // The pages of the rings, for as long as these are used.
    _mappings: [Mapping; 2],
}

/// The address of our end of a link whose other end has this one: Xen's tools give out those
/// that begin with 00, which ours then differs from by being a local one.
fn other_end(mut address: [u8; 6]) -> [u8; 6] {
    const LOCAL: u8 = 2;
    address[0] ^= LOCAL;
    address
}

impl Netback {
    /// What is offered in xenstore, whatever the machine is.
    pub(super) const FEATURES: [(&str, &str); 9] = [
        ("feature-rx-copy", "1"),
        ("feature-rx-flip", "0"),
        ("feature-sg", "1"),
        ("feature-gso-tcpv4", "1"),
        ("feature-gso-tcpv6", "1"),
        ("feature-ipv6-csum-offload", "1"),
        ("feature-split-event-channels", "0"),
        ("feature-ctrl-ring", "1"),
        ("feature-multicast-control", "1"),
    ];

    /// How many queues are offered (`multi-queue-max-queues`): one for each CPU, as more have
    /// nobody to serve them; but two where there is one, by which a front end's own CPUs do not
    /// wait for each other.
    pub(super) fn most_queues() -> u32 {
        crate::cpu::data::count().clamp(2, QUEUES) as u32
    }

    /// Connects to a front end of a domain, which has written all that it has to. `path` is
    /// ours, `front` its.
    pub(super) fn new(
        store: &mut Store,
        domain: u16,
        path: &str,
        front: &str,
    ) -> Result<Self, Problem> {
        let text = store.read(&format!("{path}/mac"))?;
        let address = super::netfront::ethernet(&text).ok_or(Problem::Value("mac", text))?;
        let number = |name: &str| Ok(store.number::<u32>(&format!("{front}/{name}"))?);
        let said = Said::read(Self::most_queues(), number)?;
        let queues = said.queues.iter();
        let queues = queues.map(|ends| Queue::new(domain, *ends, said.takes.scattered));
        let queues = queues.collect::<Result<Vec<_>, _>>()?;
        let hashing = Arc::new(Mutex::new(Hashing::new(queues.len() as u32)));
        let control = said
            .control
            .map(|ends| Control::new(domain, ends, Arc::clone(&hashing), path.into()))
            .transpose()?;
        let back = Self {
            path: path.into(),
            queues,
            hashing,
            groups: Mutex::new(Groups::new(said.has_groups)),
            _control: control,
            offers: said.takes.offloads() | Offloads::RX,
            address: other_end(address),
            link: AtomicBool::new(true),
            counters: Counters::default(),
        };
        for queue in &back.queues {
            queue.channel.notify();
        }
        Ok(back)
    }

    /// The Ethernet address of our end.
    pub(super) fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Nothing that comes from there is believed any more.
    fn distrust<T>(&self, result: Result<T, Nonsense>) -> Option<T> {
        if result.is_err() && self.link.swap(false, Ordering::AcqRel) {
            let path = &self.path;
            crate::say!("rumprun: {path}: its front end writes nonsense; it is not used any more");
            // So that the kernel hears of it.
            self.wake();
        }
        result.ok()
    }

    /// Which queue each frame goes to, and its hash; `None` for what it does not want to hear of.
    fn places(&self, frames: &[Transmit<'_>]) -> Vec<Option<(usize, Option<Hash>)>> {
        let (hashing, groups) = (self.hashing.lock(), self.groups.lock());
        let place = |frame: &Transmit<'_>| {
            let mut to = [0; 6];
            let is_wanted = groups.is_all() || {
                frame.copy_to(&mut to);
                groups.wants(to)
            };
            is_wanted.then(|| hashing.queue(frame))
        };
        frames.iter().map(place).collect()
    }

    /// Sends frames that go to a queue, each with its hash, and returns how many were taken.
    fn send_to<'a, 'b: 'a>(
        &self,
        queue: &Queue,
        frames: impl Iterator<Item = (&'a Transmit<'b>, Option<Hash>)>,
    ) -> usize {
        let mut to = queue.to.lock();
        let taken = to.give(frames);
        let tell = to.publish();
        drop(to);
        queue.tell(tell);
        self.distrust(taken).unwrap_or(0)
    }
}

impl Queue {
    fn new(domain: u16, ends: Ends, scattered: bool) -> Result<Self, Problem> {
        let channel = Channel::of_other(domain, ends.port)?;
        let [sends, receives] =
            [ends.sends, ends.receives].map(|number| Mapping::new(domain, number));
        let (sends, receives) = (sends?, receives?);
        let ring = |mapping: &Mapping, size| {
            let ring = BackRing::new(mapping.page(), size);
            ring.waiting().map(|_| ring).map_err(|_| {
                Problem::Value(
                    "ring-ref",
                    String::from("a ring whose indexes make no sense"),
                )
            })
        };
        let from = from::From::new(domain, ring(&sends, net::SEND)?);
        let to = to::To::new(domain, ring(&receives, net::RECEIVE)?, scattered);
        Ok(Self {
            from: Mutex::new(from),
            to: Mutex::new(to.ok_or(Refused(super::NO_MEMORY))?),
            channel,
            woken: AtomicBool::new(false),
            _mappings: [sends, receives],
        })
    }

    fn tell(&self, wants: bool) {
        if wants {
            self.channel.notify();
        }
    }
}

impl Backend for Netback {
    fn offers(&self) -> Offloads {
        self.offers
    }

    fn queues(&self) -> usize {
        self.queues.len()
    }

    fn link(&self) -> bool {
        self.link.load(Ordering::Acquire)
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        let queue = self.queues.get(queue).ok_or(Errno::INVAL)?;
        let mut in_vain = 0;
        loop {
            if queue.woken.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            let mut waiting = false;
            if self.link() {
                let mut from = queue.from.lock();
                let lost = from.take(batch, &self.groups);
                let tell = from.publish();
                let asked = match lost {
                    Ok(_) if batch.is_empty() => from.ask(),
                    _ => Ok(false),
                };
                drop(from);
                queue.tell(tell);
                if let Some(lost) = self.distrust(lost) {
                    let came = batch.frames().len() as u64;
                    self.counters.received.fetch_add(came, Ordering::Relaxed);
                    self.counters
                        .receive_drops
                        .fetch_add(lost, Ordering::Relaxed);
                }
                waiting = self.distrust(asked).unwrap_or(false);
            }
            if !batch.is_empty() {
                return Ok(());
            }
            if waiting {
                continue;
            }
            if in_vain > IN_VAIN {
                sched::sleep_until(time::monotonic_ns() + WHILE_NS);
            }
            in_vain += 1;
            queue.channel.rearm();
            if queue.channel.line().wait(None).is_none() {
                return Ok(());
            }
        }
    }

    /// The kernel has one queue; which of the front end's a frame goes to follows from it.
    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut sent = 0;
        if self.link() {
            let to = self.places(frames);
            // What it does not want to hear of is not lost.
            sent = to.iter().filter(|place| place.is_none()).count();
            for (number, queue) in self.queues.iter().enumerate() {
                let own = frames
                    .iter()
                    .zip(&to)
                    .filter_map(|(frame, place)| match place {
                        Some((to, hash)) if *to == number => Some((frame, *hash)),
                        _ => None,
                    });
                if own.clone().next().is_some() {
                    sent += self.send_to(queue, own);
                }
            }
        }
        self.counters.sent_of(sent, frames.len());
        Ok(sent)
    }

    fn wake(&self) {
        for queue in &self.queues {
            queue.woken.store(true, Ordering::Release);
            queue.channel.line().fire();
        }
    }

    fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_has_another_address() {
        assert_eq!(
            other_end([0, 0x16, 0x3e, 1, 2, 3]),
            [2, 0x16, 0x3e, 1, 2, 3]
        );
    }
}
