//! What supervisor, worker and `rump ctl` tell each other.

use crate::config::Plan;
use crate::table::{Parts, UnderWay};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From the supervisor to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first: what is to be. With it come the ledger, the socket that listens, each NIC's
    /// descriptors, and, if it takes over from another worker, a link to that one.
    Setup {
        /// What is to be.
        plan: Box<Plan>,
        /// How many descriptors each NIC has.
        files: Vec<usize>,
        /// Another hands over to it.
        heir: bool,
    },
    /// Hand over to another worker, by the link that comes with this, and end.
    Yield,
    /// Say farewell, and end.
    Stop,
    /// Answer this.
    Ask(Question),
}

/// From a worker to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It could start.
    Ready,
    /// It serves applications: so many were handed over, and so long nobody served them, in
    /// microseconds.
    Running {
        /// How many.
        applications: usize,
        /// How long.
        gap: Option<u64>,
    },
    /// The answer to a question.
    Answer(Result<Status, String>),
}

/// From a worker to the one that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub enum Handover {
    /// The cable of an application, which is still served; its memory comes with it.
    Cable {
        /// By what the application is known.
        ticket: u128,
        /// The queues of the cable, and bytes in each.
        shape: (u16, u32),
    },
    /// Those were all. Once the other has answered with the same, serving ends.
    Prepared,
    /// An application, whose cable has come before; its socket comes with it.
    Application {
        /// By what it is known.
        ticket: u128,
        /// Where it is in them: put, taken.
        states: Vec<(u64, u64)>,
        /// Whether its host has gone to a NIC of its own.
        away: bool,
        /// What was counted.
        counters: CountersOf,
        /// How far it has sent packets in parts.
        parts: Vec<Parts<u32>>,
    },
    /// What a host has under way; its applications have come before.
    Host(UnderWay),
    /// A connection that has not said who it is; its socket comes with it.
    Stranger,
    /// What was counted at the NICs; this is all.
    End {
        /// Of each.
        nics: Vec<CountersOf>,
        /// When serving ended, by the clock that both share (CLOCK_MONOTONIC), in microseconds.
        stopped: u64,
    },
}

/// From `rump ctl`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Who is there, and what was counted.
    List,
    /// Have an application go to a NIC of its own, or come back.
    Switch {
        /// Its label or number.
        application: String,
        /// To a NIC of its own.
        direct: bool,
    },
    /// Put a new worker in place of the one that runs.
    Upgrade {
        /// Another program than the server's own.
        program: Option<String>,
    },
    /// End.
    Stop,
}

impl Request {
    /// From words, such as `switch web direct`.
    ///
    /// # Errors
    /// What is wrong with them, and what there is.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words: Vec<&str> = words.into_iter().collect();
        match words[..] {
            ["list" | "stats"] => Ok(Self::List),
            ["switch", application, path @ ("direct" | "shared")] => Ok(Self::Switch {
                application: application.into(),
                direct: path == "direct",
            }),
            ["upgrade"] => Ok(Self::Upgrade { program: None }),
            ["stop"] => Ok(Self::Stop),
            _ => Err("there is: list, switch APPLICATION direct|shared, stop".into()),
        }
    }

    /// The words that it is by [`of_words`](Self::of_words).
    pub fn words(&self) -> String {
        match self {
            Self::List => "list".into(),
            Self::Switch {
                application,
                direct,
            } => {
                let path = if *direct { "direct" } else { "shared" };
                format!("switch {application} {path}")
            }
            Self::Upgrade { .. } => "upgrade".into(),
            Self::Stop => "stop".into(),
        }
    }
}

/// What a worker can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// Who is there.
    Status,
    /// [`Request::Switch`].
    Switch {
        /// Its label or number.
        application: String,
        /// To a NIC of its own.
        direct: bool,
    },
}

/// To `rump ctl`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Who is there.
    Status(Status),
    /// It was done.
    Done(String),
    /// It was not.
    Error(String),
}

/// Who is there, and what was counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The worker's process number.
    pub worker: u32,
    /// How often a worker was started.
    pub starts: u64,
    /// NICs.
    pub nics: Vec<NicStatus>,
    /// Applications.
    pub applications: Vec<ApplicationStatus>,
}

/// A NIC.
#[derive(Debug, Serialize, Deserialize)]
pub struct NicStatus {
    /// What it is called.
    pub name: String,
    /// Whether it has a link.
    pub link: bool,
    /// What was counted: sent is what came from the wire, received what was put on it.
    pub counters: CountersOf,
}

/// An application.
#[derive(Debug, Serialize, Deserialize)]
pub struct ApplicationStatus {
    /// Its number.
    pub number: u64,
    /// Its host.
    pub host: String,
    /// What it calls itself.
    pub label: String,
    /// Whose it is.
    pub user: u32,
    /// Its process, while it is there.
    pub process: Option<i32>,
    /// `here`, `direct`, or `awaited`.
    pub state: String,
    /// How many ports it has claimed, and the first of them.
    pub claims: usize,
    /// Some of them.
    pub ports: Vec<String>,
    /// Ephemeral ports that it has leased.
    pub leases: Vec<(u16, u16)>,
    /// What was counted.
    pub counters: CountersOf,
}

/// Numbers of frames and bytes, and why others were not passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountersOf {
    /// Frames and bytes that came from it.
    pub sent: (u64, u64),
    /// Frames and bytes that were brought to it.
    pub received: (u64, u64),
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
}

impl From<&crate::table::Counters> for CountersOf {
    fn from(counters: &crate::table::Counters) -> Self {
        Self {
            sent: counters.taken.get(),
            received: counters.brought.get(),
            dropped: counters
                .drops()
                .map(|(reason, count)| (reason.name().to_string(), count))
                .collect(),
        }
    }
}

impl CountersOf {
    /// Goes on with these.
    pub fn restore(&self, counters: &crate::table::Counters) {
        let drops = self
            .dropped
            .iter()
            .map(|(name, count)| (name.clone(), *count));
        counters.restore(self.sent, self.received, &drops.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_words() {
        let switch = |direct| Request::Switch {
            application: "web".into(),
            direct,
        };
        let upgrade = Request::Upgrade { program: None };
        let all = [
            Request::List,
            switch(true),
            switch(false),
            upgrade,
            Request::Stop,
        ];
        for request in all {
            let words = request.words();
            assert_eq!(Request::of_words(words.split(' ')), Ok(request));
        }
        for wrong in ["", "lists", "switch web", "switch web up", "stop now"] {
            assert!(Request::of_words(wrong.split(' ')).is_err(), "{wrong}");
        }
    }
}
