//! What dom0 orders of this program, by xenstore.

use crate::switch::{Path, Switch};
use crate::sys::xen;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Weak};

/// The longest piece of an answer in bytes, and the most pieces: what xenstored takes from a guest.
const PIECE: usize = 1000;
const PIECES: usize = 200;
/// The longest order, and the most words of it.
const LONGEST: usize = 1000;
const WORDS: usize = 8;

/// Where a program in an image under Xen hears what dom0 orders, and answers.
///
/// An order is a text that dom0 writes into `control/rump-ctl` of the domain: a number, and words.
/// The answer to it are the pieces `data/rump-ctl/0`, `data/rump-ctl/1` and so on, and after them
/// `data/rump-ctl/answered`: the order's number, and how many pieces there are.
/// `rump ctl --control xen:DOMAIN` orders so.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let orders = rump::server::Ctl::open()?;
/// loop {
///     let order = orders.next()?;
///     match order.words().collect::<Vec<_>>()[..] {
///         ["hello"] => order.answer("hello, too")?,
///         _ => order.answer("what?")?,
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Ctl(());

/// What dom0 wants.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "dom0 waits for the answer"]
pub struct Order {
    number: u64,
    words: Vec<String>,
}

impl Ctl {
    /// Hears from here on.
    ///
    /// # Errors
    /// This is no image under Xen (`ENOSYS`, `ENXIO`).
    pub fn open() -> io::Result<Self> {
        xen::listen()?;
        Ok(Self(()))
    }

    /// Waits for the next order. What is none is passed over.
    ///
    /// # Errors
    /// There will be none.
    #[allow(clippy::should_implement_trait, reason = "it waits, and fails")]
    pub fn next(&self) -> io::Result<Order> {
        loop {
            if let Some(order) = Order::read(&xen::order()?) {
                return Ok(order);
            }
        }
    }
}

impl Ctl {
    /// Has dom0 steer a switch, as long as that is there: `switch LABEL direct` and `switch LABEL
    /// shared`, which are answered when it was done, and `list`, which says how things are. The
    /// answers are JSON, as those of a network server: `{"done":"…"}` or `{"error":"…"}`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn steer(self, label: &str, switch: Arc<Switch>) -> io::Result<()> {
        let (label, switch) = (label.to_string(), Arc::downgrade(&switch));
        let serve = move || {
            while let Ok(order) = self.next() {
                let words: Vec<&str> = order.words().collect();
                let answer = match obey(&words, &label, &switch) {
                    Ok(text) => json("done", &text),
                    Err(text) => json("error", &text),
                };
                // It is short enough, unless xenstore has gone.
                let _ = order.answer(&answer);
            }
        };
        let thread = std::thread::Builder::new().name("rump-ctl".into());
        thread.spawn(serve).map(drop)
    }
}

/// Does what dom0 wants of a switch.
fn obey(words: &[&str], label: &str, switch: &Weak<Switch>) -> Result<String, String> {
    let path = match words {
        ["list" | "stats"] => None,
        ["switch", name, "direct"] if *name == label => Some(Path::Direct),
        ["switch", name, "shared"] if *name == label => Some(Path::Shared),
        _ => return Err(format!("there is: list, switch {label} direct|shared")),
    };
    let switch = switch.upgrade().ok_or("there is no switch any more")?;
    if let Some(path) = path {
        let moved = switch.to(path).map_err(|error| error.to_string())?;
        let already = if moved { "" } else { " already" };
        return Ok(format!("it is {path}{already}"));
    }
    let status = switch.status();
    let mut text = format!(
        "{label} is {}, after {} switches and {} that failed",
        status.path, status.switches, status.failures
    );
    if let Some(took) = status.took {
        let _ = write!(text, "; the last took {took:.1?}");
    }
    Ok(text)
}

/// An object of JSON with this name and text.
fn json(name: &str, text: &str) -> String {
    let mut all = format!("{{\"{name}\":\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => all.extend(['\\', c]),
            c if c.is_control() => all.push(' '),
            c => all.push(c),
        }
    }
    all + "\"}"
}

impl Order {
    /// From the bytes of xenstore's node: a number and words, nothing else.
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        if text.len() > LONGEST || text.contains(char::is_control) {
            return None;
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let number = words.next()?.parse().ok()?;
        let words: Vec<String> = words.map(String::from).collect();
        (1..=WORDS)
            .contains(&words.len())
            .then_some(Self { number, words })
    }

    /// What it says.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Answers.
    ///
    /// # Errors
    /// The answer is longer than 200,000 bytes, and was not given; nobody would hear it.
    pub fn answer(self, text: &str) -> io::Result<()> {
        let pieces = pieces(text);
        if pieces.len() > PIECES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        for (number, piece) in pieces.iter().enumerate() {
            xen::say(&number.to_string(), piece)?;
        }
        xen::say("answered", &format!("{} {}", self.number, pieces.len()))
    }
}

/// An answer in pieces, none of which cuts a character.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let end = (0..=PIECE.min(text.len())).rfind(|end| text.is_char_boundary(*end));
        let (piece, rest) = text.split_at(end.unwrap_or_default());
        all.push(piece);
        text = rest;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u64, String)> {
        let order = Order::read(text.as_bytes())?;
        Some((order.number, order.words.join("|")))
    }

    #[test]
    fn an_order_is_a_number_and_words() {
        let order = |number, words: &str| Some((number, words.to_string()));
        assert_eq!(read("7 list"), order(7, "list"));
        let switch = order(8, "switch|one|direct");
        assert_eq!(read("8  switch one direct "), switch);
        for none in [
            "",
            "list",
            "7",
            "-1 list",
            "7 li\nst",
            "7 a b c d e f g h i",
        ] {
            assert_eq!(read(none), None, "{none:?}");
        }
        assert_eq!(Order::read(&[b'1', b' ', 0xff]), None);
        assert_eq!(read(&format!("1 {}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn without_xen_there_are_none() {
        assert!(Ctl::open().is_err());
    }

    #[test]
    fn answers_are_json() {
        assert_eq!(json("done", "it is"), r#"{"done":"it is"}"#);
        assert_eq!(json("error", "a \"b\\\n"), r#"{"error":"a \"b\\ "}"#);
    }

    #[test]
    fn a_switch_that_is_gone_does_nothing() {
        let gone = Weak::new();
        assert!(
            obey(&["list"], "one", &gone)
                .unwrap_err()
                .contains("no switch")
        );
        for wrong in [&["switch", "two", "direct"][..], &["switch", "one"], &[]] {
            let said = obey(wrong, "one", &gone).unwrap_err();
            assert_eq!(said, "there is: list, switch one direct|shared");
        }
    }

    /// Whatever is there: an order has a number and a few words without control characters, or it
    /// is none.
    #[test]
    fn any_bytes_are_an_order_or_none() {
        let mut random = 0x1234_5678_9abc_def1_u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize
        };
        let mut orders = 0;
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..next() % 60).map(|_| next() as u8).collect();
            if next() % 4 != 0 {
                let near = |byte: &mut u8| *byte = b" 0123ab\xc3\xa4 \n"[usize::from(*byte) % 11];
                bytes.iter_mut().for_each(near);
            }
            if next() % 2 == 0 {
                bytes.splice(..0, *b"7 ");
            }
            if let Some(order) = Order::read(&bytes) {
                orders += 1;
                assert!((1..=WORDS).contains(&order.words.len()));
                let odd = |c: char| c.is_control() || c == ' ';
                assert!(
                    order
                        .words()
                        .all(|word| !word.is_empty() && !word.contains(odd))
                );
            }
        }
        assert!(orders > 100, "{orders}");
    }

    #[test]
    fn pieces_are_the_whole() {
        for len in [0, 1, 999, 1000, 1001, 5000] {
            let text: String = "aä€😀".chars().cycle().take(len).collect();
            let all = pieces(&text);
            assert!(all.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
            assert_eq!(all.concat(), text);
        }
    }
}
