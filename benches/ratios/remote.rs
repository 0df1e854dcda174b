//! A null system call of a client, by the protocol of [`rump::remote`], beside the least that
//! upstream's sysproxy costs: its requests and answers are messages over a socket, so a call
//! without operands is one round trip of its header there. (Each operand that the kernel
//! copies is another one, and its server hands requests on to another thread; neither is
//! counted.)

use crate::Outcome;
use crate::boot::CHILD;
use crate::comparison::{Better, Harness, Subject};
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

/// The benchmark here.
pub const NAME: &str = "remote/vs-sysproxy";

/// The length of sysproxy's header: two numbers of eight bytes, two of four (protocol 0.4).
const HEADER: usize = 24;
const CALLS: u32 = 50_000;

/// Where the sockets are; removed in the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The client: it is told which side is to be timed.
struct Client {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn start(place: &Place) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, "remote"])
            .arg(&place.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            orders: orders.ok_or("no pipe")?,
            answers: BufReader::new(answers.ok_or("no pipe")?),
            child,
        })
    }

    /// Microseconds a call.
    fn time(&mut self, side: &str) -> Result<f64, Box<dyn Error>> {
        writeln!(self.orders, "{side}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().parse().map_err(|_| "the client has failed")?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers headers with headers until the other side is gone.
fn echo(listener: &UnixListener) -> Outcome {
    let (mut stream, _) = listener.accept()?;
    let mut header = [0; HEADER];
    while stream.read_exact(&mut header).is_ok() {
        stream.write_all(&header)?;
    }
    Ok(())
}

/// The kernel is this process's.
pub fn remote(harness: &mut Harness) -> Outcome {
    let kernel = harness.boot()?;
    let place = Place(std::env::temp_dir().join(format!("rump-remote-{}", std::process::id())));
    std::fs::create_dir(&place.0)?;
    let calls = UnixListener::bind(place.0.join("calls"))?;
    let headers = UnixListener::bind(place.0.join("headers"))?;
    let server = rump::remote::Server::new(&kernel);
    std::thread::spawn(move || server.serve(&calls).map(drop));
    std::thread::spawn(move || echo(&headers).map_err(|error| eprintln!("{error}")));
    let client = std::cell::RefCell::new(Client::start(&place)?);
    let subject = Subject {
        rival_is: Some("a round trip of sysproxy's header over a Unix socket"),
        ..Subject::new(NAME, "us", Better::Less)
    };
    let time = |side| client.borrow_mut().time(side);
    harness.compare(&subject, &mut || time("calls"), &mut || time("headers"))
}

/// What the client does.
pub fn child(arguments: &[String]) -> ExitCode {
    crate::tap::exit_code(serve(arguments))
}

fn serve(arguments: &[String]) -> Outcome {
    let [place] = arguments else {
        return Err("no place".into());
    };
    let place = PathBuf::from(place);
    let _kernel = rump::remote::connect(place.join("calls"))?;
    let mut headers = UnixStream::connect(place.join("headers"))?;
    let id = rump::process::id()?;
    for order in std::io::stdin().lines() {
        let start = Instant::now();
        for number in 0..CALLS {
            if order.as_deref().is_ok_and(|side| side == "calls") {
                if rump::process::id()? != id {
                    return Err("getpid changed its mind".into());
                }
            } else {
                let mut header = [0; HEADER];
                header[..4].copy_from_slice(&number.to_ne_bytes());
                headers.write_all(&header)?;
                let mut answer = [0; HEADER];
                headers.read_exact(&mut answer)?;
                if answer != header {
                    return Err("another header came back".into());
                }
            }
        }
        println!("{}", start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    Ok(())
}
