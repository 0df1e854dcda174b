//! Images that serve other guests of a real Xen, which itself runs in QEMU: an unmodified Linux
//! whose network interface has its back end in the image of `cargo rumprun service network`.
//!
//! ```text
//! linux: eth0 ── vif1 ─ bridge0 ─ vif0 :the service ── xenbr0 :dom0, with a web server
//! linux: eth0 ── vif0 ─ bridge0 ─ wm0 :the service ── QEMU's net :this process
//! linux: eth0 ── vif1 ─ bridge0 ─ vif0 :the service ── vif0: an image that runs dnsmasq
//! ```
//!
//! `./ci.sh xen` makes the testbed and names its folder in `RUMP_TEST_XEN`. Without that, or
//! without NetBSD, this is skipped.

mod image;

use image::{Outcome, check, testbed};
use libtest_mimic::Failed;
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::line::Line;
use rumprun_build::image::root;
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::{Linux, Machine};
use rumprun_build::image::xen::{self, Guest};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

fn main() {
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd {
        let reason = "bridges are NetBSD's: it wants NETBSD_SRC";
        (false, "netbsd", reason)
    } else {
        (true, "", "")
    };
    // What the environment names goes before what the service asks for.
    let drivers = std::env::var("RUMP_DRIVERS").unwrap_or("wm".into());
    let (with_card, need_card, reason_card) = match drivers.contains("wm") {
        true => (can, need, reason),
        false => (
            false,
            "drivers",
            "RUMP_DRIVERS has no wm, the driver of the card",
        ),
    };
    let programs = std::env::var_os("DNSMASQ").unwrap_or("/usr/sbin/dnsmasq".into());
    let (with_dns, need_dns, reason_dns) = match Path::new(&programs).is_file() {
        true => (can, need, reason),
        false => (
            false,
            "programs",
            "dnsmasq is not installed (apt install dnsmasq-base)",
        ),
    };
    let trial = |can, need, reason, name: &str, test: fn() -> Outcome| {
        image::trial_if(can, need, reason, format!("netbsd::xen::{name}"), test)
    };
    image::run_trials(vec![
        trial(can, need, reason, "serves_linux_and_comes_back", serves),
        trial(
            with_card,
            need_card,
            reason_card,
            "a_card_of_its_own_is_the_way_out",
            card,
        ),
        trial(
            with_dns,
            need_dns,
            reason_dns,
            "dnsmasq_gives_addresses_and_names",
            dns,
        ),
    ]);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(150);

/// Memory of the Linux guest, in MiB.
const MEMORY: u32 = 160;

/// What the Linux guest does each time that it has an interface: it reaches dom0, and takes and
/// sends so many bytes, which are compared.
const LINUX: &str = "
# The driver comes and goes.
for turn in 1 2 3; do
    until [ -d /sys/class/net/eth0 ]; do usleep 20000; done
    rmmod xen-netfront
    insmod /modules/xen-netfront max_queues=2
    echo \"linux: its driver is there again, $turn\"
done
while :; do
    until [ -d /sys/class/net/eth0 ]; do usleep 200000; done
    echo linux: $(ls -d /sys/class/net/eth0/queues/tx-* | wc -l) queues
    until ping -c 1 -W 1 10.0.2.99 >/dev/null 2>&1; do
        usleep 200000
        # It may come while its predecessor goes.
        ip link set eth0 up && ip address add 10.0.2.50/24 dev eth0
    done 2>/dev/null
    ping -c 5 -i 0.2 -s 1400 10.0.2.99 | grep 'packets transmitted'
    wget -q -O /tmp/bytes http://10.0.2.99/bytes
    wget -q -O /tmp/sum http://10.0.2.99/sum
    sha256sum </tmp/bytes | cmp -s - /tmp/sum && echo \"linux: got $(wc -c </tmp/bytes) right bytes\"
    until nc 10.0.2.99 9000 </tmp/bytes; do usleep 300000; done
    until [ ! -d /sys/class/net/eth0 ]; do usleep 200000; done
    echo 'linux: eth0 is gone'
done
";

/// The Linux guest.
const GUEST: &str = r#"
ln -s /dev/ttyS1 /var/log/xen/console/guest-linux.log
# It has a CPU, for which one queue would do.
linux_guest linux 160 1 xen-netfront.max_queues=2 'vif = [ "type=vif,mac=00:16:3e:11:22:33,backend=image" ]'
"#;

/// What dom0 does where the service's way out leads to it.
const DOM0: &str = r#"
# What Linux sends comes as it is.
takes() {
    nc -l -p 9000 | sha256sum | cmp -s - /www/sum || fail "$1: other bytes came"
    say "$1: the right bytes came"
}
mkdir -p /www
dd if=/dev/urandom of=/www/bytes bs=64k count=32 2>/dev/null
sha256sum </www/bytes >/www/sum
httpd -h /www
service
linux
takes "a Linux guest"
folder=/local/domain/$(number image)/backend/vif/$(number linux)/0
[ "$(xenstore-read $folder/state)" = 4 ] || fail "it is not connected"

xl destroy linux >/tmp/xl-destroy 2>&1 || fail "the Linux guest is not destroyed"
xenstore-read $folder/state >/dev/null 2>&1 && fail "its device is still there"
linux
takes "another Linux guest"

xl destroy image || fail "the service is not destroyed"
service
xl network-detach linux 0 >/tmp/xl-detach 2>&1
xl network-attach linux mac=00:16:3e:11:22:33 backend=image >/tmp/xl-attach 2>&1 ||
    fail "the new service has no device"
takes "the same Linux guest, over a new service"
xl destroy linux >/tmp/xl-destroy 2>&1
xl destroy image
say "all is done"
"#;

/// A testbed with Linux's files in it, that runs these lines of dom0's instead of the guest.
fn machine(guest: Guest, linux: &str, dom0: String) -> Result<Machine, Failed> {
    let (folder, made) = testbed::made()?;
    let linux = Linux::make(&folder, linux)?;
    let mut machine = Machine::new(made, guest, &folder);
    machine.instead = dom0;
    machine.files = vec![
        ("linux".into(), linux.kernel),
        ("linux.cpio".into(), linux.archive),
    ];
    // Shadows of its page tables, and what Xen keeps for guests, are beside.
    machine.spare = MEMORY + 128;
    Ok(machine)
}

fn serves() -> Outcome {
    let guest = Guest {
        memory: Service::Network.memory(),
        ..Guest::default()
    };
    let dom0 = format!("{}{GUEST}{DOM0}", testbed::DOM0);
    let mut machine = machine(guest, LINUX, dom0)?;
    machine.network = true;
    let image = image::service(Service::Network, &[])?;
    let text = testbed::run(&machine, &image, LONGER, |running| {
        running.wait_for("dom0: a Linux guest: the right bytes came")?;
        running.wait_for("dom0: another Linux guest: the right bytes came")?;
        running.wait_for("dom0: the same Linux guest, over a new service: the right bytes came")?;
        running.wait_for("dom0: all is done")
    })?;
    testbed::said(
        &text,
        &[
            ("5 packets transmitted, 5 packets received", 3),
            ("linux: 2 queues", 3),
            ("linux: got 2097152 right bytes", 3),
            ("linux: eth0 is gone", 1),
            ("serves backend/vif/", 5),
        ],
    )
}

/// A card of the machine's is the service's own, with NetBSD's driver: Linux reaches by it what
/// is on the other side, which here is this process.
fn card() -> Outcome {
    const BYTES: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // For QEMU's net this host is 10.0.2.2.
    let linux = format!(
        "
until ping -c 1 -W 1 10.0.2.2 >/dev/null 2>&1; do
    usleep 200000
    ip link set eth0 up && ip address add 10.0.2.50/24 dev eth0
done 2>/dev/null
ping -c 5 -i 0.2 -s 1400 10.0.2.2 | grep 'packets transmitted'
nc 10.0.2.2 {port} </dev/null >/tmp/bytes
echo \"linux: $(wc -c </tmp/bytes) bytes came\"
nc 10.0.2.2 {port} </tmp/bytes
echo 'linux: done'
# Its console is read meanwhile.
sleep 3
poweroff -f
"
    );
    let other = std::thread::spawn(move || -> std::io::Result<bool> {
        let bytes: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let (mut stream, _) = listener.accept()?;
        stream.write_all(&bytes)?;
        drop(stream);
        let (mut stream, _) = listener.accept()?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        Ok(back == bytes)
    });
    let mut guest = Guest {
        kind: xen::Kind::Hvm,
        memory: Service::Network.memory(),
        devices: vec!["00:06.0".into()],
        ..Guest::default()
    };
    guest.line = guest.line.with("verbose", "1");
    let dom0 = format!(
        "{}{GUEST}service\nlinux\nwhile number linux; do usleep 300000; done >/dev/null\nsay all is done\n",
        testbed::DOM0
    );
    let mut machine = machine(guest, &linux, dom0)?;
    machine.more = [
        "-netdev",
        "user,id=passed",
        "-device",
        "e1000e,netdev=passed,addr=6",
    ]
    .map(String::from)
    .into();
    let image = image::service(Service::Network, &["wm"])?;
    let text = testbed::run(&machine, &image, LONGER, |running| {
        running.wait_for("linux: done")?;
        running.wait_for("dom0: all is done")
    })?;
    let back = other.join().map_err(|_| "a panic")??;
    check(back, "other bytes came back", &text)?;
    testbed::said(
        &text,
        &[
            ("5 packets transmitted, 5 packets received", 1),
            ("linux: 1048576 bytes came", 1),
            ("network: wm0 is a member", 1),
        ],
    )
}

/// dnsmasq as it is installed here, in an image of its own behind the network's: a Linux guest
/// gets its address, its router and its names from there.
fn dns() -> Outcome {
    const LINUX: &str = r#"
cat >/tmp/got <<'EOF'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
for router in $router; do ip route add default via $router; done
for server in $dns; do echo nameserver $server; done >/etc/resolv.conf
echo "linux: $ip/$mask, router $router, names from $dns, for $lease s"
EOF
chmod +x /tmp/got
mkdir -p /etc
until [ -d /sys/class/net/eth0 ]; do usleep 200000; done
ip link set eth0 up
until udhcpc -i eth0 -n -q -f -t 5 -T 2 -s /tmp/got >/tmp/udhcpc 2>&1; do cat /tmp/udhcpc; done
grep linux: /tmp/udhcpc
nslookup name.test | grep -A 2 name.test
ping -c 3 -i 0.2 10.0.2.2 | grep 'packets transmitted'
echo 'linux: done'
# Its console is read meanwhile.
sleep 3
poweroff -f
"#;
    let dom0 = format!(
        "{}{GUEST}service
ln -s /dev/ttyS1 /var/log/xen/console/guest-dns.log
xl create /testbed/dns.cfg >/tmp/xl-dns 2>&1 || fail no dns
linux
while number linux; do usleep 300000; done >/dev/null
say all is done
",
        testbed::DOM0
    );
    let guest = Guest {
        memory: Service::Network.memory(),
        ..Guest::default()
    };
    let mut machine = machine(guest, LINUX, dom0)?;
    let (program, first) = Service::Dns.program().ok_or("no program")?;
    let root = Service::Dns.root(&machine.folder)?.ok_or("no root")?;
    let archive = machine.folder.join("dns.cpio");
    root::archive(&root, &archive)?;
    let mut line = Line::default()
        .with("net", "10.0.2.2/24")
        .with("exec", program);
    let asked = [
        "--interface=vif0",
        "--dhcp-range=10.0.2.100,10.0.2.110,1h",
        "--address=/name.test/10.0.2.77",
    ];
    line.arguments = first
        .iter()
        .chain(&asked)
        .map(|word| word.to_string())
        .collect();
    let dns = Guest {
        memory: Service::Dns.memory(),
        backend: Some("image".into()),
        root: Some("/testbed/dns.cpio".into()),
        line,
        ..Guest::default()
    };
    let configuration = machine.folder.join("dns.cfg");
    std::fs::write(
        &configuration,
        dns.config("dns", Path::new("/testbed/dns"))?,
    )?;
    machine.files.extend([
        ("dns".into(), image::service(Service::Dns, &[])?),
        ("dns.cpio".into(), archive),
        ("dns.cfg".into(), configuration),
    ]);
    machine.spare += dns.memory + 32;
    let image = image::service(Service::Network, &[])?;
    let text = testbed::run(&machine, &image, LONGER, |running| {
        running.wait_for("linux: done")?;
        running.wait_for("dom0: all is done")
    })?;
    testbed::said(
        &text,
        &[
            ("/24, router 10.0.2.2, names from 10.0.2.2, for 3600 s", 1),
            ("10.0.2.77", 1),
            ("3 packets transmitted, 3 packets received", 1),
            ("DHCPACK", 1),
        ],
    )
}
