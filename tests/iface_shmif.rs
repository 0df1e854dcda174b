//! Buses in a file, as NetBSD's shmif(4) has them, with Linux at their other end over
//! TAP, in a network namespace that this process makes for itself.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;
#[path = "common/upstream.rs"]
mod upstream;

use common::{Outcome, netns};
use patch::Patch;
use rump::Errno;
use rump::iface::{Shmif, Tap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stream::BothWays;

/// A bus that is not there yet, and is not after the test.
struct Bus(PathBuf);

impl Bus {
    fn new(name: &str) -> Self {
        let name = format!("rump-bus-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl std::ops::Deref for Bus {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Joins a bus with Linux, which has the address that ends in 1.
fn linux(number: u8, bus: &Path) -> Result<Patch, Box<dyn std::error::Error>> {
    let tap = Tap::open("bus%d")?;
    let name = tap.name().to_string();
    netns::ip(&format!("address add 10.6.{number}.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    Ok(Patch::new(Shmif::open(bus)?, tap))
}

fn transfer(address: &str) -> Outcome {
    let stream = BothWays::start(address)?;
    stream.advance(4 << 20);
    stream.finish()?;
    Ok(())
}

fn ours_and_ours() -> Outcome {
    let kernel = common::boot();
    let bus = Bus::new("ours");
    let link = kernel.attach(Shmif::open(&*bus)?)?;
    link.add_address("10.6.1.2/24".parse()?)?;
    let _linux = linux(1, &bus)?;
    transfer("10.6.1.2")?;
    let counts = link.backend().statistics();
    assert!(counts.received > 1000 && counts.sent > 1000, "{counts:?}");
    Ok(())
}

/// An interface that upstream's own code has on the bus.
fn upstreams_and_ours() -> Outcome {
    common::boot();
    let bus = Bus::new("upstreams");
    let interface = upstream::shmif(0, &bus)?;
    interface.add_address("10.6.2.2/24".parse()?)?;
    let _linux = linux(2, &bus)?;
    transfer("10.6.2.2")
}

/// Whoever is on the bus can spoil it; then that interface has no link.
fn buses_are_spoiled() -> Outcome {
    let kernel = common::boot();
    let spoilers: [(u64, u32, Errno); 3] = [
        // Where the newest frame is: nowhere; the length of the first; the lock.
        (20, u32::MAX, Errno::EBADMSG),
        (32, 0x7fff_ffff, Errno::EBADMSG),
        (24, 1, Errno::ETIMEDOUT),
    ];
    for (at, value, errno) in spoilers {
        let bus = Bus::new("spoiled");
        let link = kernel.attach(Shmif::open(&*bus)?)?;
        assert!(link.has_link());
        let file = File::options().write(true).open(&*bus)?;
        file.write_at(&value.to_ne_bytes(), at)?;
        let start = Instant::now();
        while link.error().is_none() || link.has_link() {
            assert!(start.elapsed() < Duration::from_secs(10), "at {at}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(link.error(), Some(errno));
    }
    let bus = Bus::new("other");
    std::fs::write(&*bus, "something else")?;
    let error = Shmif::open(&*bus).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    Ok(())
}

fn main() {
    common::run_with_interfaces([
        ("root::ours_and_ours", ours_and_ours),
        ("root::shmif::upstreams_and_ours", upstreams_and_ours),
        ("buses_are_spoiled", buses_are_spoiled),
    ])
}
