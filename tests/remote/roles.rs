//! What clients do.

use rump::descriptor::{OwnedDescriptor, RawDescriptor};
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::poll::{Events, PollFd, poll};
use std::error::Error;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

type Played = Result<(), Box<dyn Error>>;
/// A role and its name.
type Role = (&'static str, fn() -> Played);

/// What a client can show for itself.
pub const ROLES: &[Role] = &[
    ("asks_who_it_is", asks_who_it_is),
    ("streams", streams),
    ("datagrams", datagrams),
    ("options", options),
    ("polls", polls),
    ("vectors", vectors),
    ("threads", threads),
    ("interfaces", interfaces),
    ("what_is_not_to_be_had", not_to_be_had),
    ("forks", forks),
    ("future_threads_take_over", segments_are_reused),
];

/// What takes part in something.
const PARTS: &[Role] = &[
    ("echo_once", echo_once),
    ("say", say),
    ("wants", wants),
    ("waits_in_everything", waits_in_everything),
    ("is_told", is_told),
];

pub fn play(role: &str, place: &Path) {
    let played = match role {
        "kernel" => serve(place),
        "cannot_connect" => {
            let error = rump::remote::connect(place).unwrap_err();
            println!("{error}");
            Ok(())
        }
        _ => {
            rump::remote::connect(place).expect("a kernel");
            let all = ROLES.iter().chain(PARTS);
            let (_, play) = all.clone().find(|(name, _)| *name == role).expect("a role");
            play()
        }
    };
    if let Err(error) = played {
        eprintln!("{role}: {error}");
        std::process::exit(1);
    }
}

fn serve(place: &Path) -> Played {
    let listener = std::os::unix::net::UnixListener::bind(place)?;
    let kernel = rump::Kernel::builder().boot()?;
    println!("serving");
    rump::remote::Server::new(&kernel).serve(&listener)?;
    Ok(())
}

fn asks_who_it_is() -> Played {
    let kernel = rump::Kernel::current()?;
    assert!(["NetBSD", "rump-lite"].contains(&&*kernel.identity()?.system));
    assert!(rump::process::id()? > 1);
    assert!(rump::Kernel::builder().boot().is_err());
    assert!(rump::remote::connect("/nonexistent").is_err());
    Ok(())
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

/// More than a segment holds, both ways at once.
fn streams() -> Played {
    const LENGTH: usize = 5 << 20;
    let (one, other) = pair()?;
    let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let send = |mut to: TcpStream, bytes: Vec<u8>| {
        thread::spawn(move || -> io::Result<TcpStream> {
            to.write_all(&bytes)?;
            to.shutdown(std::net::Shutdown::Write)?;
            Ok(to)
        })
    };
    let receive = |mut from: TcpStream| {
        thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).map(|_| all)
        })
    };
    let threads = (
        receive(one.try_clone()?),
        receive(other.try_clone()?),
        send(one, bytes.clone()),
        send(other, bytes.clone()),
    );
    threads.2.join().unwrap()?;
    threads.3.join().unwrap()?;
    assert!(threads.0.join().unwrap()? == bytes);
    assert!(threads.1.join().unwrap()? == bytes);
    Ok(())
}

fn datagrams() -> Played {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (one, other) = (UdpSocket::bind(local)?, UdpSocket::bind(local)?);
        for length in [0, 1, 512, 8192] {
            let sent = vec![length as u8; length];
            one.send_to(&sent, other.local_addr()?)?;
            let mut room = [0; 9000];
            let (received, from) = other.recv_from(&mut room)?;
            assert_eq!((&room[..received], from), (&*sent, one.local_addr()?));
        }
        let error = one.send_to(&[0; 70_000], other.local_addr()?).unwrap_err();
        assert_eq!(
            rump::Errno::of(&error),
            Some(rump::Errno::EMSGSIZE),
            "{error}"
        );
    }
    Ok(())
}

fn options() -> Played {
    let (one, other) = pair()?;
    one.set_nodelay(true)?;
    assert!(one.nodelay()? && !other.nodelay()?);
    one.set_read_timeout(Some(Duration::from_millis(50)))?;
    assert_eq!(one.read_timeout()?, Some(Duration::from_millis(50)));
    let error = { &one }.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    one.set_nonblocking(true)?;
    assert_eq!(
        { &one }.read(&mut [0]).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(one.peer_addr()?, other.local_addr()?);
    let error = TcpStream::connect("127.0.0.1:1").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}

fn polls() -> Played {
    let (mut one, other) = pair()?;
    let mut entries = [PollFd::new(&other, Events::READABLE)];
    let began = Instant::now();
    // Longer than the kernel's side waits at a time.
    assert_eq!(poll(&mut entries, Some(Duration::from_millis(700)))?, 0);
    assert!(began.elapsed() >= Duration::from_millis(700));
    let teller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(600));
        one.write_all(b"x").map(|()| one)
    });
    assert_eq!(poll(&mut entries, None)?, 1);
    let _one = teller.join().unwrap()?;
    assert_eq!(poll(&mut entries, Some(Duration::ZERO))?, 1);
    Ok(())
}

fn vectors() -> Played {
    let (mut one, mut other) = pair()?;
    let parts = [&b"one"[..], b"", b"and", b"another"];
    let written = one.write_vectored(&parts.map(IoSlice::new))?;
    assert_eq!(written, 13);
    let (mut first, mut second) = ([0; 5], [0; 100]);
    let room = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(other.read_vectored(room)?, 13);
    assert_eq!((&first, &second[..8]), (b"onean", &b"danother"[..]));
    Ok(())
}

/// Each waits in a call of its own.
fn threads() -> Played {
    let pairs: Vec<_> = (0..32).map(|_| pair()).collect::<Result<_, _>>()?;
    let (ones, others): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let waiting: Vec<_> = others
        .into_iter()
        .map(|mut other| {
            thread::spawn(move || {
                let mut byte = [0];
                other.read_exact(&mut byte).map(|()| byte[0])
            })
        })
        .collect();
    for (number, mut one) in ones.into_iter().enumerate().rev() {
        one.write_all(&[number as u8])?;
    }
    for (number, thread) in waiting.into_iter().enumerate() {
        assert_eq!(usize::from(thread.join().unwrap()?), number);
    }
    Ok(())
}

fn interfaces() -> Played {
    let names: Vec<_> = rump::iface::Interface::list()?
        .iter()
        .map(|one| one.name().to_string())
        .collect();
    assert!(names.iter().any(|name| name == "lo0"), "{names:?}");
    let loopback = rump::iface::Interface::named("lo0")?;
    assert!(!loopback.addresses()?.is_empty());
    assert!(rump::sysctl::node("kern.ostype")?.get()?.to_string().len() > 3);
    Ok(())
}

fn not_to_be_had() -> Played {
    let error = rump::process::Process::new().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    let (one, _) = rump::iface::Pair::new();
    let error = rump::Kernel::current()?.attach(one).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("another process"));
    Ok(())
}

/// The child has what its parent had, and is a process of its own.
fn forks() -> Played {
    let (mut one, mut other) = pair()?;
    let parent = rump::process::id()?;
    // SAFETY: one thread, which goes on in the child.
    #[allow(unsafe_code)]
    let child = unsafe { nix::unistd::fork() }?;
    if child.is_child() {
        let said = other
            .write_all(b"from the child")
            .and_then(|()| Ok(rump::process::id()? != parent))
            .and_then(|differs| Ok((differs, TcpListener::bind("127.0.0.1:0")?)));
        let right = said.is_ok_and(|(differs, _)| differs);
        std::process::exit(i32::from(!right));
    }
    let mut heard = [0; 14];
    one.read_exact(&mut heard)?;
    assert_eq!(&heard, b"from the child");
    let nix::unistd::ForkResult::Parent { child } = child else {
        unreachable!()
    };
    let ended = nix::sys::wait::waitpid(child, None)?;
    assert_eq!(ended, nix::sys::wait::WaitStatus::Exited(child, 0));
    // The child's end has not closed it here.
    other.write_all(b"from the parent")?;
    let mut heard = [0; 15];
    one.read_exact(&mut heard)?;
    Ok(())
}

/// However many threads there were one after the other, the kernel has few.
fn segments_are_reused() -> Played {
    for _ in 0..2000 {
        thread::spawn(rump::process::id).join().unwrap()?;
    }
    Ok(())
}

fn echo_once() -> Played {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut said = [0; 5];
    stream.read_exact(&mut said)?;
    stream.write_all(&said)?;
    Ok(())
}

fn argument() -> String {
    std::env::args().nth(1).expect("an argument")
}

fn say() -> Played {
    let mut stream = TcpStream::connect(argument().as_str())?;
    stream.write_all(b"hello")?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard)?;
    println!("heard {heard}");
    Ok(())
}

fn wants() -> Played {
    let had = match TcpListener::bind(argument().as_str()) {
        Ok(_) => "had".to_string(),
        Err(error) => format!("{:?}", error.kind()),
    };
    let open = (0..4096).filter(|number| is_open(*number)).count();
    println!(
        "{had}, {}",
        if open == 0 {
            "nothing open"
        } else {
            "something open"
        }
    );
    Ok(())
}

fn is_open(number: RawDescriptor) -> bool {
    // SAFETY: only asked about, never closed; where there is nothing, that is the answer.
    #[allow(unsafe_code)]
    let descriptor = ManuallyDrop::new(unsafe { OwnedDescriptor::from_raw(number) });
    descriptor.try_clone().is_ok()
}

/// Threads that are in as many calls.
fn waits_in_everything() -> Played {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (one, other) = pair()?;
    let (full, _unread) = pair()?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let polled = one.try_clone()?;
    let queue = rump::kqueue::Kqueue::new()?;
    thread::spawn(move || listener.accept());
    thread::spawn(move || { one }.read(&mut [0]));
    thread::spawn(move || udp.recv_from(&mut [0; 16]));
    thread::spawn(move || { full }.write_all(&vec![0; 64 << 20]));
    thread::spawn(move || poll(&mut [PollFd::new(&polled, Events::READABLE)], None));
    thread::spawn(move || queue.wait(&mut Vec::new(), None));
    thread::sleep(Duration::from_millis(20));
    println!("waiting");
    // And one that is busy.
    loop {
        { &other }.write_all(b"")?;
        rump::process::id()?;
    }
}

fn is_told() -> Played {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("waiting");
    let first = listener.accept().unwrap_err();
    let later = TcpListener::bind("127.0.0.1:0").unwrap_err();
    assert!(first.raw_os_error().is_some() || first.kind() != io::ErrorKind::NotConnected);
    println!("told: {:?}", later.kind());
    Ok(())
}
