//! Small descriptions of our own, and what must come of them.

use super::*;
use std::fs;

/// A bus with locators, two drivers for it, and a pseudo-device.
const FILES: &str = "\
version 20150101
devclass\tether
define\tbus {[slot = -1], irq = 0}
define\tplain
define\tneeds: plain
device\tbus_host: bus
attach\tbus_host at root
device\tnic: ether, needs
attach\tnic at bus with nic_bus
file\tdev/nic.c\tnic
file\tdev/nic_bus.c\tnic_bus & !absent
file\tdev/other.c\tother | (absent & nic)
file\tdev/always.c
device\tport: bus
attach\tport at bus
defpseudo loopy
defpseudodev hub {}
";

struct Dir(tempfile::TempDir);

impl Dir {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Self(dir)
    }

    fn generate(&self) -> Result<Generated, Error> {
        generate(self.0.path(), &self.0.path().join("X.ioconf"))
    }

    fn read(&self) -> Model {
        read(self.0.path(), &self.0.path().join("X.ioconf"))
            .expect("a good description")
            .0
    }
}

/// A component that includes [`FILES`] and says `lines`.
fn component(lines: &str) -> Dir {
    let ioconf = format!("ioconf x\ninclude \"conf/files\"\n{lines}");
    Dir::new(&[("conf/files", FILES), ("X.ioconf", &ioconf)])
}

fn tables(lines: &str) -> Generated {
    let made = component(lines).generate().expect("a good description");
    assert_eq!(made.complaints, []);
    made
}

/// The text with blanks squeezed, for looking for a table in it.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_has(text: &str, parts: &[&str]) {
    let text = squeeze(text);
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

fn complaints(lines: &str) -> Vec<String> {
    let made = component(lines)
        .generate()
        .expect("tables in spite of complaints");
    made.complaints
        .iter()
        .map(|c| {
            let file = c.at.file.file_name().unwrap_or_default().to_string_lossy();
            format!("{file}:{}: {}", c.at.line, c.text)
        })
        .collect()
}

#[test]
fn drivers_are_described() {
    let model = component("").read();
    let nic = model.driver("nic").expect("a driver");
    assert_eq!(nic.class, Some("ether"));
    assert!(nic.attaches_to("bus") && !nic.attaches_to("root"));
    assert_eq!(nic.attachments[0].attachment, "nic_bus");
    let host = model.driver("bus_host").expect("a driver");
    assert_eq!((host.class, &*host.offers), (None, &["bus"][..]));
    assert!(host.attaches_to("root"));
    assert!(model.is_pseudo_device("loopy") && model.driver("loopy").is_none());
    assert!(!model.is_pseudo_device("absent") && model.driver("absent").is_none());
    let names: Vec<_> = model.drivers().map(|driver| driver.name).collect();
    assert_eq!(names, ["bus_host", "nic", "port"]);
}

#[test]
fn an_outline_is_what_the_file_itself_says() {
    let outline = Outline::parse(
        "ioconf x # a comment\ninclude \"conf/files\"\npseudo-root bus*\nnic* at bus? slot ?\nnic0 at bus_host0\nhost0 at root\nport* at bus\n nonsense\n",
    );
    assert_eq!(outline.includes, ["conf/files"]);
    let device = |name: &str, at: Option<&str>| (name.into(), at.map(String::from));
    assert_eq!(
        outline.devices,
        [
            device("nic", Some("bus")),
            device("nic", Some("bus_host")),
            device("host", None),
        ]
    );
}

#[test]
fn a_driver_gets_its_tables() {
    let made = tables("pseudo-root bus*\nnic* at bus? slot 3 irq ?\n");
    assert_eq!(made.name, "x");
    assert_has(
        &made.ioconf_c,
        &[
            "#define IOCONF x",
            "static const struct cfiattrdata buscf_iattrdata = { \"bus\", 2, { { \"slot\", \"-1\", -1 }, { \"irq\", \"0\", 0 }, } };",
            "CFDRIVER_DECL(nic, DV_ETHER, NULL);",
            "static struct cfdriver * const cfdriver_ioconf_x[] = { &nic_cd, NULL };",
            "extern struct cfattach nic_bus_ca;",
            "static int loc[2] = { 3, 0, };",
            "static const struct cfparent pspec0 = { \"bus\", NULL, 0 };",
            "{ \"nic\", \"nic_bus\", 0, STAR, loc+ 0, 0x0, &pspec0 },",
            "static struct cfattach * const nic_cfattachinit[] = { &nic_bus_ca, NULL };",
            "cfattach_ioconf_x[] = { { \"nic\", nic_cfattachinit }, { NULL, NULL } };",
        ],
    );
    assert_has(&made.ioconf_h, &["extern struct cfdriver nic_cd;"]);
    assert!(
        !made.ioconf_c.contains("bus_devattrs"),
        "the pretended root must not be written"
    );
    assert_eq!(made.read.len(), 2);
}

#[test]
fn locator_macros_are_upper_case_and_keep_defaults() {
    assert_eq!(
        tables("").locators_h,
        "#define BUSCF_SLOT 0\n#define BUSCF_SLOT_DEFAULT -1\n#define BUSCF_IRQ 1\n\
         #define BUSCF_IRQ_DEFAULT 0\n#define BUSCF_NLOCS 2\n"
    );
}

#[test]
fn a_pseudo_device_is_declared_and_has_no_rows() {
    let made = tables("pseudo-device loopy 4\n");
    assert_has(&made.ioconf_h, &["void loopyattach(int);"]);
    assert_has(
        &made.ioconf_c,
        &[
            "cfdriver_ioconf_x[] = { NULL };",
            "cfdata_ioconf_x[] = { /* driver, attachment, unit, state, loc, flags, pspec */ { NULL, NULL, 0, 0, NULL, 0, NULL } };",
            "cfattach_ioconf_x[] = { { NULL, NULL } };",
        ],
    );
}

#[test]
fn a_pseudo_device_with_children_has_a_driver() {
    let made = tables("pseudo-device hub\n");
    assert_has(
        &made.ioconf_c,
        &[
            "hubcf_iattrdata = { \"hub\", 0, { { NULL, NULL, 0 }, } };",
            "hub_attrs[] = { &hubcf_iattrdata, NULL };",
            "CFDRIVER_DECL(hub, DV_DULL, hub_attrs);",
        ],
    );
}

#[test]
fn the_root_has_neither_parent_nor_locators() {
    let made = tables("bus_host0 at root\nnic0 at bus_host0 irq 0x1f flags 0x10\n");
    assert_has(
        &made.ioconf_c,
        &[
            "{ \"bus_host\", \"bus_host\", 0, NORM, NULL, 0x0, NULL },",
            "{ \"nic\", \"nic_bus\", 0, NORM, loc+ 0, 0x10, &pspec0 },",
            "pspec0 = { \"bus\", \"bus_host\", 0 };",
            "loc[2] = { -1, 0x1f, };",
        ],
    );
}

#[test]
fn numbered_units_come_first_and_a_star_starts_behind_them() {
    let lines = "pseudo-root bus*\nnic* at bus? irq ?\nnic2 at bus? irq ?\n";
    let text = squeeze(&tables(lines).ioconf_c);
    let (two, star) = ("\"nic_bus\", 2, NORM", "\"nic_bus\", 3, STAR");
    assert!(
        text.find(two).expect(two) < text.find(star).expect(star),
        "{text}"
    );
}

#[test]
fn rows_that_say_the_same_are_one_row() {
    let lines = "pseudo-root bus*\nnic* at bus? irq 5\nnic* at bus? irq 5\nnic* at bus? irq 6\n";
    let made = tables(lines);
    assert_eq!(
        made.ioconf_c.matches("{ \"nic\", \"nic_bus\"").count(),
        2,
        "{}",
        made.ioconf_c
    );
}

#[test]
fn rows_with_more_locators_have_theirs_first() {
    let lines = "define pin {at_pin = 9}\ndevice led\nattach led at pin\npseudo-root pin*\n\
                 pseudo-root bus*\nled* at pin? at_pin ?\nport* at bus? irq 4\n";
    let made = tables(lines);
    assert_has(
        &made.ioconf_c,
        &["loc[3] = { -1, 4, 9, };", "\"led\", 0, STAR, loc+ 2,"],
    );
}

#[test]
fn a_device_lists_its_own_interface_first_then_the_last_named() {
    let lines = "define pin {}\ndevice two {}: bus, pin\nattach two at root\ntwo0 at root\n";
    let list = "two_attrs[] = { &twocf_iattrdata, &pincf_iattrdata, &buscf_iattrdata, NULL };";
    assert_has(&tables(lines).ioconf_c, &[list]);
}

#[test]
fn a_device_with_two_attachments_for_one_interface_gets_both() {
    let made = tables("attach nic at bus with nic_too\npseudo-root bus*\nnic* at bus? irq ?\n");
    assert_has(
        &made.ioconf_c,
        &[
            "{ \"nic\", \"nic_bus\", 0, STAR, loc+ 0, 0x0, &pspec0 },",
            "{ \"nic\", \"nic_too\", 0, STAR, loc+ 2, 0x0, &pspec0 },",
            "nic_cfattachinit[] = { &nic_bus_ca, &nic_too_ca, NULL };",
        ],
    );
}

#[test]
fn arrays_of_locators_have_an_element_each() {
    let lines = "define wide {[reg[3] = {-1, 7}], \"gpio pin\" = 1}\npseudo-root wide*\n\
                 device leaf\nattach leaf at wide\nleaf0 at wide? reg 1,2 \"gpio pin\" ?\n";
    // A quoted locator cannot be given by name, only defaulted: the grammar wants a word.
    let error = component(lines)
        .generate()
        .expect_err("a quoted locator name");
    assert!(
        error.to_string().contains("X.ioconf:7: expected"),
        "{error}"
    );

    let lines = lines
        .replace("\"gpio pin\"", "pin")
        .replace("reg 1,2 pin ?", "reg 1,2 pin 4");
    let made = tables(&lines);
    assert_has(
        &made.ioconf_c,
        &[
            "{ \"reg#1\", \"7\", 7 }, { \"reg#2\", \"0\", 0 }, { \"pin\", \"1\", 1 },",
            "loc[4] = { 1, 2, 0, 4, };",
        ],
    );
    assert_has(
        &made.locators_h,
        &["#define WIDECF_REG_2 2 #define WIDECF_REG_2_DEFAULT 0"],
    );
}

#[test]
fn files_are_selected_by_their_conditions() {
    let dir = component("pseudo-root bus*\nnic* at bus? irq ?\n");
    let model = dir.read();
    let files: Vec<_> = model
        .selected_files()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(files, ["dev/nic.c", "dev/nic_bus.c", "dev/always.c"]);
    for name in ["nic", "nic_bus", "needs", "plain", "ether", "netbsd"] {
        assert!(model.selected().contains(name), "{name} is not selected");
    }
    assert_eq!(
        model.files()[1].condition.as_ref().expect("one").names(),
        ["nic_bus", "absent"]
    );
}

#[test]
fn a_counted_file_needs_units() {
    let lines = "file dev/count.c loopy needs-count\n";
    let count = |more: &str| {
        component(&format!("{lines}{more}"))
            .read()
            .selected_files()
            .count()
    };
    assert_eq!((count(""), count("pseudo-device loopy 2\n")), (1, 2));
}

#[test]
fn prefixes_and_packages_move_files() {
    let dir = Dir::new(&[
        (
            "X.ioconf",
            "ioconf x\nprefix ../far\nfile a.c\nprefix\npackage pkg/files.p\nfile c.c\ninclude ./near.inc\n",
        ),
        ("pkg/files.p", "file b.c"),
        ("near.inc", "file d.c\n"),
    ]);
    let paths: Vec<_> = dir
        .read()
        .files()
        .iter()
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(paths, ["../far/a.c", "pkg/b.c", "c.c", "d.c"]);
}

#[test]
fn conditionals_ask_for_attributes() {
    let lines = "\
ifdef plain
file one.c
ifndef plain
file no.c
else # comment
file two.c
endif
elifdef bus
file no.c
else
file no.c
endif
ifdef nothing
file no.c
include \"nowhere\"
ifdef plain
file no.c
endif
elifndef nothing
file three.c
else
file no.c
endif
cinclude \"nowhere\"
";
    let model = component(lines).read();
    let paths: Vec<_> = model.files()[4..]
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["one.c", "two.c", "three.c"]);
}

#[test]
fn kernel_statements_are_read_and_ignored() {
    tables(
        "maxusers 2 4 64\nmaxusers 8\nmaxpartitions 16\nident \"A KERNEL\"\n\
         config netbsd root on ? type ?\nconfig other root on major 1 minor 2 dumps on wd0b\n\
         makeoptions COPTS=\"-O2\", CPPFLAGS+=-1\nmakeoptions nic&!absent EXTRA+=\"x\"\n\
         defflag opt_a.h AA BB:CC\ndefparam opt_b.h DD=1 EE:=\"x\" FF=2:=3\nobsolete defflag OLD\n\
         options AA, DD=\"4\"\ndeffs SOMEFS OTHERFS: VFS\nfile-system SOMEFS\n\
         device-major nic char 3 block 4 nic & plain vector=4:8, linkzero\n\
         device-major all char 5 single\nmajor {nic = 1, port = 2}\nselect plain\nmkflagvar AA\n\
         object pre/built.o nic needs-flag\nfile a/b.S nic compile-with \"${CC}\"\n\
         buildprefix there\nbuildprefix\ndefopt opt_c.h GG\n-no ident\nno makeoptions COPTS\n",
    );
}

#[test]
fn mistakes_are_complained_about_where_they_are() {
    let cases = [
        (
            "gone* at bus?\n",
            "X.ioconf:3: gone*: there is no device `gone`",
        ),
        (
            "pseudo-device gone\n",
            "X.ioconf:3: there is no pseudo-device `gone`",
        ),
        (
            "pseudo-device nic\n",
            "X.ioconf:3: `nic` is a device, not a pseudo-device",
        ),
        (
            "\nnic* at bus?\n",
            "X.ioconf:4: nic*: a locator must be given: irq",
        ),
        (
            "pseudo-root bus*\nnic* at bus? irq ? foot 1\n",
            "X.ioconf:4: nic*: no such locator: foot",
        ),
        (
            "nic* at hub0 irq 1\n",
            "X.ioconf:3: `nic` cannot attach to `hub`",
        ),
        (
            "nic* at root\n",
            "X.ioconf:3: `nic*` cannot attach to the root",
        ),
        (
            "attach gone at bus\n",
            "X.ioconf:3: device `gone` is not defined",
        ),
        (
            "attach port at plain with port_p\n",
            "X.ioconf:3: `port` cannot attach to `plain`, which is no interface",
        ),
        (
            "define bus\n",
            "X.ioconf:3: attribute `bus` is defined already",
        ),
        (
            "define loop: loop2\ndefine loop2: loop\n",
            "X.ioconf:4: attribute `loop2` depends on itself",
        ),
        (
            "device bad9\n",
            "X.ioconf:3: `bad9` cannot be the name of a device",
        ),
        (
            "file dev/always.c nic\n",
            "X.ioconf:3: dev/always.c is named already, at",
        ),
        ("prefix\n", "X.ioconf:3: no prefix is in effect"),
        (
            "pseudo-root nothing*\n",
            "X.ioconf:3: pseudo-root `nothing*`: there is no such",
        ),
        (
            "options OLD\nobsolete defflag OLD\noptions OLD\n",
            "X.ioconf:5: option `OLD` is obsolete",
        ),
    ];
    for (lines, expected) in cases {
        let found = complaints(lines);
        assert!(
            found.iter().any(|c| c.starts_with(expected)),
            "{lines}: {found:?}"
        );
    }
}

#[test]
fn statements_of_a_newer_tree_are_skipped_in_included_files_only() {
    let newer = "future nonsense here\nfile ok.c\n";
    let dir = Dir::new(&[("X.ioconf", "ioconf x\ninclude \"new\"\n"), ("new", newer)]);
    let made = dir.generate().expect("the rest is good");
    assert_eq!(made.complaints.len(), 1);
    assert_eq!(made.complaints[0].kind, ComplaintKind::Syntax);
    assert_eq!(dir.read().files().len(), 1);

    let error = component(newer)
        .generate()
        .expect_err("not in the component's own file");
    assert!(
        error
            .to_string()
            .ends_with("X.ioconf:3: expected `at`, found `nonsense`"),
        "{error}"
    );
}

#[test]
fn what_leaves_nothing_to_write_is_an_error() {
    let cases = [
        (
            "nic* at bus? irq ?\n",
            "X.ioconf:3: `nic* at bus?` can never attach: nothing that offers `bus`",
        ),
        (
            "pseudo-root bus*\nnic* at bus? irq\n",
            "X.ioconf:4: expected a value, found the end of the line",
        ),
        (
            "ifdef plain\n",
            "X.ioconf:3: this conditional has no `endif`",
        ),
        ("else\n", "X.ioconf:3: `else` or `elifdef` without `ifdef`"),
        ("endif\n", "X.ioconf:3: `endif` without `ifdef`"),
        ("include \"X.ioconf\"\n", "X.ioconf:3: "),
        (
            "include \"nowhere\"\n",
            "X.ioconf:3: cannot read the included file",
        ),
        (
            "pseudo-device loopy 99999999999\n",
            "X.ioconf:3: 99999999999 does not fit 32 bits",
        ),
        ("machine amd64\n", "X.ioconf:3: only the first statement"),
    ];
    for (lines, expected) in cases {
        let error = component(lines).generate().expect_err(lines).to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let error = Dir::new(&[("X.ioconf", "\nfile a.c\n")])
        .generate()
        .expect_err("no name");
    assert!(
        error
            .to_string()
            .contains("X.ioconf:2: the description of a component starts"),
        "{error}"
    );
    assert!(matches!(Dir::new(&[]).generate(), Err(Error::Read { .. })));
}

#[test]
fn children_of_what_was_removed_go_quietly() {
    let chain = "bus_host0 at root\nport0 at bus_host0 irq ?\nnic0 at port0 irq ?\n";
    assert_eq!(tables(chain).ioconf_c.matches("NORM,").count(), 3);
    for (removal, left) in [
        ("no port0\n", 1),
        ("no nic0 at port0\n", 2),
        ("no port\n", 1),
        ("no device at root\n", 0),
        ("no device at bus\n", 1),
        ("no select bus\n", 0),
    ] {
        let made = tables(&format!("{chain}{removal}"));
        assert_eq!(
            made.ioconf_c.matches("NORM,").count(),
            left,
            "{removal}{}",
            made.ioconf_c
        );
    }
    assert_eq!(
        complaints("no nic0\n"),
        ["X.ioconf:3: `nic0` is not chosen"]
    );
    assert_eq!(complaints("-no nic0\n"), [""; 0]);
    let made = tables("pseudo-device hub\nno pseudo-device hub\n");
    assert!(!made.ioconf_c.contains("CFDRIVER_DECL"));
}

#[test]
fn what_was_added_after_a_removal_is_still_an_orphan() {
    let lines = "bus_host0 at root\nno bus_host0\nport0 at bus_host0 irq ?\n";
    let error = component(lines)
        .generate()
        .expect_err("an orphan")
        .to_string();
    assert!(
        error.contains("X.ioconf:5: `port0 at bus_host0` can never attach"),
        "{error}"
    );
}

#[test]
fn lines_continue_after_a_blank_and_comments_end_them() {
    let made = tables("pseudo-root # why\n bus*\nnic*\tat bus?\n\tslot 9 # here\n\tirq 012\n");
    assert_has(&made.ioconf_c, &["loc[2] = { 9, 012, };"]);
}
