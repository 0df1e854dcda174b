//! The server: one test after another.

use super::protocol::{COOKIE, Cookie, Parameters, Results, State, read_json, write_json};
use super::streams::Streams;
use rump::net::{TcpListener, TcpStream};
use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

/// How long a client may take for what it has to say.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn serve(listener: &TcpListener, once: bool) -> Result<(), Box<dyn Error>> {
    loop {
        let (control, peer) = match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            accepted => accepted?,
        };
        println!("test of {peer}");
        let result = test(listener, control);
        if once {
            return result;
        }
        if let Err(error) = result {
            eprintln!("the test of {peer} has failed: {error}");
        }
    }
}

fn read_cookie(mut stream: &TcpStream) -> io::Result<Cookie> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut cookie = [0; COOKIE];
    stream.read_exact(&mut cookie)?;
    Ok(cookie)
}

fn test(listener: &TcpListener, control: TcpStream) -> Result<(), Box<dyn Error>> {
    control.set_nodelay(true)?;
    let cookie = read_cookie(&control)?;
    State::ParamExchange.write(&control)?;
    let parameters: Parameters = read_json(&control)?;
    if let Err(problem) = parameters.check() {
        State::ServerTerminate.write(&control)?;
        return Err(problem.into());
    }
    State::CreateStreams.write(&control)?;
    let mut streams = Vec::new();
    while streams.len() < parameters.parallel {
        let (stream, peer) = listener.accept()?;
        match read_cookie(&stream) {
            Ok(other) if other == cookie => streams.push(stream),
            // Another client: one test at a time.
            _ => {
                println!("{peer} has to wait");
                State::AccessDenied.write(&stream).ok();
            }
        }
    }
    State::TestStart.write(&control)?;
    let sends = parameters.reverse;
    let streams = Streams::start(streams, sends, parameters.len, parameters.omit)?;
    State::TestRunning.write(&control)?;
    let longest = Duration::from_secs(parameters.time + parameters.omit) + PATIENCE;
    control.set_read_timeout(Some(longest))?;
    let said = State::TestEnd.expect(&control);
    // The threads end in any case.
    let counted = streams.end();
    said?;
    let mut counted = counted?;
    counted.streams.clear();
    let ours = Results::new(&counted.bytes, counted.seconds);

    control.set_read_timeout(Some(PATIENCE))?;
    State::ExchangeResults.write(&control)?;
    let theirs: Results = read_json(&control)?;
    write_json(&control, &ours)?;
    State::DisplayResults.write(&control)?;
    ours.print(if sends { "sent" } else { "received" }, counted.seconds);
    theirs.print(
        if sends {
            "received there"
        } else {
            "sent there"
        },
        counted.seconds,
    );
    State::Done.expect(&control)
}
