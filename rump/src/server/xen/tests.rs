//! Connections between both ends in this process, over memory that plays the pages of two
//! domains, and such as one side spoils.

use super::wire::{DATA, LONGEST, Platform, Wire};
use super::{connect, number};
use crate::iface::link::{Batch, Offload, Piece, Pool, Transmit};
use crate::server::Door;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rump_ring::Shared;
use rump_sys::hyper::linux::cable::{Shape, Side, Socket};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Memory for good.
#[allow(unsafe_code)]
fn memory(len: usize) -> Shared {
    let words = Box::leak(vec![0_u64; len.div_ceil(8)].into_boxed_slice());
    let start = NonNull::from(&mut words[0]).cast();
    // SAFETY: leaked, and nobody else has it.
    unsafe { Shared::new(start, len) }
}

/// One end's bell.
#[derive(Debug, Default)]
struct Bell {
    state: Mutex<(u32, bool)>,
    changed: Condvar,
}

/// What a platform has for one end.
#[derive(Debug)]
struct Pages {
    control: [Shared; 2],
    frames: Arc<Mutex<Option<Shared>>>,
    own: Arc<Bell>,
    other: Arc<Bell>,
}

impl Platform for Pages {
    fn control(&self) -> [Shared; 2] {
        self.control
    }

    fn ring(&self) {
        self.other.state.lock().unwrap().0 += 1;
        self.other.changed.notify_all();
    }

    fn wait(&self) -> bool {
        let mut state = self.own.state.lock().unwrap();
        while *state == (0, false) {
            state = self.own.changed.wait(state).unwrap();
        }
        state.0 = 0;
        !state.1
    }

    fn share(&self, len: usize) -> io::Result<Shared> {
        let memory = memory(len);
        *self.frames.lock().unwrap() = Some(memory);
        Ok(memory)
    }

    fn map(&self, len: usize) -> io::Result<Shared> {
        let there = self
            .frames
            .lock()
            .unwrap()
            .filter(|there| there.len() == len);
        there.ok_or(ErrorKind::InvalidInput.into())
    }

    fn close(&self) {
        for bell in [&self.own, &self.other] {
            bell.state.lock().unwrap().1 = true;
            bell.changed.notify_all();
        }
    }
}

/// What is between two ends.
struct Between {
    /// The memory that each writes messages to.
    control: [Shared; 2],
    frames: Arc<Mutex<Option<Shared>>>,
    bells: [Arc<Bell>; 2],
}

impl Between {
    fn new() -> Self {
        Self {
            control: [memory(256 + DATA), memory(256 + DATA)],
            frames: Arc::default(),
            bells: Default::default(),
        }
    }

    /// An end: the first is the server's.
    fn end(&self, at: usize) -> Socket {
        let pages = Pages {
            control: [self.control[at], self.control[1 - at]],
            frames: Arc::clone(&self.frames),
            own: Arc::clone(&self.bells[at]),
            other: Arc::clone(&self.bells[1 - at]),
        };
        let side = [Side::Maker, Side::Guest][at];
        Wire::begin(Box::new(pages), side, 7 + at as u32).unwrap()
    }
}

/// Both ends, the server's first, and the memory that each writes messages to.
fn ends() -> ([Socket; 2], [Shared; 2]) {
    let between = Between::new();
    ([between.end(0), between.end(1)], between.control)
}

/// Waits until there may be something, by what a program polls.
fn await_event(socket: &Socket) {
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    let ready = poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
        timeout,
    );
    assert_eq!(ready, Ok(1));
}

fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut bytes = [0; LONGEST];
    loop {
        if let Some(message) = socket.receive(&mut bytes)? {
            return Ok(bytes[..message.len].to_vec());
        }
        await_event(socket);
    }
}

#[test]
fn places_are_told_apart() {
    let of = |place: &str| number(Path::new(place)).map(|number| number.ok());
    assert_eq!(of("/run/rump/server.sock"), None);
    assert_eq!(of("xen:"), Some(Some(None)));
    assert_eq!(of("xen:2"), Some(Some(Some(2))));
    assert_eq!(of("xen:-1"), Some(None));
}

#[test]
fn without_xen_there_is_none() {
    assert!(connect(Path::new("xen:")).is_err());
    assert!(Door::open(|_| 0).is_err());
}

/// All come, in their order; who has no room hears when there is some.
#[test]
fn messages_go_both_ways() {
    let ([server, application], _) = ends();
    assert_eq!(server.peer().unwrap().user, 7);
    let send = |from: &Socket, bytes: &[u8]| {
        loop {
            match from.send(bytes, None) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Its own messages are left where they are: there may be some.
                    std::thread::sleep(Duration::from_micros(50));
                }
                other => return other.unwrap(),
            }
        }
    };
    let len = |number: usize| 1 + number * 37 % LONGEST;
    std::thread::scope(|scope| {
        for (from, to) in [(&server, &application), (&application, &server)] {
            scope.spawn(move || (0..2_000).for_each(|at| send(from, &vec![at as u8; len(at)])));
            scope.spawn(move || {
                for at in 0..2_000 {
                    assert_eq!(receive(to).unwrap(), vec![at as u8; len(at)]);
                }
            });
        }
    });
    let long = server.send(&[0; LONGEST + 1], None).unwrap_err();
    assert_eq!(long.kind(), ErrorKind::InvalidInput);
}

/// An event comes to nobody while the other domain has not bound its port.
#[test]
fn what_was_rung_for_before_is_heard() {
    let between = Between::new();
    let application = between.end(1);
    application.send(b"hello", None).unwrap();
    between.bells[0].state.lock().unwrap().0 = 0;
    let server = between.end(0);
    await_event(&server);
    assert_eq!(receive(&server).unwrap(), b"hello");
}

#[test]
fn who_has_no_room_is_told_when_there_is() {
    let ([server, application], _) = ends();
    let full = || server.send(&[1; 500], None).err().map(|error| error.kind());
    let sent = (0..100).take_while(|_| full().is_none()).count();
    // Each has a header beside.
    assert_eq!(sent, DATA / 528);
    assert!(server.receive(&mut []).unwrap().is_none());
    assert_eq!(receive(&application).unwrap(), [1; 500]);
    await_event(&server);
    assert_eq!(full(), None);
}

/// Frames go over memory that one end has made, and who sleeps is woken.
#[test]
fn frames_go_over_it() {
    let ([server, application], _) = ends();
    let shape = Shape::new(1, 256 << 10).unwrap();
    let maker = server.make(shape, false).unwrap();
    let told = |socket: &Socket| {
        let mut bytes = [0; 8];
        server.send(b"welcome", None).unwrap();
        await_event(socket);
        socket.receive(&mut bytes).unwrap().unwrap()
    };
    let other = Shape::new(2, 256 << 10).unwrap();
    assert!(application.map(told(&application), other).is_err());
    let guest = application.map(told(&application), shape).unwrap();
    assert!(maker.file().is_none());
    let bytes = vec![5; 50_000];
    let frame = [Piece::new(&bytes)];
    let frame = [Transmit::new(&frame, Offload::default())];
    std::thread::scope(|scope| {
        for (from, to) in [(&maker, &guest), (&guest, &maker)] {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(from.send_all(0, &frame, PATIENCE), Ok(1));
                }
            });
            scope.spawn(|| {
                let mut batch = Batch::new(Pool::new(0));
                let mut came = 0;
                while came < 500 {
                    if to.receive(0, &mut batch).unwrap() == 0 {
                        to.wait(0, PATIENCE).unwrap();
                    }
                    came += batch
                        .take()
                        .drain(..)
                        .filter(|it| it.bytes() == bytes)
                        .count();
                }
            });
        }
    });
    // Frames stay to be taken when there is no connection any more.
    assert_eq!(guest.send(0, &frame), Ok(1));
    drop(application);
    assert_eq!(
        receive(&server).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    let mut batch = Batch::new(Pool::new(0));
    assert_eq!(maker.receive(0, &mut batch), Ok(1));
}

#[test]
fn what_was_said_before_the_end_is_heard() {
    let ([server, application], _) = ends();
    application.send(b"one", None).unwrap();
    application.send(b"two", None).unwrap();
    application.shut_down();
    assert_eq!(receive(&server).unwrap(), b"one");
    assert_eq!(receive(&server).unwrap(), b"two");
    for _ in 0..2 {
        assert_eq!(
            receive(&server).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        await_event(&server);
    }
    assert!(server.send(b"three", None).is_err());
}

/// Whatever the other side writes into the lanes for messages: what comes out is no longer than a
/// message may be, and an error ends it; nothing is read or written elsewhere.
#[test]
fn the_other_side_writes_what_it_likes() {
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut broken, mut came) = (0, 0);
    for _ in 0..2_000 {
        let ([server, application], control) = ends();
        application.send(&[1; 100], None).unwrap();
        for _ in 0..next() % 8 {
            let lane = control[(next() % 2) as usize];
            let at = match next() % 4 {
                0 => 0,
                1 => 64,
                _ => 8 * (next() % (256 + DATA as u64) / 8) as usize,
            };
            let small = next() % 2 == 0;
            let value = next() >> if small { 52 } else { 0 };
            lane.write(at, &value.to_ne_bytes());
        }
        let mut bytes = [0; LONGEST];
        for _ in 0..20 {
            match server.receive(&mut bytes) {
                Ok(Some(message)) => {
                    assert!(message.len <= LONGEST);
                    came += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidData);
                    broken += 1;
                    break;
                }
            }
            let _ = server.send(&[2; 100], None);
        }
    }
    assert!(broken > 100 && came > 100, "{broken} broken, {came} came");
}
