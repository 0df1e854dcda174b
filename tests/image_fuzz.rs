//! Hostile front ends of devices whose back ends are in an image, under a real Xen: in a Linux
//! guest a program stands in for Linux's own front end (tests/fixtures/front-end), and says what
//! it likes, most of it nearly right. Another guest, that the same image serves, moves bytes and
//! compares them all the while.
//!
//! ```text
//! hostile: front-end ── vif1 ─┐
//! peer:    eth0 ─────── vif2 ─ bridge0 ─ vif0 :the service ── xenbr0 :dom0, with a web server
//!
//! hostile: front-end ── vbd0 ─ xvda :the service ── a file of dom0's
//! peer:    xvda ─────── vbd1 ─ xvdb      "          another
//!
//! hostile: front-end ┐
//! one:     10.0.2.60 ┼ cables ─ the network server ─ vif0 ── xenbr0 :dom0
//! three:   10.0.2.61 ┘
//! ```
//!
//! Of the network server's applications one is of the host that the hostile one is of, too.
//!
//! It is 30 seconds long, or 6 minutes with `RUMP_TEST_LONG=1`, of which `./ci.sh fuzz-back` has
//! five for each back end; and tells how much was tried. `RUMP_TEST_SECONDS` is another time, and
//! `RUMP_TEST_SEED` has the front end's choices begin elsewhere.

mod image;

use image::{Failed, Outcome, cables, check, testbed};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::{Linux, Machine};
use rumprun_build::image::xen::Guest;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn main() {
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd || !cfg!(feature = "fs") {
        let reason = "services are NetBSD's: it wants the feature fs and NETBSD_SRC";
        (false, "netbsd", reason)
    } else {
        (true, "", "")
    };
    let trial = |name: &str, test: fn() -> Outcome| {
        let name = format!("netbsd::xen::hostile::{name}");
        image::trial_if(can, need, reason, name, test)
    };
    image::run_trials(vec![
        trial("vif", || tried(&VIF)),
        trial("vbd", || tried(&VBD)),
        trial("cable", || tried(&CABLE)),
    ]);
}

/// How long it is tried.
fn time() -> Duration {
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    let said = std::env::var("RUMP_TEST_SECONDS").ok();
    let seconds = said.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(if long { 360 } else { 30 }))
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(400);

/// Memory of each Linux guest, in MiB.
const MEMORY: u32 = 160;

/// Bytes of each disk, in MiB.
const DISK: u64 = 8;

/// What is kept for the next, among it mbufs for as many bytes as wait to be sent at most, in KiB.
const KEPT: u64 = 3 * 1024;

/// It got somewhere: otherwise nothing was tried.
const FAR: &[(&str, u64)] = &[("connections", 2), ("requests", 200), ("states", 10)];

/// A device that is tried.
struct Device {
    /// What the front end calls it.
    kind: &'static str,
    /// What Linux and xenstore call its kind.
    driver: &'static str,
    /// The line of a guest's configuration; `ROLE` is the guest.
    line: &'static str,
    /// What Linux calls it, whose own front end the hostile guest is without.
    device: &'static str,
    /// What the other guest does before all, and again and again: it fails if bytes are wrong,
    /// and is 2 if none came.
    begins: &'static str,
    compares: &'static str,
    /// What dom0 knows beside.
    dom0: &'static str,
    /// How much less memory may be free at last than before, in KiB.
    kept: u64,
    /// How often it has to have been done what makes it get far.
    least: &'static [(&'static str, u64)],
}

const VIF: Device = Device {
    kind: "vif",
    driver: "vif",
    line: "vif = [ \"type=vif,backend=image\" ]",
    device: "vif-0",
    begins: "
until timeout 10 wget -q -O /tmp/sum http://10.0.2.99/sum; do
    usleep 200000
    ip link set eth0 up && ip address add 10.0.2.50/24 dev eth0
done 2>/dev/null
",
    compares: "
    timeout 20 wget -q -O /tmp/bytes http://10.0.2.99/bytes || return 2
    sha256sum </tmp/bytes | cmp -s - /tmp/sum
",
    dom0: PEER,
    kept: KEPT,
    least: FAR,
};

const VBD: Device = Device {
    kind: "vbd",
    driver: "vbd",
    line: "disk = [ \"vdev=xvda,backend=image,target=ROLE\" ]",
    device: "vbd-51712",
    // The first megabyte is written once, the second again and again.
    begins: "
until [ -b /dev/xvda ]; do usleep 200000; done
dd if=/dev/urandom of=/tmp/first bs=64k count=16 2>/dev/null
dd if=/tmp/first of=/dev/xvda bs=64k oflag=direct conv=notrunc 2>/dev/null || echo 'peer: WRONG: no disk'
",
    compares: "
    dd if=/dev/urandom of=/tmp/second bs=64k count=16 2>/dev/null
    dd if=/tmp/second of=/dev/xvda bs=64k seek=16 oflag=direct conv=notrunc,fsync 2>/dev/null &&
        dd if=/dev/xvda bs=64k count=16 iflag=direct 2>/dev/null | cmp -s - /tmp/first &&
        dd if=/dev/xvda bs=64k skip=16 count=16 iflag=direct 2>/dev/null | cmp -s - /tmp/second
",
    dom0: PEER,
    kept: KEPT,
    least: FAR,
};

const CABLE: Device = Device {
    kind: "cable",
    driver: "vif",
    line: "vif = [ \"type=vif,mac=02:00:00:00:00:0a,backend=image\" ]",
    device: "vif-0",
    begins: "",
    compares: "",
    dom0: APPLICATIONS,
    // And the memory of cables that the front end keeps: four, of 516 KiB each.
    kept: KEPT + 4 * 520,
    least: &[
        ("connections", 2),
        ("states", 10),
        ("welcomes", 2),
        ("messages", 20),
        ("frames", 200),
    ],
};

/// What Linux does, in the role that its command line has.
const LINUX: &str = r#"
case $(cat /proc/cmdline) in
*hostile*)
    until echo DEVICE >/sys/bus/xen/drivers/KIND/unbind; do usleep 100000; done 2>/dev/null
    # The other is there first.
    until [ "$(/FRONT_END read data/begin)" ]; do sleep 1; done
    echo 'hostile: begins'
    /FRONT_END RUNS
    echo "hostile: ended, status $?"
    # Its console is read meanwhile.
    sleep 3
    poweroff -f ;;
esac
BEGINS
compares() {
COMPARES
}
number=0
while usleep 300000; do
    compares
    case $? in
    0) number=$((number + 1)); echo "peer: $number times the right bytes" ;;
    2) echo 'peer: nothing came' ;;
    *) echo 'peer: WRONG BYTES' ;;
    esac
done
"#;

/// Another guest is a Linux that compares: dom0 knows how to begin with it, and whether it has
/// compared again since it was looked at last.
const PEER: &str = r#"
mkdir -p /www
dd if=/dev/urandom of=/www/bytes bs=64k count=4 2>/dev/null
sha256sum </www/bytes >/www/sum
httpd -h /www
heard=/var/log/xen/console/guest-peer.log
: >$heard
tail -f $heard >&4 &
others="peer"
begins() {
    service
    another peer
}
is_right() { grep WRONG $heard && fail "wrong bytes"; }
# It has compared so often.
compared() { grep -c 'the right bytes' $heard; }
compares() {
    wanted=$(($(compared) + 2))
    turns=0
    until [ $(compared) -ge $wanted ]; do
        is_right
        [ $((turns += 1)) -lt 150 ] || fail "the other guest is not served"
        sleep 1
    done
}
"#;

/// Others are two applications; what compares their bytes is dom0, and they themselves.
const APPLICATIONS: &str = r#"
others="one three"
ports="9101 9103"
compared=0
begins() {
    application one 7001 -
    application three 7003 10.0.2.60:7001
    right 2
    kill $keeper
}
is_right() { compares; }
compared() { echo $compared; }
compares() {
    echoes 10.0.2.60 7001
    echoes 10.0.2.61 7003
    counts "all"
    say "$((compared += 1)) times the right bytes"
}
"#;

/// What dom0 does.
const DOM0: &str = r#"
ln -sf /dev/ttyS1 /var/log/xen/console/guest-hostile.log
# Another guest that the service serves.
another() {
    linux_guest $1 160 1 $1 'LINE'
    sed -i s/ROLE/$1/ /tmp/$1.cfg
    xl create /tmp/$1.cfg >/tmp/xl-$1 2>&1 || fail "no $1"
}
begins
another hostile
compares
hostile=$(number hostile)
folder=/local/domain/$(number image)/backend/DRIVER/$hostile
xenstore-write /local/domain/$hostile/data/begin yes
while number hostile >/dev/null || number hostile >/dev/null; do
    number image >/dev/null || number image >/dev/null || fail "the service has ended"
    is_right
    sleep 2
done
for try in $(seq 20); do
    xenstore-list $folder >/tmp/left 2>/dev/null || break
    sleep 1
done
xenstore-list $folder >/tmp/left 2>/dev/null && fail "the device of the dead is still there"
number image >/dev/null || fail "the service has ended"
say "the other guest has compared $(compared) times"
compares
for name in $others image; do xl destroy $name >/tmp/xl-destroy 2>&1; done
say "all is done"
"#;

/// The program in the hostile guest: it is linked statically, as there is nothing beside it.
fn front_end() -> Result<PathBuf, Failed> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("front-end");
    let from = checkout.join("tests/fixtures/front-end");
    std::fs::create_dir_all(package.join("src"))?;
    for entry in std::fs::read_dir(from.join("src"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), package.join("src").join(entry.file_name()))?;
    }
    // Crates of this workspace are where they are.
    let manifest = std::fs::read_to_string(from.join("Cargo.toml"))?;
    let manifest = manifest.replace(
        "../../..",
        checkout.to_str().ok_or("a path that is no text")?,
    );
    std::fs::write(package.join("Cargo.toml"), manifest)?;
    // The versions of this workspace; cargo takes what it needs.
    std::fs::copy(checkout.join("Cargo.lock"), package.join("Cargo.lock"))?;
    let target = package.join("target");
    let name = "x86_64-unknown-linux-gnu";
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--target", name])
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(target.join(name).join("release/front-end"))
}

fn tried(device: &Device) -> Outcome {
    let (folder, dom0) = testbed::made()?;
    let program = front_end()?;
    let program = program.to_str().ok_or("a path that is no text")?;
    let program = program.trim_start_matches('/');
    let seed = std::env::var("RUMP_TEST_SEED").unwrap_or("1".into());
    let runs = format!("{} {} {seed}", device.kind, time().as_secs());
    let linux = LINUX
        .replace("FRONT_END", program)
        .replace("RUNS", &runs)
        .replace("DEVICE", device.device)
        .replace("KIND", device.driver)
        .replace("BEGINS", device.begins)
        .replace("COMPARES", device.compares);
    let modules = ["xen-evtchn", "xen-gntalloc", "xen-gntdev"];
    let linux = Linux::make_with(&folder, &linux, &modules, &[program])?;
    let service = match device.kind {
        "vif" => Service::Network,
        "vbd" => Service::Storage,
        _ => Service::Server,
    };
    let mut machine = match service {
        Service::Server => cables::machine(&folder, dom0, "vif0", &["served"])?,
        _ => {
            let guest = Guest {
                memory: service.memory(),
                ..Guest::default()
            };
            Machine::new(dom0, guest, &folder)
        }
    };
    let before = match service {
        Service::Server => cables::DOM0,
        _ => "",
    };
    let script = DOM0
        .replace("DRIVER", device.driver)
        .replace("LINE", device.line);
    machine.instead = format!("{}{before}{}{script}", testbed::DOM0, device.dom0);
    machine.files.extend([
        ("linux".into(), linux.kernel),
        ("linux.cpio".into(), linux.archive),
    ]);
    machine.spare = 2 * MEMORY + 192;
    machine.network = device.driver == "vif";
    if service == Service::Storage {
        for name in ["hostile", "peer"] {
            let disk = folder.join(name);
            std::fs::File::create(&disk)?.set_len(DISK << 20)?;
            machine.disks.push(disk);
        }
        let disks = ["hostile=/dev/rvbd0d", "peer=/dev/rvbd1d"];
        machine.guest.line.arguments = disks.map(String::from).into();
    }
    let image = image::service(service, &[])?;
    let text = testbed::run(&machine, &image, LONGER + time(), |running| {
        running.wait_for("hostile: begins")?;
        running.wait_for("hostile: ended")?;
        running.wait_for("dom0: the other guest has compared")?;
        running.wait_for("dom0: all is done")
    })?;
    judged(device, &text)
}

/// Looks at what was said: that something was tried, and has done no harm.
fn judged(device: &Device, text: &str) -> Outcome {
    let (_, meanwhile) = text.split_once("hostile: begins").unwrap_or_default();
    let (meanwhile, _) = meanwhile.split_once("hostile: ended").unwrap_or_default();
    let right = meanwhile.matches("times the right bytes").count();
    let nothing = meanwhile.matches("peer: nothing came").count();
    let begins = format!("front-end: {}: ", device.kind);
    let counts = text.lines().rfind(|line| line.contains(&begins));
    let counts = counts.ok_or_else(|| format!("no counts:\n{text}"))?;
    // What the service says each time that it lets go of the front end.
    let free: Vec<u64> = meanwhile
        .lines()
        .filter_map(|line| {
            let (before, _) = line.split_once(" KiB are free")?;
            before.rsplit(' ').next()?.parse().ok()
        })
        .collect();
    let part = free.len().div_ceil(3);
    let most = |of: &[u64]| of.iter().max().copied().unwrap_or(0);
    let (first, last) = (most(&free[..part]), most(&free[free.len() - part..]));
    println!(
        "{}; meanwhile {right} times the right bytes, {nothing} times none; \
         {first} KiB were free in the first third, {last} in the last",
        counts.trim()
    );
    check(!text.contains("WRONG"), "wrong bytes", text)?;
    check(!text.contains(": lost "), "a connection was lost", text)?;
    check(right > 0, "nothing came meanwhile", text)?;
    let ended = text.contains("hostile: ended, status 0");
    check(ended, "the front end has failed", text)?;
    let words: Vec<&str> = counts.split_whitespace().collect();
    let count = |what: &str| {
        let at = words
            .iter()
            .position(|word| word.trim_end_matches(',') == what)?;
        words[at.checked_sub(1)?].parse::<u64>().ok()
    };
    for (what, least) in device.least {
        let found = count(what).unwrap_or(0);
        check(found >= *least, &format!("{found} {what} of {least}"), text)?;
    }
    check(
        first <= last + device.kept,
        "the service's memory grows",
        text,
    )
}
