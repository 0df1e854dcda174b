//! The client's side: what makes its system calls in the kernel's process.
//!
//! Each thread has a segment of its own, and there somebody who works for it; a thread that
//! ends leaves both to the next. A child of `fork(2)` is a process of its own in the kernel,
//! a copy of its parent: it has the same descriptors, and connects anew.
#![allow(unsafe_code)]

use super::order::{HELLO, Order};
use super::segment::{AREA, Answer, Segment, Turn};
use super::table::{Lengths, Placed, Row, Side, Way, Words, row, walk};
use crate::kernel;
use nix::sys::socket::{MsgFlags, recv};
use rump_sys::abi;
use rump_sys::syscalls::{Call, Elsewhere, set_errno};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The most bytes of data that one call moves. Of a stream more calls move more.
const DATA: usize = 256 << 10;

static CLIENT: OnceLock<Client> = OnceLock::new();

/// The connection of this process.
pub(super) struct Client {
    place: PathBuf,
    line: Mutex<Line>,
    /// The descriptor of the connection.
    fd: AtomicI32,
    /// How many forks lie between the process that connected and this one.
    generation: AtomicU32,
}

struct Line {
    stream: Arc<UnixStream>,
    /// Segments that no thread has.
    free: Vec<Own>,
}

/// What a thread makes its calls with.
struct Own {
    segment: Segment,
    stream: Arc<UnixStream>,
    generation: u32,
}

/// Connects this process.
pub(super) fn connect(place: &Path, order: Order) -> io::Result<&'static &'static dyn Elsewhere> {
    static ELSEWHERE: OnceLock<&'static dyn Elsewhere> = OnceLock::new();
    let stream = Arc::new(begin(place, order)?);
    let client = Client {
        place: place.into(),
        fd: AtomicI32::new(stream.as_raw_fd()),
        line: Mutex::new(Line {
            stream,
            free: Vec::new(),
        }),
        generation: AtomicU32::new(0),
    };
    // A first segment, so that a kernel that has no room for it says so here.
    let first = client.own()?;
    client.line().free.push(first);
    let client = CLIENT.get_or_init(|| client);
    // SAFETY: functions that take nothing, for all the life of the process.
    unsafe {
        libc::pthread_atfork(Some(prepare), Some(go_on), Some(go_on_in_child));
        libc::atexit(end);
    };
    Ok(ELSEWHERE.get_or_init(|| client))
}

fn begin(place: &Path, order: Order) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(place)?;
    stream.write_all(HELLO)?;
    order.give(&stream)?;
    Ok(stream)
}

impl Client {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment for a thread that has none.
    fn own(&self) -> io::Result<Own> {
        let mut line = self.line();
        if let Some(free) = line.free.pop() {
            return Ok(free);
        }
        let stream = Arc::clone(&line.stream);
        let (_, fd) = Order::Work.give(&stream)?;
        let fd = fd.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Own {
            segment: Segment::open(fd)?,
            stream,
            generation: self.generation.load(Ordering::Relaxed),
        })
    }

    /// Makes a call; the pieces are its data or the room for it.
    fn make(&self, call: Call, words: &Words, pieces: &[abi::iovec]) -> i64 {
        let answer = match row(call) {
            Some(row) => self.exchange(row, call, words, pieces),
            None => Answer::refused(abi::ENOSYS),
        };
        if answer.result == -1 {
            set_errno(answer.errno);
        }
        answer.result
    }

    fn exchange(
        &self,
        row: &'static Row,
        call: Call,
        words: &Words,
        pieces: &[abi::iovec],
    ) -> Answer {
        match take(self) {
            Ok(own) => {
                let answer = own.exchange(row, call, words, pieces);
                keep(self, own);
                answer
            }
            Err(error) => {
                if is_end(&error) {
                    kernel::gone();
                }
                Answer::refused(abi::EIO)
            }
        }
    }
}

/// Whether it says that there is nobody any more.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

impl Own {
    /// Has somebody make the call, and waits for that.
    fn exchange(
        &self,
        row: &'static Row,
        call: Call,
        words: &Words,
        pieces: &[abi::iovec],
    ) -> Answer {
        let mut desk = Desk::new(&self.segment, words, pieces);
        if walk(row, words, AREA, &mut desk).is_err() {
            return Answer::refused(abi::EFAULT);
        }
        self.segment.ask(call as u32, words);
        self.segment.give(Turn::Kernel);
        if !self.segment.wait(Turn::Client, || self.is_answered_to()) {
            kernel::gone();
            return Answer::refused(abi::EIO);
        }
        let answer = self.segment.answered();
        desk.take_back(answer.result);
        answer
    }

    /// Whether the kernel's process is there.
    fn is_answered_to(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !matches!(recv(self.stream.as_raw_fd(), &mut [0], flags), Ok(0))
    }
}

thread_local! {
    static OWN: RefCell<Kept> = const { RefCell::new(Kept(None)) };
}

/// The thread's own, which others can have when it ends.
struct Kept(Option<Own>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let (Some(client), Some(own)) = (CLIENT.get(), self.0.take()) {
            client.leave(own);
        }
    }
}

/// What this thread makes its calls with; it is nobody's until [`keep`] gives it back.
fn take(client: &Client) -> io::Result<Own> {
    let kept = OWN.try_with(|own| own.borrow_mut().0.take());
    match kept.ok().flatten() {
        Some(own) if client.is_current(&own) => Ok(own),
        _ => client.own(),
    }
}

fn keep(client: &Client, own: Own) {
    let mut own = Some(own);
    let _ = OWN.try_with(|kept| kept.borrow_mut().0 = own.take());
    // The thread is about to end.
    if let Some(own) = own {
        client.leave(own);
    }
}

impl Client {
    fn is_current(&self, own: &Own) -> bool {
        own.generation == self.generation.load(Ordering::Relaxed)
    }

    fn leave(&self, own: Own) {
        if self.is_current(&own) {
            self.line().free.push(own);
        }
    }
}

/// Where the operands of a call are on this side.
struct Desk<'a> {
    area: *mut u8,
    words: &'a Words,
    pieces: &'a [abi::iovec],
    placed: Vec<Placed>,
}

impl<'a> Desk<'a> {
    fn new(segment: &Segment, words: &'a Words, pieces: &'a [abi::iovec]) -> Self {
        Self {
            area: segment.area(),
            words,
            pieces,
            placed: Vec::new(),
        }
    }

    /// Where the caller's operand begins.
    fn start(&self, word: usize) -> *mut u8 {
        with_exposed_provenance_mut(self.words[word] as usize)
    }

    /// Runs through `length` bytes of the pieces: where each begins, and where its bytes are
    /// in the area.
    fn pieces(&self, at: usize, length: usize, mut copy: impl FnMut(*mut u8, *mut u8, usize)) {
        let mut done = 0;
        for piece in self.pieces {
            let some = piece.iov_len.min(length - done);
            copy(
                piece.iov_base.cast(),
                self.area.wrapping_add(at + done),
                some,
            );
            done += some;
        }
    }

    /// Hands the caller what the kernel wrote.
    fn take_back(&self, result: i64) {
        for Placed {
            operand,
            at,
            length,
        } in &self.placed
        {
            let to = self.start(operand.word);
            let from = self.area.wrapping_add(*at);
            match operand.way {
                Way::In | Way::Data => {}
                Way::Out if result == -1 => {}
                // SAFETY: the caller's memory, as long as it says (`Elsewhere::call`), and as
                // much of the area (`walk`).
                Way::Out | Way::Both => unsafe { from.copy_to_nonoverlapping(to, *length) },
                Way::Room => {
                    let received = usize::try_from(result).unwrap_or(0).min(*length);
                    self.pieces(*at, received, |own, area, some| {
                        // SAFETY: as above.
                        unsafe { area.copy_to_nonoverlapping(own, some) }
                    });
                }
            }
        }
    }
}

impl Side for Desk<'_> {
    fn number(&self, word: usize, offset: usize, bytes: usize) -> Option<u64> {
        let start = self.start(word);
        if start.is_null() {
            return None;
        }
        let place = start.wrapping_add(offset);
        // SAFETY: the caller's memory, which holds such a number there (the table).
        Some(unsafe {
            match bytes {
                4 => place.cast::<u32>().read_unaligned().into(),
                _ => place.cast::<u64>().read_unaligned(),
            }
        })
    }

    fn place(&mut self, placed: Placed) {
        let Placed {
            operand,
            at,
            length,
        } = placed;
        let from = self.start(operand.word);
        let to = self.area.wrapping_add(at);
        match operand.way {
            // SAFETY: the caller's memory, as long as it says, and as much of the area.
            Way::In | Way::Both => unsafe { from.copy_to_nonoverlapping(to, length) },
            Way::Data => self.pieces(at, length, |own, area, some| {
                // SAFETY: as above.
                unsafe { own.copy_to_nonoverlapping(area, some) }
            }),
            Way::Out | Way::Room => {}
        }
        self.placed.push(placed);
    }
}

/// How many bytes the pieces have, as many as one call moves.
fn total(pieces: &[abi::iovec]) -> u64 {
    let sum = pieces
        .iter()
        .fold(0usize, |sum, piece| sum.saturating_add(piece.iov_len));
    sum.min(DATA) as u64
}

/// # Safety
/// There are as many at the place, or it is null.
unsafe fn pieces<'a>(start: *const abi::iovec, count: c_int) -> &'a [abi::iovec] {
    match usize::try_from(count) {
        // SAFETY: by contract.
        Ok(count) if !start.is_null() => unsafe { std::slice::from_raw_parts(start, count) },
        _ => &[],
    }
}

/// What stands for the place of the pieces.
const SOMEWHERE: u64 = 1;

impl Elsewhere for Client {
    unsafe fn call(&self, call: Call, arguments: &[u64]) -> i64 {
        let mut words = Words::default();
        words[..arguments.len()].copy_from_slice(arguments);
        let pointer = |word: usize| with_exposed_provenance_mut::<u8>(arguments[word] as usize);
        match call {
            Call::readv | Call::writev => {
                // SAFETY: the caller's.
                let pieces = unsafe { pieces(pointer(1).cast(), arguments[2] as c_int) };
                let call = match call {
                    Call::readv => Call::read,
                    _ => Call::write,
                };
                words[1..3].copy_from_slice(&[SOMEWHERE, total(pieces)]);
                self.make(call, &words, pieces)
            }
            // SAFETY: the caller's.
            Call::sendmsg => unsafe { self.sendmsg(pointer(1).cast(), &words) },
            // SAFETY: the caller's.
            Call::recvmsg => unsafe { self.recvmsg(pointer(1).cast(), &words) },
            Call::read | Call::recvfrom | Call::write | Call::sendto => {
                let piece = [abi::iovec {
                    iov_base: pointer(1).cast(),
                    iov_len: arguments[2] as usize,
                }];
                words[2] = total(&piece);
                self.make(call, &words, &piece)
            }
            Call::open => {
                // SAFETY: the caller's.
                let path = unsafe { CStr::from_ptr(pointer(0).cast()) };
                words[3] = path.count_bytes() as u64 + 1;
                self.make(call, &words, &[])
            }
            Call::ioctl if arguments[1] == abi::SIOCGIFCONF => {
                let conf = pointer(2).cast::<abi::ifconf>();
                // SAFETY: the caller's; the kernel's pointer is not its.
                unsafe {
                    let buffer = (*conf).ifc_ifcu;
                    words[3] = buffer.expose_provenance() as u64;
                    let result = self.make(call, &words, &[]);
                    (*conf).ifc_ifcu = buffer;
                    result
                }
            }
            _ => self.make(call, &words, &[]),
        }
    }
}

impl Client {
    /// # Safety
    /// As of `sendmsg(2)`.
    unsafe fn sendmsg(&self, message: *const abi::msghdr, arguments: &Words) -> i64 {
        // SAFETY: the caller's.
        let (message, pieces) = unsafe {
            (
                (*message),
                pieces((*message).msg_iov, (*message).msg_iovlen),
            )
        };
        let words = [
            arguments[0],
            message.msg_name.expose_provenance() as u64,
            message.msg_namelen.into(),
            message.msg_control.expose_provenance() as u64,
            message.msg_controllen.into(),
            SOMEWHERE,
            total(pieces),
            arguments[2],
        ];
        self.make(Call::sendmsg, &words, pieces)
    }

    /// # Safety
    /// As of `recvmsg(2)`.
    unsafe fn recvmsg(&self, message: *mut abi::msghdr, arguments: &Words) -> i64 {
        // SAFETY: the caller's.
        let message = unsafe { &mut *message };
        // SAFETY: the caller's.
        let pieces = unsafe { pieces(message.msg_iov, message.msg_iovlen) };
        let mut lengths = Lengths {
            name: message.msg_namelen,
            control: message.msg_controllen,
            flags: 0,
        };
        let words = [
            arguments[0],
            message.msg_name.expose_provenance() as u64,
            (&raw mut lengths).expose_provenance() as u64,
            message.msg_control.expose_provenance() as u64,
            0,
            SOMEWHERE,
            total(pieces),
            arguments[2],
        ];
        let result = self.make(Call::recvmsg, &words, pieces);
        if result != -1 {
            message.msg_namelen = lengths.name;
            message.msg_controllen = lengths.control;
            message.msg_flags = lengths.flags as c_int;
        }
        result
    }
}

/// The descriptor of this process's connection.
pub(super) fn descriptor() -> Option<RawFd> {
    CLIENT.get().map(|client| client.fd.load(Ordering::Relaxed))
}

/// A copy of this process, without what is closed at `execve(2)`: the number that it goes by.
pub(super) fn copy() -> io::Result<u64> {
    let client = CLIENT.get().ok_or(io::ErrorKind::NotConnected)?;
    let (number, _) = Order::Execute.give(&client.line().stream)?;
    Ok(number)
}

/// Ends a copy that nobody has taken over.
pub(super) fn forget(number: u64) {
    if let Some(client) = CLIENT.get() {
        // Else it ends by itself after a while.
        let _ = begin(&client.place, Order::Continue(number));
    }
}

/// The process ends: what it had open is closed when somebody has waited for it.
extern "C" fn end() {
    if let Some(client) = CLIENT.get() {
        // Or when the kernel's process sees that it is gone.
        let _ = Order::End.give(&client.line().stream);
    }
}

thread_local! {
    /// From before a fork until after it: the line, and the child's number.
    static FORKING: Cell<Option<Forking>> = const { Cell::new(None) };
}

struct Forking {
    line: MutexGuard<'static, Line>,
    child: io::Result<u64>,
}

extern "C" fn prepare() {
    let Some(client) = CLIENT.get() else { return };
    let line = client.line();
    let child = Order::Fork.give(&line.stream).map(|(number, _)| number);
    FORKING.set(Some(Forking { line, child }));
}

extern "C" fn go_on() {
    drop(FORKING.take());
}

extern "C" fn go_on_in_child() {
    let (Some(client), Some(mut forking)) = (CLIENT.get(), FORKING.take()) else {
        return;
    };
    client.generation.fetch_add(1, Ordering::Relaxed);
    forking.line.free.clear();
    let connected = forking
        .child
        .and_then(|child| begin(&client.place, Order::Continue(child)));
    match connected {
        Ok(stream) => {
            client.fd.store(stream.as_raw_fd(), Ordering::Relaxed);
            forking.line.stream = Arc::new(stream);
        }
        Err(_) => kernel::gone(),
    }
}
