//! What iperf3 says on its control connection.
//!
//! The client sends a cookie, by which its further connections are known. From then on the
//! server says, one byte a time, what is next ([`State`]); parameters and results are JSON
//! after their length. <https://github.com/esnet/iperf/wiki/IperfProtocolStates>

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{self, Read, Write};

/// 36 characters, and a zero.
pub(crate) const COOKIE: usize = 37;
/// More than any parameters or results have.
const LONGEST_JSON: usize = 1 << 20;
/// As in iperf3.
const MOST_STREAMS: usize = 128;
const LONGEST_BLOCK: usize = 1 << 20;
const LONGEST_TIME: u64 = 86_400;

pub(crate) type Cookie = [u8; COOKIE];

/// What is next, or what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum State {
    TestStart = 1,
    TestRunning = 2,
    TestEnd = 4,
    ParamExchange = 9,
    CreateStreams = 10,
    ServerTerminate = 11,
    ClientTerminate = 12,
    ExchangeResults = 13,
    DisplayResults = 14,
    Done = 16,
    AccessDenied = -1,
    ServerError = -2,
}

impl State {
    const ALL: [Self; 12] = [
        Self::TestStart,
        Self::TestRunning,
        Self::TestEnd,
        Self::ParamExchange,
        Self::CreateStreams,
        Self::ServerTerminate,
        Self::ClientTerminate,
        Self::ExchangeResults,
        Self::DisplayResults,
        Self::Done,
        Self::AccessDenied,
        Self::ServerError,
    ];

    pub(crate) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let state = Self::ALL
            .into_iter()
            .find(|state| *state as i8 == byte[0] as i8);
        state.ok_or_else(|| {
            let what = format!("the peer says {}, which is not a state", byte[0] as i8);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    pub(crate) fn write(self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&[self as i8 as u8])
    }

    /// Reads a state that has to be this one.
    pub(crate) fn expect(self, from: impl Read) -> Result<(), Box<dyn Error>> {
        match Self::read(from)? {
            state if state == self => Ok(()),
            state => Err(format!("the peer says {state:?} instead of {self:?}").into()),
        }
    }
}

/// What the client wants. What is not here (UDP, both directions at once, …) is refused, or
/// does not concern a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Parameters {
    tcp: bool,
    pub(crate) omit: u64,
    pub(crate) time: u64,
    pub(crate) parallel: usize,
    /// The server sends.
    pub(crate) reverse: bool,
    #[serde(skip_serializing)]
    bidirectional: bool,
    /// How many bytes are written at a time.
    pub(crate) len: usize,
    client_version: String,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            tcp: true,
            omit: 0,
            time: 10,
            parallel: 1,
            reverse: false,
            bidirectional: false,
            len: 128 << 10,
            client_version: "3.12".into(),
        }
    }
}

impl Parameters {
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.tcp || self.bidirectional {
            return Err("only TCP is measured, in one direction".into());
        }
        let limits = [
            ("streams", self.parallel as u64, 1, MOST_STREAMS as u64),
            ("bytes a write", self.len as u64, 1, LONGEST_BLOCK as u64),
            ("seconds", self.time, 1, LONGEST_TIME),
            ("seconds left out", self.omit, 0, 600),
        ];
        for (what, value, least, most) in limits {
            if !(least..=most).contains(&value) {
                return Err(format!("{value} {what}: {least} to {most} are possible"));
            }
        }
        Ok(())
    }
}

/// What one end has counted. Of the peer's, only what is printed is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    #[serde(skip_deserializing)]
    cpu_util_total: f64,
    #[serde(skip_deserializing)]
    cpu_util_user: f64,
    #[serde(skip_deserializing)]
    cpu_util_system: f64,
    /// -1: not known.
    #[serde(skip_deserializing)]
    sender_has_retransmits: i64,
    pub(crate) streams: Vec<StreamResult>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamResult {
    pub(crate) id: usize,
    pub(crate) bytes: u64,
    #[serde(skip_deserializing)]
    retransmits: i64,
    #[serde(skip_deserializing)]
    jitter: f64,
    #[serde(skip_deserializing)]
    errors: i64,
    #[serde(skip_deserializing)]
    packets: i64,
    #[serde(skip_deserializing)]
    start_time: f64,
    #[serde(skip_deserializing)]
    end_time: f64,
}

impl Results {
    pub(crate) fn new(bytes: &[u64], seconds: f64) -> Self {
        let stream = |(index, bytes): (usize, &u64)| StreamResult {
            // iperf3 numbers 1, 3, 4, 5, …
            id: if index == 0 { 1 } else { index + 2 },
            bytes: *bytes,
            retransmits: -1,
            jitter: 0.0,
            errors: 0,
            packets: 0,
            start_time: 0.0,
            end_time: seconds,
        };
        Self {
            cpu_util_total: 0.0,
            cpu_util_user: 0.0,
            cpu_util_system: 0.0,
            sender_has_retransmits: -1,
            streams: bytes.iter().enumerate().map(stream).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let bytes = self.streams.iter().map(|stream| stream.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// Prints them as "sender" or "receiver".
    pub(crate) fn print(&self, who: &str, seconds: f64) {
        let line = |name: &str, bytes: u64| {
            let gigabits = bytes as f64 * 8.0 / seconds / 1e9;
            println!("[{name:>3}] {seconds:6.2} s {bytes:>14} bytes {gigabits:8.3} Gbit/s {who}");
        };
        for stream in &self.streams {
            line(&stream.id.to_string(), stream.bytes);
        }
        if self.streams.len() > 1 {
            line("SUM", self.bytes());
        }
    }
}

pub(crate) fn write_json(mut to: impl Write, value: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_vec(value)?;
    to.write_all(&u32::try_from(text.len())?.to_be_bytes())?;
    to.write_all(&text)?;
    Ok(())
}

pub(crate) fn read_json<T: DeserializeOwned>(mut from: impl Read) -> Result<T, Box<dyn Error>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_JSON {
        return Err(format!("the peer wants to send {length} bytes of JSON").into());
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
