//! Processes of the kernel, and descriptors that leave the one they belong to.

mod common;

use common::Outcome;
use rump::Errno;
use rump::descriptor::AsDescriptor;
use rump::kqueue::{Filter, Kqueue, Mode};
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::poll::{Events, PollFd, poll};
use rump::process::{self, Process};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

fn main() {
    common::run_on_kernel([
        ("process::a_descriptor_outside_closes_nothing_else", outside),
        (
            "process::a_descriptor_inside_another_closes_nothing_else",
            inside_another,
        ),
        ("process::use_outside_is_an_error", use_outside),
        ("process::many_threads_enter", many_threads),
        ("process::nested", nested),
        ("process::end_closes_what_is_left", end_closes),
    ]);
}

fn works(socket: &UdpSocket) -> io::Result<()> {
    socket.send_to(b"x", socket.local_addr()?)?;
    assert_eq!(socket.recv(&mut [0; 2])?, 1);
    Ok(())
}

/// A socket of another process, brought out and dropped, must not close the socket that
/// has the same number here.
fn outside() -> Outcome {
    let mine: Vec<_> = (0..20)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let other = Process::new()?;
    let theirs = other.enter(|| {
        (0..20)
            .map(|_| UdpSocket::bind("127.0.0.1:0"))
            .collect::<Result<Vec<_>, _>>()
    })??;
    drop(theirs);
    for socket in &mine {
        works(socket)?;
    }
    Ok(())
}

fn inside_another() -> Outcome {
    let mine: Vec<_> = (0..20)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<_> = mine
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let other = Process::new()?;
    other.enter(|| -> Outcome {
        let theirs: Vec<_> = (0..20)
            .map(|_| UdpSocket::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        drop(mine);
        for socket in &theirs {
            works(socket)?;
        }
        Ok(())
    })??;
    for address in addresses {
        UdpSocket::bind(address)?;
    }
    Ok(())
}

fn use_outside() -> Outcome {
    let many = || {
        (0..100)
            .map(|_| UdpSocket::bind("127.0.0.1:0"))
            .collect::<Result<Vec<_>, _>>()
    };
    let number = |socket: &UdpSocket| socket.as_descriptor().as_raw();
    let mine = many()?;
    let taken: Vec<_> = mine.iter().map(number).collect();
    let other = Process::new()?;
    let mut theirs = other.enter(many)??;
    let namesake = other.enter(|| {
        theirs
            .iter()
            .position(|socket| taken.contains(&number(socket)))
    })?;
    let theirs = theirs.swap_remove(namesake.ok_or("no two sockets have the same number")?);
    let refused = [
        theirs.local_addr().map(drop),
        theirs.send_to(b"x", mine[0].local_addr()?).map(drop),
        theirs.set_nonblocking(true),
        theirs.try_clone().map(drop),
        Kqueue::new()?.add(Filter::read(&theirs), Mode::Level, 0),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_eq!(Errno::of(&error), Some(Errno::EBADF), "{error}");
    }
    let mut entries = [PollFd::new(&theirs, Events::READABLE)];
    assert_eq!(poll(&mut entries, None)?, 1);
    assert_eq!(entries[0].returned(), Events::INVALID);
    other.enter(move || works(&theirs))??;
    Ok(())
}

/// Fewer connections than a listener keeps waiting, so that none is put off.
fn many_threads() -> Outcome {
    let other = Arc::new(Process::new()?);
    let listener = other.enter(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = other.enter(|| listener.local_addr())??;
    let threads: Vec<_> = (0..32)
        .map(|index: u8| {
            let other = Arc::clone(&other);
            thread::spawn(move || -> io::Result<()> {
                for _ in 0..3 {
                    if index & 1 == 0 {
                        other.enter(|| TcpStream::connect(address)?.write_all(&[index]))??;
                    } else {
                        TcpStream::connect(address)?.write_all(&[index])?;
                    }
                }
                Ok(())
            })
        })
        .collect();
    let inside = Arc::clone(&other);
    let sum = thread::spawn(move || {
        inside.enter(|| -> io::Result<u32> {
            let mut sum = 0;
            for _ in 0..32 * 3 {
                let mut byte = [0];
                listener.accept()?.0.read_exact(&mut byte)?;
                sum += u32::from(byte[0]);
            }
            drop(listener);
            Ok(sum)
        })
    });
    // First those who connect: without one of them the other side would wait for ever.
    for thread in threads {
        thread.join().unwrap()?;
    }
    assert_eq!(sum.join().unwrap()??, (0..32).sum::<u32>() * 3);
    Ok(())
}

fn nested() -> Outcome {
    let (outer, inner) = (Process::new()?, Process::new()?);
    let home = process::id()?;
    let ids = outer.enter(|| -> io::Result<_> {
        let before = process::id()?;
        let within = inner.enter(process::id)??;
        let again = inner.enter(|| outer.enter(process::id))???;
        Ok((before, within, again, process::id()?))
    })??;
    assert_eq!(ids, (outer.id(), inner.id(), outer.id(), outer.id()));
    assert_eq!(process::id()?, home);
    Ok(())
}

fn end_closes() -> Outcome {
    let other = Process::new()?;
    let address = other.enter(|| -> io::Result<_> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::mem::forget(listener);
        Ok(address)
    })??;
    TcpStream::connect(address)?;
    drop(other);
    assert_eq!(
        TcpStream::connect(address).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    Ok(())
}
