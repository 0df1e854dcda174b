//! Scenarios of epoll instances with many kinds of members.

use super::scenarios::Scenario;
use super::system::{System, at};
use rump_linux::raw::{general::*, net};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// By what they show.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("epoll::members_of_the_host", hosts),
    ("epoll::files_are_no_members", files),
    ("epoll::an_instance_in_an_instance", nested),
    ("epoll::polled_itself", polled),
    ("epoll::nobody_is_left_out", crowd),
    ("epoll::two_hundred_members", many),
    ("epoll::one_shots_of_all_kinds", one_shots),
    ("epoll::ends_alone", ends),
    ("epoll::what_is_said_again", numbers),
    ("epoll::threads_wait_for_one", threads),
    ("epoll::changed_while_waiting", changed),
];

struct Set<'a> {
    system: &'a System,
    fd: u64,
}

impl<'a> Set<'a> {
    fn new(system: &'a System) -> Self {
        let fd = system.call(__NR_epoll_create1, [0]);
        assert!(fd >= 0, "epoll_create1: {fd}");
        Self {
            system,
            fd: fd as u64,
        }
    }

    fn control(&self, operation: u32, fd: u64, events: u32, data: u64) -> i64 {
        let mut event = epoll_event { events, data };
        let arguments = [self.fd, operation.into(), fd, at(&mut event)];
        self.system.call(__NR_epoll_ctl, arguments)
    }

    fn add(&self, fd: u64, events: u32, data: u64) -> i64 {
        self.control(EPOLL_CTL_ADD, fd, events, data)
    }

    /// What is told, by data; `timeout` in milliseconds.
    fn wait(&self, most: usize, timeout: i32) -> Vec<i64> {
        let mut room = vec![epoll_event { events: 0, data: 0 }; most];
        let arguments = [self.fd, at(&mut room[..]), most as u64, timeout as u64];
        let count = self.system.call(__NR_epoll_wait, arguments);
        let found = room.iter().take(count.max(0) as usize);
        let mut found: Vec<_> = found.map(|one| (one.data as i64, one.events)).collect();
        found.sort_unstable();
        let told = found.iter().flat_map(|one| [one.0, one.1.into()]);
        [count].into_iter().chain(told).collect()
    }
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.system.close(self.fd);
    }
}

/// Two ends that are the host's on both systems.
fn host_pair(s: &System) -> [u64; 2] {
    let mut ends = [0i32; 2];
    let (family, kind) = (net::AF_UNIX.into(), net::SOCK_STREAM.into());
    let made = s.call(__NR_socketpair, [family, kind, 0, at(&mut ends)]);
    assert_eq!(made, 0);
    ends.map(|fd| fd as u64)
}

fn write(s: &System, fd: u64) {
    let mut one = 1u64;
    assert_eq!(s.call(__NR_write, [fd, at(&mut one), 8]), 8);
}

fn read(s: &System, fd: u64) -> i64 {
    let mut one = 0u64;
    s.call(__NR_read, [fd, at(&mut one), 8])
}

fn hosts(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b] = host_pair(s);
    let mut seen = vec![set.add(b, EPOLLIN, 1), set.add(b, EPOLLIN, 1)];
    seen.extend(set.wait(4, 0));
    write(s, a);
    // At once, though nobody waited meanwhile.
    seen.extend(set.wait(4, 0));
    seen.extend(set.wait(4, -1));
    seen.push(set.control(EPOLL_CTL_MOD, b, EPOLLIN | EPOLLET, 2));
    seen.extend(set.wait(4, 100));
    seen.extend(set.wait(4, 0));
    write(s, a);
    seen.extend(set.wait(4, 100));
    seen.push(set.control(EPOLL_CTL_MOD, b, EPOLLIN | EPOLLONESHOT, 3));
    seen.extend(set.wait(4, 100));
    seen.extend(set.wait(4, 20));
    seen.push(set.control(EPOLL_CTL_DEL, b, 0, 0));
    seen.push(set.control(EPOLL_CTL_DEL, b, 0, 0));
    seen.push(set.control(EPOLL_CTL_MOD, b, EPOLLIN, 0));
    // Closed while it is a member, and opened under the same number.
    seen.push(set.add(b, EPOLLIN | EPOLLOUT, 4));
    seen.extend(set.wait(4, 0));
    s.close_all(&[a, b]);
    seen.extend(set.wait(4, 0));
    let [c, d] = host_pair(s);
    seen.push((d == b).into());
    seen.push(set.add(d, EPOLLIN | EPOLLRDHUP, 5));
    s.close(c);
    seen.extend(set.wait(4, 100));
    // The number is now a socket's of the kernel's, and again the host's.
    s.close(d);
    let other = s.socket(false, net::SOCK_DGRAM);
    let same = s.call(__NR_dup2, [other, d]);
    seen.push((same == d as i64).into());
    seen.extend([set.add(d, EPOLLOUT, 6), set.add(d, EPOLLOUT, 6)]);
    seen.extend(set.wait(4, 0));
    s.close_all(&[other, d]);
    seen.push(set.add(d, EPOLLIN, 7));
    seen.extend(set.wait(4, 0));
    seen
}

fn files(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let mut path = *b"/proc/self/exe\0";
    let file = s.call(__NR_open, [at(&mut path), 0, 0]);
    assert!(file >= 0, "open: {file}");
    let seen = vec![
        set.add(file as u64, EPOLLIN, 1),
        set.add(u64::MAX, EPOLLIN, 1),
        set.control(9, file as u64, EPOLLIN, 1),
    ];
    s.close(file as u64);
    seen
}

fn nested(s: &System) -> Vec<i64> {
    let (outer, inner) = (Set::new(s), Set::new(s));
    let [a, b, c] = s.pair();
    let event = s.call(__NR_eventfd2, [0, 0]) as u64;
    let [d, e] = host_pair(s);
    let mut seen = vec![
        outer.add(inner.fd, EPOLLIN, 1),
        inner.add(c, EPOLLIN | EPOLLET, 2),
        inner.add(event, EPOLLIN, 3),
        inner.add(e, EPOLLIN, 4),
        inner.add(outer.fd, EPOLLIN, 5),
    ];
    seen.extend(outer.wait(4, 0));
    s.send(b, b"abc");
    seen.extend(outer.wait(4, 1000));
    // It is ready until its own edge is taken.
    seen.extend(outer.wait(4, 0));
    seen.extend(inner.wait(4, 0));
    seen.extend(outer.wait(4, 0));
    write(s, event);
    seen.extend(outer.wait(4, -1));
    read(s, event);
    seen.extend(outer.wait(4, 0));
    write(s, d);
    seen.extend(outer.wait(4, -1));
    read(s, e);
    seen.extend(outer.wait(4, 0));
    s.close_all(&[a, b, c, d, e, event]);
    seen
}

fn polled(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let mut seen = vec![set.add(c, EPOLLOUT | EPOLLET, 1)];
    let poll = |timeout| {
        let (count, revents) = s.poll(set.fd, POLLIN, timeout);
        [count, revents.into()]
    };
    seen.extend(poll(0));
    seen.extend(set.wait(4, 0));
    seen.extend(poll(0));
    // Data, which nobody asked for.
    s.send(b, b"abc");
    seen.extend(poll(100));
    seen.push(set.control(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLET, 2));
    seen.extend([poll(1000), poll(0)].concat());
    seen.extend(set.wait(4, 0));
    seen.extend(poll(20));
    s.close_all(&[a, b, c]);
    seen
}

/// With room for one, all that are ready have their turn.
fn crowd(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let event = s.call(__NR_eventfd2, [1, 0]) as u64;
    let [d, e] = host_pair(s);
    write(s, d);
    s.send(b, b"abc");
    s.poll(c, POLLIN, 1000);
    let mut seen = vec![
        set.add(c, EPOLLIN, 1),
        set.add(event, EPOLLIN, 2),
        set.add(e, EPOLLIN, 3),
    ];
    let mut told: Vec<_> = (0..12).map(|_| set.wait(1, 1000)).collect();
    told.sort_unstable();
    told.dedup();
    seen.extend(told.concat());
    s.close_all(&[a, b, c, d, e, event]);
    seen
}

fn many(s: &System) -> Vec<i64> {
    const MEMBERS: u64 = 200;
    let set = Set::new(s);
    let sockets: Vec<_> = (0..MEMBERS)
        .map(|_| s.socket(false, net::SOCK_DGRAM))
        .collect();
    let added: i64 = (sockets.iter().zip(1..))
        .map(|(fd, data)| set.add(*fd, EPOLLOUT, data))
        .sum();
    let mut told = [false; MEMBERS as usize + 1];
    for _ in 0..4 {
        for one in set.wait(50, 0)[1..].chunks(2) {
            told[one[0] as usize] = true;
        }
    }
    let count = told.iter().filter(|told| **told).count() as i64;
    // The last half goes, and with it what it was ready for.
    s.close_all(&sockets[MEMBERS as usize / 2..]);
    let left = set.wait(2 * MEMBERS as usize, 0)[0];
    s.close_all(&sockets[..MEMBERS as usize / 2]);
    vec![added, count, left, set.wait(4, 0)[0]]
}

fn one_shots(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let event = s.call(__NR_eventfd2, [1, 0]) as u64;
    s.send(b, b"abc");
    s.poll(c, POLLIN, 1000);
    let both = EPOLLIN | EPOLLOUT | EPOLLONESHOT;
    let mut seen = vec![set.add(c, both, 1), set.add(event, both, 2)];
    seen.extend(set.wait(4, 1000));
    seen.extend(set.wait(4, 20));
    // Still members.
    seen.extend([set.add(c, both, 1), set.add(event, both, 2)]);
    for operation in [EPOLL_CTL_MOD, EPOLL_CTL_MOD, EPOLL_CTL_DEL] {
        seen.push(set.control(operation, c, EPOLLIN | EPOLLONESHOT | EPOLLET, 3));
        seen.push(set.control(operation, event, EPOLLIN | EPOLLONESHOT | EPOLLET, 4));
        seen.extend(set.wait(4, 100));
        seen.extend(set.wait(4, 20));
    }
    s.close_all(&[a, b, c, event]);
    seen
}

/// Who asks for the end alone is told of it alone, and again and again.
fn ends(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let mut seen = vec![set.add(c, EPOLLRDHUP, 1)];
    s.send(b, b"abc");
    seen.extend(set.wait(4, 50));
    s.call(__NR_shutdown, [b, 1]);
    s.poll(c, POLLRDHUP, 1000);
    for _ in 0..3 {
        seen.extend(set.wait(4, 1000));
    }
    s.close_all(&[a, b, c]);
    seen
}

/// A socket that is closed and one that has its number since are not taken for each other.
fn numbers(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let mut seen = Vec::new();
    for data in 1..20 {
        let one = s.socket(false, net::SOCK_DGRAM);
        seen.push(set.add(one, EPOLLOUT, data));
        seen.extend(set.wait(4, 0));
        if data % 3 == 0 {
            seen.push(set.control(EPOLL_CTL_MOD, one, EPOLLIN, data));
        }
        s.close(one);
    }
    seen.extend(set.wait(4, 0));
    seen
}

/// An edge wakes one of the threads that wait, an end of the waiting all.
fn threads(s: &System) -> Vec<i64> {
    const THREADS: usize = 4;
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let stop = s.call(__NR_eventfd2, [0, 0]) as u64;
    let mut seen = vec![set.add(c, EPOLLIN | EPOLLET, 1)];
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let wait = || {
            while set.wait(1, 5000)[..2] == [1, 1] {
                told.fetch_add(1, Ordering::SeqCst);
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(wait)).collect();
        for number in 1..=10 {
            s.send(b, b"a");
            for _ in 0..500 {
                if told.load(Ordering::SeqCst) >= number {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        seen.push(told.load(Ordering::SeqCst) as i64);
        seen.push(set.add(stop, EPOLLIN, 2));
        write(s, stop);
        for thread in threads {
            thread.join().expect("each is told to stop");
        }
    });
    seen.push(told.load(Ordering::SeqCst) as i64);
    s.close_all(&[a, b, c, stop]);
    seen
}

/// Who waits hears of members that come later, of each kind.
fn changed(s: &System) -> Vec<i64> {
    let set = Set::new(s);
    let [a, b, c] = s.pair();
    let event = s.call(__NR_eventfd2, [1, 0]) as u64;
    let timer = s.call(__NR_timerfd_create, [1, 0]) as u64;
    let [d, e] = host_pair(s);
    write(s, d);
    s.send(b, b"abc");
    let mut soon = [0i64, 0, 0, 20_000_000];
    s.call(__NR_timerfd_settime, [timer, 0, at(&mut soon), 0]);
    let mut seen = Vec::new();
    for (fd, data) in [(c, 1), (event, 2), (e, 3), (timer, 4)] {
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| set.wait(4, 5000));
            std::thread::sleep(Duration::from_millis(30));
            seen.push(set.add(fd, EPOLLIN, data));
            seen.extend(waiter.join().expect("a thread that waits"));
        });
        seen.push(set.control(EPOLL_CTL_DEL, fd, 0, 0));
    }
    s.close_all(&[a, b, c, d, e, event, timer]);
    seen
}
