//! Whatever stands in a description, reading it ends, without a panic, in tables that
//! hold together or in a message with the file and line.

use super::*;
use proptest::prelude::*;
use std::fs;

/// Pieces that make more than noise: keywords, names, signs.
const PIECES: &[&str] = &[
    "ioconf x\n",
    "define",
    "device",
    "attach",
    "at",
    "with",
    "root",
    "pseudo-root",
    "pseudo-device",
    "defpseudo",
    "defpseudodev",
    "devclass",
    "file",
    "object",
    "needs-count",
    "compile-with",
    "deffs",
    "defflag",
    "defparam",
    "obsolete",
    "makeoptions",
    "options",
    "select",
    "no",
    "-no",
    "device-major",
    "char",
    "block",
    "vector",
    "major",
    "config",
    "on",
    "type",
    "dumps",
    "minor",
    "version",
    "prefix",
    "buildprefix",
    "package",
    "include",
    "cinclude",
    "ifdef",
    "ifndef",
    "elifdef",
    "else",
    "endif",
    "flags",
    "mkflagvar",
    "maxusers",
    "a",
    "b",
    "bus",
    "a0",
    "b*",
    "bus?",
    "a*",
    "b1",
    "x.c",
    "\"q\"",
    "\"",
    "\\",
    "0",
    "1",
    "-",
    "0x7fffffffffffffffff",
    "09",
    "4294967296",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "|",
    "&",
    "!",
    "=",
    "+=",
    ":=",
    ":",
    ",",
    "?",
    "*",
    "#",
    "\n",
    "\n ",
    "\n",
    "\n",
    "\t",
    "é",
    "\0",
];

/// Lines that are right by themselves, so that their order and combination is tested.
const LINES: &[&str] = &[
    "define bus {[slot = -1], irq = 0}",
    "define pin {}",
    "define soft",
    "device a: bus, soft",
    "device b",
    "device c {unit = 2}",
    "attach a at root",
    "attach b at bus",
    "attach b at c with b_c",
    "attach c at bus, pin",
    "attach a at bus with a_bus",
    "attach b at bus with b_two",
    "pseudo-root bus*",
    "pseudo-root a0",
    "pseudo-root pin0",
    "a* at root",
    "a0 at root",
    "a1 at bus? irq 3",
    "b* at bus? irq ?",
    "b0 at a0 irq 4",
    "b1 at a? irq 4 slot 2",
    "b* at c? unit ?",
    "c* at pin?",
    "c0 at bus? irq 1 flags 7",
    "defpseudodev p {}",
    "pseudo-device p",
    "attach b at p with b_p",
    "b* at p?",
    "no b*",
    "no a",
    "no device at bus",
    "no pseudo-device p",
    "select soft",
    "no select bus",
    "ifdef bus",
    "endif",
];

fn run(text: &str) -> Result<Generated, Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("X.ioconf");
    fs::write(&file, text).expect("a file");
    generate(dir.path(), &file)
}

/// Every parent spec and locator that a row uses exists.
fn assert_whole(made: &Generated) {
    let text = &made.ioconf_c;
    let after = |mark: &str| -> Vec<usize> {
        let digits = |rest: &str| {
            rest.trim_start()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect()
        };
        text.split(mark)
            .skip(1)
            .map(digits)
            .filter_map(|n: String| n.parse().ok())
            .collect()
    };
    let parents = after("struct cfparent pspec");
    assert!(
        after("&pspec").iter().all(|used| parents.contains(used)),
        "{text}"
    );
    let length = after("static int loc[").first().copied().unwrap_or(0);
    assert!(after("loc+").iter().all(|&start| start < length), "{text}");
    for driver in text.split("_attrs[] = {").skip(1) {
        for used in driver.split('}').next().unwrap_or("").split('&').skip(1) {
            let name = used.split("cf_iattrdata").next().unwrap_or("");
            assert!(
                text.contains(&format!("cfiattrdata {name}cf_iattrdata = ")),
                "{text}"
            );
        }
    }
}

fn check(text: &str) {
    match run(text) {
        Ok(made) => assert_whole(&made),
        Err(error) => {
            let message = error.to_string();
            let place = message.split_once("X.ioconf:").map(|(_, rest)| rest);
            let line = place.and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            let lines = text.matches('\n').count() + 1;
            assert!(
                line.is_some_and(|line| (1..=lines).contains(&line)),
                "{message}\n{text}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut text = "ioconf x\n".to_owned();
        text.push_str(&String::from_utf8_lossy(&bytes));
        check(&text);
    }

    /// The quick reading of a file ends for anything, too, and invents no names.
    #[test]
    fn any_outline(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..80)) {
        let text = pieces.join(" ");
        let outline = Outline::parse(&text);
        for (device, at) in &outline.devices {
            assert!(text.contains(device.as_str()), "{device}");
            assert!(at.as_ref().is_none_or(|at| text.contains(at.as_str())), "{at:?}");
        }
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..80)) {
        let mut text = "ioconf x\n".to_owned();
        for piece in pieces {
            text.push_str(piece);
            text.push(' ');
        }
        check(&text);
    }

    #[test]
    fn any_order_of_good_lines(lines in prop::collection::vec(prop::sample::select(LINES), 0..60)) {
        check(&format!("ioconf x\n{}\n", lines.join("\n")));
    }

    #[test]
    fn a_whole_description_then_any_choice(
        lines in prop::collection::vec(prop::sample::select(&LINES[12..34]), 0..20),
    ) {
        check(&format!("ioconf x\n{}\n{}\n", LINES[..12].join("\n"), lines.join("\n")));
    }
}

#[test]
fn deep_parentheses_are_refused() {
    let text = format!("ioconf x\nfile a.c {}", "(".repeat(100_000));
    let error = run(&text).expect_err("too deep").to_string();
    assert!(
        error.contains("X.ioconf:2: more than 64 nested parentheses"),
        "{error}"
    );
}

#[test]
fn huge_arrays_are_refused() {
    let error = run("ioconf x\ndefine a {b[2000000000]}\n")
        .expect_err("too many")
        .to_string();
    assert!(
        error.contains("X.ioconf:2: a locator array of 2000000000 elements"),
        "{error}"
    );
}
