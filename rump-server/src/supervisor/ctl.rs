//! What `rump ctl` asks for: lines of JSON over a Unix socket.

use super::Supervisor;
use super::children::Child;
use crate::link::Link;
use crate::messages::{Question, Reply, Request};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a client may take for its line, during which nobody else is heard.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest line.
const MOST: u64 = 4096;

/// What becomes of a client.
pub(super) enum Next {
    Keep(UnixStream),
    Drop,
    Stop,
}

impl Supervisor {
    /// Answers a line of a client.
    pub(super) fn client(&mut self, client: UnixStream) -> Next {
        let Ok(request) = hear(&client) else {
            return Next::Drop;
        };
        let reply = match &request {
            Ok(request) => self.reply(request),
            Err(what) => Reply::Error(what.clone()),
        };
        if say(&client, &reply).is_err() {
            return Next::Drop;
        }
        match request {
            Ok(Request::Stop) => Next::Stop,
            _ => Next::Keep(client),
        }
    }

    fn reply(&mut self, request: &Request) -> Reply {
        let done = match request {
            Request::List => return self.status(),
            Request::Switch {
                application,
                direct,
            } => self
                .ask(Question::Switch {
                    application: application.clone(),
                    direct: *direct,
                })
                .map(|_| "it was ordered to".into()),
            Request::Upgrade { program } => self.upgrade(program.as_deref()),
            Request::Stop => Ok("the server ends".into()),
        };
        done.map_or_else(Reply::Error, Reply::Done)
    }

    fn status(&self) -> Reply {
        match self.ask(Question::Status) {
            Ok(mut status) => {
                status.starts = self.starts;
                Reply::Status(status)
            }
            Err(what) => Reply::Error(what),
        }
    }

    fn ask(&self, question: Question) -> Result<crate::messages::Status, String> {
        let worker = self.worker.as_ref().ok_or("there is no worker just now")?;
        let answer = worker.ask(question);
        answer.unwrap_or_else(|error| Err(format!("the worker does not answer: {error}")))
    }

    /// Puts a new worker in place of the one that runs. As long as the new one has not come so
    /// far that it can take over, nothing has happened.
    fn upgrade(&mut self, program: Option<&str>) -> Result<String, String> {
        let old = self.worker.as_ref().ok_or("there is no worker just now")?;
        let failed = |error: io::Error| format!("the new worker does not start: {error}");
        let (here, there) = Link::pair().map_err(failed)?;
        let new = Child::start(&self.kept, program, Some(&there)).map_err(failed)?;
        old.hand_over(&here).map_err(|error| error.to_string())?;
        drop((here, there));
        let running = new.running();
        self.starts += 1;
        // It has ended, or is of no more use.
        self.worker = None;
        match running {
            Ok((applications, gap)) => {
                self.worker = Some(new);
                let gap = gap.unwrap_or_default() as f64 / 1000.0;
                Ok(format!(
                    "{applications} applications were handed over in {gap:.3} ms"
                ))
            }
            Err(error) => {
                drop(new);
                self.start();
                Err(format!(
                    "the new worker failed when it took over ({error}); another was started"
                ))
            }
        }
    }
}

/// Reads what a client wants.
fn hear(client: &UnixStream) -> io::Result<Result<Request, String>> {
    let user = getsockopt(client, PeerCredentials)?.uid();
    client.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let read = BufReader::new(client.take(MOST)).read_line(&mut line)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if user != 0 && user != Uid::effective().as_raw() {
        return Ok(Err("only root and the server's own user may ask".into()));
    }
    Ok(serde_json::from_str(&line).map_err(|error| error.to_string()))
}

fn say(mut client: &UnixStream, reply: &Reply) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    client.write_all(&line)
}
