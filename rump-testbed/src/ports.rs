//! The ports to the guest's first process: commands go in by the first, and what becomes of
//! them comes out by all three (`init.sh`).
//!
//! Each is a Unix socket here, which QEMU connects to, and a port of a virtio console
//! there. What comes out was written by the guest: its size is limited, and it ends with a
//! token that the guest did not know before.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many there are.
const PORTS: usize = 3;
/// The most that one command may bring through a port, in bytes.
const LARGEST: usize = 256 << 20;
/// How often QEMU is asked whether it still runs.
const TICK: Duration = Duration::from_millis(100);

/// What has come by each port, up to the token, and the status behind it.
pub(crate) type Answer = ([Vec<u8>; PORTS], u8);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// QEMU has closed a port.
    Ended,
    /// Nothing came in time.
    Late,
    /// It was too much, or not what `init.sh` says.
    Wrong(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

/// The ports before QEMU has connected to them.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<(PathBuf, UnixListener)>,
}

impl Listeners {
    /// In a folder that is this guest's own.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let sockets = (1..=PORTS).map(|number| {
            let path = folder.join(format!("port{number}"));
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok((path, listener))
        });
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
        })
    }

    /// What QEMU is told about them.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-device".into(), "virtio-serial-pci,addr=0x1e".into()];
        for (index, (path, _)) in self.sockets.iter().enumerate() {
            let (number, path) = (index + 1, path.display());
            arguments.extend([
                "-chardev".into(),
                format!("socket,id=port{number},path={path}"),
                "-device".into(),
                format!("virtserialport,chardev=port{number},nr={number}"),
            ]);
        }
        arguments
    }

    /// Waits until QEMU has connected.
    pub fn accept(self, limit: Duration, ended: impl Fn() -> bool) -> Result<Ports, Failure> {
        let start = Instant::now();
        let mut streams = Vec::new();
        for (_, listener) in self.sockets {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => break streams.push(stream),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
                if ended() {
                    return Err(Failure::Ended);
                }
                if start.elapsed() > limit {
                    return Err(Failure::Late);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        for stream in &streams {
            stream.set_nonblocking(false)?;
        }
        let streams = streams.try_into().map_err(|_| Failure::Wrong("ports"))?;
        Ok(Ports { streams })
    }
}

#[derive(Debug)]
pub(crate) struct Ports {
    streams: [UnixStream; PORTS],
}

impl Ports {
    /// Has the guest run a line of shell for so long, and waits a while longer for all that
    /// comes of it.
    pub fn command(
        &mut self,
        line: &str,
        limit: Duration,
        patience: Duration,
        ended: impl Fn() -> bool,
    ) -> Result<Answer, Failure> {
        // RandomState's keys are random for each process and different at each call.
        let token = format!("end-{:016x}", RandomState::new().hash_one(line));
        let seconds = limit.as_secs_f64().ceil().max(1.0);
        let mut port = &self.streams[0];
        port.write_all(format!("{token} {seconds} {line}\n").as_bytes())?;
        self.answer(&token, limit + patience, ended)
    }

    fn answer(
        &self,
        token: &str,
        limit: Duration,
        ended: impl Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let end = format!("\n{token} ").into_bytes();
        let start = Instant::now();
        let mut came: [Vec<u8>; PORTS] = Default::default();
        let mut status = [None; PORTS];
        let mut chunk = vec![0; 1 << 16];
        while status.contains(&None) {
            if start.elapsed() > limit {
                return Err(Failure::Late);
            }
            let open: Vec<_> = (0..PORTS).filter(|port| status[*port].is_none()).collect();
            let ready = self.ready(&open)?;
            if ready.is_empty() && ended() {
                return Err(Failure::Ended);
            }
            for port in ready {
                let length = (&self.streams[port]).read(&mut chunk)?;
                if length == 0 {
                    return Err(Failure::Ended);
                }
                let data = &mut came[port];
                if data.len() + length > LARGEST {
                    return Err(Failure::Wrong("more output than a command may have"));
                }
                data.extend_from_slice(&chunk[..length]);
                status[port] = take_end(data, length, &end)?;
            }
        }
        let status = status[0].unwrap_or_default();
        Ok((came, status))
    }

    /// Those of the ports that something has come by.
    fn ready(&self, ports: &[usize]) -> io::Result<Vec<usize>> {
        let mut fds: Vec<_> = ports
            .iter()
            .map(|port| PollFd::new(self.streams[*port].as_fd(), PollFlags::POLLIN))
            .collect();
        let timeout = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = ports.iter().zip(&fds);
        Ok(ready
            .filter(|(_, fd)| fd.any().unwrap_or(true))
            .map(|(port, _)| *port)
            .collect())
    }
}

/// Takes the line of the end, if it is there, off the data, of which `new` bytes have just
/// come; the status in it.
fn take_end(data: &mut Vec<u8>, new: usize, end: &[u8]) -> Result<Option<u8>, Failure> {
    if data.last() != Some(&b'\n') {
        return Ok(None);
    }
    // It is short, and nothing comes behind it.
    let from = data.len().saturating_sub(new + end.len() + 4);
    let Some(at) = data[from..]
        .windows(end.len())
        .position(|window| window == end)
    else {
        return Ok(None);
    };
    let status = &data[from + at + end.len()..data.len() - 1];
    let status = std::str::from_utf8(status)
        .ok()
        .and_then(|text| text.parse().ok());
    data.truncate(from + at);
    match status {
        Some(status) => Ok(Some(status)),
        None => Err(Failure::Wrong("an exit status that is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Ports, [UnixStream; PORTS]) {
        let pairs = [(); PORTS].map(|()| UnixStream::pair().unwrap());
        let mut guest = Vec::new();
        let streams = pairs.map(|(near, far)| {
            guest.push(far);
            near
        });
        (Ports { streams }, guest.try_into().unwrap())
    }

    fn answer(ports: &Ports) -> Result<Answer, Failure> {
        ports.answer("end-1", Duration::from_millis(300), || false)
    }

    #[test]
    fn what_comes_before_the_token_is_the_output() {
        let (ports, mut guest) = pair();
        let data = vec![b'x'; 100_000];
        let writer = std::thread::spawn(move || {
            guest[0].write_all(&data).unwrap();
            guest[0].write_all(b"\nend-1 7\n").unwrap();
            guest[1].write_all(b"end-2 0\n\n\nend").unwrap();
            std::thread::sleep(Duration::from_millis(20));
            guest[1].write_all(b"-1 7\n").unwrap();
            guest[2].write_all(b"\nend-1 7\n").unwrap();
            guest
        });
        let ([out, err, log], status) = answer(&ports).unwrap();
        assert_eq!(
            (out.len(), &err[..], log.len()),
            (100_000, &b"end-2 0\n\n"[..], 0)
        );
        assert_eq!(status, 7);
        writer.join().unwrap();
    }

    #[test]
    fn an_end_that_does_not_come_is_told() {
        let (ports, mut guest) = pair();
        guest[0].write_all(b"\nend-1 0\n").unwrap();
        assert!(matches!(answer(&ports), Err(Failure::Late)));
        let (ports, guest) = pair();
        drop(guest);
        assert!(matches!(answer(&ports), Err(Failure::Ended)));
        let (ports, mut guest) = pair();
        guest[0].write_all(b"\nend-1 x\n").unwrap();
        assert!(matches!(answer(&ports), Err(Failure::Wrong(_))));
    }
}
