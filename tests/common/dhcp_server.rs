//! A DHCP server on Linux that says what a test wants, right or wrong.

#![allow(dead_code)]

use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it says to a message. To a request it is an ACK, else an offer.
pub enum Answer {
    /// An address of its net, a router, a name server; for so many seconds.
    Usual {
        last: u8,
        lease: u32,
    },
    /// Another address.
    Address([u8; 4]),
    /// To a transaction that nobody began.
    OtherTransaction,
    /// To another client.
    OtherClient,
    Nak,
    /// Anything.
    Bytes(Vec<u8>),
}

/// Serves on a TAP until it is dropped. What it has seen is what decides on the answers.
pub struct Server {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    pub fn start(
        tap: &str,
        net: u8,
        answers: impl Fn(&[String]) -> Vec<Answer> + Send + 'static,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:67")?;
        setsockopt(&socket, sockopt::BindToDevice, &tap.into())?;
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stopped, log) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let length = match socket.recv(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    result => result?,
                };
                let message = &buffer[..length];
                let kind = kind(message);
                let answers = {
                    let mut seen = log.lock().unwrap();
                    seen.push(kind.to_string());
                    answers(&seen)
                };
                if kind != "discover" && kind != "request" {
                    continue;
                }
                for answer in answers {
                    let bytes = bytes(&answer, message, kind, net);
                    // To who has the address already, or to everybody.
                    let client = [12, 13, 14, 15].map(|at| message[at]);
                    let to = if client == [0; 4] { [255; 4] } else { client };
                    socket.send_to(&bytes, (std::net::Ipv4Addr::from(to), 68))?;
                }
            }
            Ok(())
        });
        Ok(Self {
            stop,
            seen,
            thread: Some(thread),
        })
    }

    /// The kinds of the messages so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let result = self.thread.take().unwrap().join().unwrap();
        assert!(result.is_ok(), "{result:?}");
    }
}

/// By the option 53 (RFC 2132, 9.6), which is the first of this client's.
fn kind(message: &[u8]) -> &'static str {
    assert_eq!(message[240..242], [53, 1], "option 53 first");
    match message[242] {
        1 => "discover",
        3 => "request",
        4 => "decline",
        7 => "release",
        other => panic!("message type {other}"),
    }
}

/// RFC 2131, 2: an answer to the message.
fn bytes(answer: &Answer, message: &[u8], kind: &str, net: u8) -> Vec<u8> {
    let (address, lease) = match answer {
        Answer::Bytes(bytes) => return bytes.clone(),
        Answer::Usual { last, lease } => ([10, net, 0, *last], *lease),
        Answer::Address(address) => (*address, 600),
        Answer::Nak => ([0; 4], 0),
        Answer::OtherTransaction | Answer::OtherClient => ([10, net, 0, 66], 600),
    };
    let mut bytes = message[..240].to_vec();
    bytes[0] = 2;
    bytes[16..20].copy_from_slice(&address);
    match answer {
        Answer::OtherTransaction => bytes[4] ^= 1,
        Answer::OtherClient => bytes[28 + 5] ^= 1,
        _ => {}
    }
    let kind = match (answer, kind) {
        (Answer::Nak, _) => 6,
        (_, "request") => 5,
        _ => 2,
    };
    let own = [10, net, 0, 1];
    bytes.extend_from_slice(&[53, 1, kind]);
    for (option, data) in [(54, own), (1, [255, 255, 255, 0]), (3, own), (6, own)] {
        bytes.extend_from_slice(&[option, 4]);
        bytes.extend_from_slice(&data);
    }
    bytes.extend_from_slice(&[51, 4]);
    bytes.extend_from_slice(&lease.to_be_bytes());
    bytes.push(255);
    bytes
}
