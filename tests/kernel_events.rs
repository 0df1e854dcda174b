//! `poll` and `kqueue`: what they report and when, against sockets in a known state.

mod common;

use common::{Outcome, pair};
use rump::kqueue::{Filter, Kind, Kqueue, Mode};
use rump::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use rump::poll::{Events, PollFd, poll};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, so that a call that should not wait is told from one
/// that does.
const LONG: Option<Duration> = Some(Duration::from_secs(20));

fn main() {
    common::run_on_kernel([
        ("poll::times_out", poll_times_out),
        ("poll::without_entries_is_a_sleep", poll_sleeps),
        ("poll::tells_which_of_several", poll_tells_which),
        ("poll::listener_and_stream", poll_listener_and_stream),
        ("poll::nonblocking_connect", poll_connect),
        ("poll::is_woken_by_another_thread", poll_woken),
        ("poll::many_threads_are_all_woken", poll_by_many),
        ("poll::absurdly_many_entries", poll_absurdly_many),
        ("kqueue::modes", modes),
        ("kqueue::end_and_reset", end_and_reset),
        ("kqueue::timers", timers),
        ("kqueue::removal_and_close", removal_and_close),
        ("kqueue::user_events", user_events),
        ("kqueue::user_events_wake", user_events_wake),
    ]);
}

fn poll_times_out() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for time in [
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_millis(50),
    ] {
        let begin = Instant::now();
        let mut entries = [PollFd::new(&socket, Events::READABLE)];
        assert_eq!(poll(&mut entries, Some(time))?, 0);
        assert!(entries[0].returned().is_empty());
        assert!(begin.elapsed() >= time, "{:?} of {time:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    Ok(())
}

fn poll_sleeps() -> Outcome {
    let begin = Instant::now();
    assert_eq!(poll(&mut [], Some(Duration::from_millis(30)))?, 0);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    Ok(())
}

fn poll_tells_which() -> Outcome {
    let sockets: Vec<_> = (0..40)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let busy = [0, 7, 39];
    for index in busy {
        sockets[index].send_to(b"x", sockets[index].local_addr()?)?;
        // It has arrived when it can be seen.
        sockets[index].peek(&mut [0])?;
    }
    let mut entries: Vec<_> = sockets
        .iter()
        .map(|socket| PollFd::new(socket, Events::READABLE))
        .collect();
    assert_eq!(poll(&mut entries, LONG)?, busy.len());
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(
            entry.returned().is_readable(),
            busy.contains(&index),
            "socket {index}: {entry:?}"
        );
    }
    Ok(())
}

fn poll_listener_and_stream() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut entry = [PollFd::new(&listener, Events::READABLE)];
    assert_eq!(poll(&mut entry, Some(Duration::ZERO))?, 0);
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    assert_eq!(poll(&mut entry, LONG)?, 1);
    let (mut server, _) = listener.accept()?;
    assert_eq!(
        poll(&mut entry, Some(Duration::ZERO))?,
        0,
        "the connection has been taken"
    );

    let mut entry = [PollFd::new(&server, Events::READABLE | Events::WRITABLE)];
    assert_eq!(poll(&mut entry, LONG)?, 1);
    assert!(entry[0].returned().is_writable() && !entry[0].returned().is_readable());
    client.write_all(b"x")?;
    entry[0].set_events(Events::READABLE);
    assert_eq!(poll(&mut entry, LONG)?, 1);
    server.read_exact(&mut [0])?;
    client.shutdown(Shutdown::Write)?;
    let mut entry = [PollFd::new(&server, Events::READABLE)];
    assert_eq!(
        poll(&mut entry, LONG)?,
        1,
        "the end of the stream is something to read"
    );
    assert_eq!(server.read(&mut [0])?, 0);
    Ok(())
}

fn poll_connect() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stream = TcpStream::connect_nonblocking(&address)?;
    assert_eq!(
        poll(&mut [PollFd::new(&stream, Events::WRITABLE)], LONG)?,
        1
    );
    assert!(stream.take_error()?.is_none());
    assert_eq!(stream.peer_addr()?, address);
    drop((stream, listener));

    match TcpStream::connect_nonblocking(&address) {
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
        Ok(stream) => {
            assert_eq!(
                poll(&mut [PollFd::new(&stream, Events::WRITABLE)], LONG)?,
                1
            );
            let error = stream
                .take_error()?
                .ok_or("no error after a refused connection")?;
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }
    Ok(())
}

fn poll_woken() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", address)
    });
    let begin = Instant::now();
    assert_eq!(
        poll(&mut [PollFd::new(&socket, Events::READABLE)], None)?,
        1
    );
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(sender.join().unwrap()?, 1);
    Ok(())
}

/// Each thread waits for what another does, most of them at the same time.
fn poll_by_many() -> Outcome {
    const THREADS: usize = 40;
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let clients: Vec<_> = (0..THREADS)
            .map(|_| {
                thread::spawn(move || -> io::Result<()> {
                    let mut stream = TcpStream::connect_nonblocking(&address)?;
                    let connected = poll(&mut [PollFd::new(&stream, Events::WRITABLE)], LONG)?;
                    assert_eq!(connected, 1, "connected, and not told");
                    let told = poll(&mut [PollFd::new(&stream, Events::READABLE)], LONG)?;
                    assert_eq!(told, 1, "written to, and not told");
                    stream.set_nonblocking(false)?;
                    stream.read_exact(&mut [0])
                })
            })
            .collect();
        let streams = (0..THREADS).map(|_| Ok(listener.accept()?.0));
        let streams = streams.collect::<io::Result<Vec<TcpStream>>>()?;
        for mut stream in &streams {
            stream.write_all(b"x")?;
        }
        for client in clients {
            client.join().map_err(|_| "a client")??;
        }
    }
    Ok(())
}

fn poll_absurdly_many() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut entries = vec![PollFd::new(&socket, Events::READABLE); 1 << 21];
    let error = poll(&mut entries, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    Ok(())
}

fn modes() -> Outcome {
    let none = Some(Duration::from_millis(30));
    let mut events = Vec::new();
    for (mode, counts) in [
        (Mode::Level, [1, 1, 1]),
        (Mode::Edge, [1, 0, 1]),
        (Mode::Once, [1, 0, 0]),
    ] {
        let (mut client, mut server) = pair()?;
        let queue = Kqueue::new()?;
        queue.add(Filter::read(&server), mode, 0x1234_5678_9abc)?;
        assert_eq!(queue.wait(&mut events, none)?, 0);
        client.write_all(b"xy")?;
        for (step, count) in counts.into_iter().enumerate() {
            if step == 2 {
                client.write_all(b"z")?;
            }
            let time = if count == 1 { LONG } else { none };
            assert_eq!(
                queue.wait(&mut events, time)?,
                count,
                "{mode:?}, step {step}"
            );
            if let Some(event) = events.first() {
                assert_eq!(
                    (event.kind(), event.udata()),
                    (Kind::Read, 0x1234_5678_9abc)
                );
                assert!(event.data() >= 2 && !event.is_eof() && event.error().is_none());
            }
        }
        server.read_exact(&mut [0; 3])?;
        assert_eq!(
            queue.wait(&mut events, none)?,
            0,
            "{mode:?}: nothing is left"
        );
        queue.add(Filter::write(&server), mode, 2)?;
        assert_eq!(queue.wait(&mut events, LONG)?, 1);
        assert_eq!(events[0].kind(), Kind::Write);
    }
    Ok(())
}

fn end_and_reset() -> Outcome {
    let mut events = Vec::new();
    let (mut client, server) = pair()?;
    let queue = Kqueue::new()?;
    queue.add(Filter::read(&server), Mode::Level, 0)?;
    client.write_all(b"end")?;
    drop(client);
    while !{
        queue.wait(&mut events, LONG)?;
        events
            .first()
            .ok_or("no event at the end of a stream")?
            .is_eof()
    } {}
    assert_eq!(
        events[0].data(),
        3,
        "what came before the end can still be read"
    );
    assert!(events[0].error().is_none());

    let (client, server) = pair()?;
    queue.add(Filter::read(&server), Mode::Level, 1)?;
    client.set_linger(Some(Duration::ZERO))?;
    drop(client);
    loop {
        queue.wait(&mut events, LONG)?;
        let event = events.iter().find(|event| event.udata() == 1);
        if let Some(event) = event {
            assert!(event.is_eof());
            let error = event.error().ok_or("a reset without an error")?;
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            return Ok(());
        }
    }
}

fn timers() -> Outcome {
    let queue = Kqueue::new()?;
    let mut events = Vec::new();
    let zero = Filter::Timer {
        ident: 1,
        period: Duration::ZERO,
    };
    assert_eq!(
        queue.add(zero, Mode::Level, 0).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );

    let begin = Instant::now();
    queue.add(
        Filter::Timer {
            ident: 9,
            period: Duration::from_millis(40),
        },
        Mode::Level,
        5,
    )?;
    for round in 1..=3 {
        assert_eq!(queue.wait(&mut events, LONG)?, 1);
        assert_eq!(
            (events[0].kind(), events[0].ident(), events[0].udata()),
            (Kind::Timer, 9, 5)
        );
        assert!(
            begin.elapsed() >= Duration::from_millis(30 * round),
            "{:?}",
            begin.elapsed()
        );
    }
    queue.remove(Filter::Timer {
        ident: 9,
        period: Duration::from_millis(40),
    })?;
    assert_eq!(
        queue.wait(&mut events, Some(Duration::from_millis(150)))?,
        0
    );

    queue.add(
        Filter::Timer {
            ident: 1,
            period: Duration::from_millis(10),
        },
        Mode::Once,
        0,
    )?;
    assert_eq!(queue.wait(&mut events, LONG)?, 1);
    assert_eq!(
        queue.wait(&mut events, Some(Duration::from_millis(100)))?,
        0
    );

    // Absurd times are taken, and do not come at once.
    queue.add(
        Filter::Timer {
            ident: 2,
            period: Duration::MAX,
        },
        Mode::Once,
        0,
    )?;
    queue.add(
        Filter::Timer {
            ident: 3,
            period: Duration::from_secs(1 << 30),
        },
        Mode::Once,
        0,
    )?;
    assert_eq!(
        queue.wait(&mut events, Some(Duration::from_millis(100)))?,
        0
    );
    Ok(())
}

fn removal_and_close() -> Outcome {
    let queue = Kqueue::new()?;
    let mut events = Vec::new();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let missing = queue.remove(Filter::read(&socket)).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound, "{missing}");
    queue.add(Filter::read(&socket), Mode::Level, 0)?;
    socket.send_to(b"x", socket.local_addr()?)?;
    assert_eq!(queue.wait(&mut events, LONG)?, 1);
    queue.remove(Filter::read(&socket))?;
    assert_eq!(queue.wait(&mut events, Some(Duration::from_millis(30)))?, 0);
    queue.add(Filter::read(&socket), Mode::Level, 0)?;
    assert_eq!(queue.wait(&mut events, LONG)?, 1);
    drop(socket);
    assert_eq!(
        queue.wait(&mut events, Some(Duration::from_millis(30)))?,
        0,
        "closing ends the interest"
    );

    // A queue can be waited for itself, and more than one batch comes in parts.
    let sockets: Vec<_> = (0..100)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    for (index, socket) in sockets.iter().enumerate() {
        queue.add(Filter::read(socket), Mode::Edge, index)?;
        socket.send_to(b"x", socket.local_addr()?)?;
    }
    let mut seen = vec![false; sockets.len()];
    while seen.contains(&false) {
        assert_eq!(poll(&mut [PollFd::new(&queue, Events::READABLE)], LONG)?, 1);
        let count = queue.wait(&mut events, LONG)?;
        assert!((1..=64).contains(&count));
        for event in &events {
            assert!(
                !std::mem::replace(&mut seen[event.udata()], true),
                "reported twice"
            );
        }
    }
    Ok(())
}

fn user_events() -> Outcome {
    let queue = Kqueue::new()?;
    let mut events = Vec::new();
    let user = |ident| Filter::User { ident };
    let now = Some(Duration::ZERO);
    queue.add(user(3), Mode::Edge, 4)?;
    assert_eq!(queue.wait(&mut events, now)?, 0);
    queue.trigger(3)?;
    queue.trigger(3)?;
    assert_eq!(
        queue.wait(&mut events, LONG)?,
        1,
        "twice is as good as once"
    );
    assert_eq!(
        (events[0].kind(), events[0].ident(), events[0].udata()),
        (Kind::User, 3, 4)
    );
    assert_eq!(queue.wait(&mut events, now)?, 0, "it has been reported");

    // Triggered before it is changed, it stays so.
    queue.add(user(5), Mode::Level, 6)?;
    queue.trigger(5)?;
    for _ in 0..2 {
        assert_eq!(queue.wait(&mut events, now)?, 1);
        assert_eq!((events[0].ident(), events[0].udata()), (5, 6));
    }
    queue.remove(user(5))?;
    assert_eq!(queue.wait(&mut events, now)?, 0);

    queue.add(user(7), Mode::Once, 8)?;
    queue.trigger(7)?;
    assert_eq!(queue.wait(&mut events, now)?, 1);
    for gone in [5, 7, 9] {
        let error = queue.trigger(gone).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{gone}");
    }
    assert_eq!(
        queue.wait(&mut events, now)?,
        0,
        "nothing came about by that"
    );

    // The same number in another queue is another event.
    let other = Kqueue::new()?;
    other.add(user(3), Mode::Edge, 0)?;
    queue.trigger(3)?;
    assert_eq!(other.wait(&mut events, now)?, 0);
    Ok(())
}

/// A trigger by another thread wakes who waits, and none is lost.
fn user_events_wake() -> Outcome {
    const TIMES: usize = 2000;
    let queue = Kqueue::new()?;
    queue.add(Filter::User { ident: 1 }, Mode::Edge, 0)?;
    queue.add(Filter::User { ident: 2 }, Mode::Edge, 0)?;
    let asked = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        let server = scope.spawn(|| -> io::Result<()> {
            let mut events = Vec::new();
            while answered.load(SeqCst) < TIMES {
                assert_ne!(queue.wait(&mut events, LONG)?, 0, "a trigger was lost");
                answered.store(asked.load(SeqCst), SeqCst);
            }
            Ok(())
        });
        for time in 1..=TIMES {
            asked.store(time, SeqCst);
            queue.trigger(1 + time % 2)?;
            while time % 64 == 0 && answered.load(SeqCst) < time && !server.is_finished() {
                thread::yield_now();
            }
        }
        server.join().unwrap()?;
        Ok(())
    })
}
