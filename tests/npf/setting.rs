//! The kernel's one packet filter, a link to Linux, and who connects over it.

use super::common;
use rump::iface::{IpNet, Link};
use rump::npf::{Npf, Ruleset};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

pub const HERE: &str = "10.1.3.1";
pub const THERE: &str = "10.1.3.2";
pub const HERE6: &str = "fd00:13::1";
pub const THERE6: &str = "fd00:13::2";

/// After this long nobody answers.
pub const SILENCE: Duration = Duration::from_millis(400);
/// Before this long somebody has answered.
pub const AT_ONCE: Duration = Duration::from_millis(300);

/// There is one packet filter: a test has it alone, and leaves it off and empty.
pub struct Alone {
    npf: Npf,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    pub fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let npf = common::boot()
            .npf()
            .unwrap_or_else(|error| panic!("{error}"));
        Self { npf, _turn: turn }
    }

    pub fn with(rules: &Ruleset) -> Self {
        let alone = Self::new();
        alone
            .load(rules)
            .and_then(|()| alone.enable())
            .unwrap_or_else(|error| panic!("{error}"));
        alone
    }
}

impl std::ops::Deref for Alone {
    type Target = Npf;

    fn deref(&self) -> &Npf {
        &self.npf
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let ended = self.npf.disable().and_then(|()| self.npf.flush());
        if !std::thread::panicking() {
            ended.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// The interface that tests with Linux share: Linux has `HERE`, the kernel `THERE`.
pub fn link() -> &'static Link {
    static LINK: OnceLock<Link> = OnceLock::new();
    LINK.get_or_init(|| make().unwrap_or_else(|error| panic!("{error}")))
}

fn make() -> Result<Link, Box<dyn std::error::Error>> {
    let link = common::link::over_tap([(HERE, THERE, 24), (HERE6, THERE6, 64)])?;
    // Their link-layer addresses are known before anything is blocked.
    let listener = rump::net::TcpListener::bind(at(THERE6, 0))?;
    std::net::TcpStream::connect(listener.local_addr()?)?;
    Ok(link)
}

pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Listens in the kernel; whoever connects is accepted by the kernel itself.
pub fn listen(address: &str) -> io::Result<(rump::net::TcpListener, SocketAddr)> {
    common::boot();
    let listener = rump::net::TcpListener::bind(at(address, 0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What becomes of a connection from Linux, and when.
pub fn from_linux(to: SocketAddr) -> (Result<(), ErrorKind>, Duration) {
    let start = Instant::now();
    let result = std::net::TcpStream::connect_timeout(&to, SILENCE);
    (
        result.map(drop).map_err(|error| error.kind()),
        start.elapsed(),
    )
}

/// The same of the kernel to itself.
pub fn from_itself(to: SocketAddr) -> Result<(), ErrorKind> {
    let result = rump::net::TcpStream::connect_timeout(&to, SILENCE);
    result.map(drop).map_err(|error| error.kind())
}
