//! Sockets in a reactor, under several executors; where tokio's own sockets can do the
//! same on Linux, they are asked too.

mod common;

use common::Outcome;
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::reactor::{Async, Reactor, block_on};
use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn main() {
    common::run_on_kernel([
        ("tokio::echo_on_one_thread", || echo(&one_thread()?)),
        ("tokio::echo_on_several_threads", || {
            echo(&several_threads()?)
        }),
        (
            "tokio::both_ways_through_a_proxy",
            both_ways_through_a_proxy,
        ),
        ("tokio::ends_as_tokios_do", ends_as_tokios_do),
        ("tokio::refused_as_tokios_are", refused_as_tokios_are),
        ("tokio::accepted_by_many", accepted_by_many),
        ("tokio::two_thousand_connections", two_thousand_connections),
        ("cancel::reads_lose_nothing", reads_lose_nothing),
        ("cancel::accepts_lose_nothing", accepts_lose_nothing),
        ("cancel::dropped_while_waiting", dropped_while_waiting),
        ("futures::echo", futures_echo),
        ("udp::datagrams", datagrams),
        ("reactor::a_thread_each", a_thread_each),
        ("reactor::taken_out_again", taken_out_again),
        ("reactor::woken_by_another_thread", woken_by_another_thread),
        (
            "reactor::dropped_before_its_sockets",
            dropped_before_its_sockets,
        ),
        ("reactor::a_busy_stream_lets_others_run", busy_stream),
        ("reactor::of_another_process", of_another_process),
        ("tasks::no_wake_up_is_lost", no_wake_up_is_lost),
    ]);
}

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn several_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
}

fn listen() -> io::Result<(Async<TcpListener>, SocketAddr)> {
    let listener = Async::<TcpListener>::bind(ANY)?;
    let address = listener.get_ref().local_addr()?;
    Ok((listener, address))
}

async fn pair() -> io::Result<(Async<TcpStream>, Async<TcpStream>)> {
    let (listener, address) = listen()?;
    let client = Async::<TcpStream>::connect(address).await?;
    Ok((client, listener.accept().await?.0))
}

/// Runs it, but not for ever.
fn run<T>(runtime: &Runtime, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime.block_on(async { timeout(LONG, work).await? })
}

/// Bytes that tell where they belong.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + seed) % 251) as u8).collect()
}

fn echo(runtime: &Runtime) -> Outcome {
    const CLIENTS: usize = 50;
    const BYTES: usize = 100_000;
    run(runtime, async {
        let (listener, address) = listen()?;
        let server = tokio::spawn(async move {
            for _ in 0..CLIENTS {
                let (mut stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    let mut buffer = vec![0; 3000];
                    loop {
                        let length = stream.read(&mut buffer).await?;
                        if length == 0 {
                            return tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
                        }
                        stream.write_all(&buffer[..length]).await?;
                    }
                });
            }
            io::Result::Ok(())
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|seed| {
                tokio::spawn(async move {
                    let stream = Async::<TcpStream>::connect(address).await?;
                    let (mut from, mut to) = tokio::io::split(stream);
                    let sent = pattern(BYTES, seed);
                    let sender = tokio::spawn(async move {
                        to.write_all(&sent).await?;
                        to.shutdown().await
                    });
                    let mut received = Vec::new();
                    from.read_to_end(&mut received).await?;
                    sender.await??;
                    assert!(received == pattern(BYTES, seed));
                    io::Result::Ok(())
                })
            })
            .collect();
        for client in clients {
            client.await??;
        }
        server.await?
    })?;
    Ok(())
}

fn both_ways_through_a_proxy() -> Outcome {
    const BYTES: usize = 4 << 20;
    run(&several_threads()?, async {
        let (client, mut near) = pair().await?;
        let (mut far, server) = pair().await?;
        let proxy =
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        let exchange = |seed: usize| {
            move |mut stream: Async<TcpStream>| async move {
                let (mut from, mut to) = tokio::io::split(&mut stream);
                let sent = pattern(BYTES, seed);
                let mut received = vec![0; BYTES];
                tokio::try_join!(to.write_all(&sent), from.read_exact(&mut received))?;
                assert!(received == pattern(BYTES, 1 - seed));
                stream.shutdown().await
            }
        };
        let (one, other) = tokio::join!(
            tokio::spawn(exchange(0)(client)),
            tokio::spawn(exchange(1)(server))
        );
        one??;
        other??;
        assert_eq!(proxy.await??, (BYTES as u64, BYTES as u64));
        Ok(())
    })?;
    Ok(())
}

/// What a connection says as one direction after the other ends.
async fn ending<S>(mut one: S, mut other: S) -> io::Result<Vec<String>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut seen = Vec::new();
    let mut buffer = [0; 16];
    one.write_all(b"last words").await?;
    one.shutdown().await?;
    seen.push(format!("{:?}", other.read(&mut buffer).await));
    seen.push(format!("{:?}", other.read(&mut buffer).await));
    other.write_all(b"answer").await?;
    seen.push(format!("{:?}", one.read(&mut buffer).await));
    seen.push(format!(
        "{:?}",
        one.write(b"more").await.map_err(|error| error.kind())
    ));
    drop(other);
    seen.push(format!("{:?}", one.read(&mut buffer).await));
    seen.push(format!("{:?}", one.shutdown().await.is_ok()));
    Ok(seen)
}

fn ends_as_tokios_do() -> Outcome {
    run(&one_thread()?, async {
        let (one, other) = pair().await?;
        let ours = ending(one, other).await?;
        let listener = tokio::net::TcpListener::bind(ANY).await?;
        let one = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
        let other = listener.accept().await?.0;
        assert_eq!(ours, ending(one, other).await?);
        Ok(())
    })?;
    Ok(())
}

fn refused_as_tokios_are() -> Outcome {
    run(&one_thread()?, async {
        let (listener, address) = listen()?;
        drop(listener);
        let ours = Async::<TcpStream>::connect(address).await.map(drop);
        let theirs = {
            let address = tokio::net::TcpListener::bind(ANY).await?.local_addr()?;
            tokio::net::TcpStream::connect(address).await.map(drop)
        };
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        assert_eq!(kind(ours), kind(theirs));
        Ok(())
    })?;
    Ok(())
}

fn accepted_by_many() -> Outcome {
    const TASKS: usize = 20;
    run(&several_threads()?, async {
        let (listener, address) = listen()?;
        let listener = Arc::new(listener);
        let waiting: Vec<_> = (0..TASKS)
            .map(|_| {
                let listener = Arc::clone(&listener);
                tokio::spawn(async move { listener.accept().await.map(|(_, peer)| peer) })
            })
            .collect();
        let mut clients = HashSet::new();
        let mut open = Vec::new();
        for _ in 0..TASKS {
            let client = Async::<TcpStream>::connect(address).await?;
            clients.insert(client.get_ref().local_addr()?);
            open.push(client);
        }
        let mut accepted = HashSet::new();
        for task in waiting {
            accepted.insert(task.await??);
        }
        assert_eq!(accepted, clients, "each by one");
        Ok(())
    })?;
    Ok(())
}

fn two_thousand_connections() -> Outcome {
    const COUNT: usize = 2000;
    run(&one_thread()?, async {
        let (listener, address) = listen()?;
        let mut pairs = Vec::new();
        for _ in 0..COUNT {
            let client = Async::<TcpStream>::connect(address).await?;
            pairs.push((client, listener.accept().await?.0));
        }
        // All wait, and then all are told.
        let mut clients = Vec::new();
        let readers: Vec<_> = pairs
            .into_iter()
            .map(|(client, server)| {
                clients.push(client);
                tokio::spawn(async move {
                    let mut number = [0; 8];
                    let mut server = server;
                    server.read_exact(&mut number).await?;
                    io::Result::Ok(u64::from_be_bytes(number))
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for (number, client) in clients.iter().enumerate() {
            client.write_all(&(number as u64).to_be_bytes()).await?;
        }
        for (number, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.await??, number as u64);
        }
        Ok(())
    })?;
    Ok(())
}

/// Reads are given up again and again; each byte arrives once, and in order.
fn reads_lose_nothing() -> Outcome {
    const BYTES: usize = 20_000;
    run(&several_threads()?, async {
        let (client, server) = pair().await?;
        let sender = tokio::spawn(async move {
            for (number, piece) in pattern(BYTES, 0).chunks(97).enumerate() {
                client.write_all(piece).await?;
                if number % 8 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            io::Result::Ok(())
        });
        let (mut received, mut given_up) = (Vec::new(), 0);
        while received.len() < BYTES {
            let mut buffer = [0; 50];
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => given_up += 1,
                length = server.read(&mut buffer) => received.extend_from_slice(&buffer[..length?]),
            }
            // So that it is now and then.
            if given_up % 3 == 0 {
                let length = server.read(&mut buffer).await?;
                received.extend_from_slice(&buffer[..length]);
            }
        }
        assert!(received == pattern(BYTES, 0));
        assert!(given_up > 0);
        sender.await?
    })?;
    Ok(())
}

fn accepts_lose_nothing() -> Outcome {
    const COUNT: usize = 100;
    run(&several_threads()?, async {
        let (listener, address) = listen()?;
        let clients = tokio::spawn(async move {
            let mut all = Vec::new();
            for _ in 0..COUNT {
                all.push(Async::<TcpStream>::connect(address).await?);
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            io::Result::Ok(all)
        });
        let (mut accepted, mut given_up) = (Vec::new(), 0);
        while accepted.len() < COUNT {
            match timeout(Duration::from_micros(200), listener.accept()).await {
                Ok(connection) => accepted.push(connection?.1),
                Err(_) => given_up += 1,
            }
        }
        let clients = clients.await??;
        let expected: HashSet<_> = clients
            .iter()
            .map(|client| client.get_ref().local_addr())
            .collect::<Result<_, _>>()?;
        assert_eq!(accepted.into_iter().collect::<HashSet<_>>(), expected);
        assert!(given_up > 0);
        Ok(())
    })?;
    Ok(())
}

/// The next socket gets the same number, and must not be taken for the old one.
fn dropped_while_waiting() -> Outcome {
    run(&one_thread()?, async {
        for _ in 0..200 {
            let (client, server) = pair().await?;
            let mut buffer = [0; 1];
            let wait = timeout(Duration::ZERO, server.read(&mut buffer)).await;
            assert!(wait.is_err());
            client.write_all(b"x").await?;
            // What is told of it now is about nobody.
            drop(server);
            let (client, server) = pair().await?;
            client.write_all(b"y").await?;
            server.read(&mut buffer).await?;
            assert_eq!(&buffer, b"y");
        }
        Ok(())
    })?;
    Ok(())
}

fn futures_echo() -> Outcome {
    const BYTES: usize = 100_000;
    futures_lite::future::block_on(async {
        let (mut client, mut server) = pair().await?;
        let echo = async {
            let mut buffer = vec![0; 1000];
            loop {
                match futures_lite::AsyncReadExt::read(&mut server, &mut buffer).await? {
                    0 => return futures_lite::AsyncWriteExt::close(&mut server).await,
                    length => {
                        futures_lite::AsyncWriteExt::write_all(&mut server, &buffer[..length])
                            .await?
                    }
                }
            }
        };
        let talk = async {
            let sent = pattern(BYTES, 5);
            for piece in sent.chunks(10_000) {
                futures_lite::AsyncWriteExt::write_all(&mut client, piece).await?;
                let mut received = vec![0; piece.len()];
                futures_lite::AsyncReadExt::read_exact(&mut client, &mut received).await?;
                assert!(received == piece);
            }
            futures_lite::AsyncWriteExt::close(&mut client).await?;
            let mut rest = Vec::new();
            futures_lite::AsyncReadExt::read_to_end(&mut client, &mut rest).await?;
            assert!(rest.is_empty());
            Ok(())
        };
        futures_lite::future::try_zip(echo, talk).await.map(drop)
    })
    .map_err(|error: io::Error| error.into())
}

fn datagrams() -> Outcome {
    run(&one_thread()?, async {
        let one = Async::<UdpSocket>::bind(ANY)?;
        let other = Async::<UdpSocket>::bind(ANY)?;
        let (from, to) = (one.get_ref().local_addr()?, other.get_ref().local_addr()?);
        let sender = async {
            for number in 0..100_u8 {
                one.send_to(&[number; 10], to).await?;
                tokio::task::yield_now().await;
            }
            io::Result::Ok(())
        };
        let receiver = async {
            for number in 0..100_u8 {
                let mut buffer = [0; 20];
                let (length, peer) = other.recv_from(&mut buffer).await?;
                assert_eq!((&buffer[..length], peer), (&[number; 10][..], from));
            }
            io::Result::Ok(())
        };
        tokio::try_join!(sender, receiver).map(drop)
    })?;
    Ok(())
}

/// Each thread has its own reactor and its own connections.
fn a_thread_each() -> Outcome {
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            std::thread::spawn(move || {
                let reactor = Reactor::new()?;
                let handle = reactor.handle();
                reactor.block_on(async {
                    let listener = Async::with(&handle, TcpListener::bind("127.0.0.1:0")?)?;
                    let address = listener.get_ref().local_addr()?;
                    for round in 0..20 {
                        let client = Async::<TcpStream>::connect_with(&handle, address).await?;
                        let server = listener.accept().await?.0;
                        let sent = pattern(1000, seed + round);
                        client.write_all(&sent).await?;
                        let mut received = vec![0; 1000];
                        let mut at = 0;
                        while at < received.len() {
                            at += server.read(&mut received[at..]).await?;
                        }
                        assert!(received == sent);
                    }
                    // Woken from elsewhere.
                    let (to, from) = tokio::sync::oneshot::channel();
                    let other = std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(20));
                        to.send(7)
                    });
                    assert_eq!(from.await.ok(), Some(7));
                    assert!(other.join().is_ok());
                    io::Result::Ok(())
                })?
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn taken_out_again() -> Outcome {
    run(&one_thread()?, async {
        let (client, server) = pair().await?;
        let mut buffer = [0; 4];
        assert!(
            timeout(Duration::ZERO, server.read(&mut buffer))
                .await
                .is_err()
        );
        let server = server.into_inner();
        server.set_nonblocking(false)?;
        client.write_all(b"sync").await?;
        io::Read::read_exact(&mut &server, &mut buffer)?;
        assert_eq!(&buffer, b"sync");
        // And in again.
        let server = Async::new(server)?;
        client.write_all(b"back").await?;
        assert_eq!(server.read(&mut buffer).await?, 4);
        Ok(())
    })?;
    Ok(())
}

fn woken_by_another_thread() -> Outcome {
    let reactor = Reactor::new()?;
    for _ in 0..200 {
        let (sender, receiver) = std::sync::mpsc::channel::<std::task::Waker>();
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        let thread = thread::spawn(move || {
            let waker = receiver.recv();
            set.store(true, Ordering::SeqCst);
            waker.map(std::task::Waker::wake)
        });
        let mut told = false;
        reactor.block_on(std::future::poll_fn(|context| {
            if !std::mem::replace(&mut told, true) {
                // It may be woken before this returns.
                let _ = sender.send(context.waker().clone());
            }
            match done.load(Ordering::SeqCst) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        }))?;
        thread.join().unwrap()?;
    }
    Ok(())
}

fn dropped_before_its_sockets() -> Outcome {
    let reactor = Reactor::new()?;
    let socket = Async::with(&reactor.handle(), UdpSocket::bind("127.0.0.1:0")?)?;
    let waiting = Arc::new(socket);
    let waits = waiting.clone();
    let thread = thread::spawn(move || block_on(async { waits.recv(&mut [0]).await }));
    thread::sleep(Duration::from_millis(30));
    drop(reactor);
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("reactor"), "{error}");
    // What need not wait still works.
    let own = waiting.get_ref().local_addr()?;
    assert_eq!(block_on(waiting.send_to(b"x", own))?, 1);
    waiting.get_ref().set_nonblocking(false)?;
    waiting.get_ref().peek(&mut [0])?;
    assert_eq!(block_on(waiting.recv(&mut [0]))?, 1);
    Ok(())
}

/// A task that always finds something to read, and waits for nothing else, does not keep
/// another one of its thread from running.
fn busy_stream() -> Outcome {
    use std::io::Write as _;
    let (mut client, server) = common::pair()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) && client.write_all(&[1; 4096]).is_ok() {}
    });
    let reactor = Reactor::new()?;
    let stream = Async::with(&reactor.handle(), server)?;
    let (reads, runs) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    reactor.block_on(async {
        // The buffers are full before it begins.
        thread::sleep(Duration::from_millis(50));
        stream.peek(&mut [0]).await?;
        let greedy = async {
            // A byte at a time: the writer is faster.
            while runs.get() < 20 {
                stream.read(&mut [0]).await?;
                reads.set(reads.get() + 1);
                assert!(reads.get() < 1_000_000, "the other task starves");
            }
            io::Result::Ok(())
        };
        let modest = async {
            while runs.get() < 20 {
                runs.set(runs.get() + 1);
                tokio::task::yield_now().await;
            }
            io::Result::Ok(())
        };
        tokio::try_join!(greedy, modest)
    })??;
    stop.store(true, Ordering::SeqCst);
    // The writer may wait for room.
    drop(stream);
    writer.join().unwrap();
    assert!(reads.get() > 20 * 100, "{} reads", reads.get());
    Ok(())
}

fn of_another_process() -> Outcome {
    let process = rump::process::Process::new()?;
    process.enter(|| -> io::Result<()> {
        let reactor = Reactor::new()?;
        let socket = Async::with(&reactor.handle(), UdpSocket::bind("127.0.0.1:0")?)?;
        let own = socket.get_ref().local_addr()?;
        reactor.block_on(async {
            socket.send_to(b"x", own).await?;
            socket.recv(&mut [0]).await.map(drop)
        })?
    })??;
    Ok(())
}

/// Bytes go round between tasks of several executors and threads; each waits for each byte.
/// If one wake-up were lost, that would end.
fn no_wake_up_is_lost() -> Outcome {
    const ROUNDS: u32 = 3000;
    const PAIRS: usize = 4;
    let (listener, address) = listen()?;
    let server = thread::spawn(move || {
        run(&several_threads()?, async {
            let mut tasks = Vec::new();
            for _ in 0..PAIRS {
                let (stream, _) = listener.accept().await?;
                tasks.push(tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read(&mut byte).await? == 1 {
                        stream.write(&byte).await?;
                    }
                    io::Result::Ok(())
                }));
            }
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
    });
    let rounds = Arc::new(AtomicUsize::new(0));
    let client = |own: bool| {
        let rounds = rounds.clone();
        let talk = async move |stream: Async<TcpStream>| {
            for round in 0..ROUNDS {
                stream.write(&[round as u8]).await?;
                let mut byte = [0];
                assert_eq!(stream.read(&mut byte).await?, 1);
                assert_eq!(byte[0], round as u8);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            io::Result::Ok(())
        };
        thread::spawn(move || -> io::Result<()> {
            if own {
                let reactor = Reactor::new()?;
                let stream = Async::with(&reactor.handle(), TcpStream::connect(address)?)?;
                reactor.block_on(talk(stream))?
            } else {
                block_on(async { talk(Async::<TcpStream>::connect(address).await?).await })
            }
        })
    };
    let clients: Vec<_> = (0..PAIRS).map(|number| client(number % 2 == 0)).collect();
    let (mut last, mut stalled) = (0, 0);
    while !clients.iter().all(|client| client.is_finished()) {
        thread::sleep(Duration::from_millis(100));
        let now = rounds.load(Ordering::Relaxed);
        stalled = if now == last { stalled + 1 } else { 0 };
        assert!(stalled < 100, "nothing has moved for ten seconds, at {now}");
        last = now;
    }
    for client in clients {
        client.join().unwrap()?;
    }
    server.join().unwrap()?;
    Ok(())
}
