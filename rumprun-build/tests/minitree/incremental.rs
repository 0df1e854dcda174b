//! Only what changed is compiled again, and all of it.

use crate::support::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Small, with generated, host-side and assembly sources in it.
const SOME: &[&str] = &["net", "wire"];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_second_build_compiles_nothing() {
    let mini = Mini::new();
    let first = mini.build(ALL);
    let date = mini.library().metadata().and_then(|meta| meta.modified());
    let second = mini.build(ALL);
    assert_eq!(second.report.compiled, 0);
    // One was compiled in a round that failed, whose guesses were tried again singly.
    let all = first.report.compiled + first.report.current;
    assert_eq!(second.report.current, all);
    assert_eq!(second.components, first.components);
    assert_eq!(second.dependencies, first.dependencies);
    let after = mini.library().metadata().and_then(|meta| meta.modified());
    assert_eq!(date.expect("a date"), after.expect("a date"));
}

#[test]
fn a_change_is_followed_to_exactly_its_users() {
    let mini = Mini::new();
    mini.build(SOME);
    for (file, objects) in [
        (
            "sys/rump/net/lib/libnet/net_sum.c",
            &["net/lib/libnet/net_sum.o"][..],
        ),
        ("sys/lib/libkern/same.c", &["librump/rumpkern/same.o"]),
        (
            "common/lib/libc/arch/x86_64/atomic_inc.S",
            &["librump/rumpkern/atomic_inc.o"],
        ),
        (
            "sys/net/packet.h",
            &[
                "librump/rumpnet/net_faction.o",
                "librump/rumpnet/net_stub.o",
                "net/lib/libnet/net_sum.o",
                "net/lib/libnet/net_send.o",
            ],
        ),
        // Between the kernel's side and the host's.
        (
            "sys/rump/net/lib/libwire/wire_user.h",
            &["net/lib/libwire/wire.o", "net/lib/libwire/wire_user.o"],
        ),
        // Reached through a link of the builder's.
        (
            "sys/arch/amd64/include/asm.h",
            &["librump/rumpkern/atomic_inc.o"],
        ),
        // Read by no compiler.
        ("README.md", &[]),
    ] {
        mini.touch(file);
        assert_eq!(mini.remade(SOME), set(objects), "{file}");
        assert_eq!(mini.remade(SOME), set(&[]), "{file}, once more");
    }
}

/// An archive that is unpacked over a tree brings back old dates.
#[test]
fn a_source_that_got_older_has_changed() {
    let mini = Mini::new();
    mini.build(SOME);
    let file = "sys/rump/net/lib/libnet/net_sum.c";
    mini.edit(file, "return", "return 1 +");
    mini.date(
        file,
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
    );
    assert_eq!(mini.remade(SOME), set(&["net/lib/libnet/net_sum.o"]));
    assert_eq!(mini.remade(SOME), set(&[]));
}

/// It looks as if it were edited while it compiled, so nobody knows what was compiled.
#[test]
fn a_source_from_the_future_is_compiled_every_time() {
    let mini = Mini::new();
    mini.date(
        "sys/lib/libkern/same.c",
        SystemTime::now() + Duration::from_secs(3600),
    );
    mini.build(SOME);
    assert_eq!(mini.remade(SOME), set(&["librump/rumpkern/same.o"]));
    mini.touch("sys/lib/libkern/same.c");
    mini.build(SOME);
    assert_eq!(mini.remade(SOME), set(&[]));
}

#[test]
fn changed_flags_are_followed_to_exactly_their_users() {
    let mini = Mini::new();
    mini.build(SOME);
    let makefile = "sys/rump/net/lib/libnet/Makefile";
    mini.edit(makefile, "SUM_START=1u", "SUM_START=2u");
    assert_eq!(mini.remade(SOME), set(&["net/lib/libnet/net_sum.o"]));
    mini.edit(makefile, "LIB=\t", "CFLAGS+=\t-fno-inline\nLIB=\t");
    let library =
        ["net_component.o", "net_send.o", "net_sum.o"].map(|o| format!("net/lib/libnet/{o}"));
    assert_eq!(mini.remade(SOME), library.into());
    mini.edit(makefile, "COMMENT=", "# Nothing of importance\nCOMMENT=");
    assert_eq!(mini.remade(SOME), set(&[]));
    mini.edit(
        "sys/rump/net/lib/libwire/Makefile",
        "on\\ host",
        "on\\ a\\ host",
    );
    assert_eq!(mini.remade(SOME), set(&["net/lib/libwire/wire_user.o"]));
}

#[test]
fn names_that_are_kept_are_followed() {
    let mini = Mini::new();
    mini.build(SOME);
    mini.edit("sys/rump/kern/lib/libsum/Makefile", "|sumtable", "");
    let both = ["kern/lib/libsum/sum.o", "kern/lib/libsum/sum_table.o"];
    assert_eq!(mini.remade(SOME), set(&both));
}

#[test]
fn sources_come_and_go() {
    let mini = Mini::new();
    mini.build(SOME);
    let makefile = "sys/rump/kern/lib/libsum/Makefile";
    fs::write(
        mini.tree.join("sys/rump/kern/lib/libsum/more.c"),
        "int more = 1;\n",
    )
    .expect("a file");
    mini.edit(makefile, "sum_table.c", "sum_table.c more.c");
    assert_eq!(mini.remade(SOME), set(&["kern/lib/libsum/more.o"]));
    let has = || {
        members(&mini.library())
            .iter()
            .any(|m| m.0 == "rumpkern_sum-more.o")
    };
    assert!(has());
    mini.edit(makefile, " more.c", "");
    assert_eq!(mini.remade(SOME), set(&[]));
    assert!(!has());
}

#[test]
fn a_generated_source_follows_what_it_is_made_from() {
    let mini = Mini::new();
    mini.build(SOME);
    let vers = "librump/rumpkern/vers.o";
    // bmake counts dates in seconds.
    let made = mini.object(vers).with_extension("c");
    let made = made.to_str().expect("a path");
    mini.date(made, SystemTime::now() - Duration::from_secs(10));
    mini.edit("sys/conf/newvers.sh", "Minitree", "Another");
    assert_eq!(mini.remade(SOME), set(&[vers]));
    let object = fs::read(mini.object(vers)).expect("an object");
    assert!(object.windows(7).any(|bytes| bytes == b"Another"));
    assert_eq!(mini.remade(SOME), set(&[]));
    mini.edit("sys/sys/param.h", "1099000700", "1099000800");
    assert!(mini.remade(SOME).contains(vers));
    let object = fs::read(mini.object(vers)).expect("an object");
    assert!(object.windows(7).any(|bytes| bytes == b"10.99.8"));
}

/// Both components have files of the same names in folders of their own.
#[test]
fn tables_of_devices_follow_their_descriptions() {
    let mini = Mini::new();
    let devices = &["toydisk", "toyhost"];
    mini.build(devices);
    mini.edit("sys/rump/dev/config/DISK.ioconf", "slot 3", "slot 4");
    assert_eq!(
        mini.remade(devices),
        set(&["dev/lib/libtoydisk/disk_component.o"])
    );
    mini.edit(
        "sys/rump/dev/lib/libtoyhost/HOST.ioconf",
        "slot 7",
        "slot 8",
    );
    assert_eq!(
        mini.remade(devices),
        set(&["dev/lib/libtoyhost/host_component.o"])
    );
    // Included by both; what comes of it is the same.
    mini.edit("sys/conf/files", "# Devices", "# All devices");
    assert_eq!(mini.remade(devices), set(&[]));
    mini.edit("sys/conf/files", "[speed = 1]", "[speed = 5]");
    let users = [
        "dev/lib/libtoydisk/disk_component.o",
        "dev/lib/libtoydisk/toydisk.o",
        "dev/lib/libtoyhost/host_component.o",
    ];
    assert_eq!(mini.remade(devices), set(&users));
}

/// What a build leaves behind that was killed, or a machine that crashed.
#[test]
fn damage_is_repaired() {
    let mini = Mini::new();
    mini.build(SOME);
    let whole = fs::read(mini.library()).expect("the archive");
    let object = mini.object("net/lib/libnet/net_send.o");
    let side = |extension: &str| object.with_extension(format!("o.{extension}"));
    let cut = |path: &Path, length: usize| {
        let data = fs::read(path).expect("a file");
        fs::write(path, &data[..length.min(data.len())]).expect("a file");
    };
    let remove = |path: &Path| fs::remove_file(path).expect("a file");
    type Damage<'a> = (&'a str, &'a dyn Fn(), usize);
    let damages: [Damage; 13] = [
        ("no object", &|| remove(&object), 1),
        ("an empty object", &|| cut(&object, 0), 1),
        ("half an object", &|| cut(&object, 700), 1),
        ("no record", &|| remove(&side("cmd")), 1),
        ("half a record", &|| cut(&side("cmd"), 40), 1),
        (
            "a record that is no text",
            &|| fs::write(side("cmd"), [0xff, 0xfe]).unwrap(),
            1,
        ),
        ("no dependencies", &|| remove(&side("d")), 1),
        ("empty dependencies", &|| cut(&side("d"), 0), 1),
        ("half the dependencies", &|| cut(&side("d"), 80), 1),
        (
            "an object not renamed yet",
            &|| fs::write(side("raw"), "half").unwrap(),
            0,
        ),
        ("half an archive", &|| cut(&mini.library(), 1000), 0),
        ("no archive", &|| remove(&mini.library()), 0),
        (
            "no objects at all",
            &|| fs::remove_dir_all(mini.object("")).unwrap(),
            usize::MAX,
        ),
    ];
    for (what, damage, compiled) in damages {
        damage();
        let kernel = mini.build(SOME);
        let expected = compiled.min(kernel.report.compiled + kernel.report.current);
        assert_eq!(kernel.report.compiled, expected, "{what}");
        assert!(
            fs::read(mini.library()).expect("the archive") == whole,
            "{what}"
        );
        assert_eq!(mini.build(SOME).report.compiled, 0, "{what}: again");
    }
}

/// What was compiled before the error stays, and is not used if it is stale.
#[test]
fn a_build_that_failed_goes_on_where_it_stopped() {
    let mini = Mini::new();
    mini.build(SOME);
    let file = "sys/rump/net/lib/libnet/net_sum.c";
    mini.edit(file, "return", "retrun");
    assert!(mini.error(SOME).contains("net_sum.c"));
    assert!(
        mini.error(SOME).contains("net_sum.c"),
        "the old object must not serve"
    );
    mini.edit(file, "retrun", "return");
    assert_eq!(mini.remade(SOME), set(&["net/lib/libnet/net_sum.o"]));
}

#[test]
fn a_header_that_went_away_is_noticed() {
    let mini = Mini::new();
    mini.build(SOME);
    fs::rename(
        mini.tree.join("sys/net/packet.h"),
        mini.tree.join("sys/net/p.h"),
    )
    .expect("a rename");
    assert!(mini.error(SOME).contains("packet.h"));
}
