//! Images that serve other guests of a real Xen, which itself runs in QEMU: an unmodified Linux
//! whose disks have their back ends in the image of `cargo rumprun service storage`.
//!
//! ```text
//! linux: xvda ── data ─ vbd0 ─ xvda :the service ── a file of dom0's
//!        xvdb ── text ─ vbd1 ─ xvdb    "            an ext2, read only
//!        xvdc ── file ─ vbd2 ─ a file of the service's own
//! ```
//!
//! or, in a service that is given the machine's NVMe disks, over NetBSD's driver of these.
//!
//! Debian's fio writes and verifies, too, and the service is destroyed in the midst of that: once, or
//! with `RUMP_TEST_LONG=1` three times in ten minutes of it, each in a machine of its own.
//!
//! `./ci.sh xen` makes the testbed and names its folder in `RUMP_TEST_XEN`. Without that, or
//! without NetBSD and the feature `fs`, this is skipped.

mod image;

use image::{Outcome, check, testbed};
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::root;
use rumprun_build::image::service::Service;
use rumprun_build::image::testbed::{Linux, Machine};
use rumprun_build::image::xen::{self, Guest};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Linux's tools for its file system, which its kernel is to be content with.
const TOOLS: [&str; 2] = ["usr/sbin/mkfs.ext4", "usr/sbin/e2fsck"];
/// What writes a disk and knows what it was told.
const FIO: &str = "usr/bin/fio";

fn main() {
    let there = |tool: &&str| Path::new("/").join(tool).is_file();
    let (can, need, reason) = if std::env::var_os("RUMP_TEST_XEN").is_none() {
        (false, "xen", "a real Xen is started by ./ci.sh xen")
    } else if KIND != Kind::Netbsd || !cfg!(feature = "fs") || !TOOLS.iter().all(there) {
        let reason = "disks are NetBSD's: it wants the feature fs, NETBSD_SRC and e2fsprogs";
        (false, "netbsd", reason)
    } else {
        (true, "", "")
    };
    let has = rump_sys::DRIVERS.contains(&"nvme");
    let (passed, word, why) = match (can, has) {
        (true, false) => (
            false,
            "drivers",
            "the driver is NetBSD's: it wants RUMP_DRIVERS=nvme",
        ),
        _ => (can, need, reason),
    };
    let fio = match (can, there(&FIO)) {
        (true, false) => (false, "fio", "fio is not installed (apt install fio)"),
        _ => (can, need, reason),
    };
    let name = |name: &str| format!("netbsd::xen::{name}");
    let mut trials = vec![
        image::trial_if(
            can,
            need,
            reason,
            name("serves_linux_and_comes_back"),
            comes_back,
        ),
        image::trial_if(
            can,
            need,
            reason,
            name("loses_nothing_that_was_flushed"),
            killed,
        ),
        image::trial_if(passed, word, why, name("serves_linux_from_nvme"), nvme),
    ];
    let (parts, seconds) = match std::env::var_os("RUMP_TEST_LONG") {
        Some(_) => (3, 200),
        None => (1, 0),
    };
    trials.extend((1..=parts).map(|part| {
        let name = name(&format!("finds_what_fio_was_told_{part}"));
        image::trial_if(fio.0, fio.1, fio.2, name, move || verified(seconds))
    }));
    image::run_trials(trials);
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(300);

/// Memory of the Linux guest, in MiB, and of one that has fio with its sixty libraries: as an
/// archive, and unpacked.
const MEMORY: u32 = 160;
const MEMORY_WITH_FIO: u32 = 448;
/// Bytes of the disks `data` and `file`, in MiB.
const DATA: u64 = 24;
const FILE: u64 = 2;

/// What Linux's shell knows in all tests.
const TOGETHER: &str = r#"
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
say() { echo "linux: $*"; }
fail() { say "failed: $*"; dmesg | tail -n 20; sleep 1000; }
appears() { until [ -b /dev/$1 ] && [ "$(blockdev --getsize64 /dev/$1)" -gt 0 ]; do usleep 100000; done 2>/dev/null; }
"#;

/// What the Linux guest does with its disks, whatever others have done with them before.
const LINUX: &str = r#"
about() { cat /sys/block/$1/$2; }
# Writes what it has in /tmp/random to a place, past all caches, and compares.
at() {
    dd if=/tmp/random of=/dev/$1 bs=$2 seek=$3 oflag=direct conv=notrunc 2>/dev/null &&
        dd if=/dev/$1 bs=$2 skip=$3 count=$4 iflag=direct 2>/dev/null | cmp -s - /tmp/random
}
disks='xvda xvdb'
grep -q file=1 /proc/cmdline && disks="$disks xvdc"
for disk in $disks; do appears $disk; done
say "sizes $(for disk in $disks; do blockdev --getsize64 /dev/$disk; done | tr '\n' ' ')"
say "cache: $(about xvda queue/write_cache), discards: $(about xvda queue/discard_max_bytes)"
say "at a time: $(about xvda queue/max_segments) segments, queues: $(ls /sys/block/xvda/mq | wc -l)"

# From the last time.
if mount -t ext4 -o ro /dev/xvda /mnt 2>/dev/null; then
    sha256sum </mnt/bytes | cmp -s - /mnt/sum || fail "what was written is not there"
    umount /mnt
    e2fsck -fn /dev/xvda >/tmp/e2fsck 2>&1 || fail "e2fsck: $(cat /tmp/e2fsck)"
    say "found what it had written"
fi

dd if=/dev/urandom of=/tmp/random bs=64k count=16 2>/dev/null
for size in 8k 64k 1024k; do
    at xvda $size 1 $((1024 / ${size%k})) || fail "direct, $size at a time"
done
[ "${disks#*xvdc}" = "$disks" ] || at xvdc 64k 0 16 || fail "a file"
# Several at a time, at places of their own.
for part in 1 2 3 4 5; do at xvda 16k $((part * 256)) 64 & done
wait
for part in 1 2 3 4 5; do
    dd if=/dev/xvda bs=1M skip=$((part * 4)) count=1 iflag=direct 2>/dev/null |
        cmp - /tmp/random || fail "part $part"
done
say "reads what it has written"

dd if=/dev/zero of=/dev/xvdb bs=4k count=1 oflag=direct 2>/tmp/dd && fail "xvdb was written"
blockdev --setrw /dev/xvdb 2>/dev/null
dd if=/dev/zero of=/dev/xvdb bs=4k count=1 oflag=direct 2>/tmp/dd && fail "xvdb was written"
mount -t ext4 -o ro /dev/xvdb /mnt || fail "xvdb has no file system"
[ "$(tail -n 1 /mnt/lines)" = "line 1999" ] || fail "xvdb has other lines"
umount /mnt
say "cannot write to what is read only: $(about xvdb ro)"

blkdiscard -o 0 -l 8M /dev/xvda && say "discards"
mkfs.ext4 -q -F /dev/xvda || fail "no file system"
mount -t ext4 /dev/xvda /mnt || fail "no mount"
dd if=/dev/urandom of=/mnt/bytes bs=64k count=48 conv=fsync 2>/dev/null
sha256sum </mnt/bytes >/mnt/sum
sync
umount /mnt
sync
say "has a file system"
"#;

/// It does so each time that it has its disks.
fn again_and_again() -> String {
    format!(
        "mkdir -p /mnt\n{TOGETHER}\nwhile :; do\n{LINUX}\n\
         for disk in $disks; do until [ ! -b /dev/$disk ]; do usleep 200000; done; done\n\
         say 'its disks are gone'\ndone\n"
    )
}

/// What dom0 does in all tests, before it does what is of one.
const DOM0: &str = r#"
heard=/var/log/xen/console/guest-linux.log
# Waits until Linux has said something so many times.
hears() {
    turns=0
    until [ "$(grep -c "$2" $heard)" -ge $1 ] 2>/dev/null; do
        grep -q 'linux: failed' $heard && fail "Linux has failed"
        turns=$((turns + 1))
        [ $turns -lt 300 ] || fail "no '$2' of Linux"
        sleep 1
    done
}
: >$heard
tail -f $heard >&4 &
linux_guest linux MEMORY VCPUS "MORE" 'disk = [ "vdev=xvda,backend=image,target=data", "vdev=xvdb,access=ro,backend=image,target=text" THIRD ]'
service
linux
"#;

/// The service and the guest, each destroyed and created anew.
const COME_BACK: &str = r#"
hears 1 'linux: has a file system'
folder=/local/domain/$(number image)/backend/vbd/$(number linux)/51712
[ "$(xenstore-read $folder/state)" = 4 ] || fail "it is not connected"
xl destroy linux >/tmp/xl-destroy 2>&1 || fail "the Linux guest is not destroyed"
xenstore-read $folder/state >/dev/null 2>&1 && fail "its device is still there"
say "a Linux guest has a disk"
linux
hears 2 'linux: has a file system'
hears 1 'linux: found what it had written'
say "another Linux guest has what the first has written"

# What is not offered, or is another's, is refused.
xl block-attach linux vdev=xvdd,backend=image,target=other >/tmp/xl-other 2>&1 && fail "a disk that there is not"
xl block-attach linux vdev=xvde,backend=image,target=data >/tmp/xl-twice 2>&1 && fail "a disk twice"
xl block-attach linux vdev=xvdf,backend=image,target=text >/tmp/xl-write 2>&1 && fail "a disk to write"
say "nobody gets what is not offered"

xl destroy image || fail "the service is not destroyed"
service
for disk in xvda xvdb xvdc; do xl block-detach linux $disk >/tmp/xl-detach-$disk 2>&1; done
hears 1 'linux: its disks are gone'
for disk in xvda,target=data xvdb,access=ro,target=text xvdc,target=file; do
    xl block-attach linux backend=image,vdev=$disk >/tmp/xl-attach 2>&1 || fail "the new service has no $disk"
done
hears 3 'linux: has a file system'
hears 2 'linux: found what it had written'
say "the same Linux guest has it over a new service"
xl destroy linux >/tmp/xl-destroy 2>&1
xl destroy image
say "all is done"
"#;

/// Numbers and checksums in sectors of their own, each flushed before it is told.
const WRITER: &str = r#"
appears xvda
# A sector of eight lines that say which it is.
block() {
    sum=$(echo "$1 of $2" | sha256sum)
    for line in 1 2 3 4 5 6 7 8; do printf '%-63.63s\n' "$line turn $1 $sum"; done
}
is_there() {
    block $1 $2 >/tmp/right
    dd if=/dev/xvda bs=512 skip=$1 count=1 iflag=direct 2>/dev/null | cmp -s - /tmp/right
}
# What is on the disk from the last time.
[ -n "$(dd if=/dev/xvda bs=512 count=1 iflag=direct 2>/dev/null | grep '^life ')" ] && {
    life=$(dd if=/dev/xvda bs=512 count=1 iflag=direct 2>/dev/null | sed -n 's/^life \([0-9]*\).*/\1/p')
    turn=1
    while :; do
        is_there $turn $life || break
        turn=$((turn + 1))
    done
    say "life $life has $((turn - 1)) turns"
}
life=$((${life:-0} + 1))
(echo "life $life"; dd if=/dev/zero bs=512 count=1 2>/dev/null) | dd bs=512 count=1 iflag=fullblock of=/dev/xvda conv=notrunc,fsync 2>/dev/null
turn=1
while :; do
    block $turn $life | dd of=/dev/xvda bs=512 count=1 iflag=fullblock seek=$turn conv=notrunc,fsync 2>/dev/null || fail "turn $turn"
    say "turn $turn of life $life"
    turn=$((turn + 1))
done
"#;

/// fio writes all of the disk and verifies it, pass after pass. When another disk appears, what fio
/// knows of the pass under way is kept there; a guest that has it from the beginning verifies what
/// was answered of that pass, and that the same finds what is damaged.
const WITH_FIO: &str = r#"
# Each block once in a pass, in an order and with bytes of its own.
data() {
    seed=$1
    shift
    fio --name=data --filename=/dev/xvda --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=64k \
        --fsync=16 --verify=crc32c --verify_fatal=1 --randseed=$seed --eta=never --output=/tmp/fio "$@" 2>/tmp/errors
}
# How many blocks it has read.
verified() { sed -n 's/.*issued rwts: total=\([0-9]*\),.*/\1/p' /tmp/fio; }
# How many blocks were written to the disk.
written() { awk '{ print int($7 / 128) }' /sys/block/xvda/stat; }
appears xvda
mkdir -p /state
cd /state
echo 0 >pass
if grep -q kept=1 /proc/cmdline; then
    appears xvdd
    tar xf /dev/xvdd || fail "nothing was kept"
    pass=$(cat pass)
    again() { data $pass --verify_only --verify_state_load=1 --verify_state_save=0; }
    again || fail "pass $pass: $(cat /tmp/errors)"
    say "pass $pass: $(verified) blocks are as they were written"
    dd if=/dev/zero of=/dev/xvda bs=1M oflag=direct 2>/dev/null
    again && fail "fio does not verify"
    say "what is damaged is found"
    until [ ! -b /dev/xvdd ]; do usleep 100000; done
fi
(
    while :; do
        pass=$(($(cat pass) + 1))
        rm -f *.state
        echo $pass >pass
        some=$(($(written) + 100))
        data $pass --trigger-file=/tmp/trigger &
        until [ $(written) -gt $some ] || ! kill -0 $!; do usleep 50000; done
        say "pass $pass is under way"
        wait $! || fail "pass $pass: $(cat /tmp/errors)"
        [ $(verified) = $(($(blockdev --getsize64 /dev/xvda) / 65536)) ] || fail "pass $pass is not verified"
        say "pass $pass is whole"
    done
) &
appears xvdd
touch /tmp/trigger
until [ -s local-data-0-verify.state ]; do usleep 100000; done
tar c pass *.state | dd of=/dev/xvdd bs=64k iflag=fullblock conv=fsync 2>/dev/null || fail "nothing is kept"
say "pass $(cat pass) is kept"
sleep 1000
"#;

/// The service is destroyed in the midst of that, and the guest has to be.
const KILL_WITH_FIO: &str = r#"
hears 1 'linux: pass .* is whole'
sleep SECONDS
hears $(($(grep -c 'is under way' $heard) + 1)) 'linux: pass .* is under way'
xl destroy image || fail "the service is not destroyed"
dd if=/dev/zero of=/kept bs=64k count=16 2>/dev/null
losetup /dev/loop7 /kept
kept=format=raw,vdev=xvdd,access=rw,target=/dev/loop7
xl block-attach linux $kept >/tmp/xl-attach 2>&1 || fail "no disk for what is kept"
hears 1 'linux: pass .* is kept'
xl destroy linux >/tmp/xl-destroy 2>&1
whole=$(grep -c 'is whole' $heard)
sed -i "s|^disk = \[ |&\"$kept\", |; s|file=1|& kept=1|" /tmp/linux.cfg
service
linux
hears 1 'linux: what is damaged is found'
blocks=$(sed -n 's/^linux: pass .*: \([0-9]*\) blocks are as they were written.*/\1/p' $heard)
[ $blocks -ge 100 ] || fail "it was not in the midst of a pass"
say "after $whole passes, $blocks blocks of another are as they were written"
xl block-detach linux xvdd >/tmp/xl-detach 2>&1 || fail "the disk is not detached"
hears $((whole + 1)) 'linux: pass .* is whole'
xl destroy linux >/tmp/xl-destroy 2>&1
xl destroy image
say "all is done"
"#;

/// The guest alone: a device that was given away is not given a second time here.
const ONCE: &str = r#"
hears 1 'linux: has a file system'
say "a Linux guest has a disk"
xl destroy linux >/tmp/xl-destroy 2>&1 || fail "the Linux guest is not destroyed"
linux
hears 2 'linux: has a file system'
hears 1 'linux: found what it had written'
say "all is done"
"#;

/// The service is destroyed in the midst of that, three times.
const KILL: &str = r#"
for life in 1 2 3; do
    hears $((life * 15)) "linux: turn .* of life"
    xl destroy image || fail "the service is not destroyed"
    sleep 1
    xl destroy linux >/tmp/xl-destroy 2>&1
    told=$(grep -c "linux: turn .* of life $life" $heard)
    service
    linux
    hears 1 "linux: life $life has"
    has=$(sed -n "s/.*linux: life $life has \([0-9]*\) turns.*/\1/p" $heard)
    [ $has -ge $told ] || fail "$told turns were told, $has are there"
    say "life $life: $told turns were told, $has are there"
done
xl destroy linux >/tmp/xl-destroy 2>&1
xl destroy image
say "all is done"
"#;

/// The disk of a guest's that is a file of the service's.
const THIRD: &str = r#", "vdev=xvdc,backend=image,target=file""#;

/// A machine with a service that has such disks, made anew for each test, and the service.
fn machine(
    kind: xen::Kind,
    script: &str,
    linux: &str,
    cpus: u32,
) -> Result<(Machine, PathBuf), image::Failed> {
    let (folder, dom0) = testbed::made()?;
    let more = ["mbcache", "crc16", "crc32c_generic", "jbd2", "ext4"];
    let mut tools = TOOLS.to_vec();
    let mut memory = MEMORY;
    if linux.contains(WITH_FIO) {
        tools.push(FIO);
        memory = MEMORY_WITH_FIO;
    }
    let linux = Linux::make_with(&folder, linux, &more, &tools)?;
    let text = folder.join("text");
    image::ext2::with_lines(&text)?;
    let data = folder.join("data");
    std::fs::File::create(&data)?.set_len(DATA << 20)?;
    let mut guest = Guest {
        kind,
        cpus,
        memory: Service::Storage.memory(),
        ..Guest::default()
    };
    let mut machine = Machine::new(dom0, Guest::default(), &folder);
    let script = format!("{}{DOM0}{script}", testbed::DOM0)
        .replace("VCPUS", &cpus.to_string())
        .replace("MEMORY", &memory.to_string());
    if kind == xen::Kind::Pvh {
        let files = folder.join("storage");
        let _ = std::fs::remove_dir_all(&files);
        std::fs::create_dir_all(&files)?;
        std::fs::File::create(files.join("file"))?.set_len(FILE << 20)?;
        let archive = folder.join("storage.cpio");
        root::archive(&files, &archive)?;
        guest.root = Some(archive);
        let disks = ["data=/dev/rvbd0d", "text=/dev/rvbd1d:ro", "file=/file"];
        guest.line.arguments = disks.map(String::from).into();
        machine.disks = vec![data, text];
        machine.instead = script.replace("MORE", "file=1").replace("THIRD", THIRD);
    } else {
        for (disk, at) in [data, text].iter().zip(5..) {
            let drive = format!("if=none,id=passed{at},format=raw,file={}", disk.display());
            let device = format!("nvme,drive=passed{at},serial=passed{at},addr={at}");
            let words = ["-drive", &drive, "-device", &device].map(String::from);
            machine.more.extend(words);
            guest.devices.push(format!("00:{at:02x}.0"));
        }
        let disks = ["data=/dev/rld0d", "text=/dev/rld1d:ro"];
        guest.line.arguments = disks.map(String::from).into();
        machine.instead = script.replace("MORE", "").replace("THIRD", "");
    }
    machine.guest = guest;
    machine.files = vec![
        ("linux".into(), linux.kernel),
        ("linux.cpio".into(), linux.archive),
    ];
    machine.spare = memory + 32;
    Ok((machine, image::service(Service::Storage, &[])?))
}

/// Runs it; these words of dom0's come one after the other. Returns all that was said.
fn run(machine: &Machine, image: &Path, words: &[&str]) -> Result<String, image::Failed> {
    testbed::run(machine, image, LONGER, |running| {
        let mut words = words.iter().chain(&["dom0: all is done"]);
        words.try_for_each(|words| running.wait_for(words))
    })
}

fn comes_back() -> Outcome {
    let (machine, image) = machine(xen::Kind::Pvh, COME_BACK, &again_and_again(), 1)?;
    let said = run(
        &machine,
        &image,
        &[
            "dom0: a Linux guest has a disk",
            "dom0: another Linux guest has what the first has written",
            "dom0: nobody gets what is not offered",
            "dom0: the same Linux guest has it over a new service",
        ],
    )?;
    let sizes = format!("linux: sizes {} {} {} ", DATA << 20, 8 << 20, FILE << 20);
    testbed::said(
        &said,
        &[
            (&*sizes, 3),
            ("linux: cache: write back", 3),
            ("linux: reads what it has written", 3),
            ("linux: cannot write to what is read only", 3),
            ("linux: its disks are gone", 1),
            ("the program offers no disk `other`", 1),
            ("the disk `data` is another's", 1),
            ("the disk `text` is offered to be read only", 1),
        ],
    )
}

fn killed() -> Outcome {
    let linux = format!("{TOGETHER}\n{WRITER}");
    let (machine, image) = machine(xen::Kind::Pvh, KILL, &linux, 1)?;
    let lives = ["dom0: life 1: ", "dom0: life 2: ", "dom0: life 3: "];
    run(&machine, &image, &lives).map(drop)
}

fn verified(seconds: u32) -> Outcome {
    let script = KILL_WITH_FIO.replace("SECONDS", &seconds.to_string());
    let linux = format!("{TOGETHER}\n{WITH_FIO}");
    let (machine, image) = machine(xen::Kind::Pvh, &script, &linux, 1)?;
    let said = run(&machine, &image, &["blocks of another"])?;
    let line = said.lines().find(|line| line.contains("blocks of another"));
    println!("{}", line.unwrap_or_default());
    Ok(())
}

fn nvme() -> Outcome {
    let (machine, image) = machine(xen::Kind::Hvm, ONCE, &again_and_again(), 1)?;
    let said = run(&machine, &image, &["dom0: a Linux guest has a disk"])?;
    for words in [
        "linux: cannot write to what is read only",
        "linux: discards",
    ] {
        check(said.matches(words).count() == 2, words, &said)?;
    }
    Ok(())
}
