//! Handlers of signals that use sockets themselves, whatever they interrupt.
#![allow(unsafe_code)]

use super::pair;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::sys::signal::{pthread_sigmask, raise};
use nix::sys::socket::{MsgFlags, recv, send};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a handler did all that it wanted to.
static DONE: AtomicUsize = AtomicUsize::new(0);
/// The two ends that it talks over, a listener that it accepts from, and whom it tells after
/// a while.
static ENDS: [AtomicI32; 4] = [const { AtomicI32::new(-1) }; 4];
/// How many microseconds after a handler's end the next signal comes.
static PAUSE: AtomicI64 = AtomicI64::new(0);
/// What a signal brought.
static VALUE: AtomicI32 = AtomicI32::new(0);

fn end(at: usize) -> RawFd {
    ENDS[at].load(Ordering::Relaxed)
}

/// Talks over a connection, accepts and closes, and leaves `errno` as it was.
extern "C" fn handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: what Linux gives a handler with `SA_SIGINFO`.
    let (code, value) = unsafe { ((*info).si_code, (*info).si_value().sival_ptr as usize) };
    if code == libc::SI_QUEUE {
        VALUE.store(value as i32, Ordering::Relaxed);
    }
    let mut text = [0; 4];
    let well = send(end(0), b"tick", MsgFlags::empty()) == Ok(4)
        && recv(end(1), &mut text, MsgFlags::MSG_WAITALL) == Ok(4)
        && text == *b"tick";
    // SAFETY: numbers, and no address.
    let accepted = unsafe { libc::accept(end(2), null_mut(), null_mut()) };
    if accepted >= 0 {
        // SAFETY: this function's own.
        unsafe { libc::close(accepted) };
    }
    if well && DONE.fetch_add(1, Ordering::Relaxed) % 20 == 19 {
        let _ = send(end(3), b"late", MsgFlags::MSG_DONTWAIT);
    }
    alarm_in(PAUSE.load(Ordering::Relaxed));
    Errno::set_raw(errno);
}

fn on_alarm(flags: SaFlags) {
    let action = SigAction::new(
        SigHandler::SigAction(handler),
        flags | SaFlags::SA_SIGINFO,
        SigSet::empty(),
    );
    // SAFETY: the handler makes system calls only, and uses atomics.
    unsafe { sigaction(Signal::SIGALRM, &action).unwrap() };
}

/// A signal in so many microseconds; 0 is none.
fn alarm_in(micros: i64) {
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: 0,
            tv_usec: micros,
        },
    };
    // SAFETY: borrowed.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) };
}

/// Signals, each so many microseconds after the last was handled: however slow the machine
/// is, what they interrupt gets on. 0 is none.
fn alarm_every(micros: i64) {
    PAUSE.store(micros, Ordering::Relaxed);
    alarm_in(micros);
}

fn block() -> SigSet {
    let alarm = SigSet::from(Signal::SIGALRM);
    alarm.thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap()
}

fn done() -> usize {
    DONE.load(Ordering::Relaxed)
}

pub fn play() {
    let (ours, theirs) = pair();
    let (one, other) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let fds = [
        ours.as_raw_fd(),
        theirs.as_raw_fd(),
        listener.as_raw_fd(),
        other.as_raw_fd(),
    ];
    for (end, fd) in ENDS.iter().zip(fds) {
        end.store(fd, Ordering::Relaxed);
    }
    waits(&one);
    starts_again(&one, listener.local_addr().unwrap());
    streams();
    let (one, _other) = pair();
    under_a_mask(&one);
    once();
}

/// Calls that wait are interrupted, and the handler has run by then.
fn waits(one: &TcpStream) {
    on_alarm(SaFlags::empty());
    alarm_every(5000);
    for _ in 0..10 {
        let before = done();
        let got = recv(one.as_raw_fd(), &mut [0; 9], MsgFlags::empty());
        assert_eq!(got, Err(Errno::EINTR));
        assert!(done() > before);
    }
    alarm_every(0);
    // With what the signal says; again and again, as one may come before the call.
    // SAFETY: this thread's.
    let here = unsafe { libc::pthread_self() } as usize;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(30));
                let value = libc::sigval {
                    sival_ptr: 4242 as *mut libc::c_void,
                };
                // SAFETY: that thread waits for this one to end.
                unsafe { libc::pthread_sigqueue(here as libc::pthread_t, libc::SIGALRM, value) };
            }
        });
        let got = recv(one.as_raw_fd(), &mut [0; 9], MsgFlags::empty());
        assert_eq!(
            (got, VALUE.load(Ordering::Relaxed)),
            (Err(Errno::EINTR), 4242)
        );
        over.store(true, Ordering::Relaxed);
    });
}

/// What waits, and is made again, gets what the handler sends it.
fn starts_again(one: &TcpStream, listener: SocketAddr) {
    on_alarm(SaFlags::SA_RESTART);
    alarm_every(2000);
    for _ in 0..5 {
        let mut text = [0; 4];
        assert_eq!(
            recv(one.as_raw_fd(), &mut text, MsgFlags::MSG_WAITALL),
            Ok(4)
        );
        assert_eq!(&text, b"late");
        // Somebody to be accepted by it, who sees that it was closed.
        let mut client = TcpStream::connect(listener).unwrap();
        assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
    }
    alarm_every(0);
}

/// Every byte arrives, in both directions.
fn streams() {
    const LENGTH: usize = 6 << 20;
    let (mut one, mut other) = pair();
    let data: Vec<u8> = (0..LENGTH).map(|at| (at / 3 % 251) as u8).collect();
    let before = done();
    let started = Instant::now();
    alarm_every(1000);
    thread::scope(|scope| {
        scope.spawn(|| {
            block();
            let mut read = vec![0; LENGTH];
            other.read_exact(&mut read).unwrap();
            assert!(read == data);
            other.write_all(&read).unwrap();
        });
        one.write_all(&data).unwrap();
        let mut read = vec![0; LENGTH];
        one.read_exact(&mut read).unwrap();
        assert!(read == data);
    });
    alarm_every(0);
    let ticks = done() - before;
    let told = format!("{ticks} in {:?}", started.elapsed());
    assert!(ticks > 2, "{told}");
    println!("handlers: {told}");
}

fn is_blocked() -> bool {
    let mut now = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, None, Some(&mut now)).unwrap();
    now.contains(Signal::SIGALRM)
}

/// A mask that is the call's alone: the handler runs before it ends, and the mask is back.
fn under_a_mask(one: &TcpStream) {
    on_alarm(SaFlags::SA_RESTART);
    let before = block();
    let none = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut entry = libc::pollfd {
        fd: one.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll
        .add(one, EpollEvent::new(EpollFlags::EPOLLIN, 1))
        .unwrap();
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    for turn in 0..4 {
        let ran = done();
        raise(Signal::SIGALRM).unwrap();
        assert_eq!(done(), ran);
        // SAFETY: entries, events and a set that live.
        let result = unsafe {
            match turn % 2 {
                0 => libc::ppoll(&raw mut entry, 1, null_mut(), none.as_ptr()),
                _ => libc::epoll_pwait(epoll.0.as_raw_fd(), &raw mut event, 1, -1, none.as_ptr()),
            }
        };
        assert_eq!((result, Errno::last()), (-1, Errno::EINTR), "{turn}");
        assert_eq!(done(), ran + 1, "{turn}");
        assert!(is_blocked(), "{turn}");
    }
    before.thread_set_mask().unwrap();
    assert!(!is_blocked());
}

/// `SA_RESETHAND`, and what is said of it.
fn once() {
    on_alarm(SaFlags::SA_RESETHAND);
    let ask = || {
        let mut now = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: one is written.
        unsafe {
            libc::sigaction(libc::SIGALRM, std::ptr::null(), now.as_mut_ptr());
            now.assume_init()
        }
    };
    let before = ask();
    assert_eq!(before.sa_sigaction, handler as *const () as usize);
    assert_ne!(before.sa_flags & libc::SA_RESETHAND, 0);
    let ran = done();
    raise(Signal::SIGALRM).unwrap();
    assert_eq!(done(), ran + 1);
    assert_eq!(ask().sa_sigaction, libc::SIG_DFL);
}
