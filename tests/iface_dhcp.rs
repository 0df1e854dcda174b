//! Addresses from DHCP servers: dnsmasq and udhcpd where they are installed, and a server of
//! the test's own, which also misbehaves. They run on Linux, at the other end of a TAP.

mod common;
#[path = "common/dhcp_server.rs"]
mod dhcp_server;

use common::{Outcome, netns};
use dhcp_server::{Answer, Server};
use rump::iface::dhcp::{Client, Error, Settings};
use rump::iface::{Interface, IpNet, Link, Tap, route};
use rump::net::{lookup, resolver};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn lacking(test: &str) -> Option<&'static str> {
    (!test.ends_with("who_cannot_ask"))
        .then_some("rump-lite's interfaces send nothing without an address, as asking for one does")
}

fn main() {
    common::run_with_interfaces_of(
        [
            ("root::dnsmasq::lease_and_names", dnsmasq),
            ("root::udhcpd::renewed_by_itself", udhcpd),
            ("root::a_whole_lease", a_whole_lease),
            ("root::silence_ends", silence_ends),
            ("root::hostile_answers", hostile_answers),
            ("root::refused_and_had_again", refused),
            ("root::a_lease_ends", a_lease_ends),
            ("root::duplicates_are_declined", duplicates),
            ("root::who_cannot_ask", who_cannot_ask),
        ],
        lacking,
    );
}

/// The default route and the resolver are the kernel's, so it is one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A link to Linux, which has 10.N.0.1/24 there.
struct Net {
    link: Link,
    tap: String,
    number: u8,
    _one: MutexGuard<'static, ()>,
}

impl Net {
    fn new(number: u8) -> Result<Self, Box<dyn std::error::Error>> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let tap = format!("dhcp{number}");
        let link = common::boot().attach(Tap::open(&tap)?)?;
        netns::ip(&format!("address add 10.{number}.0.1/24 dev {tap}"))?;
        netns::ip(&format!("link set {tap} up"))?;
        Ok(Self {
            link,
            tap,
            number,
            _one: one,
        })
    }

    fn address(&self, last: u8) -> IpNet {
        format!("10.{}.0.{last}/24", self.number).parse().unwrap()
    }

    fn addresses(&self) -> Vec<IpNet> {
        let all = self.link.addresses().unwrap();
        let all = all.iter().map(|address| address.net());
        all.filter(|net| net.addr().is_ipv4()).collect()
    }

    /// Nothing of a lease is left.
    fn assert_bare(&self) {
        assert_eq!(self.addresses(), []);
        assert!(default_route().is_none(), "{:?}", default_route());
        assert!(resolver::settings().is_none());
    }
}

fn default_route() -> Option<route::Route> {
    let all = route::list().unwrap();
    all.into_iter()
        .find(|route| route.destination == "0.0.0.0/0".parse().unwrap())
}

fn until(what: &str, limit: u64, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(limit), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that ends with the test.
struct Daemon(Child);

impl Daemon {
    fn start(program: &str, arguments: &[String]) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scratch(name: &str) -> PathBuf {
    let file = format!("rump-{name}-{}", std::process::id());
    std::env::temp_dir().join(file)
}

fn dnsmasq() -> Outcome {
    let net = Net::new(20)?;
    let leases = scratch("dnsmasq-leases");
    let _daemon = Daemon::start(
        "dnsmasq",
        &[
            "--keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --group=root \
             --bind-interfaces --except-interface=lo --no-resolv --no-hosts --no-ping \
             --dhcp-authoritative --domain=test --address=/box.test/10.20.0.9 \
             --dhcp-range=10.20.0.50,10.20.0.60,255.255.255.0,2m"
                .split_whitespace()
                .map(Into::into)
                .collect(),
            vec![
                format!("--interface={}", net.tap),
                format!("--dhcp-leasefile={}", leases.display()),
            ],
        ]
        .concat(),
    )?;
    let leased = || std::fs::read_to_string(&leases).unwrap_or_default();
    let client = Client::start(&net.link, Settings::new().host_name("rumphost"))?;
    let lease = client.lease().ok_or("no lease")?;
    assert_eq!(net.addresses(), [IpNet::V4(lease.address())]);
    assert_eq!(lease.server().to_string(), "10.20.0.1");
    assert_eq!(lease.duration(), Some(Duration::from_secs(120)));
    assert_eq!(lease.domain(), Some("test"));
    let way = default_route().ok_or("no default route")?;
    assert_eq!(
        way.to_string(),
        format!("default via 10.20.0.1 dev {}", net.link.name())
    );
    until("it knows the name", 5, || leased().contains("rumphost"));
    // Names are looked up there, over the link.
    for name in ["box.test:80", "box:80"] {
        let found: Vec<_> = lookup(name)?.collect();
        assert_eq!(found, ["10.20.0.9:80".parse()?]);
    }
    assert!(lookup("nobody.test:80").is_err());
    // The address works.
    let listener = std::net::TcpListener::bind("10.20.0.1:0")?;
    let mut stream = rump::net::TcpStream::connect(listener.local_addr()?)?;
    stream.write_all(b"leased")?;
    drop(stream);
    let (mut peer, from) = listener.accept()?;
    assert_eq!(from.ip(), lease.address().addr());
    let mut text = String::new();
    peer.read_to_string(&mut text)?;
    assert_eq!(text, "leased");
    let renewed = client.renew()?;
    assert_eq!(renewed.address(), lease.address());
    assert!(renewed.since() > lease.since());
    client.release()?;
    until("it has the address back", 5, || leased().is_empty());
    net.assert_bare();
    let _ = std::fs::remove_file(&leases);
    Ok(())
}

fn udhcpd() -> Outcome {
    let net = Net::new(21)?;
    let (config, leases) = (scratch("udhcpd"), scratch("udhcpd-leases"));
    std::fs::write(&leases, "")?;
    std::fs::write(
        &config,
        format!(
            "interface {}\nstart 10.21.0.50\nend 10.21.0.60\nmin_lease 1\nlease_file {}\n\
             option subnet 255.255.255.0\noption router 10.21.0.1\noption lease 4\n",
            net.tap,
            leases.display()
        ),
    )?;
    let _daemon = Daemon::start("udhcpd", &["-f".into(), config.display().to_string()])?;
    let client = Client::start(&net.link, Settings::new())?;
    let first = client.lease().ok_or("no lease")?;
    assert_eq!(first.duration(), Some(Duration::from_secs(4)));
    assert!(resolver::settings().is_none(), "it names no name server");
    until("renewed by itself, half way", 4, || {
        client
            .lease()
            .is_some_and(|now| now.since() > first.since())
    });
    let second = client.lease().ok_or("no lease")?;
    assert_eq!(second.address(), first.address());
    let after = second.since() - first.since();
    assert!(after >= Duration::from_secs(2), "{after:?}");
    client.release()?;
    net.assert_bare();
    let _ = (std::fs::remove_file(&config), std::fs::remove_file(&leases));
    Ok(())
}

fn a_whole_lease() -> Outcome {
    let net = Net::new(22)?;
    let server = Server::start(&net.tap, net.number, |_| {
        vec![Answer::Usual {
            last: 7,
            lease: 600,
        }]
    })?;
    let client = Client::start(&net.link, Settings::new())?;
    assert_eq!(net.addresses(), [net.address(7)]);
    let seen = server.seen();
    assert_eq!(seen, ["discover", "request"], "one of each");
    let servers = resolver::settings().ok_or("no resolver")?;
    assert_eq!(servers.servers(), ["10.22.0.1:53".parse()?]);
    // It keeps what it has when nobody renews it any more.
    drop(client);
    assert_eq!(net.addresses(), [net.address(7)]);
    // Somebody else's settings of the resolver stay.
    let client = Client::start(&net.link, Settings::new())?;
    let own = resolver::Settings::new();
    resolver::set(own.clone());
    client.release()?;
    assert_eq!(resolver::settings().as_deref(), Some(&own));
    resolver::unset();
    until("told", 2, || server.seen().contains(&"release".into()));
    Ok(())
}

fn silence_ends() -> Outcome {
    let net = Net::new(23)?;
    let server = Server::start(&net.tap, net.number, |_| Vec::new())?;
    let began = Instant::now();
    let limit = Duration::from_millis(2500);
    let error = Client::start(&net.link, Settings::new().timeout(limit)).unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    assert!(error.to_string().contains(net.link.name()), "{error}");
    let took = began.elapsed();
    assert!(took >= limit && took < 2 * limit, "{took:?}");
    assert_eq!(
        server.seen(),
        ["discover", "discover"],
        "after a second again"
    );
    net.assert_bare();
    Ok(())
}

/// Everything wrong comes before what is right.
fn hostile_answers() -> Outcome {
    let net = Net::new(24)?;
    let server = Server::start(&net.tap, net.number, |_| {
        vec![
            Answer::Bytes(Vec::new()),
            Answer::Bytes(vec![0xff; 1400]),
            Answer::Bytes(vec![2; 240]),
            Answer::OtherTransaction,
            Answer::OtherClient,
            Answer::Address([127, 0, 0, 1]),
            Answer::Address([255, 255, 255, 255]),
            Answer::Address([10, 24, 0, 255]),
            Answer::Usual {
                last: 9,
                lease: 600,
            },
        ]
    })?;
    let client = Client::start(&net.link, Settings::new())?;
    assert_eq!(net.addresses(), [net.address(9)]);
    assert_eq!(server.seen(), ["discover", "request"]);
    client.release()?;
    net.assert_bare();
    Ok(())
}

/// The server takes an address back when it is to be renewed, and gives another.
fn refused() -> Outcome {
    let net = Net::new(25)?;
    let server = Server::start(&net.tap, net.number, |seen| {
        let requests = seen.iter().filter(|kind| *kind == "request").count();
        match (seen.last().map(String::as_str), requests) {
            (Some("request"), 2) => vec![Answer::Nak],
            (_, 0 | 1) => vec![Answer::Usual {
                last: 10,
                lease: 600,
            }],
            _ => vec![Answer::Usual {
                last: 11,
                lease: 600,
            }],
        }
    })?;
    let client = Client::start(&net.link, Settings::new())?;
    assert_eq!(net.addresses(), [net.address(10)]);
    let error = client.renew().unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    until("another address", 10, || {
        net.addresses() == [net.address(11)]
    });
    until("it knows", 1, || client.lease().is_some());
    drop(server);
    client.release()?;
    net.assert_bare();
    Ok(())
}

/// A server that is gone when the lease is to be renewed, and comes again.
fn a_lease_ends() -> Outcome {
    let net = Net::new(26)?;
    let usual = |_: &[String]| vec![Answer::Usual { last: 12, lease: 2 }];
    let server = Server::start(&net.tap, net.number, usual)?;
    let client = Client::start(&net.link, Settings::new())?;
    drop(server);
    until("the lease ended", 10, || client.lease().is_none());
    until("nothing is left", 2, || {
        default_route().is_none() && resolver::settings().is_none()
    });
    assert!(!net.addresses().contains(&net.address(12)));
    let _server = Server::start(&net.tap, net.number, usual)?;
    until("had again", 20, || net.addresses() == [net.address(12)]);
    until("it knows", 1, || client.lease().is_some());
    client.release()?;
    net.assert_bare();
    Ok(())
}

/// The server offers the address that Linux has itself.
fn duplicates() -> Outcome {
    let net = Net::new(27)?;
    let server = Server::start(&net.tap, net.number, |seen| {
        let declined = seen.iter().any(|kind| kind == "decline");
        let last = if declined { 13 } else { 1 };
        vec![Answer::Usual { last, lease: 600 }]
    })?;
    let client = Client::start(&net.link, Settings::new().detect_duplicates(true))?;
    assert_eq!(net.addresses(), [net.address(13)]);
    let seen = server.seen();
    assert!(seen.contains(&"decline".into()), "{seen:?}");
    client.release()?;
    Ok(())
}

fn who_cannot_ask() -> Outcome {
    let net = Net::new(28)?;
    let error = Client::start(&Interface::named("lo0")?, Settings::new()).unwrap_err();
    assert!(matches!(error, Error::NotEthernet { .. }), "{error}");
    let settings = Settings::new().host_name("a b");
    let error = Client::start(&net.link, settings).unwrap_err();
    assert!(matches!(error, Error::HostName { .. }), "{error}");
    Ok(())
}
