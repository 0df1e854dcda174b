//! What tests of PCI devices have in common: they run in a guest.
#![allow(dead_code, unsafe_code)]

use rump::iface::{Interface, LinkState};
use rump::net::{TcpListener, TcpStream};
use rump::pci::Address;
use rump_testbed::{Outcome, Test, inside};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A test that is skipped where its driver was not built.
pub fn test(name: &'static str, driver: &str, limit: Duration, body: fn() -> Outcome) -> Test {
    Test::new(name, body).limit(limit).needs(
        rump::pci::drivers().contains(&driver),
        "netbsd",
        "its driver is not in the kernel: build with NETBSD_SRC and RUMP_DRIVERS=wm,pcn,nvme",
    )
}

/// Gives a device to `vfio-pci`.
pub fn vfio(address: &str) -> Result<Address> {
    if inside::driver(address)?.as_deref() != Some("vfio-pci") {
        inside::bind(address, "vfio-pci")?;
    }
    Ok(address.parse()?)
}

/// A program of busybox's.
pub fn busybox(arguments: &[&str]) -> Result<()> {
    let status = Command::new("/bin/busybox").args(arguments).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{arguments:?}: {status}").into())
}

/// What Linux calls a card that it has.
fn linux_name(address: &str) -> Result<String> {
    let net = Path::new("/sys/bus/pci/devices").join(address).join("net");
    let first = std::fs::read_dir(net)?.next();
    let name = first
        .ok_or("Linux's driver made no interface")??
        .file_name();
    Ok(name.to_str().ok_or("a name that is no text")?.to_string())
}

/// Gives a card to Linux; what that calls it.
pub fn linux_card(address: &str) -> Result<String> {
    if inside::driver(address)?.as_deref() != Some("e1000e") {
        inside::bind(address, "e1000e")?;
    }
    let name = linux_name(address)?;
    whole_segments(&name)?;
    Ok(name)
}

/// Gives a card to Linux, with this address.
pub fn host_nic(address: &str, net: &str) -> Result<()> {
    let name = linux_card(address)?;
    busybox(&["ip", "addr", "flush", "dev", &name])?;
    busybox(&["ip", "addr", "add", net, "dev", &name])?;
    busybox(&["ip", "link", "set", &name, "up"])
}

/// Has Linux cut up what it sends. QEMU does not do it for a card whose neighbours on a hub
/// do not, and these drop what is too long.
fn whole_segments(name: &str) -> std::io::Result<()> {
    /// `ETHTOOL_STSO` and `ETHTOOL_SGSO` (`linux/ethtool.h`).
    const COMMANDS: [u32; 2] = [0x1f, 0x24];
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    for command in COMMANDS {
        let mut value = [command, 0];
        // SAFETY: all zeros are a request without a name.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = byte.cast_signed();
        }
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: a request with a name and a `struct ethtool_value`, which are live.
        let result = unsafe {
            let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
            libc::ioctl(socket, libc::SIOCETHTOOL, &raw mut request)
        };
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether frames go from one of Linux's cards to another.
pub fn linux_carries(from: &str, to: &str) -> Result<()> {
    let name = linux_name(from)?;
    let counter = format!("/sys/class/net/{}/statistics/rx_packets", linux_name(to)?);
    let received = || -> Result<u64> { Ok(std::fs::read_to_string(&counter)?.trim().parse()?) };
    let start = Instant::now();
    let patience = inside::patience(Duration::from_secs(20));
    let before = received()?;
    while received()? == before {
        if start.elapsed() > patience {
            return Err(format!("no frame of {name}'s has arrived").into());
        }
        // Nobody answers; it is the question that has to arrive.
        let mut command = Command::new("/bin/busybox");
        let _ = command
            .args(["arping", "-c", "1", "-w", "1", "-I", &name, "10.9.1.9"])
            .output()?;
    }
    Ok(())
}

/// The kernel's card, with this address, once it has a link.
pub fn card(name: &str, net: &str) -> Result<Interface> {
    let interface = Interface::named(name)?;
    interface.add_address(net.parse()?)?;
    interface.set_up(true)?;
    let start = Instant::now();
    let patience = inside::patience(Duration::from_secs(20));
    // A card without a transceiver does not say.
    while interface.link_state()? == LinkState::Down {
        if start.elapsed() > patience {
            return Err(format!("{name} has no link").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(interface)
}

/// How many interrupts there were by each vector of a device's, as Linux counts them.
pub fn interrupts(kind: &str, address: Address) -> Result<Vec<u64>> {
    let table = std::fs::read_to_string("/proc/interrupts")?;
    let device = format!("({address})");
    let lines = table
        .lines()
        .filter(|line| line.contains(kind) && line.contains(&device));
    Ok(lines
        .map(|line| {
            let counts = line.split_whitespace().skip(1);
            counts.map_while(|count| count.parse::<u64>().ok()).sum()
        })
        .collect())
}

/// Bytes that are not the same everywhere.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// How long the kernel and Linux wait for one another's next word.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends from Linux to the kernel, and back, over TCP, and compares; MiB/s of each.
pub fn echo(kernel: &str, linux: &str, len: usize) -> Result<[f64; 2]> {
    let patience = inside::patience(PATIENCE);
    let data = bytes(len);
    let rate = |start: Instant| len as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 20);
    let listener = TcpListener::bind(format!("{kernel}:0"))?;
    let to = listener.local_addr()?;
    let start = Instant::now();
    let receiver = std::thread::spawn(move || {
        let mut all = Vec::new();
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(patience))?;
        stream.read_to_end(&mut all)?;
        Ok::<_, std::io::Error>(all)
    });
    // One that nobody accepts leaves the thread behind.
    let mut stream = std::net::TcpStream::connect_timeout(&to, patience)?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&data)?;
    stream.shutdown(Shutdown::Write)?;
    let received = receiver.join().map_err(|_| "the receiver panicked")??;
    let in_ = rate(start);
    if received != data {
        return Err("the kernel received something else".into());
    }
    let listener = std::net::TcpListener::bind(format!("{linux}:0"))?;
    let to = listener.local_addr()?;
    let start = Instant::now();
    let (stream, wanted) = (TcpStream::connect_timeout(&to, patience)?, received);
    let sender = std::thread::spawn(move || (&stream).write_all(&wanted));
    let mut back = Vec::new();
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(patience))?;
    stream.read_to_end(&mut back)?;
    sender.join().map_err(|_| "the sender panicked")??;
    if back != data {
        return Err("Linux received something else".into());
    }
    Ok([in_, rate(start)])
}

/// Frames from Linux, until this is dropped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// From an address of Linux's to one of the kernel's, or to all.
    pub fn start(from: &str, to: &'static str) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let socket = std::net::UdpSocket::bind(format!("{from}:0"))?;
        socket.set_broadcast(true)?;
        let ended = stop.clone();
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // There may be nobody to receive it.
                let _ = socket.send_to(&[7; 200], (to, 9));
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let thread = Some(thread);
        Ok(Self { stop, thread })
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Numbers that are others at each run.
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let state = std::hash::RandomState::new().build_hasher().finish();
        Self(state | 1)
    }
}

impl Random {
    /// From 0 up to 1.
    pub fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as f64 / f64::from(u32::MAX)
    }
}

/// Reads until that word has come.
pub fn wait_for(output: &mut impl Read, word: &str) -> Result<()> {
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    while !seen.windows(word.len()).any(|some| some == word.as_bytes()) {
        let count = output.read(&mut piece)?;
        if count == 0 {
            return Err(String::from_utf8_lossy(&seen).into());
        }
        seen.extend(&piece[..count]);
    }
    Ok(())
}
