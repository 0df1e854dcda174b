//! A worker hands over to the next.
//!
//! First the next one gets the memory of all cables, and reads the ledger, while this one goes on
//! serving; applications that come or go wait meanwhile. When the next one says that it is
//! prepared, this one's threads end after what they have in hand; then nothing is under way but
//! in the rings and in the NICs' queues, which the next one goes on with. Cables keep their
//! memory, and applications notice nothing. What claims and leases there are is in the ledger;
//! what is remembered of packets in parts, and who has asked for echoes, is handed over.

use super::control::Control;
use super::{Cable, Limits};
use crate::link::Link;
use crate::messages::{CountersOf, FromWorker, Handover};
use crate::table::Slot;
use rump_hyper::linux::cable::{End, Shape, Socket, State};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the other worker may keep one waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that another worker has handed over.
pub(super) type Handed = Vec<(Handover, Vec<OwnedFd>)>;

/// A worker that is to take over.
pub(super) struct Heir {
    from: Link,
    cables: HashMap<u128, End>,
}

impl Heir {
    /// Waits for the memory of all cables. The other goes on serving until this one is
    /// [prepared](Self::take_over), but changes nothing in the ledger any more.
    pub(super) fn of(from: Link) -> io::Result<Self> {
        let mut cables = HashMap::new();
        loop {
            let (message, files) = from.receive()?;
            // The first comes when the other is told to; the rest at once.
            from.set_patience(PATIENCE)?;
            match (message, files.into_iter().next()) {
                (Handover::Cable { ticket, shape }, Some(memory)) => {
                    let shape = Shape::new(shape.0, shape.1).ok_or(io::ErrorKind::InvalidData)?;
                    cables.insert(ticket, End::succeed(memory, shape)?);
                }
                (Handover::Prepared, None) => return Ok(Self { from, cables }),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Says that this one is prepared, and waits for all that is handed over.
    pub(super) fn take_over(&self) -> io::Result<Handed> {
        self.from.send(&Handover::Prepared, &[])?;
        let mut handed = Handed::new();
        loop {
            let message = self.from.receive()?;
            let last = matches!(message.0, Handover::End { .. });
            handed.push(message);
            if last {
                return Ok(handed);
            }
        }
    }
}

/// What this machine's clock says, which all processes share.
fn clock() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000
    })
}

impl Control {
    /// Hands all over. Afterwards this worker is of no more use.
    pub(super) fn hand_over(&mut self, to: &Link) -> io::Result<()> {
        self.prepare(to)?;
        let stopped = clock();
        self.stop_threads();
        let shared = self.shared.clone();
        let table = shared.read();
        let now = Instant::now();
        for (slot, application) in table.applications() {
            let Some(cable) = &application.end else {
                continue;
            };
            let message = Handover::Application {
                ticket: application.ticket,
                states: cable
                    .end
                    .state()
                    .iter()
                    .map(|state| (state.put, state.taken))
                    .collect(),
                away: table.host(application.host).is_away(),
                counters: (&*application.counters).into(),
                parts: table.parts_sent(slot, now),
            };
            to.send(&message, &[cable.socket.as_fd()])?;
        }
        for (_, host) in table.hosts() {
            to.send(&Handover::Host(table.under_way(host, now)), &[])?;
        }
        for stranger in self.strangers() {
            to.send(&Handover::Stranger, &[stranger])?;
        }
        let nics = shared
            .uplinks
            .iter()
            .map(|uplink| CountersOf::from(&uplink.counters));
        let end = Handover::End {
            nics: nics.collect(),
            stopped,
        };
        to.send(&end, &[])
    }

    /// Gives what can be given before serving ends, and waits until the other has it.
    fn prepare(&self, to: &Link) -> io::Result<()> {
        for (_, application) in self.shared.read().applications() {
            if let Some(cable) = &application.end {
                let shape = cable.end.shape();
                let message = Handover::Cable {
                    ticket: application.ticket,
                    shape: (shape.queues(), shape.data()),
                };
                let file = cable.end.file().ok_or(io::ErrorKind::Unsupported)?;
                to.send(&message, &[file])?;
            }
        }
        to.send(&Handover::Prepared, &[])?;
        to.set_patience(PATIENCE)?;
        match to.receive()? {
            (Handover::Prepared, _) => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Goes on with what another has handed over.
    pub(super) fn inherit(
        &mut self,
        mut heir: Heir,
        handed: Handed,
        slots: &HashMap<u128, Slot>,
    ) -> io::Result<FromWorker> {
        let (mut applications, mut gap) = (0, None);
        for (message, files) in handed {
            let mut files = files.into_iter();
            match message {
                Handover::Application {
                    ticket,
                    states,
                    away,
                    counters,
                    parts,
                } => {
                    let (Some(end), Some(socket)) = (heir.cables.remove(&ticket), files.next())
                    else {
                        return Err(io::ErrorKind::InvalidData.into());
                    };
                    let state = |(put, taken): &(u64, u64)| State {
                        put: *put,
                        taken: *taken,
                    };
                    let states: Vec<State> = states.iter().map(state).collect();
                    end.go_on(&states)?;
                    let Some(slot) = slots.get(&ticket) else {
                        // What it had does not fit with what is to be now: it comes again.
                        continue;
                    };
                    let table = self.shared.read();
                    table.resume_parts(*slot, parts, Instant::now());
                    drop(table);
                    self.go_on(*slot, end, socket.into(), away, &counters)?;
                    applications += 1;
                }
                Handover::Host(under_way) => {
                    let slot = |ticket| slots.get(&ticket).copied();
                    let table = self.shared.read();
                    table.resume_host(under_way, slot, Instant::now());
                }
                Handover::Stranger => {
                    let socket = files.next().map(Socket::from);
                    socket.map(|socket| self.admit(socket)).transpose()?;
                }
                Handover::Cable { .. } | Handover::Prepared => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Handover::End { nics, stopped } => {
                    for (uplink, counters) in self.shared.uplinks.iter().zip(nics) {
                        counters.restore(&uplink.counters);
                    }
                    gap = Some(clock().saturating_sub(stopped));
                }
            }
        }
        Ok(FromWorker::Running { applications, gap })
    }

    fn go_on(
        &mut self,
        slot: Slot,
        end: End,
        socket: Socket,
        away: bool,
        counters: &CountersOf,
    ) -> io::Result<()> {
        let shared = self.shared.clone();
        let mut table = shared.write();
        let Some((host, user)) = table
            .application(slot)
            .map(|known| (known.host, known.user))
        else {
            return Ok(());
        };
        let plan = &shared.plan.hosts[host.0];
        let (frames, bytes) = (plan.frames_per_second, plan.bytes_per_second);
        let cable = Arc::new(Cable {
            end,
            process: socket.peer()?.process,
            socket,
            nic: plan.nic,
            limits: Mutex::new(Limits::new(frames, bytes, Instant::now())),
        });
        table.resume(slot, cable.clone());
        if away {
            let _ = table.moved(slot, true, Instant::now());
        }
        if let Some(application) = table.application(slot) {
            counters.restore(&application.counters);
        }
        drop(table);
        self.serve(slot, cable, user)
    }
}
