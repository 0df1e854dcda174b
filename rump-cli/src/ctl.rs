//! `rump ctl`: looks at a running network server, and steers it.

mod xen;

use rump_server::messages::{ApplicationStatus, CountersOf, Reply, Request, Status};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Look at a running network server, and steer it
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Where the server listens for this: a socket, or `xen:DOMAIN`, the name or number of a domain
    /// that it is in
    #[arg(long, value_name = "PATH", default_value = "/run/rump/ctl.sock")]
    control: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Applications and NICs
    List {
        /// Again every second, with what passed in it
        #[arg(long)]
        watch: bool,
    },
    /// All that is counted, as JSON
    Stats,
    /// Order an application to a NIC of its own, or back
    Switch {
        /// Its label or number
        application: String,
        /// Where to
        to: To,
    },
    /// Put a new worker in place of the one that runs, without loss
    Upgrade {
        /// Another program than the server's own
        program: Option<String>,
    },
    /// End the server
    Stop,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Direct,
    Shared,
}

/// Asks the server.
pub fn run(arguments: &Arguments) -> ExitCode {
    match ask(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads it has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rump ctl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(arguments: &Arguments) -> io::Result<()> {
    let server = Server::find(&arguments.control)?;
    let mut out = io::stdout().lock();
    match &arguments.command {
        Command::List { watch: false } => match request(&server, &Request::List)? {
            Reply::Status(status) => write!(out, "{}", table(&status, None)),
            // What an application says of itself.
            Reply::Done(text) => writeln!(out, "{text}"),
            other => Err(odd(&other)),
        },
        Command::List { watch: true } => watch(&server, &mut out),
        Command::Stats => {
            serde_json::to_writer_pretty(&mut out, &status(&server)?)?;
            writeln!(out)
        }
        Command::Switch { application, to } => done(
            &server,
            &mut out,
            &Request::Switch {
                application: application.clone(),
                direct: *to == To::Direct,
            },
        ),
        Command::Upgrade { program } => {
            // The server has another folder than this one.
            let program = program.as_ref().map(std::fs::canonicalize).transpose()?;
            let program = program.map(|path| path.to_string_lossy().into_owned());
            done(&server, &mut out, &Request::Upgrade { program })
        }
        Command::Stop => done(&server, &mut out, &Request::Stop),
    }
}

/// Who is asked.
enum Server {
    /// By its socket.
    Socket(UnixStream),
    /// In a domain of Xen's.
    Domain(xen::Domain),
}

impl Server {
    fn find(place: &Path) -> io::Result<Self> {
        if let Some(domain) = place.to_str().and_then(|text| text.strip_prefix("xen:")) {
            return xen::Domain::find(domain).map(Self::Domain);
        }
        let connected = UnixStream::connect(place).map_err(|error| {
            let place = place.display();
            let text = format!("{place}: {error}; is a server running, and are you root?");
            io::Error::new(error.kind(), text)
        });
        connected.map(Self::Socket)
    }

    fn ask(&self, request: &Request) -> io::Result<Reply> {
        match self {
            Self::Socket(socket) => over(socket, request),
            Self::Domain(domain) => domain.request(request),
        }
    }
}

/// Asks by a socket.
fn over(mut server: &UnixStream, request: &Request) -> io::Result<Reply> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    server.write_all(&line)?;
    let mut line = String::new();
    if BufReader::new(server).read_line(&mut line)? == 0 {
        return Err(io::Error::other("the server has ended the connection"));
    }
    Ok(serde_json::from_str(&line)?)
}

fn request(server: &Server, request: &Request) -> io::Result<Reply> {
    match server.ask(request)? {
        Reply::Error(what) => Err(io::Error::other(what)),
        reply => Ok(reply),
    }
}

fn odd(reply: &Reply) -> io::Error {
    io::Error::other(format!("an odd answer: {reply:?}"))
}

fn status(server: &Server) -> io::Result<Status> {
    match request(server, &Request::List)? {
        Reply::Status(status) => Ok(status),
        other => Err(odd(&other)),
    }
}

fn done(server: &Server, out: &mut impl Write, what: &Request) -> io::Result<()> {
    match request(server, what)? {
        Reply::Done(text) => writeln!(out, "{text}"),
        other => Err(odd(&other)),
    }
}

fn watch(server: &Server, out: &mut (impl Write + IsTerminal)) -> io::Result<()> {
    let mut before = None;
    loop {
        // For a moment there may be no worker.
        match status(server) {
            Ok(status) => {
                // The screen is cleared, if it is one.
                let clear = if out.is_terminal() {
                    "\x1b[H\x1b[2J"
                } else {
                    ""
                };
                write!(out, "{clear}{}", table(&status, before.as_ref()))?;
                before = Some(status);
            }
            Err(error) if error.kind() == io::ErrorKind::Other => writeln!(out, "{error}")?,
            Err(error) => return Err(error),
        }
        out.flush()?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Applications and NICs, a line each; with what was before, what passed since.
fn table(now: &Status, before: Option<&Status>) -> String {
    let mut text = String::new();
    let sent = if before.is_some() {
        ["sent/s", "bytes/s"]
    } else {
        ["sent", "bytes"]
    };
    let got = if before.is_some() {
        ["got/s", "bytes/s"]
    } else {
        ["got", "bytes"]
    };
    let _ = writeln!(
        text,
        "{:>4} {:12} {:12} {:>6} {:>7} {:8} {:>10} {:>13} {:>10} {:>13} {:>8}  ports",
        "app",
        "host",
        "label",
        "user",
        "process",
        "state",
        sent[0],
        sent[1],
        got[0],
        got[1],
        "dropped"
    );
    for application in &now.applications {
        let known = before.and_then(|before| {
            let mut known = before.applications.iter();
            known.find(|known| known.number == application.number)
        });
        let process = application
            .process
            .map_or_else(|| "-".into(), |process| process.to_string());
        let _ = writeln!(
            text,
            "{:>4} {:12} {:12} {:>6} {:>7} {:8} {}  {}",
            application.number,
            application.host,
            application.label,
            application.user,
            process,
            application.state,
            numbers(&application.counters, known.map(|known| &known.counters)),
            ports(application),
        );
    }
    for nic in &now.nics {
        let known =
            before.and_then(|before| before.nics.iter().find(|known| known.name == nic.name));
        let state = if nic.link { "link" } else { "no link" };
        let _ = writeln!(
            text,
            "{:>4} {:12} {:12} {:>6} {:>7} {:8} {}",
            "NIC",
            nic.name,
            "",
            "",
            "",
            state,
            numbers(&nic.counters, known.map(|known| &known.counters)),
        );
    }
    let _ = writeln!(
        text,
        "worker {}, the {}. that was started",
        now.worker, now.starts
    );
    text
}

fn numbers(now: &CountersOf, before: Option<&CountersOf>) -> String {
    let nothing = CountersOf::default();
    let before = before.unwrap_or(&nothing);
    let dropped = |of: &CountersOf| of.dropped.values().sum::<u64>();
    format!(
        "{:>10} {:>13} {:>10} {:>13} {:>8}",
        now.sent.0.saturating_sub(before.sent.0),
        now.sent.1.saturating_sub(before.sent.1),
        now.received.0.saturating_sub(before.received.0),
        now.received.1.saturating_sub(before.received.1),
        dropped(now).saturating_sub(dropped(before)),
    )
}

fn ports(application: &ApplicationStatus) -> String {
    let more = application.claims - application.ports.len().min(application.claims);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", application.ports.join(", "))
}
