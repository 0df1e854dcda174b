//! What the arguments of each system call are: the only place that knows.
//!
//! Both sides lay the operands of a call out by the same rules, one behind the other, so
//! that no offset is ever sent, and none has to be believed.

use rump_sys::abi;
use rump_sys::syscalls::Call;
use std::ops::Range;

/// How many words a call has.
pub(super) const WORDS: usize = 8;

/// The words of a call: its arguments, as registers have them. Those of `sendmsg` and
/// `recvmsg` are not those of section 2, but the parts of their structure: descriptor, name,
/// its length, control messages, their length, data, their length, flags. `recvmsg` has a
/// structure of its own in place of the name's length, [`Lengths`].
pub(super) type Words = [u64; WORDS];

/// What `recvmsg` tells beside data: in `struct msghdr`'s order, lengths in and out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    pub(super) name: u32,
    pub(super) control: u32,
    pub(super) flags: u32,
}

/// Memory that an argument points to.
#[derive(Debug)]
pub(super) struct Operand {
    /// The argument.
    pub(super) word: usize,
    pub(super) way: Way,
    pub(super) size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The kernel reads and interprets it.
    In,
    /// The kernel writes it.
    Out,
    /// Both.
    Both,
    /// Bytes that the kernel copies from and does not look at.
    Data,
    /// Room that the kernel copies bytes to; as many as its result says.
    Room,
}

/// How many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Fixed(usize),
    /// So many, if the pointer is not null.
    Optional(usize),
    /// As many as this word says.
    Word(usize),
    /// As many items as this word says, of so many bytes.
    Items(usize, usize),
    /// As many as the 32-bit number says that this word's operand has at an offset. The
    /// pointer may be null.
    Number(usize, usize),
    /// As many as the 64-bit number says that this word points to.
    Long(usize),
    /// As many as are part of the request's number (`ioctl(2)`).
    Request(usize),
}

/// A call.
#[derive(Debug)]
pub(super) struct Row {
    call: Call,
    /// The words that are numbers. All others are pointers.
    pub(super) numbers: &'static [usize],
    pub(super) operands: &'static [Operand],
}

macro_rules! rows {
    ($($name:ident [$($number:literal)*] $($way:ident($word:literal, $size:expr))*;)*) => {
        &[$(Row {
            call: Call::$name,
            numbers: &[$($number),*],
            operands: &[$(Operand { word: $word, way: Way::$way, size: { use Size::*; $size } }),*],
        }),*]
    };
}

const KEVENT: usize = size_of::<abi::kevent>();
const POLLFD: usize = size_of::<abi::pollfd>();

/// What is not here cannot be called from another process.
const TABLE: &[Row] = rows! {
    accept [0] Both(2, Optional(4)) Out(1, Number(2, 0));
    bind [0 2] In(1, Word(2));
    close [0];
    connect [0 2] In(1, Word(2));
    dup [0];
    dup2 [0 1];
    fcntl [0 1 2];
    getpeername [0] Both(2, Optional(4)) Out(1, Number(2, 0));
    getpid [];
    getsockname [0] Both(2, Optional(4)) Out(1, Number(2, 0));
    getsockopt [0 1 2] Both(4, Optional(4)) Out(3, Number(4, 0));
    ioctl [0 1] Both(2, Request(1)) Out(3, Number(2, 0));
    kevent [0 2 4] In(1, Items(2, KEVENT)) Out(3, Items(4, KEVENT)) In(5, Optional(size_of::<abi::timespec>()));
    kqueue [];
    listen [0 1];
    open [1 2] In(0, Word(3));
    paccept [0 4] Both(2, Optional(4)) Out(1, Number(2, 0));
    pipe2 [1] Out(0, Fixed(8));
    poll [1 2] Both(0, Items(1, POLLFD));
    read [0 2] Room(1, Word(2));
    recvfrom [0 2 3] Both(5, Optional(4)) Out(4, Number(5, 0)) Room(1, Word(2));
    recvmsg [0 6 7] Both(2, Fixed(size_of::<Lengths>())) Out(1, Number(2, 0)) Out(3, Number(2, 4)) Room(5, Word(6));
    sendmsg [0 2 4 6 7] In(1, Word(2)) In(3, Word(4)) Data(5, Word(6));
    sendto [0 2 3 5] In(4, Word(5)) Data(1, Word(2));
    setrlimit [0] In(1, Fixed(size_of::<abi::rlimit>()));
    setsockopt [0 1 2 4] In(3, Word(4));
    shutdown [0 1];
    socket [0 1 2];
    sysctl [1 5] In(0, Items(1, 4)) Both(3, Optional(8)) Out(2, Long(3)) In(4, Word(5));
    write [0 2] Data(1, Word(2));
};

/// The row of a call.
pub(super) fn row(call: Call) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.call == call)
}

/// An operand at its place in the segment's area.
pub(super) struct Placed {
    pub(super) operand: &'static Operand,
    pub(super) at: usize,
    pub(super) length: usize,
}

impl Placed {
    pub(super) fn range(&self) -> Range<usize> {
        self.at..self.at + self.length
    }
}

/// One of the two sides, which prepares the operands of a call in turn.
pub(super) trait Side {
    /// The number of so many bytes that an operand which was placed before has at an offset;
    /// `None` if that was not placed.
    fn number(&self, word: usize, offset: usize, bytes: usize) -> Option<u64>;

    /// The next operand.
    fn place(&mut self, placed: Placed);
}

/// An operand that cannot be: too long, or a null pointer where there must be something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Impossible;

/// Places all operands of a call in an area of so many bytes.
pub(super) fn walk(
    row: &'static Row,
    words: &Words,
    area: usize,
    side: &mut impl Side,
) -> Result<(), Impossible> {
    let mut at: usize = 0;
    for operand in row.operands {
        let number = |word: usize| usize::try_from(words[word]).map_err(|_| Impossible);
        let is_null = words[operand.word] == 0;
        let length = match operand.size {
            Size::Fixed(length) => length,
            Size::Word(word) => number(word)?,
            Size::Items(word, each) => number(word)?.checked_mul(each).ok_or(Impossible)?,
            Size::Request(word) => number(word)? >> 16 & 0x1fff,
            Size::Optional(_) | Size::Number(..) | Size::Long(_) if is_null => continue,
            Size::Optional(length) => length,
            Size::Number(word, offset) => value(side, word, offset, 4)?,
            Size::Long(word) => value(side, word, 0, 8)?,
        };
        if length == 0 {
            continue;
        }
        let end = at.checked_add(length).ok_or(Impossible)?;
        if is_null || end > area {
            return Err(Impossible);
        }
        side.place(Placed {
            operand,
            at,
            length,
        });
        at = end.next_multiple_of(16);
    }
    Ok(())
}

fn value(side: &impl Side, word: usize, offset: usize, bytes: usize) -> Result<usize, Impossible> {
    let value = side.number(word, offset, bytes).ok_or(Impossible)?;
    usize::try_from(value).map_err(|_| Impossible)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is a pointer has an operand, or is never handed to the kernel; what gives a
    /// length is a number, or an operand of its own that comes before.
    #[test]
    fn lengths_are_known_when_they_are_needed() {
        for row in TABLE {
            let mut placed = Vec::new();
            for operand in row.operands {
                assert!(!row.numbers.contains(&operand.word), "{row:?}");
                match operand.size {
                    Size::Word(word) | Size::Items(word, _) | Size::Request(word) => {
                        let is_string = row.call == Call::open && word == 3;
                        assert!(is_string || row.numbers.contains(&word), "{row:?}");
                    }
                    Size::Number(word, _) | Size::Long(word) => assert!(placed.contains(&word)),
                    Size::Fixed(_) | Size::Optional(_) => {}
                }
                placed.push(operand.word);
            }
        }
    }
}
