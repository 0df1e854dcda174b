//! `rump::remote`: several processes with one kernel.
//!
//! This process has the kernel, and serves; the clients are this program again, each with
//! a role.

mod common;
#[path = "remote/hostile.rs"]
mod hostile;
#[path = "remote/roles.rs"]
mod roles;

use common::Outcome;
use libtest_mimic::Arguments;
use rump::metrics::Snapshot;
use rump::remote::Server;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What tells a role where the kernel is.
const PLACE: &str = "RUMP_TEST_PLACE";

fn main() {
    if let Some(role) = std::env::var_os("RUMP_TEST_ROLE") {
        let place = std::env::var_os(PLACE).expect("a place");
        return roles::play(&role.to_string_lossy(), Path::new(&place));
    }
    let mut trials: Vec<_> = roles::ROLES
        .iter()
        .map(|(name, _)| {
            common::kernel_trial(format!("remote::{name}"), move || {
                let mut client = client(name, &[])?;
                assert!(client.wait()?.success());
                Ok(())
            })
        })
        .collect();
    let tests: [common::Test; 7] = [
        ("remote::clients_talk", clients_talk),
        ("remote::each_has_its_own", each_has_its_own),
        ("remote::nothing_is_left_of_the_killed", nothing_is_left),
        ("remote::the_kernel_ends", the_kernel_ends),
        ("remote::nobody_there", nobody_there),
        ("remote::hostile_calls", hostile::calls),
        ("remote::hostile_orders", hostile::orders),
    ];
    trials.extend(tests.map(|(name, test)| common::kernel_trial(name, test)));
    // Some count what is there.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Where nothing was run, it is not there.
    let _ = std::fs::remove_file(socket());
    conclusion.exit()
}

fn socket() -> PathBuf {
    std::env::temp_dir().join(format!("rump-remote-{}", std::process::id()))
}

/// Boots the kernel, and serves.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = socket();
        let listener = UnixListener::bind(&place).unwrap();
        let server = Server::new(common::boot());
        std::thread::spawn(move || server.serve(&listener));
        place
    })
}

/// A process that plays a role.
fn client(role: &str, arguments: &[&str]) -> io::Result<Child> {
    client_of(place(), role, arguments)
}

fn client_of(place: &Path, role: &str, arguments: &[&str]) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .env("RUMP_TEST_ROLE", role)
        .env(PLACE, place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// What a role says next.
fn line(client: &mut Child) -> io::Result<String> {
    let mut line = String::new();
    let output = client.stdout.as_mut().expect("its output");
    BufReader::with_capacity(1, output).read_line(&mut line)?;
    Ok(line.trim().to_string())
}

/// One listens, the other connects; their descriptors have the same numbers.
fn clients_talk() -> Outcome {
    let mut server = client("echo_once", &[])?;
    let address: SocketAddr = line(&mut server)?.parse()?;
    let mut talker = client("say", &[&address.to_string()])?;
    assert_eq!(line(&mut talker)?, "heard hello");
    assert!(talker.wait()?.success() && server.wait()?.success());
    Ok(())
}

/// A port that one has is not another's; what one has open, another cannot name.
fn each_has_its_own() -> Outcome {
    let mut owner = client("echo_once", &[])?;
    let address = line(&mut owner)?;
    let mut other = client("wants", &[&address])?;
    assert_eq!(line(&mut other)?, "AddrInUse, nothing open");
    assert!(other.wait()?.success());
    owner.kill()?;
    owner.wait()?;
    // The port is free when its owner is gone.
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let mut third = client("wants", &[&address])?;
        let answer = line(&mut third)?;
        third.wait()?;
        if answer == "had, nothing open" {
            return Ok(());
        }
        assert!(Instant::now() < limit, "{answer}");
    }
}

/// Processes and lwps of the kernel, and threads and descriptors of this process.
fn in_use() -> io::Result<[u64; 4]> {
    let snapshot = Snapshot::take()?;
    let count = |name| snapshot.get(name).unwrap_or_default();
    let entries = |folder| Ok::<_, io::Error>(std::fs::read_dir(folder)?.count() as u64);
    Ok([
        count("rump_processes"),
        count("rump_lwps"),
        entries("/proc/self/task")?,
        entries("/proc/self/fd")?,
    ])
}

/// Killed while threads of it wait in all calls that wait.
fn nothing_is_left() -> Outcome {
    let rounds = if std::env::var_os("RUMP_TEST_LONG").is_some() {
        1000
    } else {
        20
    };
    let mut before = None;
    for round in 0..=rounds {
        let mut waits = client("waits_in_everything", &[])?;
        assert_eq!(line(&mut waits)?, "waiting");
        // At another place each time.
        std::thread::sleep(Duration::from_micros(round * 997 % 20_000));
        waits.kill()?;
        waits.wait()?;
        // What the first has left is what is there for good.
        if round == 0 {
            std::thread::sleep(Duration::from_secs(2));
            before = Some(in_use()?);
        }
    }
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let now = in_use()?;
        if before.is_some_and(|before| (0..4).all(|one| now[one] <= before[one])) {
            println!("killed {rounds} times: {now:?} processes, lwps, threads, descriptors");
            return Ok(());
        }
        assert!(Instant::now() < limit, "{before:?} before, {now:?} now");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Clients are told, also those that wait.
fn the_kernel_ends() -> Outcome {
    let name = format!("rump-remote-{}-other", std::process::id());
    let place = std::env::temp_dir().join(name);
    let mut kernel = client_of(&place, "kernel", &[])?;
    assert_eq!(line(&mut kernel)?, "serving");
    let mut waits = client_of(&place, "is_told", &[])?;
    assert_eq!(line(&mut waits)?, "waiting");
    kernel.kill()?;
    kernel.wait()?;
    std::fs::remove_file(&place)?;
    let mut said = String::new();
    waits
        .stdout
        .as_mut()
        .expect("its output")
        .read_to_string(&mut said)?;
    assert_eq!(said.trim(), "told: NotConnected");
    assert!(waits.wait()?.success());
    Ok(())
}

/// What connecting fails with says where.
fn nobody_there() -> Outcome {
    let nowhere = Path::new("/nonexistent/rump.sock");
    let mut client = client_of(nowhere, "cannot_connect", &[])?;
    let said = line(&mut client)?;
    assert!(
        said.starts_with("/nonexistent/rump.sock: No such file"),
        "{said}"
    );
    // Something else listens there.
    let name = format!("rump-remote-{}-deaf", std::process::id());
    let place = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&place)?;
    let mut client = client_of(&place, "cannot_connect", &[])?;
    let (mut stream, _) = listener.accept()?;
    stream.write_all(b"220 ready\r\n and much more")?;
    let said = line(&mut client)?;
    std::fs::remove_file(&place)?;
    assert!(said.contains(&*place.to_string_lossy()), "{said}");
    Ok(())
}
