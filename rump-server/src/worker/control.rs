//! The thread for all sockets: who comes, claims, goes.
//!
//! Nobody is waited for: sockets do not block, whoever does not read what it is told is given
//! up, and each has a few messages answered in turn.

use super::admission::{errno, farewell, tell};
use super::asks::{Asked, Asks};
use super::{Cable, Shared, application, uplink};
use crate::descriptor::pidfd;
use crate::ledger::{Item, Ledger};
use crate::link::Link;
use crate::messages::{
    ApplicationStatus, FromWorker, NicStatus, Question, Reply, Request, Status, ToWorker,
};
use crate::table::{Claim, Refusal, Slot};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rump_hyper::linux::cable::{Door, Socket};
use rump_ring::control::{Code, Farewell, MOST, Malformed, ToApplication, ToServer};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many connections there are at most, and so many of one user that have not said who they
/// are.
const CONNECTIONS: usize = 1024;
const STRANGERS: usize = 32;
/// How long one may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// So many messages of one are answered in turn.
const TURN: usize = 16;
/// How often what has expired is looked for.
const TICK: Duration = Duration::from_millis(250);
/// How long a queue of a NIC is given to be empty once, and how often that is looked at.
const EMPTY: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(1);
/// So many ports of an application are shown.
const SHOWN: usize = 16;

/// A connection.
struct Connection {
    socket: Socket,
    /// Its process, to be told when that ends.
    process: Option<OwnedFd>,
    user: u32,
    since: Instant,
    slot: Option<Slot>,
}

/// Who tells the worker what to do.
pub(super) enum Superior {
    /// Another process.
    Supervisor(Link),
    /// Whoever asks in this one.
    Asks(Asks),
}

pub(super) struct Control {
    pub(super) shared: Arc<Shared>,
    superior: Superior,
    door: Box<dyn Door>,
    pub(super) ledger: Ledger,
    pub(super) random: File,
    connections: Vec<Connection>,
    threads: HashMap<Slot, Vec<JoinHandle<()>>>,
    uplinks: Vec<JoinHandle<()>>,
    leaving: Vec<Leaving>,
    report: Option<Report>,
}

/// Who is told who is there, and what was told last.
struct Report {
    changed: Box<dyn Fn(&Status)>,
    told: Vec<(u64, String, Vec<String>)>,
}

/// An application that goes to a NIC of its own, once all that has come for it here is in its
/// ring, and all that it has sent here is on the wire: a bridge there would learn from that
/// that it is here.
struct Leaving {
    slot: Slot,
    /// What it waits for the answer to.
    id: u32,
    nic: usize,
    /// How often each queue of the NIC will have been empty then.
    marks: Vec<u64>,
    until: Instant,
}

/// What ends the worker.
enum End {
    Stop,
    Yield(Link),
}

impl Control {
    pub(super) fn new(
        shared: Arc<Shared>,
        superior: Superior,
        door: Box<dyn Door>,
        ledger: Ledger,
        random: File,
    ) -> Self {
        Self {
            shared,
            superior,
            door,
            ledger,
            random,
            connections: Vec::new(),
            threads: HashMap::new(),
            uplinks: Vec::new(),
            leaving: Vec::new(),
            report: None,
        }
    }

    /// Has somebody told who is there.
    pub(super) fn report(&mut self, changed: impl Fn(&Status) + 'static) {
        self.report = Some(Report {
            changed: Box::new(changed),
            told: Vec::new(),
        });
    }

    /// Tells the supervisor.
    pub(super) fn tell(&self, message: &FromWorker) -> io::Result<()> {
        match &self.superior {
            Superior::Supervisor(link) => link.send(message, &[]),
            Superior::Asks(_) => Ok(()),
        }
    }

    /// Writes something down. What cannot be is not there for the next worker.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut Ledger) -> io::Result<()>) {
        if let Err(error) = note(&mut self.ledger) {
            eprintln!("rump server: the ledger: {error}");
        }
    }

    /// Has frames come from the NICs.
    pub(super) fn start_uplinks(&mut self) -> io::Result<()> {
        for nic in 0..self.shared.uplinks.len() {
            for queue in 0..self.shared.uplinks[nic].backend.queues() {
                let shared = self.shared.clone();
                let thread = std::thread::Builder::new().name(format!("nic-{nic}.{queue}"));
                self.uplinks
                    .push(thread.spawn(move || uplink::serve(&shared, nic, queue))?);
            }
        }
        Ok(())
    }

    /// Has the frames of an application go.
    pub(super) fn serve(&mut self, slot: Slot, cable: Arc<Cable>, user: u32) -> io::Result<()> {
        let socket = cable.socket.clone();
        let process = cable.process.and_then(pidfd);
        for queue in 0..usize::from(cable.end.shape().queues()) {
            let (shared, cable) = (self.shared.clone(), cable.clone());
            let thread = std::thread::Builder::new().name(format!("app-{}.{queue}", slot.0));
            let thread = thread.spawn(move || {
                if application::serve(&shared, slot, &cable, queue).is_err() {
                    let last = farewell(Code::Misbehaved, "its ring holds what cannot be");
                    let _ = tell(&cable.socket, &ToApplication::Farewell(*last));
                    cable.socket.shut_down();
                }
            })?;
            self.threads.entry(slot).or_default().push(thread);
        }
        self.connections.push(Connection {
            socket,
            process,
            user,
            since: Instant::now(),
            slot: Some(slot),
        });
        Ok(())
    }

    /// Has all threads end after what they have in hand.
    pub(super) fn stop_threads(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for uplink in &self.shared.uplinks {
            uplink.backend.wake();
        }
        for (_, application) in self.shared.read().applications() {
            if let Some(cable) = &application.end {
                cable.end.wake();
            }
        }
        let threads = self.threads.drain().flat_map(|(_, threads)| threads);
        end(threads.chain(self.uplinks.drain(..)).collect());
    }

    /// Sockets of those who have not said who they are.
    pub(super) fn strangers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let strangers = self.connections.iter().filter(|known| known.slot.is_none());
        strangers.map(|stranger| stranger.socket.as_fd())
    }

    /// Serves until told to end.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut ticked = Instant::now();
        loop {
            let ready = self.wait();
            if ready[0]
                && let Some(end) = self.superior()?
            {
                return match end {
                    End::Yield(to) => self.hand_over(&to),
                    End::Stop => {
                        self.dismiss_all();
                        Ok(())
                    }
                };
            }
            if ready[1] {
                self.accept();
            }
            self.listen(&ready[2..]);
            self.let_go();
            if ticked.elapsed() > TICK {
                ticked = Instant::now();
                self.expire();
                self.tell_who_is_there();
            }
        }
    }

    fn tell_who_is_there(&mut self) {
        if self.report.is_none() {
            return;
        }
        let status = self.status();
        let known = status.applications.iter();
        let now: Vec<_> = known
            .map(|known| (known.number, known.state.clone(), known.ports.clone()))
            .collect();
        if let Some(report) = &mut self.report
            && report.told != now
        {
            report.told = now;
            (report.changed)(&status);
        }
    }

    /// Waits until somebody has something to say: the superior, who connects, and of each
    /// connection the socket and the process.
    fn wait(&self) -> Vec<bool> {
        let entry = |file| PollFd::new(file, PollFlags::POLLIN);
        let superior = match &self.superior {
            Superior::Supervisor(link) => link.as_fd(),
            Superior::Asks(asks) => asks.file(),
        };
        let mut all = vec![entry(superior), entry(self.door.file())];
        for connection in &self.connections {
            all.push(entry(connection.socket.as_fd()));
            let process = connection.process.as_ref();
            all.push(entry(
                process.map_or(connection.socket.as_fd(), |file| file.as_fd()),
            ));
        }
        let time = if self.leaving.is_empty() { TICK } else { LOOK };
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut all, time);
        all.iter().map(|entry| entry.any() == Some(true)).collect()
    }

    fn superior(&mut self) -> io::Result<Option<End>> {
        let link = match &self.superior {
            Superior::Supervisor(link) => link,
            Superior::Asks(asks) => {
                let asked = asks.take();
                return Ok(asked.and_then(|asked| self.asked(asked)));
            }
        };
        let (message, files) = match link.receive() {
            Err(error) => {
                // Nobody would put another worker in place of this one.
                self.dismiss_all();
                return Err(error);
            }
            Ok(received) => received,
        };
        match message {
            ToWorker::Stop => return Ok(Some(End::Stop)),
            ToWorker::Yield => {
                let to = files.into_iter().next().map(Link::of);
                return Ok(Some(End::Yield(to.ok_or(io::ErrorKind::InvalidData)?)));
            }
            ToWorker::Ask(question) => {
                let answer = self.answer(question);
                self.tell(&FromWorker::Answer(answer))?;
            }
            ToWorker::Setup { .. } => {}
        }
        Ok(None)
    }

    /// Does what somebody in this process wants.
    fn asked(&self, asked: Asked) -> Option<End> {
        let request = asked.request().clone();
        let reply = match &request {
            Request::List => Reply::Status(Status {
                starts: 1,
                ..self.status()
            }),
            Request::Switch {
                application,
                direct,
            } => self
                .order(application, *direct)
                .map_or_else(Reply::Error, |()| Reply::Done("it was ordered to".into())),
            Request::Upgrade { .. } => Reply::Error(
                "no other worker can take over here: make another domain (docs/services.md)".into(),
            ),
            Request::Stop => Reply::Done("the server ends".into()),
        };
        asked.answer(reply);
        (request == Request::Stop).then_some(End::Stop)
    }

    fn accept(&mut self) {
        for _ in 0..TURN {
            match self.door.accept() {
                Ok(Some(socket)) => {
                    let _ = self.admit(socket);
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Somebody has connected.
    pub(super) fn admit(&mut self, socket: Socket) -> io::Result<()> {
        let user = socket.peer()?.user;
        let strangers = self.connections.iter();
        let strangers = strangers.filter(|known| known.slot.is_none() && known.user == user);
        if self.connections.len() >= CONNECTIONS || strangers.count() >= STRANGERS {
            let last = farewell(Code::TooMany, "there are too many connections");
            tell(&socket, &ToApplication::Farewell(*last))?;
            return Ok(());
        }
        self.connections.push(Connection {
            socket,
            process: None,
            user,
            since: Instant::now(),
            slot: None,
        });
        Ok(())
    }

    fn listen(&mut self, ready: &[bool]) {
        let (ready, _) = ready.as_chunks::<2>();
        let mut gone = Vec::new();
        for (index, [said, ended]) in ready.iter().enumerate().rev() {
            let ended = *ended && self.connections[index].process.is_some();
            if ended || *said && self.hear(index) {
                gone.push(index);
            }
        }
        // From the last to the first, so that the places of others stay.
        for index in gone {
            let connection = self.connections.remove(index);
            if let Some(slot) = connection.slot {
                self.forget(slot);
            }
        }
    }

    /// Reads what one says; whether it is to go.
    fn hear(&mut self, index: usize) -> bool {
        for _ in 0..TURN {
            let mut bytes = [0; MOST];
            let message = match self.connections[index].socket.receive(&mut bytes) {
                Ok(None) => return false,
                Ok(Some(message)) => ToServer::decode(&bytes[..message.len]),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Malformed),
                Err(_) => return true,
            };
            let done = match (message, self.connections[index].slot) {
                (Ok(ToServer::Hello(hello)), None) => {
                    let socket = self.connections[index].socket.clone();
                    match self.welcome(socket, &hello) {
                        // It has a connection of its own now.
                        Ok(_) => return true,
                        Err(last) => Err(last),
                    }
                }
                (Ok(message), Some(slot)) => self.wish(index, slot, message),
                _ => Err(farewell(
                    Code::Misbehaved,
                    "that is no message of the protocol",
                )),
            };
            if let Err(last) = done {
                self.dismiss(index, last);
                return true;
            }
        }
        false
    }

    /// Does what an application wants.
    fn wish(&mut self, index: usize, slot: Slot, message: ToServer) -> Result<(), Box<Farewell>> {
        let shared = self.shared.clone();
        let ticket = shared
            .read()
            .application(slot)
            .map_or(0, |known| known.ticket);
        let answer = match message {
            ToServer::Hello(_) => {
                return Err(farewell(Code::Misbehaved, "it has said who it is"));
            }
            ToServer::Claim {
                id,
                protocol,
                address,
                port,
            } => {
                let claim = Claim {
                    protocol,
                    address,
                    port,
                };
                let result = shared.write().claim(slot, claim);
                if result.is_ok() {
                    self.note(|ledger| ledger.keep(slot, ticket, Item::Claim(claim)));
                }
                answer(id, result.map(|()| ToApplication::Granted { id }))
            }
            ToServer::Release {
                protocol,
                address,
                port,
            } => {
                let claim = Claim {
                    protocol,
                    address,
                    port,
                };
                if shared.write().release(slot, claim) {
                    self.note(|ledger| ledger.drop(slot, Item::Claim(claim)));
                }
                return Ok(());
            }
            ToServer::Lease { id } => {
                let result = shared.write().lease(slot);
                if let Ok(ports) = &result {
                    self.note(|ledger| ledger.keep(slot, ticket, Item::Lease(ports.clone())));
                }
                answer(id, result.map(|ports| ToApplication::Leased { id, ports }))
            }
            ToServer::Moved { id, direct } => match self.moved(slot, id, direct) {
                Some(answer) => answer,
                None => return Ok(()),
            },
        };
        let told = tell(&self.connections[index].socket, &answer);
        told.map_err(|_| farewell(Code::Misbehaved, "it does not read what it is told"))
    }

    /// An application says where it is; what it is answered at once. While it leaves, frames that
    /// have come for it before go on to its ring.
    fn moved(&mut self, slot: Slot, id: u32, direct: bool) -> Option<ToApplication> {
        let shared = self.shared.clone();
        self.leaving.retain(|other| other.slot != slot);
        let table = shared.read();
        let host = table.application(slot).map(|known| known.host)?;
        if direct && table.host(host).members().len() > 1 {
            // Others are of its host: it is to come back.
            let errno = rump_hyper::errno::Errno::BUSY.0;
            if let Some(cable) = table.application(slot).and_then(|known| known.end.as_ref()) {
                let _ = tell(&cable.socket, &ToApplication::Order { direct: false });
            }
            return Some(ToApplication::Refused { id, errno });
        }
        let nic = shared.plan.hosts[host.0].nic;
        drop(table);
        if direct {
            let empty = &shared.uplinks[nic].empty;
            self.leaving.push(Leaving {
                slot,
                id,
                nic,
                // What it is reading just now may have begun before.
                marks: empty
                    .iter()
                    .map(|it| it.load(Ordering::Acquire) + 2)
                    .collect(),
                until: Instant::now() + EMPTY,
            });
            return None;
        }
        let _ = shared.write().moved(slot, false, Instant::now());
        Some(ToApplication::Granted { id })
    }

    /// Answers those who leave, and for whom nothing is under way here any more.
    fn let_go(&mut self) {
        let shared = self.shared.clone();
        let now = Instant::now();
        let is_over = |leaving: &mut Leaving| {
            let uplink = &shared.uplinks[leaving.nic];
            let empty = uplink.empty.iter().map(|it| it.load(Ordering::Acquire));
            let is_empty = empty.zip(&leaving.marks).all(|(now, mark)| now >= *mark);
            if !is_empty {
                uplink.backend.wake();
            }
            let end = |cable: &Arc<Cable>| cable.end.is_done();
            let table = shared.read();
            let known = table.application(leaving.slot);
            let is_sent = known.is_none_or(|known| known.end.as_ref().is_none_or(end));
            is_empty && is_sent || now >= leaving.until
        };
        for Leaving { slot, id, .. } in self.leaving.extract_if(.., is_over) {
            let mut table = shared.write();
            if table.moved(slot, true, now).is_err() {
                continue;
            }
            if let Some(cable) = table.application(slot).and_then(|known| known.end.as_ref()) {
                // Who does not read what it is told is found out at its next wish.
                let _ = tell(&cable.socket, &ToApplication::Granted { id });
            }
        }
    }

    /// An application is gone, and all that it had.
    pub(super) fn forget(&mut self, slot: Slot) {
        let cable = self
            .shared
            .read()
            .application(slot)
            .and_then(|known| known.end.clone());
        if let Some(cable) = cable {
            cable.end.close();
        }
        end(self.threads.remove(&slot).unwrap_or_default());
        self.shared.write().leave(slot);
        self.note(|ledger| ledger.forget(slot));
    }

    fn dismiss(&self, index: usize, last: Box<Farewell>) {
        let socket = &self.connections[index].socket;
        let _ = tell(socket, &ToApplication::Farewell(*last));
    }

    fn dismiss_all(&mut self) {
        self.stop_threads();
        // Also of who has just connected.
        self.accept();
        for index in 0..self.connections.len() {
            self.dismiss(index, farewell(Code::Ending, "the server ends"));
        }
    }

    fn expire(&mut self) {
        for slot in self.shared.clone().write().expire(Instant::now()) {
            self.note(|ledger| ledger.forget(slot));
        }
        let late = |known: &Connection| known.slot.is_none() && known.since.elapsed() > HELLO;
        self.connections.retain(|known| !late(known));
    }

    fn answer(&self, question: Question) -> Result<Status, String> {
        match question {
            Question::Status => Ok(self.status()),
            Question::Switch {
                application,
                direct,
            } => self.order(&application, direct).map(|()| Status::default()),
        }
    }

    /// Orders an application to a NIC of its own, or back.
    fn order(&self, name: &str, direct: bool) -> Result<(), String> {
        let table = self.shared.read();
        let named = |slot: Slot, label: &str| label == name || slot.0.to_string() == name;
        let mut found = table
            .applications()
            .filter(|(slot, known)| named(*slot, &known.label));
        let (_, application) = match (found.next(), found.next()) {
            (Some(found), None) => found,
            (None, _) => return Err(format!("there is no application {name}")),
            _ => return Err(format!("there are several called {name}; say its number")),
        };
        if direct && table.host(application.host).members().len() > 1 {
            return Err(Refusal::Away.to_string());
        }
        let Some(cable) = &application.end else {
            return Err(format!("{name} is not there"));
        };
        tell(&cable.socket, &ToApplication::Order { direct }).map_err(|error| error.to_string())
    }

    pub(super) fn status(&self) -> Status {
        let table = self.shared.read();
        let application = |(slot, known): (Slot, &crate::table::Application<Arc<Cable>>)| {
            let claims = table.claims_of(slot);
            let host = table.host(known.host);
            let state = match &known.end {
                None => "awaited",
                Some(_) if host.is_away() => "direct",
                Some(_) => "here",
            };
            ApplicationStatus {
                number: slot.0,
                host: host.name.clone(),
                label: known.label.clone(),
                user: known.user,
                process: known.end.as_ref().and_then(|cable| cable.process),
                state: state.into(),
                claims: claims.len(),
                ports: claims.iter().take(SHOWN).map(shown).collect(),
                leases: table
                    .leases_of(slot)
                    .iter()
                    .map(|ports| (*ports.start(), *ports.end()))
                    .collect(),
                counters: (&*known.counters).into(),
            }
        };
        let mut applications: Vec<_> = table.applications().map(application).collect();
        applications.sort_by_key(|known| known.number);
        let nic = |uplink: &super::Uplink| NicStatus {
            name: uplink.name.clone(),
            link: uplink.backend.link(),
            counters: (&uplink.counters).into(),
        };
        Status {
            worker: std::process::id(),
            starts: 0,
            nics: self.shared.uplinks.iter().map(nic).collect(),
            applications,
        }
    }
}

/// Waits for threads that were told to end, also where they leave a ring alone for a while.
fn end(threads: Vec<JoinHandle<()>>) {
    threads.iter().for_each(|thread| thread.thread().unpark());
    for thread in threads {
        let _ = thread.join();
    }
}

fn shown(claim: &Claim) -> String {
    let address = std::net::SocketAddr::new(claim.address, claim.port);
    format!("{:?} {address}", claim.protocol).to_lowercase()
}

fn answer(id: u32, result: Result<ToApplication, Refusal>) -> ToApplication {
    result.unwrap_or_else(|refusal| ToApplication::Refused {
        id,
        errno: errno(refusal),
    })
}
