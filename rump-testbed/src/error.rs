//! Why a guest could not be had, or was lost.

use crate::parts::Missing;
use crate::report::Report;
use std::io;
use std::time::Duration;

/// Why a guest could not be had, or was lost. What a command in it comes to is no error:
/// see [`crate::Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that a guest is made of is not on this machine.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The guest's file system could not be made.
    #[error("the guest's file system cannot be made: {0}")]
    Image(#[source] io::Error),
    /// QEMU could not be started.
    #[error("QEMU cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The guest did not do what it was to do in time.
    #[error("the guest did not answer within {} s when it was {doing}{console}", .limit.as_secs_f64())]
    Hang {
        /// What it was doing.
        doing: String,
        /// How long it had.
        limit: Duration,
        /// What it has said.
        console: Console,
    },
    /// The guest's kernel has panicked.
    #[error("the guest's kernel has panicked when it was {doing}: {message}{console}")]
    Panic {
        /// What it was doing.
        doing: String,
        /// The kernel's words.
        message: String,
        /// What it has said.
        console: Console,
    },
    /// The guest, or QEMU, has ended by itself.
    #[error("the guest has ended by itself when it was {doing}{console}")]
    Ended {
        /// What it was doing.
        doing: String,
        /// What it has said.
        console: Console,
    },
    /// What came by the ports is not what the guest's first process says, or they failed.
    #[error("what the guest says when it is {doing} cannot be read: {why}")]
    Port {
        /// What it was doing.
        doing: String,
        /// What is wrong.
        why: String,
    },
    /// A driver of the guest's did not take a device.
    #[error("{driver} of the guest's does not take {address}: {report}")]
    Bind {
        /// The device's PCI address.
        address: String,
        /// Linux's driver.
        driver: String,
        /// What the attempt came to.
        report: Box<Report>,
    },
    /// A command cannot be written as the guest's shell wants it.
    #[error("the command cannot be run in a guest: {0}")]
    Command(#[source] io::Error),
}

/// What a guest has written to its console and QEMU to its standard error. Its text begins
/// with an explanation, and has the last lines only.
#[derive(Debug, Clone, Default)]
pub struct Console {
    /// Of the guest.
    pub guest: String,
    /// Of QEMU.
    pub qemu: String,
}

impl Console {
    /// The assertion of QEMU's own that has failed and ended it, if that is what it said.
    pub(crate) fn assertion(&self) -> Option<&str> {
        let failed = |line: &&str| line.contains("Assertion `") && line.ends_with("failed.");
        self.qemu.lines().map(str::trim_end).find(failed)
    }
}

/// So much of each is told, in lines.
const LINES: usize = 60;

impl std::fmt::Display for Console {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (who, text) in [("its console", &self.guest), ("QEMU", &self.qemu)] {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let lines: Vec<_> = text.lines().map(str::trim_end).collect();
            let last = &lines[lines.len().saturating_sub(LINES)..];
            write!(formatter, "\n{who}:\n{}", last.join("\n"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_in_the_error_and_not_all_of_it() {
        let lines: String = (0..100).map(|line| format!("line {line}\r\n")).collect();
        let error = Error::Hang {
            doing: "starting".into(),
            limit: Duration::from_millis(1500),
            console: Console {
                guest: lines,
                qemu: String::new(),
            },
        };
        let text = error.to_string();
        assert!(text.starts_with(
            "the guest did not answer within 1.5 s when it was starting\nits console:\nline 40\nline 41"
        ));
        assert!(text.ends_with("line 98\nline 99"), "{text}");
    }

    #[test]
    fn an_assertion_of_qemus_is_told_from_what_else_it_says() {
        let said = |qemu: &str| Console {
            guest: "Assertion `mine' failed.".into(),
            qemu: qemu.into(),
        };
        let failed = "qemu: ../../hw/net/card.c:1: on_timer: Assertion `!enabled' failed.";
        assert_eq!(
            said(&format!("a warning\n{failed}\n")).assertion(),
            Some(failed)
        );
        assert_eq!(said("a warning").assertion(), None);
    }
}
