//! What a case saw, as text that two socket layers can be compared by.
//!
//! An error is noted by its `ErrorKind` only: numbers and texts belong to the host and
//! are no part of what `std::net` promises. Kinds without a stable name are one kind,
//! because no stable program can tell them apart.

use std::fmt::{self, Debug};
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a case sees, which runs on a thread of its own, so that one that hangs does not hang
/// the others.
pub fn of(case: fn(&mut Seen) -> io::Result<()>) -> Result<String, String> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut seen = Seen::default();
        if let Err(error) = case(&mut seen) {
            seen.end(error);
        }
        // The receiver is gone when the case came too late.
        let _ = sender.send(seen.to_string());
    });
    match receiver.recv_timeout(LIMIT) {
        Ok(seen) => {
            let ended = thread.join();
            ended.map_err(|_| "the end of the case panicked")?;
            Ok(seen)
        }
        Err(RecvTimeoutError::Timeout) => Err(format!("hangs: nothing after {LIMIT:?}")),
        Err(RecvTimeoutError::Disconnected) => Err("the case panicked".into()),
    }
}

/// The notes of one run of one case, in the order in which they were made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    notes: Vec<String>,
}

impl Seen {
    /// Notes a value that must be the same on both sides.
    pub fn value(&mut self, label: &str, value: impl Debug) {
        self.notes.push(format!("{label}={value:?}"));
    }

    /// Notes how a call ended.
    pub fn result<T: Debug>(&mut self, label: &str, result: io::Result<T>) {
        self.notes.push(format!("{label}={}", show(&result)));
    }

    /// Notes bytes as text.
    pub fn text(&mut self, label: &str, bytes: &[u8]) {
        self.value(label, String::from_utf8_lossy(bytes));
    }

    /// Notes an error that ended the case early.
    pub fn end(&mut self, error: io::Error) {
        self.result::<()>("end", Err(error));
    }

    /// Notes the end of a call that may not take less than `least`, nor "for ever".
    pub fn timed<T: Debug>(
        &mut self,
        label: &str,
        least: Duration,
        call: impl FnOnce() -> io::Result<T>,
    ) {
        let start = Instant::now();
        let result = call();
        let took = start.elapsed();
        self.result(label, result);
        let verdict = match took {
            _ if took < least => format!("early({took:?} of {least:?})"),
            _ if took > least + Duration::from_secs(5) => format!("late({took:?} of {least:?})"),
            _ => "in time".to_string(),
        };
        self.notes.push(verdict);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.notes.join(", "))
    }
}

/// `()` is `ok`, a value is its Debug form, an error its kind.
fn show<T: Debug>(result: &io::Result<T>) -> String {
    match result {
        Ok(value) => match format!("{value:?}") {
            unit if unit == "()" => "ok".to_string(),
            value => value,
        },
        Err(error) => kind(error),
    }
}

/// The name of an error's kind.
pub fn kind(error: &io::Error) -> String {
    match format!("{:?}", error.kind()) {
        kind if kind == "Uncategorized" || kind == "Other" => "Error".to_string(),
        kind => kind,
    }
}
