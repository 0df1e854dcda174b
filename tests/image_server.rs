//! The network server as an image under a real Xen, which itself runs in QEMU, with applications
//! in images of their own.
//!
//! ```text
//! one, two: 10.0.2.60 ─┐
//!                      ├ cables ─ the server :image ─ vif0 ── xenbr0 :dom0, 10.0.2.99
//! three:    10.0.2.61 ─┘
//! ```
//!
//! or with `wm0` in place of `vif0`: a card that is passed through, on a cable with dom0's second.
//!
//! Two are of one host and split its ports, the third is of another host. dom0 is the outside: it
//! connects to all, and serves them bytes. `./ci.sh xen` makes the testbed and names its folder in
//! `RUMP_TEST_XEN`. Without that, or without NetBSD, this is skipped.

mod image;

use image::{Outcome, cables, testbed};
use libtest_mimic::Failed;
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::Machine;
use rumprun_build::image::xen::{self, Guest};
use std::path::{Path, PathBuf};
use std::process::Command;
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
    let trial = |name: &str, test: fn() -> Outcome| {
        image::trial_if(can, need, reason, format!("netbsd::xen::{name}"), test)
    };
    let mut trials = vec![
        trial("applications_share_an_address", share),
        trial("applications_outlive_the_server", outlive),
        trial("an_application_moves_to_an_interface_of_its_own", moves),
    ];
    // What the environment names goes before what the program asks for.
    let drivers = std::env::var("RUMP_DRIVERS").unwrap_or("wm".into());
    let (can, need, reason) = match drivers.contains("wm") {
        true => (can, need, reason),
        false => (
            false,
            "drivers",
            "RUMP_DRIVERS has no wm, the driver of the card",
        ),
    };
    let with_card = |name: &str, test: fn() -> Outcome| {
        image::trial_if(can, need, reason, format!("netbsd::xen::{name}"), test)
    };
    trials.push(with_card("an_application_moves_to_a_card_of_its_own", card));
    trials.push(with_card("applications_share_a_card", share_card));
    if is_long() {
        // Each takes some minutes.
        for part in 2..=4 {
            trials.push(trial(
                &format!("applications_outlive_the_server_{part}"),
                outlive,
            ));
        }
    }
    image::run_trials(trials);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(400);

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

kill $keeper
xl destroy three >/tmp/xl-destroy 2>&1
xenstore-read $folder/state >/dev/null 2>&1 && fail "the device of three is still there"
application three 7003 10.0.2.60:7001
right 4
echoes 10.0.2.61 7003
for name in one two three image; do xl destroy $name; done
say "all is done"
"#;

/// The server is destroyed under load, again and again, and each time another takes its place.
const OUTLIVE: &str = r#"
application one 7001 -
application two 7002 -
application three 7003 10.0.2.60:7001
right 3
counts "before"
resets before
for kill in $(seq @KILLS@); do
    number=$(number image)
    killed=$(now)
    xl destroy $number || fail "the server is not destroyed"
    gone_on $killed
    right $((3 + 3 * kill))
done
echoes 10.0.2.60 7001
echoes 10.0.2.60 7002
echoes 10.0.2.61 7003
counts "after"
resets after
cat /tmp/xl-keeper >&4
kill $keeper
for name in one two three image; do xl destroy $name; done
say "all is done"
"#;

fn is_long() -> bool {
    std::env::var_os("RUMP_TEST_LONG").is_some()
}

fn outlive() -> Outcome {
    let kills = if is_long() { 5 } else { 3 };
    let again =
        ["one", "two", "three"].map(|name| format!("{name}: goes on after {kills} servers"));
    let counted = format!("kill {kills}: all count on");
    let mut expected: Vec<_> = again.iter().map(|words| (&**words, 1)).collect();
    expected.push((&counted, 1));
    expected.push(("after: all count on", 1));
    serves(&OUTLIVE.replace("@KILLS@", &kills.to_string()), &expected)
}

/// An application has a network interface of its own, too: it moves by itself, as the server orders,
/// and as it is ordered itself.
const MOVES: &str = r#"
kill $keeper
ctl() { sh /testbed/rump-ctl.sh "$@" >/tmp/xl-ctl 2>&1; }
# An order that is carried out, with these words in the answer.
order() {
    ctl $1 $2 $3 $4 || fail "$* is not done"
    grep -q "$5" /tmp/xl-ctl || fail "$*: no \"$5\""
}
# Whether the server says that it is there.
at() {
    for try in $(seq 100); do
        ctl image list || fail "the server tells nothing"
        grep -q "\"label\":\"own\".*\"state\":\"$1\"" /tmp/xl-ctl && return
        usleep 100000
    done
    fail "it is not $1"
}
ports=9101
@OWN@
order image list "" "" '"status"'
until grep -q "label" /tmp/xl-ctl; do usleep 200000; order image list "" "" '"status"'; done
echoes 10.0.2.60 7001
left=3000
until order own list "" "" "own is" && grep -q "after @MOVED@ switches" /tmp/xl-ctl; do
    usleep 200000
    [ $((left -= 1)) -gt 0 ] || fail "it does not move so often"
done
counts "by itself"
for path in direct shared direct shared; do
    was=here
    [ $path = shared ] || was=direct
    order image switch own $path "it was ordered to"
    at $was
    counts "the server orders $path"
    echoes 10.0.2.60 7001
done
for path in direct shared; do
    order own switch own $path "it is $path"
    counts "it is ordered $path"
    echoes 10.0.2.60 7001
done
# The same by the command.
rump() { LD_LIBRARY_PATH=/testbed /testbed/rump ctl --control "$@" >/tmp/xl-ctl 2>&1; }
rump xen:image switch own direct || fail "rump ctl does not have the server order it"
at direct
counts "rump ctl orders direct"
rump xen:own switch own shared || fail "rump ctl does not order it"
counts "rump ctl orders shared"
rump xen:image list && grep -q own /tmp/xl-ctl || fail "rump ctl does not list it"
cat /tmp/xl-ctl >&4
rump xen:image stats && grep -q nics /tmp/xl-ctl || fail "rump ctl has no counters"
rump xen:own switch nobody shared && fail "rump ctl says that nobody is moved"
rump xen:nowhere list && fail "rump ctl lists what is nowhere"

ctl own switch one direct && fail "one is not there"
ctl own "switch own up" && fail "there is no up"
ctl image switch nobody direct && fail "nobody is not there"
ctl image upgrade && fail "there is no upgrade"
order own stats "" "" "0 that failed"
cat /tmp/xl-ctl >&4
order image stats "" "" "\"nics\""
cat /tmp/xl-ctl >&4
resets after
order image stop "" "" "the server ends"
left=100
while number image >/dev/null; do
    usleep 200000
    [ $((left -= 1)) -gt 0 ] || fail "the server does not end"
done
# It goes on without one.
order own switch own direct "it is direct"
counts "without a server"
echoes 10.0.2.60 7001
xl destroy own
say "all is done"
"#;

/// An application with another interface of Xen's.
const OWN_VIF: &str =
    r#"application own 7001 "vif0 @ROUNDS@" switched ", \"type=vif,bridge=xenbr0\"""#;

/// A card of the machine's that is given to a domain, where NetBSD's driver drives it.
/// It has a port of its own, by which Linux resets it before each domain that has it.
const CARD: &str = "01:00.0";

/// It is on a cable with another, which dom0 keeps.
fn cards() -> impl Iterator<Item = String> {
    let words = [
        ["-device", "pcie-root-port,id=way,addr=6"],
        ["-netdev", "hubport,id=given,hubid=0"],
        ["-device", "e1000e,netdev=given,bus=way"],
        ["-netdev", "hubport,id=kept,hubid=0"],
        ["-device", "e1000,netdev=kept,addr=7"],
    ];
    words.into_iter().flatten().map(String::from)
}

/// The cable leads to dom0's bridge.
const SECOND: &str = r#"
ip link set eth1 up && brctl addif xenbr0 eth1 || fail "dom0 has no second card"
"#;

/// An application with a card.
const OWN_CARD: &str = r#"
xl pci-assignable-add 01:00.0 || fail "the card cannot be given away"
echo "vif = [ \"type=vif,mac=$(mac own),backend=image\" ]" >>/testbed/own.cfg
ln -sf /dev/ttyS1 /var/log/xen/console/guest-own.log
xl create /testbed/own.cfg >/tmp/xl-own 2>&1 || fail "no application own"
"#;

fn moves() -> Outcome {
    moves_to(OWN_VIF, serves)
}

fn card() -> Outcome {
    let own = image::example_with("switched", &["server"], &["wm"])?;
    let mut guest = Guest {
        kind: xen::Kind::Hvm,
        memory: cables::MEMORY,
        devices: vec![CARD.into()],
        ..Guest::default()
    };
    let words = ["own", "7001", "wm0", &rounds().to_string()];
    guest.line.arguments = words.map(String::from).into();
    let config = testbed::made()?.0.join("own.cfg");
    std::fs::write(&config, guest.config("own", Path::new("/testbed/own"))?)?;
    moves_to(&format!("{SECOND}{OWN_CARD}"), |script, expected| {
        serves_over("vif0", script, expected, |machine| {
            machine.files.push(("own".into(), own));
            machine.files.push(("own.cfg".into(), config));
            machine.more.extend(cards());
        })
    })
}

/// How often it moves there and back by itself.
fn rounds() -> usize {
    if is_long() { 50 } else { 5 }
}

fn moves_to(own: &str, serves: impl FnOnce(&str, &[(&str, usize)]) -> Outcome) -> Outcome {
    let rounds = rounds();
    let script = MOVES.replace("@OWN@", own);
    let script = script.replace("@ROUNDS@", &rounds.to_string());
    let script = script.replace("@MOVED@", &(2 * rounds).to_string());
    let moved = format!("own: {} switches in", 2 * rounds);
    let expected = [
        (&*moved, 1),
        ("own: direct after", 5),
        ("own: shared after", 4),
        ("without a server: all count on", 1),
    ];
    serves(&script, &expected)
}

fn share() -> Outcome {
    shares(serves)
}

/// The server's way out is a card that is passed through.
fn share_card() -> Outcome {
    shares(|script, expected| {
        serves_over("wm0", &format!("{SECOND}{script}"), expected, |machine| {
            machine.guest.kind = xen::Kind::Hvm;
            machine.guest.devices = vec![CARD.into()];
            machine.more.extend(cards());
        })
    })
}

fn shares(serves: impl FnOnce(&str, &[(&str, usize)]) -> Outcome) -> Outcome {
    let expected = [
        ("two: not 7001: AddrInUse", 1),
        // Of another host, it has all ports.
        ("three: 7001 as well", 2),
        ("three: 300000 bytes came back from 10.0.2.60:7001", 1),
        ("\"source-mac\": 1", 1),
        ("with [\"tcp 0.0.0.0:7001\"]", 1),
        ("with [\"tcp 0.0.0.0:7002\"]", 1),
        ("all: all count on", 1),
    ];
    serves(SHARE, &expected)
}

/// Has dom0 do this, and looks whether what is said has these words in it, so often.
fn serves(script: &str, expected: &[(&str, usize)]) -> Outcome {
    serves_over("vif0", script, expected, |_| {})
}

/// The command `rump`, which `cargo build` makes beside the tests, and the library that dom0 has
/// not.
fn command(folder: &Path) -> Result<[(String, PathBuf); 2], Failed> {
    let test = std::env::current_exe()?;
    let command = test.ancestors().nth(2).unwrap_or(&test).join("rump");
    image::check(command.is_file(), "no `rump`: cargo build -p rump-cli", "")?;
    // With all that a debugger wants it would be half of dom0's files.
    let stripped = folder.join("rump");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&command)
        .status()?;
    image::check(status.success(), "strip has failed", "")?;
    let linked = Command::new("ldd").arg(&command).output()?.stdout;
    let linked = String::from_utf8_lossy(&linked).into_owned();
    let mut words = linked.split_whitespace();
    let library = words.find(|word| word.ends_with("/libgcc_s.so.1"));
    let library = library.ok_or("rump is not linked to libgcc_s.so.1")?;
    Ok([
        ("rump".into(), stripped),
        ("libgcc_s.so.1".into(), library.into()),
    ])
}

/// The same over this interface of the server's, in a machine with more in it.
fn serves_over(
    interface: &str,
    script: &str,
    expected: &[(&str, usize)],
    more: impl FnOnce(&mut Machine),
) -> Outcome {
    let drivers: &[&str] = match interface {
        "wm0" => &["wm"],
        _ => &[],
    };
    let image = image::service(Service::Server, drivers)?;
    let (folder, dom0) = testbed::made()?;
    let mut machine = cables::machine(&folder, dom0, interface, &["served", "switched"])?;
    machine.instead = format!("{}{}{script}", testbed::DOM0, cables::DOM0);
    let rump_ctl = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rump-ctl.sh");
    machine.files.push(("rump-ctl.sh".into(), rump_ctl));
    for (name, file) in command(&folder)? {
        machine.files.push((name, file));
    }
    machine.spare = 3 * (cables::MEMORY + 32);
    more(&mut machine);
    testbed::run(&machine, &image, LONGER, |running| {
        running.wait_for("dom0: all is done")?;
        let said = running.said();
        let is_told = |line: &&str| line.contains("dom0: ") || line.contains(" switches in ");
        let lines = said.lines().filter(is_told);
        lines.for_each(|line| println!("{line}"));
        testbed::said(&said, expected)?;
        image::check(!said.contains(": lost "), "a connection was lost", &said)
    })
    .map(drop)
}
