//! The network service restarted under load, under a real Xen, which itself runs in QEMU: an
//! unmodified Linux's iperf3, curl and a connection that counts go on over each new domain.
//!
//! ```text
//! linux: eth0 ── vif1 ─ bridge0 ─ vif0 :the service ── xenbr0 :dom0, with servers
//! ```
//!
//! Connections live on in the kernels of both ends; what is lost meanwhile they send again. Three
//! restarts; with `RUMP_TEST_LONG` it is twenty. `./ci.sh xen` makes the testbed and names its
//! folder in `RUMP_TEST_XEN`. Without that, NetBSD, iperf3 and curl this is skipped.

mod image;

use image::{Outcome, testbed};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::{Linux, Machine};
use rumprun_build::image::xen::Guest;
use rumprun_build::image::{gather, root};
use std::path::Path;
use std::time::Duration;

/// What the guest runs, and dom0 the first of it.
const PROGRAMS: [&str; 2] = ["usr/bin/iperf3", "usr/bin/curl"];

fn main() {
    let there = |program: &&str| Path::new("/").join(program).is_file();
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd {
        let reason = "bridges are NetBSD's: it wants NETBSD_SRC";
        (false, "netbsd", reason)
    } else if !PROGRAMS.iter().all(there) {
        let reason = "iperf3 or curl is not installed (apt install iperf3 curl)";
        (false, "programs", reason)
    } else {
        (true, "", "")
    };
    let name = "netbsd::xen::connections_outlive_the_network_service";
    image::run_trials(vec![image::trial_if(can, need, reason, name, restarts)]);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(300);

/// Memory of the Linux guest, in MiB.
const MEMORY: u32 = 192;

/// What the Linux guest does: its interface is set up whenever it comes, as hotplug does it.
const LINUX: &str = r#"
export PATH=/bin:/usr/bin
say() { echo "linux: $*"; }
while usleep 100000; do
    [ -d /sys/class/net/eth0 ] && ! ip address show eth0 | grep -q 10.0.2.50 &&
        ip link set eth0 up && ip address add 10.0.2.50/24 dev eth0
done 2>/dev/null &
until ping -c 1 -W 1 10.0.2.99 >/dev/null 2>&1; do usleep 200000; done
curl -s -o /tmp/sum http://10.0.2.99/sum || say "failed: no sum"
# A connection that counts; it ends only when it is reset.
(
    number=0
    while usleep 20000; do echo $((number++)); done | nc 10.0.2.99 9100
    say 'failed: the connection that counts has ended'
) &
(
    iperf3 -c 10.0.2.99 -t 3600 --bidir --rcv-timeout 400000 >/tmp/iperf 2>&1
    say "failed: iperf3 has ended: $(tail -n 3 /tmp/iperf)"
) &
# Without a route nobody is asked (6, 7): what is begun ends well.
while :; do
    curl -s -o /tmp/bytes http://10.0.2.99/bytes
    case $? in
    0) sha256sum </tmp/bytes | cmp -s - /tmp/sum && say 'a page' || say 'failed: another page' ;;
    6 | 7) usleep 200000 ;;
    *) say "failed: curl ended with $?" ;;
    esac
done
"#;

/// What dom0 does: so many times a new service, over which all goes on.
const DOM0: &str = r#"
heard=/var/log/xen/console/guest-linux.log
linux_guest linux MEMORY 1 "" 'vif = [ "type=vif,mac=00:16:3e:11:22:33,backend=image" ]'
mkdir -p /www /programs/tmp /programs/dev
mount -t devtmpfs devtmpfs /programs/dev
dd if=/dev/urandom of=/www/bytes bs=64k count=8 2>/dev/null
sha256sum </www/bytes >/www/sum
httpd -h /www
(cd /programs && cpio -id </testbed/programs.cpio 2>/dev/null)
chroot /programs /usr/bin/iperf3 -s >/tmp/iperf 2>&1 &
# What says nothing and goes on: without it nc says that nothing comes, and Linux's ends.
tail -f /dev/null | nc -l -p 9100 >/tmp/count &
pages() { grep -c 'linux: a page' $heard; }
lines() { wc -l </tmp/count; }
# All goes on: more is counted, and more pages came.
goes_on() {
    counted=$(($(lines) + 30))
    came=$(($(pages) + 2))
    turns=0
    until [ $(lines) -ge $counted ] && [ $(pages) -ge $came ]; do
        grep -q 'linux: failed' $heard && {
            say "iperf3 here: $(tail -n 5 /tmp/iperf)"
            fail "$1: Linux has failed"
        }
        turns=$((turns + 1))
        [ $turns -lt 240 ] || fail "$1: it does not go on"
        usleep 500000
    done
    say "$1: all goes on"
}
: >$heard
tail -f $heard >&4 &
service
linux
goes_on "at first"
turn=0
while [ $turn -lt TURNS ]; do
    turn=$((turn + 1))
    xl destroy image || fail "the service is not destroyed"
    service
    xl network-detach linux 0 >/tmp/xl-detach 2>&1
    xl network-attach linux mac=00:16:3e:11:22:33 backend=image >/tmp/xl-attach 2>&1 ||
        fail "the new service has no device"
    goes_on "service $turn"
done
# What comes after is not whole yet.
wrong=$(head -n $(lines) /tmp/count | awk '$1 != NR - 1 { print NR ": " $0; exit }')
[ -z "$wrong" ] || fail "it was counted wrong: $wrong"
say "$(lines) counted, $(pages) pages"
say "all is done"
"#;

fn restarts() -> Outcome {
    let turns = match std::env::var_os("RUMP_TEST_LONG") {
        Some(_) => 20,
        None => 3,
    };
    let (folder, made) = testbed::made()?;
    let linux = Linux::make_with(&folder, LINUX, &[], &PROGRAMS)?;
    let programs = folder.join("programs");
    let iperf = Path::new("/").join(PROGRAMS[0]);
    gather::root(&iperf, &[], &programs)?;
    let archive = folder.join("programs.cpio");
    root::archive(&programs, &archive)?;
    let guest = Guest {
        memory: Service::Network.memory(),
        ..Guest::default()
    };
    let mut machine = Machine::new(made, guest, &folder);
    machine.network = true;
    machine.files = vec![
        ("linux".into(), linux.kernel),
        ("linux.cpio".into(), linux.archive),
        ("programs.cpio".into(), archive),
    ];
    machine.spare = MEMORY + 128;
    machine.instead = format!("{}{DOM0}", testbed::DOM0)
        .replace("TURNS", &turns.to_string())
        .replace("MEMORY", &MEMORY.to_string());
    let image = image::service(Service::Network, &[])?;
    let text = testbed::run(&machine, &image, LONGER, |running| {
        for turn in 1..=turns {
            running.wait_for(&format!("dom0: service {turn}: all goes on"))?;
        }
        running.wait_for("dom0: all is done")
    })?;
    println!("{}", summary(&text));
    testbed::said(&text, &[("serves backend/vif/", turns + 1)])
}

/// What dom0 has counted.
fn summary(text: &str) -> &str {
    let is = |line: &&str| line.contains(" counted, ");
    text.lines().find(is).unwrap_or("nothing was counted")
}
