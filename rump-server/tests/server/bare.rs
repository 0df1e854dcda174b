//! A server to test, and bare ends of its cables.

use crate::netns::ip;
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg,
    send, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;
use rump_hyper::linux::cable::{End, Shape};
use rump_hyper::vif::abi::Offload;
use rump_hyper::vif::backend::Piece;
use rump_hyper::vif::{Batch, Pool, Transmit};
use rump_ring::control::{Hello, Name, Protocol, ToApplication, ToServer, VERSION, Welcome};
use rump_server::messages::{ApplicationStatus, Reply, Request, Status};
use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const LINUX: &str = "10.9.0.1";
pub const LINUX6: &str = "fd09::1";
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server, over a TAP interface of its own.
pub struct Server {
    pub process: Child,
    pub tap: String,
    folder: PathBuf,
}

impl Server {
    /// Two hosts, 10.9.0.2 and 10.9.0.3; `more` is of the second.
    pub fn start(more: &str) -> Self {
        Self::over("tap", more)
    }

    /// The same over a packet socket on an interface that is joined to another of Linux's.
    pub fn over_packets() -> Self {
        Self::over("packet", "")
    }

    fn over(kind: &str, more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("rump-server-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tap = format!("srv{number}");
        let mut nic = tap.clone();
        if kind == "packet" {
            nic = format!("pkt{number}");
            ip(&format!("link add {nic} type veth peer name {tap}")).unwrap();
            ip(&format!("link set {nic} up")).unwrap();
        }
        let place = folder.display();
        let text = format!(
            "socket = \"{place}/s\"\ncontrol = \"{place}/c\"\nuser = \"nobody\"\ngrace = 3\n\
             [[nic]]\nname = \"wan\"\n{kind} = \"{nic}\"\n\
             [[host]]\nname = \"one\"\naddresses = [\"10.9.0.2/24\", \"fd09::2/64\"]\n\
             [[host]]\nname = \"two\"\naddresses = [\"10.9.0.3/24\", \"fd09::3/64\"]\n{more}\n"
        );
        let file = folder.join("server.toml");
        std::fs::write(&file, text).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .arg("as-server")
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            process,
            tap: tap.clone(),
            folder,
        };
        let since = Instant::now();
        while server.try_request(&Request::List).is_err() {
            assert!(since.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        ip(&format!("address add {LINUX}/24 dev {tap}")).unwrap();
        ip(&format!("address add {LINUX6}/64 dev {tap} nodad")).unwrap();
        ip(&format!("link set {tap} up")).unwrap();
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    pub fn try_request(&self, request: &Request) -> std::io::Result<Reply> {
        let mut stream = UnixStream::connect(self.folder.join("c"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    pub fn request(&self, request: &Request) -> Reply {
        self.try_request(request).unwrap()
    }

    pub fn status(&self) -> Status {
        match self.request(&Request::List) {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub fn application(&self, label: &str) -> ApplicationStatus {
        let all = self.status().applications;
        all.into_iter()
            .find(|known| known.label == label)
            .expect("it is there")
    }

    /// The Ethernet address of Linux.
    pub fn linux_mac(&self) -> [u8; 6] {
        // /sys is of another namespace.
        let output = Command::new("ip")
            .args(["-o", "link", "show", "dev", &self.tap])
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let mut words = text
            .split_whitespace()
            .skip_while(|word| *word != "link/ether");
        let mac: rump_server::wire::Mac = words.nth(1).unwrap().parse().unwrap();
        mac.0
    }

    pub fn bare(&self, host: &str, label: &str) -> Bare {
        Bare::connect(self, host, label, 0).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
        // A TAP interface has ended with its server; no other does.
        let _ = ip(&format!("link del {}", self.tap));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An application that is no more than its end of a cable.
pub struct Bare {
    pub end: End,
    pub socket: OwnedFd,
    pub welcome: Welcome,
    pub memory: OwnedFd,
    peer: [u8; 6],
}

pub fn hail(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let file = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&file, ReceiveTimeout, &TimeVal::new(10, 0))?;
    connect(file.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(file)
}

/// What the server tells next; an error if it has ended.
#[allow(unsafe_code)]
pub fn told(socket: &OwnedFd) -> std::io::Result<(ToApplication, Option<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut space = cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut file = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: new descriptors, which are nobody else's.
            file = numbers
                .iter()
                .map(|number| unsafe { OwnedFd::from_raw_fd(*number) })
                .next();
        }
    }
    let len = message.bytes;
    if len == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let message = ToApplication::decode(&bytes[..len]).map_err(std::io::Error::other)?;
    Ok((message, file))
}

impl Bare {
    pub fn connect(
        server: &Server,
        host: &str,
        label: &str,
        ticket: u128,
    ) -> std::io::Result<Self> {
        let socket = hail(&server.socket())?;
        let hello = ToServer::Hello(Hello {
            version: VERSION,
            host: Name::new(host).unwrap(),
            label: Name::new(label).unwrap(),
            queues: 1,
            ticket,
            ports: None,
        });
        send(socket.as_raw_fd(), &hello.encode(), MsgFlags::MSG_NOSIGNAL)?;
        let (message, file) = told(&socket)?;
        let ToApplication::Welcome(welcome) = message else {
            return Err(std::io::Error::other(format!("{message:?}")));
        };
        let memory = file.expect("memory comes with a welcome");
        let shape = Shape::new(welcome.queues, welcome.data).expect("a shape");
        Ok(Self {
            end: End::map(memory.try_clone()?, shape)?,
            socket,
            welcome,
            memory,
            peer: server.linux_mac(),
        })
    }

    /// The errno that a claim is refused with, or 0.
    pub fn claim(&self, protocol: Protocol, address: &str, port: u16) -> i32 {
        let claim = ToServer::Claim {
            id: port.into(),
            protocol,
            address: address.parse().unwrap(),
            port,
        };
        send(
            self.socket.as_raw_fd(),
            &claim.encode(),
            MsgFlags::MSG_NOSIGNAL,
        )
        .unwrap();
        match told(&self.socket).unwrap().0 {
            ToApplication::Granted { id } if id == u32::from(port) => 0,
            ToApplication::Refused { id, errno } if id == u32::from(port) => errno,
            other => panic!("{other:?}"),
        }
    }

    /// A datagram to Linux, or to who has this Ethernet address.
    pub fn datagram(&self, from: (&str, u16), to: (&str, u16), data: &[u8]) -> Datagram {
        Datagram {
            from_mac: self.welcome.mac,
            to_mac: self.peer,
            from: (from.0.parse().unwrap(), from.1),
            to: (to.0.parse().unwrap(), to.1),
            data: data.to_vec(),
        }
    }

    /// Puts a frame into the ring, as soon as there is room.
    pub fn send(&self, datagram: &Datagram) {
        let (frame, offload) = datagram.frame();
        let pieces = [Piece::new(&frame)];
        let sent = self
            .end
            .send_all(0, &[Transmit::new(&pieces, offload)], PATIENCE);
        assert_eq!(sent, Ok(1), "there is room");
    }

    /// Datagrams that come within a time, until one makes `enough` true.
    pub fn receive(
        &self,
        time: Duration,
        mut enough: impl FnMut(&Datagram) -> bool,
    ) -> Vec<Datagram> {
        let until = Instant::now() + time;
        let mut batch = Batch::new(Pool::new(0));
        let mut found = Vec::new();
        while Instant::now() < until {
            self.end.receive(0, &mut batch).unwrap();
            let mut done = false;
            for frame in batch.take_all() {
                if let Some(datagram) = Datagram::read(frame.bytes()) {
                    done |= enough(&datagram);
                    found.push(datagram);
                }
            }
            if done {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            self.end
                .wait(0, left.min(Duration::from_millis(50)))
                .unwrap();
        }
        found
    }

    /// The first datagram.
    pub fn next(&self) -> Datagram {
        self.receive(PATIENCE, |_| true)
            .into_iter()
            .next()
            .expect("a datagram comes")
    }

    /// That nothing comes.
    pub fn nothing(&self) {
        let found = self.receive(Duration::from_millis(100), |_| true);
        assert!(found.is_empty(), "{found:?}");
    }
}

/// A datagram of UDP.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from_mac: [u8; 6],
    pub to_mac: [u8; 6],
    pub from: (IpAddr, u16),
    pub to: (IpAddr, u16),
    pub data: Vec<u8>,
}

impl Datagram {
    /// The frame; in IPv6 the checksum is left to others.
    pub fn frame(&self) -> (Vec<u8>, Offload) {
        let len = 8 + self.data.len() as u16;
        let mut frame = [self.to_mac, self.from_mac].concat();
        let mut offload = Offload::default();
        let mut sum = 0;
        match (self.from.0, self.to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend([8, 0, 0x45, 0]);
                frame.extend((20 + len).to_be_bytes());
                frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                let sum = internet(&frame[14..]);
                frame[24..26].copy_from_slice(&(!sum).to_be_bytes());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(len.to_be_bytes());
                frame.extend([17, 64]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                let pseudo = [&frame[22..], &[0, 0, 0, 17], &len.to_be_bytes()].concat();
                sum = internet(&pseudo);
                offload.flags = 1;
                offload.csum_start = 54;
                offload.csum_offset = 6;
            }
            _ => panic!("two families"),
        }
        frame.extend(self.from.1.to_be_bytes());
        frame.extend(self.to.1.to_be_bytes());
        frame.extend(len.to_be_bytes());
        frame.extend(sum.to_be_bytes());
        frame.extend(&self.data);
        (frame, offload)
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let (from, to, at): (IpAddr, IpAddr, usize) = match frame.get(12..14)? {
            [8, 0] if frame[23] == 17 => {
                let address =
                    |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
                (address(26).into(), address(30).into(), 34)
            }
            [0x86, 0xdd] if frame[20] == 17 => {
                let address =
                    |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
                (address(22).into(), address(38).into(), 54)
            }
            _ => return None,
        };
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let len = usize::from(word(at + 4));
        Some(Self {
            from_mac: frame[6..12].try_into().unwrap(),
            to_mac: frame[..6].try_into().unwrap(),
            from: (from, word(at)),
            to: (to, word(at + 2)),
            data: frame[at + 8..at + len].to_vec(),
        })
    }
}

/// RFC 1071.
fn internet(bytes: &[u8]) -> u16 {
    let word = |two: &[u8]| u32::from(u16::from_be_bytes([two[0], two[1]]));
    let sum: u32 = bytes.chunks_exact(2).map(word).sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + sum) as u16
}

/// A socket of Linux.
pub fn linux(address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}
