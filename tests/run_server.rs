//! `rump run --server`: programs that know nothing of it, over a network server, which is a small
//! one of the test's own.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/real_server.rs"]
mod real_server;
#[allow(dead_code)]
#[path = "clients/runner.rs"]
mod runner;
#[path = "common/served.rs"]
mod served;

use common::{Outcome, Test, netns};
use libtest_mimic::Failed;
use real_server::Real;
use runner::Runner;
use served::{Server, TAKEN};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What has to be built beside this test.
pub const FILES: &[&str] = &["rump"];

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = false;

/// Of the runner.
pub const OPTIONS: &[&str] = &["--verbose"];

/// The name of each begins with the program's.
const TESTS: &[Test] = &[
    ("redis-server::outlives_servers", redis),
    ("redis-server::outlives_workers", redis_over_the_real_one),
    ("curl::gets_a_page", curl),
    ("python3::is_told_that_a_port_is_taken", taken),
];

fn main() {
    // Before there are threads.
    let namespace = netns::enter().map_err(|reason| &*reason.leak());
    let mut trials = vec![runner::trial("served::by_nobody", nobody)];
    trials.extend(
        TESTS
            .iter()
            .map(|(name, test)| runner::program(namespace, name, *test)),
    );
    runner::run(trials)
}

/// A runner whose kernel is behind the server.
fn over(server: &Server) -> Runner {
    Runner::new().option("--server", &format!("unix:{}", server.place().display()))
}

fn nobody() -> Outcome {
    let told = Runner::new()
        .option("--server", "unix:/nonexistent/server.sock")
        .arguments(["true"])
        .output()?;
    assert_eq!(told.status, 127, "{told:?}");
    assert!(told.errors.contains("no network server at"), "{told:?}");
    Ok(())
}

/// Redis' protocol (RESP2): sends a command, and returns the line of the answer and what
/// follows it.
fn ask(stream: &mut BufReader<TcpStream>, command: &[&str]) -> Result<String, Failed> {
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.get_mut().write_all(text.as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let Some(len) = line.trim().strip_prefix('$') else {
        return Ok(line.trim().into());
    };
    let mut value = vec![0; len.parse::<usize>()? + 2];
    stream.read_exact(&mut value)?;
    value.truncate(value.len() - 2);
    Ok(String::from_utf8(value)?)
}

/// One connection, over which every answer is right while servers come and go.
fn redis() -> Outcome {
    let server = Server::of(11)?;
    answers(over(&server), "10.8.11.2", || {
        server.kill();
        Ok(())
    })
}

/// The same over `rump server`, whose worker is killed.
fn redis_over_the_real_one() -> Outcome {
    let mut server = Real::of(14)?;
    let place = format!("unix:{}", server.place().display());
    let runner = Runner::new().option("--server", &place);
    answers(runner, "10.8.14.2", || Ok(server.kill()?))
}

fn answers(runner: Runner, address: &str, mut kill: impl FnMut() -> Outcome) -> Outcome {
    let _redis = runner
        .arguments(["redis-server", "--protected-mode", "no", "--save", ""])
        .start()?;
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect((address, 6379)) {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > Duration::from_secs(30) => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = BufReader::new(stream);
    for round in 0..10 {
        for number in 0..200 {
            let value = format!("{round} {number} {}", "x".repeat(number * 20));
            assert_eq!(ask(&mut stream, &["set", "key", &value])?, "+OK");
            assert_eq!(ask(&mut stream, &["get", "key"])?, value);
        }
        kill()?;
    }
    assert_eq!(ask(&mut stream, &["ping"])?, "+PONG");
    Ok(())
}

fn curl() -> Outcome {
    let server = Server::of(12)?;
    let listener = TcpListener::bind("10.8.12.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let serving = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let body = "x".repeat(1 << 20);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    });
    let told = over(&server)
        .arguments(["curl", "-sS", "--noproxy", "*", "-m", "20"])
        .more(&url)
        .output()?;
    assert_eq!(
        (told.status, told.output.len()),
        (0, 1 << 20),
        "{}",
        told.errors
    );
    serving.join().unwrap()?;
    Ok(())
}

/// By Linux's number, 98.
fn taken() -> Outcome {
    let server = Server::of(13)?;
    let script = format!(
        "import socket\ntry: socket.socket().bind(('0.0.0.0', {TAKEN}))\nexcept OSError as e: print(e.errno)"
    );
    let told = over(&server)
        .arguments(["python3", "-c"])
        .more(&script)
        .output()?;
    assert_eq!((told.status, told.output.trim()), (0, "98"), "{told:?}");
    Ok(())
}
