//! `rump server` and `rump ctl` as commands: what they print, what they have programs do, how they
//! end; and the unit for systemd. The program is a kernel of this process, behind the server, with
//! Linux on the wire.

mod common;
#[path = "common/real_server.rs"]
mod real_server;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use real_server::Real;
use rump::iface::{Link, Tap};
use rump::net::TcpListener;
use rump::server::Cable;
use rump::switch::{Path, Switch};
use rump_server::messages::Status;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::BothWays;

/// What the program calls itself.
const LABEL: &str = "program";

fn start(net: u8) -> Result<(Real, Cable, Link), Box<dyn Error>> {
    let server = Real::of(net)?;
    let cable = Cable::builder(server.place()).label(LABEL).connect()?;
    let link = cable.attach(common::boot())?;
    Ok((server, cable, link))
}

/// The line of a table that is about something.
fn line<'a>(table: &'a str, of: &str) -> Vec<&'a str> {
    let line = table
        .lines()
        .find(|line| line.split_whitespace().any(|word| word == of));
    line.unwrap_or_default().split_whitespace().collect()
}

fn ctl_shows_who_is_there() -> Outcome {
    let (mut server, cable, _link) = start(21)?;
    let _listener = TcpListener::bind("10.8.21.2:8080")?;
    let stream = BothWays::start("10.8.21.2")?;
    stream.advance(1 << 16);
    let table = server.ctl(&["list"])?;
    println!("{table}");
    let heads: Vec<&str> = table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        heads[..6],
        ["app", "host", "label", "user", "process", "state"]
    );
    let program = line(&table, LABEL);
    let process = std::process::id().to_string();
    let user = nix::unistd::getuid().to_string();
    assert_eq!(program[1..6], ["host", LABEL, &user, &process, "here"]);
    assert!(
        program[6..10]
            .iter()
            .all(|number| number.parse::<u64>().is_ok_and(|it| it > 0))
    );
    assert!(table.contains("tcp 10.8.21.2:8080"), "{table}");
    assert_eq!(line(&table, "NIC")[..3], ["NIC", "card", "link"]);
    assert!(table.contains(", the 1. that was started"), "{table}");

    let status: Status = serde_json::from_str(&server.ctl(&["stats"])?)?;
    assert_eq!(status.applications.len(), 1);
    assert_eq!(
        (status.starts, status.applications[0].label.as_str()),
        (1, LABEL)
    );
    assert!(status.nics[0].counters.sent.1 > 1 << 16);

    // The second table tells what has passed since the first.
    let mut watch = server
        .ctl_command(&["list", "--watch"])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(watch.stdout.take().ok_or("no output")?).lines();
    let rates = lines
        .map_while(Result::ok)
        .find(|line| line.contains("sent/s") && line.contains("bytes/s"));
    watch.kill()?;
    watch.wait()?;
    assert!(rates.is_some());

    server.kill()?;
    let start = Instant::now();
    while cable.reconnections() == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "nobody has come back"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(server.ctl(&["list"])?.contains(", the 2. that was started"));
    let said = server.ctl(&["upgrade"])?;
    assert!(
        said.starts_with("1 applications were handed over in "),
        "{said}"
    );
    let refused = server
        .ctl(&["upgrade", "/bin/false"])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("the new worker does not start"),
        "{refused}"
    );
    stream.advance(1 << 16);
    stream.finish()?;
    Ok(())
}

/// By order of the server, over it and over a TAP interface of its own, which both end in one
/// bridge of Linux's.
fn ctl_moves_a_program() -> Outcome {
    let (server, cable, link) = start(22)?;
    let bridge = [
        "link add ctl0 type bridge forward_delay 0 mcast_snooping 0",
        "address flush dev real22",
        "link set real22 master ctl0",
        "address add 10.8.22.1/24 dev ctl0",
        "address add fd00:8:22::1/64 dev ctl0 nodad",
        "link set ctl0 up",
    ];
    bridge.iter().try_for_each(|line| netns::ip(line))?;
    let own = Arc::new(Tap::open("own22")?);
    netns::ip("link set own22 master ctl0 up")?;
    let switch = Switch::builder(Arc::new(link))
        .direct(move || Ok(Arc::clone(&own)))
        .server(Arc::new(cable.clone()))
        .build()?;
    cable.obey(switch.orders());
    let streams = [
        BothWays::start("10.8.22.2")?,
        BothWays::start("fd00:8:22::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    let go = |word: &str, path: Path| {
        assert_eq!(
            server.ctl(&["switch", LABEL, word])?.trim(),
            "it was ordered to"
        );
        let start = Instant::now();
        while switch.status().path != path {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{:?}",
                switch.status()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let passed = || -> Result<u64, Box<dyn Error>> {
        let status: Status = serde_json::from_str(&server.ctl(&["stats"])?)?;
        Ok(status.applications[0].counters.sent.1)
    };
    let turns = if std::env::var_os("RUMP_TEST_LONG").is_some() {
        100
    } else {
        5
    };
    for _ in 0..turns {
        go("direct", Path::Direct)?;
        assert_eq!(line(&server.ctl(&["list"])?, LABEL)[5], "direct");
        let before = passed()?;
        advance();
        assert!(
            passed()? - before < 1 << 16,
            "it still goes over the server"
        );
        go("shared", Path::Shared)?;
        assert_eq!(line(&server.ctl(&["list"])?, LABEL)[5], "here");
        let before = passed()?;
        advance();
        assert!(
            passed()? - before > 1 << 20,
            "it does not go over the server"
        );
    }
    let refused = server
        .ctl(&["switch", "nobody", "direct"])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("nobody"), "{refused}");
    for stream in streams {
        stream.finish()?;
    }
    Ok(())
}

fn ctl_ends_the_server() -> Outcome {
    let mut server = Real::of(23)?;
    let said = server.ctl(&["stop"])?;
    assert_eq!(said.trim(), "the server ends");
    assert!(server.ended()?);
    let error = server.ctl(&["list"]).unwrap_err().to_string();
    assert!(
        error.contains("is a server running, and are you root?"),
        "{error}"
    );
    // What is wrong in a configuration is told with its line.
    let file = std::env::temp_dir().join(format!("rump-wrong-{}.toml", std::process::id()));
    std::fs::write(&file, "grace = 1\nsocket = 2\n")?;
    let output = Command::new(real_server::command())
        .args(["server", "--config"])
        .arg(&file)
        .output()?;
    std::fs::remove_file(&file)?;
    let text = String::from_utf8(output.stderr)?;
    assert!(
        !output.status.success() && text.contains(".toml:2: "),
        "{text}"
    );
    Ok(())
}

/// As systemd understands it, with the command where it is here.
fn the_unit_is_understood() -> Outcome {
    let unit = include_str!("../docs/rump-server.service");
    let command = real_server::command();
    let command = command.to_str().ok_or("a name that is no text")?;
    let folder = std::env::temp_dir().join(format!("rump-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("rump-server.service");
    assert_eq!(unit.matches("/usr/local/bin/rump ").count(), 2);
    std::fs::write(
        &file,
        unit.replace("/usr/local/bin/rump ", &format!("{command} ")),
    )?;
    let verify = || {
        Command::new("systemd-analyze")
            .arg("verify")
            .arg(&file)
            .output()
    };
    let sound = verify()?;
    // It does look.
    std::fs::write(&file, unit.replace("KillMode=mixed", "KillMode=nobody"))?;
    let wrong = verify()?;
    std::fs::remove_dir_all(&folder)?;
    let text = String::from_utf8_lossy(&sound.stderr);
    assert!(
        sound.status.success() && !text.contains("rump-server"),
        "{text}"
    );
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert!(text.contains("nobody"), "{text}");
    Ok(())
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            ("root::ctl_shows_who_is_there", ctl_shows_who_is_there),
            ("root::ctl_moves_a_program", ctl_moves_a_program),
            ("root::ctl_ends_the_server", ctl_ends_the_server),
            (
                "root::systemd-analyze::the_unit_is_understood",
                the_unit_is_understood,
            ),
        ],
        |_| {
            (!real_server::command().is_file())
                .then_some("no rump: cargo build --workspace makes it")
        },
    )
}
