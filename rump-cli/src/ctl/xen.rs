//! A server in a domain of Xen's: it is asked by xenstore (`docs/services.md`), with the tools that
//! Xen's own domain has.

use rump_server::messages::{Reply, Request};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long an answer is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);
/// So many pieces an answer has at most.
const PIECES: usize = 200;

/// A domain.
#[derive(Debug)]
pub struct Domain {
    /// Its part of xenstore.
    folder: String,
    tools: Tools,
}

impl Domain {
    /// By its number or name.
    pub fn find(name: &str) -> io::Result<Self> {
        Self::find_with(name, Tools::default())
    }

    fn find_with(name: &str, tools: Tools) -> io::Result<Self> {
        let number = match name.parse::<u32>() {
            Ok(number) => number.to_string(),
            Err(_) => tools.run("xl", &["domid", name])?.trim().to_string(),
        };
        let folder = format!("/local/domain/{number}");
        Ok(Self { folder, tools })
    }

    /// Asks it, and waits for the answer.
    pub fn request(&self, request: &Request) -> io::Result<Reply> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // Another than the one before is all that is wanted of it.
        let number = now.unwrap_or_default().as_micros() as u64;
        let order = format!("{number} {}", request.words());
        let place = format!("{}/control/rump-ctl", self.folder);
        self.tools.run("xenstore-write", &[&place, &order])?;
        let pieces = self.wait_for(number)?;
        let all: io::Result<String> = (0..pieces).map(|at| self.read(&at.to_string())).collect();
        Ok(serde_json::from_str(&all?)?)
    }

    /// What the domain says in a node.
    fn read(&self, name: &str) -> io::Result<String> {
        let place = format!("{}/data/rump-ctl/{name}", self.folder);
        let mut text = self.tools.run("xenstore-read", &["-R", &place])?;
        // The tool adds the end of a line.
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Waits until it says that it has answered this; how many pieces there are.
    fn wait_for(&self, number: u64) -> io::Result<usize> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            // The node is not there before the first answer.
            let said = self.read("answered").unwrap_or_default();
            if let Some(pieces) = pieces(&said, number) {
                return Ok(pieces);
            }
            std::thread::sleep(LOOK);
        }
        let folder = &self.folder;
        let text = format!(
            "{folder} has not answered within {PATIENCE:?}; is a network server, or an application \
             that hears orders, in that domain?"
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

/// How many pieces the answer to this has, if it is the one that is told of.
fn pieces(said: &str, number: u64) -> Option<usize> {
    let (answered, pieces) = said.split_once(' ')?;
    let pieces = pieces.parse().ok().filter(|pieces| *pieces <= PIECES)?;
    (answered.parse() == Ok(number)).then_some(pieces)
}

/// Xen's tools: in the folder, if there is one.
#[derive(Debug, Default)]
struct Tools(Option<PathBuf>);

impl Tools {
    /// What a tool prints.
    fn run(&self, name: &str, arguments: &[&str]) -> io::Result<String> {
        let program = match &self.0 {
            Some(folder) => folder.join(name),
            None => name.into(),
        };
        let failed = |kind, why: &dyn std::fmt::Display| {
            let text = format!("{name} {}: {why}", arguments.join(" "));
            io::Error::new(kind, text)
        };
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(program)
            .args(arguments)
            .output()
            .map_err(|error| {
                let why = format!("{error}; Xen's tools are wanted, in its own domain (dom0)");
                failed(error.kind(), &why)
            })?;
        if !status.success() {
            let why = String::from_utf8_lossy(&stderr);
            return Err(failed(io::ErrorKind::Other, &why.trim()));
        }
        String::from_utf8(stdout).map_err(|error| failed(io::ErrorKind::InvalidData, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// Tools that keep nodes in files, and a domain behind them that answers at once.
    fn tools(folder: &Path) -> Tools {
        let place = folder.display();
        let scripts = [
            ("xl", "[ $2 = web ] && echo 7".into()),
            (
                "xenstore-write",
                format!(
                    "set -- $2\n\
                     printf %s '{{\"done\":\"it w' >{place}/0\n\
                     printf %s \"as ordered: $*\\\"}}\" | sed \"s/$1 //\" >{place}/1\n\
                     echo \"$1 2\" >{place}/answered"
                ),
            ),
            ("xenstore-read", format!("cat {place}/${{2##*/}}")),
        ];
        fs::create_dir_all(folder).unwrap();
        for (name, script) in scripts {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Tools(Some(folder.into()))
    }

    #[test]
    fn a_domain_is_asked_by_its_name() {
        let folder = std::env::temp_dir().join(format!("rump-ctl-xen-{}", std::process::id()));
        let domain = Domain::find_with("web", tools(&folder)).unwrap();
        assert_eq!(domain.folder, "/local/domain/7");
        let reply = domain.request(&Request::Switch {
            application: "one".into(),
            direct: true,
        });
        let Reply::Done(text) = reply.unwrap() else {
            panic!("another answer");
        };
        assert_eq!(text, "it was ordered: switch one direct");
        assert!(Domain::find_with("db", tools(&folder)).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        assert_eq!(pieces("7 2", 7), Some(2));
        for none in ["", "7", "6 2", "7 -1", "7 201", "7 2 3"] {
            assert_eq!(pieces(none, 7), None, "{none}");
        }
    }
}
