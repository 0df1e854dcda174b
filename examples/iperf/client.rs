//! The client: asks for a test, and does its part.

use super::protocol::{COOKIE, Cookie, Parameters, Results, State, read_json, write_json};
use super::streams::Streams;
use rump::net::TcpStream;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Characters that nobody else has.
fn cookie() -> Cookie {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut cookie = [0; COOKIE];
    for (index, byte) in cookie[..COOKIE - 1].iter_mut().enumerate() {
        let random = RandomState::new().hash_one(index);
        *byte = LETTERS[random as usize % LETTERS.len()];
    }
    cookie
}

pub(crate) fn run(server: SocketAddr, parameters: &Parameters) -> Result<(), Box<dyn Error>> {
    let cookie = cookie();
    let connect = || -> Result<TcpStream, Box<dyn Error>> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)
            .map_err(|error| format!("{server}: {error}"))?;
        stream.write_all(&cookie)?;
        Ok(stream)
    };
    let mut control = connect()?;
    control.set_nodelay(true)?;
    control.set_read_timeout(Some(PATIENCE))?;
    let (mut streams, mut counted) = (Vec::new(), None);
    loop {
        match State::read(&control)? {
            State::ParamExchange => write_json(&control, parameters)?,
            State::CreateStreams => {
                for _ in 0..parameters.parallel {
                    streams.push(connect()?);
                }
            }
            State::TestStart => {}
            State::TestRunning => {
                let streams = std::mem::take(&mut streams);
                let sends = !parameters.reverse;
                let running = Streams::start(streams, sends, parameters.len, parameters.omit)?;
                thread::sleep(Duration::from_secs(parameters.time + parameters.omit));
                counted = Some(running.end()?);
                State::TestEnd.write(&control)?;
            }
            State::ExchangeResults => {
                let counted = counted.as_ref().ok_or("results before the test")?;
                let ours = Results::new(&counted.bytes, counted.seconds);
                write_json(&control, &ours)?;
                let theirs: Results = read_json(&control)?;
                let (here, there) = match parameters.reverse {
                    true => ("received", "sent there"),
                    false => ("sent", "received there"),
                };
                ours.print(here, counted.seconds);
                theirs.print(there, counted.seconds);
                if theirs.streams.len() != parameters.parallel || theirs.bytes() == 0 {
                    return Err("the server has counted nothing".into());
                }
            }
            State::DisplayResults => {
                State::Done.write(&control)?;
                return Ok(());
            }
            State::AccessDenied => return Err("the server is busy with another test".into()),
            State::ServerTerminate => return Err("the server has ended the test".into()),
            State::ServerError => {
                let mut numbers = [0; 8];
                control.read_exact(&mut numbers)?;
                let number = u32::from_be_bytes([numbers[0], numbers[1], numbers[2], numbers[3]]);
                return Err(format!("the server's error {number} of iperf3").into());
            }
            state => return Err(format!("the server says {state:?}").into()),
        }
    }
}
