//! Images that serve other guests of a real Xen, which itself runs in QEMU: an unmodified Linux
//! whose network interface has its back end in the example `service_network`.
//!
//! ```text
//! linux: eth0 ── vif1 ─ bridge0 ─ vif0 :the service ── xenbr0 :dom0, with a web server
//! ```
//!
//! `./ci.sh xen` makes the testbed and names its folder in `RUMP_TEST_XEN`. Without that, or
//! without NetBSD and the feature `bridge`, this is skipped.

mod image;

use image::{Outcome, Running, check};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::testbed::{Dom0, End, Linux, Machine, end_of};
use rumprun_build::image::xen::Guest;
use std::path::PathBuf;
use std::time::Duration;

fn main() {
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd || !cfg!(feature = "bridge") {
        let reason = "bridges are NetBSD's: it wants the feature bridge and NETBSD_SRC";
        (false, "netbsd", reason)
    } else {
        (true, "", "")
    };
    let name = "netbsd::xen::serves_linux_and_comes_back";
    image::run_trials(vec![image::trial_if(can, need, reason, name, serves)]);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(150);

/// Memory of the Linux guest, in MiB.
const MEMORY: u32 = 160;

/// What the Linux guest does each time that it has an interface: it reaches dom0, and takes and
/// sends so many bytes, which are compared.
const LINUX: &str = "
while :; do
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

/// What dom0 does.
const DOM0: &str = r#"
say() { echo "dom0: $*" >&4; }
fail() { say "failed: $*"; cat /tmp/xl* >&4; xenstore-ls /local/domain >&4; exit 1; }
# A domain's number, by its name.
number() { xl domid "$1" 2>/dev/null; }
# Begins with the service, and waits until it hears of guests.
service() {
    xl create /testbed/guest.cfg >/tmp/xl-service 2>&1 || fail "no service"
    path=/local/domain/$(number image)/control/feature-poweroff
    until xenstore-read $path >/dev/null 2>&1; do usleep 100000; done
}
linux() {
    xl create /tmp/linux.cfg >/tmp/xl-linux 2>&1 || fail "no Linux guest"
}
# What Linux sends comes as it is.
takes() {
    nc -l -p 9000 | sha256sum | cmp -s - /www/sum || fail "$1: other bytes came"
    say "$1: the right bytes came"
}
mkdir -p /www
dd if=/dev/urandom of=/www/bytes bs=64k count=32 2>/dev/null
sha256sum </www/bytes >/www/sum
httpd -h /www
ln -s /dev/ttyS1 /var/log/xen/console/guest-linux.log
cat >/tmp/linux.cfg <<EOF
name = "linux"
type = "pvh"
kernel = "/testbed/vmlinuz"
ramdisk = "/testbed/linux.cpio"
cmdline = "console=hvc0 quiet panic=-1"
memory = 160
vcpus = 1
tsc_mode = "native"
on_crash = "destroy"
on_reboot = "destroy"
vif = [ "type=vif,mac=00:16:3e:11:22:33,backend=image" ]
EOF

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

fn serves() -> Outcome {
    let folder = PathBuf::from(std::env::var_os("RUMP_TEST_XEN").ok_or("no RUMP_TEST_XEN")?);
    let dom0 = Dom0::made(&folder).ok_or_else(|| {
        let folder = folder.display();
        format!("RUMP_TEST_XEN={folder}: there is no testbed of this version; ./ci.sh xen makes it")
    })?;
    let linux = Linux::make(&folder, LINUX)?;
    let mut machine = Machine::new(dom0, Guest::default(), &folder);
    machine.network = true;
    machine.instead = DOM0.into();
    machine.files = vec![
        ("vmlinuz".into(), linux.kernel),
        ("linux.cpio".into(), linux.archive),
    ];
    machine.spare = MEMORY + 32;
    let image = image::example("service_network", &["bridge"])?;
    let mut running = Running::spawn(machine.command(&image)?)?.slower_by(LONGER);
    let steps = steps(&mut running);
    let log =
        || String::from_utf8_lossy(&std::fs::read(machine.log()).unwrap_or_default()).into_owned();
    steps.map_err(|error| {
        format!(
            "{}\nXen and dom0:\n{}",
            error.message().unwrap_or_default(),
            log()
        )
    })?;
    let (code, text) = running.end_of_qemu()?;
    check(
        end_of(code) == Some(End::PowerOff),
        &format!("{code:?}"),
        &format!("{text}\nXen and dom0:\n{}", log()),
    )
}

fn steps(running: &mut Running) -> Outcome {
    running.wait_for("dom0: a Linux guest: the right bytes came")?;
    running.wait_for("dom0: another Linux guest: the right bytes came")?;
    running.wait_for("dom0: the same Linux guest, over a new service: the right bytes came")?;
    running.wait_for("dom0: all is done")?;
    let said = running.said();
    for (words, times) in [
        ("5 packets transmitted, 5 packets received", 3),
        ("linux: got 2097152 right bytes", 3),
        ("linux: eth0 is gone", 1),
        ("serves backend/vif/", 5),
    ] {
        let found = said.matches(words).count();
        check(
            found >= times,
            &format!("`{words}`: {found} of {times} times"),
            &said,
        )?;
    }
    Ok(())
}
