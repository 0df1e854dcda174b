//! The network server as an image under a real Xen, which itself runs in QEMU, with applications
//! in images of their own.
//!
//! ```text
//! one, two: 10.0.2.60 ─┐
//!                      ├ cables ─ the server :image ─ vif0 ── xenbr0 :dom0, 10.0.2.99
//! three:    10.0.2.61 ─┘
//! ```
//!
//! Two are of one host and split its ports, the third is of another host. dom0 is the outside: it
//! connects to all, and serves them bytes. `./ci.sh xen` makes the testbed and names its folder in
//! `RUMP_TEST_XEN`. Without that, or without NetBSD, this is skipped.

mod image;

use image::{Outcome, testbed};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::root;
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::Machine;
use rumprun_build::image::xen::Guest;
use std::time::Duration;

fn main() {
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd {
        let reason = "cards by themselves are NetBSD's: it wants NETBSD_SRC";
        (false, "netbsd", reason)
    } else {
        (true, "", "")
    };
    let name = "netbsd::xen::applications_share_an_address";
    image::run_trials(vec![image::trial_if(can, need, reason, name, share)]);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(400);

/// Memory of an application, in MiB.
const MEMORY: u32 = 64;

/// What the server is to do.
const CONFIG: &str = r#"
[[nic]]
name = "wan"
interface = "vif0"

[[host]]
name = "web"
mac = "02:00:00:00:00:0a"
addresses = ["10.0.2.60/24"]
ring = 262144

[[host]]
name = "other"
mac = "02:00:00:00:00:0b"
addresses = ["10.0.2.61/24"]
ring = 262144
"#;

/// What dom0 does in both tests, before it does what is of one.
const DOM0: &str = r#"
# Begins with the server, and waits until it takes applications.
server() {
    xl create /tmp/server.cfg >/tmp/xl-server 2>&1 || fail "no server"
    path=/local/domain/$(number image)/data/feature-rump-ring
    until xenstore-read $path >/dev/null 2>&1; do usleep 100000; done
}
mac() { case $1 in three | stranger) echo 02:00:00:00:00:0b ;; *) echo 02:00:00:00:00:0a ;; esac; }
# An application: its name, its port, and whom it talks to.
application() {
    cat >/tmp/$1.cfg <<EOF
name = "$1"
type = "pvh"
kernel = "/testbed/served"
cmdline = "-- $1 $2 $3"
memory = 64
vcpus = 1
tsc_mode = "native"
on_crash = "destroy"
on_reboot = "destroy"
vif = [ "type=vif,mac=$(mac $1),backend=image" ]
EOF
    ln -sf /dev/ttyS1 /var/log/xen/console/guest-$1.log
    xl create /tmp/$1.cfg >/tmp/xl-$1 2>&1 || fail "no application $1"
}
# What is sent to a port comes back as it was.
echoes() {
    dd if=/dev/urandom of=/tmp/sent bs=64k count=6 2>/dev/null
    for try in $(seq 60); do
        nc -w 30 $1 $2 </tmp/sent >/tmp/back 2>/dev/null && cmp -s /tmp/sent /tmp/back && return
        sleep 1
    done
    fail "$1:$2 does not send back what it gets: $(wc -c </tmp/back) bytes"
}
# So many applications have taken the right bytes and sent them back.
right() {
    until [ "$(grep -c right /tmp/sums)" -ge $1 ]; do
        sleep 1
        [ $((waited += 1)) -lt 400 ] || fail "not $1 applications have sent the right bytes"
    done
    grep wrong /tmp/sums && fail "other bytes came"
    say "$1 times the right bytes"
}
# The connection that counts has not lost anything, and goes on.
counts() {
    before=$(wc -l </tmp/count)
    for try in $(seq 120); do
        sleep 1
        [ $(wc -l </tmp/count) -gt $((before + 10)) ] && break
    done
    [ $(wc -l </tmp/count) -gt $((before + 10)) ] || fail "nothing is counted any more"
    awk '$1 != NR - 1 { wrong = 1 } END { exit wrong }' /tmp/count || fail "it counts wrong"
    say "$1: the connection counts on"
}
connected() {
    folder=/local/domain/$(number image)/backend/vif/$(number $1)/0
    [ "$(xenstore-read $folder/state)" = 4 ] || fail "$1 is not connected"
}

waited=0
mkdir -p /www
dd if=/dev/urandom of=/www/bytes bs=64k count=16 2>/dev/null
sha256sum </www/bytes >/tmp/sum
httpd -h /www
touch /tmp/sums
for port in 9001 9002 9003; do
    while :; do
        nc -l -p $port | sha256sum | cmp -s - /tmp/sum && echo right || echo wrong
    done >>/tmp/sums &
done
nc -l -p 9100 >/tmp/count &
# The kernel of the server has no address.
sed '/^cmdline/d' /testbed/guest.cfg >/tmp/server.cfg
server
"#;

/// Two are of one host, and a third talks to one of them.
const SHARE: &str = r#"
application one 7001 -
application two 7002 -
application three 7003 10.0.2.60:7001
right 3
for name in one two three; do connected $name; done
echoes 10.0.2.60 7001
echoes 10.0.2.60 7002
echoes 10.0.2.61 7003
counts "all"

xl destroy three >/tmp/xl-destroy 2>&1
xenstore-read $folder/state >/dev/null 2>&1 && fail "the device of three is still there"
application three 7003 10.0.2.60:7001
right 4
echoes 10.0.2.61 7003
for name in one two three image; do xl destroy $name; done
say "all is done"
"#;

fn share() -> Outcome {
    let expected = [
        ("two: not 7001: AddrInUse", 1),
        // Of another host, it has all ports.
        ("three: 7001 as well", 2),
        ("three: 300000 bytes came back from 10.0.2.60:7001", 1),
        ("\"source-mac\": 1", 1),
        ("with [\"tcp 0.0.0.0:7001\"]", 1),
        ("with [\"tcp 0.0.0.0:7002\"]", 1),
        ("all: the connection counts on", 1),
    ];
    serves(SHARE, &expected)
}

/// Has dom0 do this, and looks whether what is said has these words in it, so often.
fn serves(script: &str, expected: &[(&str, usize)]) -> Outcome {
    let (folder, dom0) = testbed::made()?;
    let files = folder.join("server-root");
    std::fs::create_dir_all(files.join("etc/rump"))?;
    std::fs::write(files.join("etc/rump/server.toml"), CONFIG)?;
    let archive = folder.join("server-root.cpio");
    root::archive(&files, &archive)?;
    let guest = Guest {
        memory: Service::Server.memory(),
        root: Some(archive),
        ..Guest::default()
    };
    let mut machine = Machine::new(dom0, guest, &folder);
    machine.network = true;
    machine.instead = format!("{}{DOM0}{script}", testbed::DOM0);
    machine.files = vec![("served".into(), image::example("served", &["server"])?)];
    machine.spare = 3 * (MEMORY + 32);
    let image = image::service(Service::Server, &[])?;
    testbed::run(&machine, &image, LONGER, |running| {
        running.wait_for("dom0: all is done")?;
        testbed::said(&running.said(), expected)
    })
    .map(drop)
}
