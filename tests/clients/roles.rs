//! What programs do with sockets and their descriptors. Each role runs in a process of its
//! own, under `rump run`, over lo0 of the kernel, and panics if something is not as on
//! Linux.
#![allow(unsafe_code)]

#[path = "handlers.rs"]
mod handlers;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A role and what it does.
pub type Role = (&'static str, fn());

/// Those that are tests.
pub const ROLES: &[Role] = &[
    ("fork_shares_sockets", fork_shares),
    ("epoll_of_before_a_fork", epoll_forks),
    ("exec_keeps_sockets", exec_keeps),
    ("exec_with_a_list_of_arguments", exec_list),
    ("inetd_gives_a_socket_as_stdin", inetd),
    ("messages_pass_sockets_on", passes_on),
    ("signals_interrupt", signals),
    ("handlers_use_sockets", handlers::play),
    ("a_write_to_nobody_kills", kills),
    ("threads_wait_apart", threads),
    ("poll_and_select", polls),
    ("epoll_with_edges", edges),
    ("full_buffers", fills),
    ("connecting_without_waiting", connects),
    ("what_is_closed_is_closed_at_once", closes),
    ("datagrams", datagrams),
    ("interfaces_are_the_kernels", interfaces),
    #[cfg(feature = "async")]
    ("tokio_echoes", tokio_echoes),
    ("pointers_to_nowhere", nowhere),
    ("descriptors_2000", many),
];

/// Those that others start.
const OTHERS: &[Role] = &[
    ("after_exec", after_exec),
    ("asks", asks),
    ("victim", super::killed::victim),
];

pub fn play(name: &str) {
    let role = ROLES.iter().chain(OTHERS).find(|role| role.0 == name);
    role.unwrap_or_else(|| panic!("no role {name}")).1();
}

/// A connection over lo0: what the listener accepted is second.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // Small writes must not wait for what was said before.
    one.set_nodelay(true).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Runs this in a child; how it ended.
fn child(work: impl FnOnce()) -> WaitStatus {
    // SAFETY: there is one thread.
    match unsafe { fork().unwrap() } {
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        ForkResult::Child => {
            work();
            std::process::exit(0);
        }
    }
}

fn well(status: WaitStatus) {
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

/// What poll(2) says of one descriptor; nix knows no `POLLRDHUP`.
fn ready(fd: impl AsFd, events: PollFlags, wait: u16) -> PollFlags {
    let mut entry = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events: events.bits(),
        revents: 0,
    };
    // SAFETY: one entry.
    let count = unsafe { libc::poll(&raw mut entry, 1, wait.into()) };
    assert!(count >= 0);
    PollFlags::from_bits_retain(entry.revents)
}

fn fork_shares() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = listener.local_addr().unwrap();
    let mut one = TcpStream::connect(name).unwrap();
    // SAFETY: there is one thread.
    match unsafe { fork().unwrap() } {
        ForkResult::Parent { child } => {
            drop(listener);
            let mut text = [0; 5];
            one.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"child");
            well(waitpid(child, None).unwrap());
            // The child had a copy of this, too.
            assert_eq!(one.read(&mut text).unwrap(), 0);
        }
        ForkResult::Child => {
            let (mut other, _) = listener.accept().unwrap();
            // Grandchildren write to the same connection, one after the other.
            for part in ["ch", "il", "d"] {
                well(child(|| other.write_all(part.as_bytes()).unwrap()));
            }
        }
    }
}

/// A child waits with what its parent has made: sockets, a pipe, and another instance.
fn epoll_forks() {
    let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let event = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
    let (outer, inner) = (epoll(), epoll());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, mut other) = pair();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (read, write) = pipe().unwrap();
    outer.add(&listener, event(1)).unwrap();
    outer.add(&one, event(2)).unwrap();
    outer.add(&read, event(3)).unwrap();
    inner.add(&datagrams, event(5)).unwrap();
    outer.add(&inner.0, event(4)).unwrap();
    let ready = |epoll: &Epoll| {
        let mut found = [EpollEvent::empty(); 9];
        let count = epoll.wait(&mut found, EpollTimeout::from(5000u16)).unwrap();
        let mut found: Vec<_> = found[..count].iter().map(EpollEvent::data).collect();
        found.sort_unstable();
        found
    };
    // What is sent comes in its own time.
    let comes = |epoll: &Epoll, wanted: &[u64]| {
        let start = Instant::now();
        while ready(epoll) != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{:?}",
                ready(epoll)
            );
        }
    };
    let name = datagrams.local_addr().unwrap();
    // SAFETY: there is one thread.
    match unsafe { fork().unwrap() } {
        ForkResult::Child => {
            comes(&outer, &[3]);
            assert_eq!(nix::unistd::read(&read, &mut [0; 9]), Ok(1));
            other.write_all(b"x").unwrap();
            comes(&outer, &[2]);
            datagrams.send_to(b"x", name).unwrap();
            comes(&outer, &[2, 4]);
            comes(&inner, &[5]);
            let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            comes(&outer, &[1, 2, 4]);
            outer.delete(&one).unwrap();
            drop(inner);
            let found = ready(&outer);
            assert!(found == [1] || found == [1, 4], "{found:?}");
            drop(connected);
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            nix::unistd::write(&write, b"x").unwrap();
            well(waitpid(child, None).unwrap());
            // What the child has made ready is so for its parent.
            comes(&inner, &[5]);
            let found = ready(&outer);
            assert!(
                found.ends_with(&[4]) && found.starts_with(&[1]),
                "{found:?}"
            );
        }
    }
}

fn exec_keeps() {
    let kept = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lost = UdpSocket::bind("127.0.0.1:0").unwrap();
    fcntl(&kept, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let error = Command::new(std::env::current_exe().unwrap())
        .env("RUMP_TEST_ROLE", "after_exec")
        .env("KEPT", kept.as_raw_fd().to_string())
        .env("LOST", lost.as_raw_fd().to_string())
        .env("NAME", kept.local_addr().unwrap().to_string())
        .exec();
    panic!("{error}");
}

/// What the C library makes of more arguments than there are registers.
fn exec_list() {
    let kept = UdpSocket::bind("127.0.0.1:0").unwrap();
    fcntl(&kept, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let program = std::env::current_exe().unwrap().into_os_string();
    let string = |text: &str| std::ffi::CString::new(text).unwrap();
    let program = string(program.to_str().unwrap());
    let arguments: Vec<_> = (0..9).map(|number| string(&number.to_string())).collect();
    let one = |at: usize| arguments[at].as_ptr();
    let mut variables = Vec::from([
        string("RUMP_TEST_ROLE=after_exec"),
        string(&format!("KEPT={}", kept.as_raw_fd())),
        string("LOST=999"),
        string(&format!("NAME={}", kept.local_addr().unwrap())),
        string("ARGUMENTS=9"),
    ]);
    let others = std::env::vars().filter(|(name, _)| name != "RUMP_TEST_ROLE");
    variables.extend(others.map(|(name, value)| string(&format!("{name}={value}"))));
    let none = std::ptr::null::<libc::c_char>();
    let environment: Vec<_> = variables
        .iter()
        .map(|one| one.as_ptr())
        .chain([none])
        .collect();
    // First one that is not there, after which all is as before.
    let nothing = c"/nonexistent".as_ptr();
    // SAFETY: strings that live, and null pointers at their ends.
    unsafe {
        assert_eq!(libc::execl(nothing, one(0), one(1), none), -1);
        assert_eq!(Errno::last(), Errno::ENOENT);
        assert_eq!(libc::execlp(c"nonexistent".as_ptr(), one(0), none), -1);
        kept.send_to(b"x", kept.local_addr().unwrap()).unwrap();
        assert_eq!(kept.recv(&mut [0; 9]).unwrap(), 1);
        let (first, all) = (program.as_ptr(), environment.as_ptr());
        let [a, b, c, d, e, f, g, h, i] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(one);
        libc::execle(first, a, b, c, d, e, f, g, h, i, none, all);
    }
    panic!("{}", Errno::last());
}

fn after_exec() {
    if let Ok(count) = std::env::var("ARGUMENTS") {
        let given: Vec<_> = std::env::args().collect();
        assert_eq!(given.len().to_string(), count);
        assert!(
            (0..)
                .zip(&given)
                .all(|(at, one): (u8, _)| at.to_string() == **one)
        );
    }
    let told = |name| std::env::var(name).unwrap();
    let [kept, lost] = ["KEPT", "LOST"].map(|name| told(name).parse::<RawFd>().unwrap());
    // SAFETY: inherited, and nobody else's.
    let kept = unsafe { UdpSocket::from_raw_fd(kept) };
    assert_eq!(kept.local_addr().unwrap(), told("NAME").parse().unwrap());
    kept.send_to(b"x", kept.local_addr().unwrap()).unwrap();
    assert_eq!(kept.recv(&mut [0; 9]).unwrap(), 1);
    assert_eq!(
        recv(lost, &mut [0; 9], MsgFlags::empty()),
        Err(Errno::EBADF)
    );
    // The new program's children have it, too, and other children have not.
    well(child(|| assert!(kept.local_addr().is_ok())));
    let copy = kept.try_clone().unwrap();
    assert!(Command::new("true").status().unwrap().success());
    drop(kept);
    assert!(copy.local_addr().is_ok());
}

fn inetd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    let output = OwnedFd::from(other.try_clone().unwrap());
    let mut cat = Command::new("cat")
        .stdin(OwnedFd::from(other))
        .stdout(output)
        .spawn()
        .unwrap();
    let text: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    let mut writing = one.try_clone().unwrap();
    let written = text.clone();
    let writer = thread::spawn(move || {
        writing.write_all(&written).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    one.read_to_end(&mut back).unwrap();
    assert!(back == text, "{} bytes came back", back.len());
    writer.join().unwrap();
    assert!(cat.wait().unwrap().success());
}

fn passes_on() {
    let (here, there) = UnixStream::pair().unwrap();
    let (mut one, other) = pair();
    let fds = [other.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(
        here.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &rights,
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    // Now it is in the message alone.
    drop(other);
    thread::sleep(Duration::from_millis(30));
    well(child(|| {
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let mut space = nix::cmsg_space!(RawFd);
        let message = recvmsg::<()>(
            there.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::empty(),
        )
        .unwrap();
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
            panic!("no descriptor");
        };
        // SAFETY: it just came.
        let mut other = unsafe { TcpStream::from_raw_fd(fds[0]) };
        other.write_all(b"passed on").unwrap();
    }));
    let mut text = String::new();
    one.read_to_string(&mut text).unwrap();
    assert_eq!(text, "passed on");
}

extern "C" fn heard(_: i32) {}

fn on_alarm(flags: SaFlags) {
    let action = SigAction::new(SigHandler::Handler(heard), flags, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action).unwrap() };
}

fn signals() {
    let (one, mut other) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    on_alarm(SaFlags::empty());
    let alarm_in = |after: Duration| {
        let here = nix::sys::pthread::pthread_self() as usize;
        thread::spawn(move || {
            thread::sleep(after);
            // SAFETY: that thread waits for this one to end.
            unsafe { libc::pthread_kill(here as libc::pthread_t, libc::SIGALRM) };
        })
    };
    let soon = Duration::from_millis(50);
    let fd = one.as_raw_fd();
    let alarm = alarm_in(soon);
    assert_eq!(recv(fd, &mut [0; 4], MsgFlags::empty()), Err(Errno::EINTR));
    alarm.join().unwrap();
    let alarm = alarm_in(soon);
    let accepted = nix::sys::socket::accept(listener.as_raw_fd());
    assert_eq!(accepted, Err(Errno::EINTR));
    alarm.join().unwrap();
    // One for the whole process.
    nix::unistd::alarm::set(1);
    assert_eq!(recv(fd, &mut [0; 4], MsgFlags::empty()), Err(Errno::EINTR));
    // What waits for readiness is Linux's own.
    let alarm = alarm_in(soon);
    let mut entries = [PollFd::new(one.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut entries, PollTimeout::NONE), Err(Errno::EINTR));
    alarm.join().unwrap();
    // Started again, a call gets what comes later.
    on_alarm(SaFlags::SA_RESTART);
    let alarm = alarm_in(soon);
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        other.write_all(b"late").unwrap();
        other
    });
    assert_eq!(recv(fd, &mut [0; 9], MsgFlags::empty()), Ok(4));
    alarm.join().unwrap();
    writer.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(8));
}

fn kills() {
    let (one, other) = pair();
    drop(other);
    let status = child(|| {
        // The standard library ignores it.
        // SAFETY: the default.
        unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl).unwrap() };
        for _ in 0..100 {
            let _ = nix::unistd::write(&one, b"x");
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGPIPE, _)),
        "{status:?}"
    );
}

fn threads() {
    const COUNT: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = listener.local_addr().unwrap();
    // All of them wait in calls at the same time.
    let clients: Vec<_> = (0..COUNT)
        .map(|number| {
            thread::spawn(move || {
                let mut one = TcpStream::connect(name).unwrap();
                let mut text = String::new();
                one.write_all(&[number as u8]).unwrap();
                one.read_to_string(&mut text).unwrap();
                assert_eq!(text, format!("number {number}"));
            })
        })
        .collect();
    let mut waiting: Vec<_> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
    for one in waiting.iter_mut().rev() {
        let mut number = [0];
        one.read_exact(&mut number).unwrap();
        write!(one, "number {}", number[0]).unwrap();
    }
    drop(waiting);
    clients.into_iter().for_each(|one| one.join().unwrap());
}

fn polls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (read, write) = (PollFlags::POLLIN, PollFlags::POLLOUT);
    assert!(ready(&listener, read, 20).is_empty());
    let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    one.set_nodelay(true).unwrap();
    assert_eq!(ready(&listener, read, 1000), read);
    let (mut other, _) = listener.accept().unwrap();
    assert!(ready(&listener, read, 20).is_empty());
    assert_eq!(ready(&other, read | write, 1000), write);
    // In turns, some of it left.
    for _ in 0..50 {
        one.write_all(b"four").unwrap();
        assert_eq!(ready(&other, read, 1000), read);
        other.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(ready(&other, read, 0), read);
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);
        assert!(ready(&other, read, 0).is_empty());
    }
    // Together with what is Linux's.
    let (reading, writing) = pipe().unwrap();
    let mut both = [
        PollFd::new(other.as_fd(), read),
        PollFd::new(reading.as_fd(), read),
    ];
    assert_eq!(poll(&mut both, PollTimeout::from(20u16)), Ok(0));
    nix::unistd::write(&writing, b"x").unwrap();
    assert_eq!(poll(&mut both, PollTimeout::from(1000u16)), Ok(1));
    one.write_all(b"x").unwrap();
    ready(&other, read, 1000);
    assert_eq!(poll(&mut both, PollTimeout::from(1000u16)), Ok(2));
    let mut set = nix::sys::select::FdSet::new();
    set.insert(other.as_fd());
    set.insert(listener.as_fd());
    assert_eq!(
        nix::sys::select::select(None, &mut set, None, None, None),
        Ok(1)
    );
    assert!(set.contains(other.as_fd()));
    // The end.
    other.read_exact(&mut [0]).unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    let ends = PollFlags::from_bits_retain(libc::POLLRDHUP);
    assert_eq!(ready(&other, read | ends, 1000), read | ends);
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    assert_eq!(ready(&other, read, 0), read);
    other.write_all(b"still").unwrap();
    assert_eq!(ready(&one, read, 1000), read);
}

fn edges() {
    let (mut one, mut other) = pair();
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&other, EpollEvent::new(flags, 7)).unwrap();
    let wait = |limit: u16| {
        let mut events = [EpollEvent::empty(); 4];
        let count = epoll.wait(&mut events, EpollTimeout::from(limit)).unwrap();
        assert!(count == 0 || events[0].data() == 7);
        count
    };
    assert_eq!(wait(20), 0);
    for _ in 0..50 {
        one.write_all(b"news").unwrap();
        assert_eq!(wait(1000), 1);
        assert_eq!(wait(0), 0, "the same edge again");
        // A short read is the last, for programs that go by edges.
        assert_eq!(other.read(&mut [0; 64]).unwrap(), 4);
        assert_eq!(wait(0), 0);
    }
    // Something new is told, though the old was not read.
    one.write_all(b"a").unwrap();
    assert_eq!(wait(1000), 1);
    one.write_all(b"b").unwrap();
    assert_eq!(wait(1000), 1);
    one.shutdown(Shutdown::Write).unwrap();
    assert_eq!(wait(1000), 1);
}

fn fills() {
    let (one, mut other) = pair();
    one.set_nonblocking(true).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&one, FcntlArg::F_GETFL).unwrap());
    assert!(flags.contains(OFlag::O_NONBLOCK));
    let write = PollFlags::POLLOUT;
    for _ in 0..5 {
        let mut sent = 0;
        loop {
            match (&one).write(&[5; 50_000]) {
                Ok(length) => sent += length,
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    // The other side may still be taking some.
                    if ready(&one, write, 50).is_empty() {
                        break;
                    }
                }
            }
        }
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            other.read_exact(&mut vec![0; sent]).unwrap();
            other
        });
        assert_eq!(ready(&one, write, 5000), write);
        other = reader.join().unwrap();
    }
    // A call that waits for room, and is done when all is sent.
    one.set_nonblocking(false).unwrap();
    let writer = thread::spawn(move || (&one).write_all(&vec![6; 3_000_000]).unwrap());
    let mut all = Vec::new();
    other.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 3_000_000);
    writer.join().unwrap();
}

fn connects() {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockopt, socket, sockopt,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = closed.local_addr().unwrap().port();
    drop(closed);
    for (port, result) in [(open, 0), (refusing, libc::ECONNREFUSED)] {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let one = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        let name = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let error = match connect(one.as_raw_fd(), &name) {
            Err(Errno::EINPROGRESS) => {
                let found = ready(&one, PollFlags::POLLOUT, 5000);
                assert!(found.contains(PollFlags::POLLOUT), "{found:?}");
                getsockopt(&one, sockopt::SocketError).unwrap()
            }
            other => other.map_or_else(|errno| errno as i32, |()| 0),
        };
        assert_eq!(error, result, "port {port}");
    }
}

fn closes() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = first.local_addr().unwrap();
    assert!(TcpListener::bind(name).is_err());
    drop(first);
    // Fewer than the 100 in a second that NetBSD refuses.
    for _ in 0..40 {
        // Where nothing was connected, nothing is left.
        let again = TcpListener::bind(name).unwrap();
        drop(again);
        let error = TcpStream::connect(name).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        // The last copy is another process's.
        let again = TcpListener::bind(name).unwrap();
        // SAFETY: there is one thread.
        match unsafe { fork().unwrap() } {
            ForkResult::Parent { child } => {
                drop(again);
                well(waitpid(child, None).unwrap());
            }
            ForkResult::Child => std::process::exit(0),
        }
    }
}

/// A server on tokio's own sockets, in several threads, and many clients at once.
#[cfg(feature = "async")]
fn tokio_echoes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                    write.shutdown().await.unwrap();
                });
            }
        });
        let clients = (0..40u8).map(|number| {
            tokio::spawn(async move {
                let stream = net::TcpStream::connect(name).await.unwrap();
                let (mut read, mut write) = stream.into_split();
                let sent = vec![number; 100_000];
                let data = sent.clone();
                let writer = tokio::spawn(async move {
                    write.write_all(&data).await.unwrap();
                    write.shutdown().await.unwrap();
                });
                let mut back = Vec::new();
                read.read_to_end(&mut back).await.unwrap();
                writer.await.unwrap();
                assert!(back == sent, "{number}: {} bytes", back.len());
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let late = tokio::time::timeout(Duration::from_millis(50), async {
            let one = net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            one.recv(&mut [0]).await
        });
        assert!(late.await.is_err());
    });
}

/// By the C library, which asks in several ways.
fn interfaces() {
    use nix::net::if_::{if_nameindex, if_nametoindex};
    // Of a runner's that has made no socket yet, too.
    let index = if_nametoindex("lo0").unwrap();
    assert_eq!(if_nametoindex("eth0"), Err(Errno::ENODEV));
    let all = if_nameindex().unwrap();
    let names: Vec<_> = all.iter().map(|one| (one.index(), one.name())).collect();
    assert!(names.contains(&(index, c"lo0")), "{names:?}");
    drop(all);
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: room for a name.
    assert!(!unsafe { libc::if_indextoname(index, name.as_mut_ptr()) }.is_null());
    assert_eq!(
        name[..4].iter().map(|byte| *byte as u8).collect::<Vec<_>>(),
        b"lo0\0"
    );
    let all: Vec<_> = nix::ifaddrs::getifaddrs().unwrap().collect();
    assert!(
        all.iter().all(|one| one.interface_name.starts_with("lo0")),
        "{all:?}"
    );
    let v4 = all.iter().find_map(|one| {
        let address = one.address.as_ref()?.as_sockaddr_in()?.ip();
        Some((
            address,
            one.netmask.as_ref()?.as_sockaddr_in()?.ip(),
            one.flags,
        ))
    });
    let (address, mask, flags) = v4.unwrap();
    assert_eq!(
        (address, mask),
        (Ipv4Addr::LOCALHOST, Ipv4Addr::new(255, 0, 0, 0))
    );
    let wanted =
        nix::net::if_::InterfaceFlags::IFF_UP | nix::net::if_::InterfaceFlags::IFF_LOOPBACK;
    assert!(flags.contains(wanted), "{flags:?}");
}

fn datagrams() {
    let [one, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [from, to] = [&one, &other].map(|socket| socket.local_addr().unwrap());
    let mode = nix::sys::stat::fstat(&one).unwrap().st_mode;
    assert_eq!(mode & libc::S_IFMT, libc::S_IFSOCK);
    let read = PollFlags::POLLIN;
    for length in [0, 1, 1000, 9000] {
        assert!(ready(&other, read, 0).is_empty());
        one.send_to(&vec![1; length], to).unwrap();
        assert_eq!(ready(&other, read, 1000), read);
        assert_eq!(other.recv_from(&mut [0; 10_000]).unwrap(), (length, from));
    }
    other.connect(from).unwrap();
    other.send(b"back").unwrap();
    assert_eq!(one.recv_from(&mut [0; 10]).unwrap(), (4, to));
    one.set_read_timeout(Some(Duration::from_millis(40)))
        .unwrap();
    let error = one.recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let v6 = UdpSocket::bind("[::1]:0").unwrap();
    v6.send_to(b"six", v6.local_addr().unwrap()).unwrap();
    let (length, name) = v6.recv_from(&mut [0; 10]).unwrap();
    assert_eq!((length, name), (3, v6.local_addr().unwrap()));
    assert!(matches!(name, SocketAddr::V6(_)));
}

/// Sends datagrams to whom it is told, in each way, and waits for an answer to each.
fn asks() {
    let to: SocketAddr = std::env::var("RUMP_TEST_TO").unwrap().parse().unwrap();
    let answered = |socket: &UdpSocket| {
        assert_eq!(ready(socket, PollFlags::POLLIN, 5000), PollFlags::POLLIN);
        assert_eq!(socket.recv(&mut [0; 9]).unwrap(), 3);
    };
    let any = || UdpSocket::bind("0.0.0.0:0").unwrap();
    let one = any();
    one.connect(to).unwrap();
    one.send(b"yes").unwrap();
    answered(&one);
    let one = any();
    one.set_nonblocking(true).unwrap();
    one.send_to(b"yes", to).unwrap();
    answered(&one);
    let SocketAddr::V4(to) = to else {
        panic!("{to}")
    };
    let name = nix::sys::socket::SockaddrIn::from(to);
    let one = any();
    let parts = [IoSlice::new(b"yes")];
    sendmsg(one.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&name)).unwrap();
    answered(&one);
    // With its flags.
    let flags = FdFlag::from_bits_retain(fcntl(&one, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
}

fn nowhere() {
    let (one, mut other) = pair();
    one.set_nonblocking(true).unwrap();
    let fd = i64::from(one.as_raw_fd());
    let mut calls = 0;
    for number in [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
        libc::SYS_bind,
        libc::SYS_connect,
        libc::SYS_getsockname,
        libc::SYS_setsockopt,
        libc::SYS_accept4,
    ] {
        for address in [1i64, 4096, 0x7fff_ffff_efff, 1 << 47, -1, -8] {
            for length in [1i64, 16, 1 << 20, i64::from(i32::MAX), i64::MAX] {
                other.write_all(b"x").unwrap();
                // SAFETY: what is not mapped is not touched.
                let result = unsafe { libc::syscall(number, fd, address, length, 0, 0, 0) };
                assert!(result <= 0, "{number} {address:#x} {length}: {result}");
                calls += 1;
                // A descriptor that was taken in the meantime is not lost.
                let _ = recv(one.as_raw_fd(), &mut [0; 64], MsgFlags::empty());
            }
        }
    }
    assert_eq!(calls, 13 * 6 * 5);
    drop(other.write_all(b"end"));
    assert_eq!(ready(&one, PollFlags::POLLIN, 1000), PollFlags::POLLIN);
}

fn many() {
    let mut sockets: Vec<_> = (0..2000)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for socket in sockets.iter().step_by(97) {
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).unwrap(), 1);
    }
    let limit = OwnedFd::from(sockets.pop().unwrap()).as_raw_fd();
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        limit as u64,
        limit as u64,
    )
    .unwrap();
    let full = UdpSocket::bind("127.0.0.1:0").unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
    drop(sockets);
    UdpSocket::bind("127.0.0.1:0").unwrap();
}
