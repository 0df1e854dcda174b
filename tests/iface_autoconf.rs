//! Addresses of what routers announce: dnsmasq and radvd, where they are installed, on Linux
//! at the other end of a TAP.

mod common;

use common::{Outcome, netns};
use rump::Errno;
use rump::iface::{Interface, Link, Pair, Tap, route};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn main() {
    common::run_with_interfaces([
        ("root::dnsmasq::announces_a_prefix", dnsmasq),
        ("root::radvd::announces_a_prefix", radvd),
        ("autoconf::nobody_announces", nobody_announces),
        ("autoconf::not_by_default", not_by_default),
    ]);
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &str) -> std::io::Result<Daemon> {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(Daemon)
}

/// The default router is the kernel's, so it is one at a time.
static ONE: Mutex<()> = Mutex::new(());

fn one() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link to Linux, which has the first address of the net.
fn link(tap: &str, net: &str) -> Result<Link, Box<dyn std::error::Error>> {
    let link = common::boot().attach(Tap::open(tap)?)?;
    netns::ip(&format!("link set {tap} up"))?;
    netns::ip(&format!("address add {net}1/64 dev {tap} nodad"))?;
    Ok(link)
}

/// It has an address of the prefix, which works, and a router.
fn configured(link: &Link, net: &str) -> Outcome {
    assert!(!link.accepts_router_advertisements()?);
    let began = Instant::now();
    let addresses = link.autoconfigure(Duration::from_secs(10))?;
    assert!(link.accepts_router_advertisements()?);
    let prefix: rump::iface::IpNet = format!("{net}/64").parse()?;
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    let own = addresses[0].net();
    assert_eq!(own.trunc(), prefix);
    assert!(addresses[0].is_autoconfigured() && addresses[0].is_ready());
    // The address is made of the Ethernet address (RFC 4291, appendix A).
    let hardware = link.hardware_address()?.ok_or("no Ethernet address")?;
    let std::net::IpAddr::V6(own) = own.addr() else {
        return Err("no IPv6 address".into());
    };
    assert_eq!(own.octets()[13..], hardware[3..]);
    let way = route::get("2001:db8:ffff::1".parse()?)?;
    assert_eq!(way.interface.as_deref(), Some(link.name()), "{way}");
    assert_eq!(way.destination.prefix_len(), 0, "{way}");
    let listener = std::net::TcpListener::bind(format!("[{net}1]:0"))?;
    let mut stream = rump::net::TcpStream::connect(listener.local_addr()?)?;
    stream.write_all(b"x")?;
    assert_eq!(listener.accept()?.1.ip(), own);
    assert!(began.elapsed() < Duration::from_secs(10));
    link.accept_router_advertisements(false)?;
    assert!(!link.accepts_router_advertisements()?);
    Ok(())
}

fn dnsmasq() -> Outcome {
    let _one = one();
    let link = link("auto0", "fd00:30::")?;
    let _daemon = start(
        "dnsmasq",
        "--keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --group=root \
         --bind-interfaces --except-interface=lo --port=0 --interface=auto0 --enable-ra \
         --dhcp-range=fd00:30::,ra-only,64,10m --dhcp-leasefile=/dev/null",
    )?;
    configured(&link, "fd00:30::")
}

fn radvd() -> Outcome {
    let _one = one();
    let link = link("auto1", "fd00:31::")?;
    let folder = std::env::temp_dir();
    let name = |what: &str| folder.join(format!("rump-radvd-{what}-{}", std::process::id()));
    let (config, pid) = (name("conf"), name("pid"));
    std::fs::write(
        &config,
        "interface auto1 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n\
         prefix fd00:31::/64 { AdvOnLink on; AdvAutonomous on; }; };\n",
    )?;
    let _daemon = start(
        "radvd",
        &format!(
            "--nodaemon --logmethod=stderr --config={} --pidfile={}",
            config.display(),
            pid.display()
        ),
    )?;
    let result = configured(&link, "fd00:31::");
    let _ = (std::fs::remove_file(&config), std::fs::remove_file(&pid));
    result
}

fn nobody_announces() -> Outcome {
    let (one, _other) = Pair::new();
    let link = common::boot().attach(one)?;
    let began = Instant::now();
    let limit = Duration::from_millis(500);
    let error = link.autoconfigure(limit).unwrap_err();
    assert!(began.elapsed() >= limit && began.elapsed() < 4 * limit);
    assert_eq!(error.errno(), Some(Errno::ETIMEDOUT), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(link.name()) && text.contains("routers"),
        "{text}"
    );
    Ok(())
}

fn not_by_default() -> Outcome {
    let link = common::boot().attach(Pair::new().0)?;
    assert!(!link.accepts_router_advertisements()?);
    link.accept_router_advertisements(true)?;
    assert!(link.accepts_router_advertisements()?);
    let gone = Interface::named(link.name())?;
    drop(link);
    let error = gone.accept_router_advertisements(true).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENXIO), "{error}");
    Ok(())
}
