//! The Linux host: real threads, files, memory and processes, and no kernel.
#![cfg(all(feature = "std", not(loom)))]
#![allow(unsafe_code)]

use rump_hyper::abi::{BioDone, Hyperup, bio, clock, open};
use rump_hyper::hypercall as call;
use rump_hyper::linux::LinuxHost as H;
use rump_hyper::{console, memory, params};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// A kernel that lets everybody pass.
fn start() {
    // SAFETY: a live table; with no entry points there is nobody to call.
    let error = unsafe { call::init::<H>(17, &Hyperup::default()) };
    assert_eq!(error, 0);
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rump-hyper-{}-{name}", std::process::id()))
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
}

static NAME: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

unsafe extern "C-unwind" fn names_itself(arg: *mut c_void) -> *mut c_void {
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    NAME.lock().unwrap().push_str(name.trim_end());
    // SAFETY: the counter outlives the thread, which is joined.
    unsafe { &*arg.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
    // SAFETY: a thread of the hypervisor, and nothing here needs dropping.
    unsafe { call::thread_exit::<H>() }
}

#[test]
fn thread_has_its_name_and_ends_by_exit() {
    start();
    let ran = AtomicUsize::new(0);
    let mut cookie = null_mut();
    // SAFETY: everything passed is live until the thread has been joined.
    unsafe {
        let error = call::thread_create::<H>(
            names_itself,
            (&raw const ran).cast_mut().cast(),
            c"fifteen-bytes-and-more".as_ptr(),
            1,
            0,
            -1,
            &mut cookie,
        );
        assert_eq!(error, 0);
        assert_eq!(call::thread_join::<H>(cookie), 0);
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(*NAME.lock().unwrap(), "fifteen-bytes-a");
}

#[test]
fn curlwp_and_errno_are_per_thread() {
    start();
    let lwp = std::ptr::without_provenance_mut(64);
    // SAFETY: the lwp is only compared.
    unsafe {
        call::curlwpop::<H>(0, lwp);
        call::curlwpop::<H>(2, lwp);
        assert_eq!(call::curlwp::<H>(), lwp);
        call::seterrno::<H>(61);
    }
    std::thread::spawn(|| {
        // SAFETY: takes nothing.
        assert!(unsafe { call::curlwp::<H>() }.is_null());
        assert_eq!(rump_hyper::errno(), 0);
    })
    .join()
    .unwrap();
    assert_eq!(rump_hyper::errno(), 61);
    // SAFETY: it is this thread's lwp.
    unsafe { call::curlwpop::<H>(3, lwp) };
    // SAFETY: takes nothing.
    assert!(unsafe { call::curlwp::<H>() }.is_null());
}

fn allocate(size: usize, align: c_int) -> *mut c_void {
    let mut memory = null_mut();
    // SAFETY: a place for the address.
    let error = unsafe { call::malloc::<H>(size, align, &mut memory) };
    assert_eq!(error, 0);
    memory
}

#[test]
fn memory_is_aligned_distinct_and_accounted() {
    start();
    let sizes: Vec<_> = [
        (1, 0),
        (100, 64),
        (4096, 4096),
        (65536, 65536),
        (4096, 4096),
    ]
    .into();
    let blocks: Vec<_> = sizes
        .iter()
        .map(|&(size, align)| {
            let block = allocate(size, align);
            assert!(block.addr().is_multiple_of(align.max(8) as usize));
            // SAFETY: fresh memory of that size.
            unsafe { block.cast::<u8>().write_bytes(0xa5, size) };
            (block, size)
        })
        .collect();
    let total: usize = sizes.iter().map(|(size, _)| size).sum();
    assert!(memory::in_use() >= total);
    for (block, size) in blocks {
        // SAFETY: allocated above with this size.
        unsafe {
            let bytes = std::slice::from_raw_parts(block.cast::<u8>(), size);
            assert!(bytes.iter().all(|byte| *byte == 0xa5));
            call::free::<H>(block, size);
        }
    }
}

#[test]
fn mappings_have_the_alignment_asked_for() {
    start();
    for bits in [0, 12, 16, 21] {
        let mut start = null_mut();
        // SAFETY: a place for the address; the mapping is used within its size.
        unsafe {
            assert_eq!(
                call::anonmmap::<H>(null_mut(), 8192, bits, 0, &mut start),
                0
            );
            assert!(start.addr().is_multiple_of(1 << bits));
            start.cast::<u8>().write_bytes(1, 8192);
            call::unmap::<H>(start, 8192);
        }
    }
    let mut nothing = null_mut();
    // SAFETY: a place for the address.
    let error = unsafe { call::anonmmap::<H>(null_mut(), usize::MAX / 2, 0, 0, &mut nothing) };
    assert_eq!(error, 12, "ENOMEM");
}

#[test]
fn clocks_advance_and_sleeps_last() {
    start();
    let read = |which| {
        let (mut seconds, mut nanoseconds) = (0, 0);
        // SAFETY: two places for the answer.
        unsafe { call::clock_gettime::<H>(which, &mut seconds, &mut nanoseconds) };
        Duration::new(seconds.try_into().unwrap(), nanoseconds.try_into().unwrap())
    };
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(read(clock::RELWALL).abs_diff(wall) < Duration::from_secs(5));
    let begin = (read(clock::ABSMONO), Instant::now());
    let until = begin.0 + Duration::from_millis(30);
    // SAFETY: takes no memory.
    unsafe {
        assert_eq!(
            call::clock_sleep::<H>(clock::RELWALL, 0, 20_000_000),
            0,
            "relative"
        );
        assert!(begin.1.elapsed() >= Duration::from_millis(20));
        let nanoseconds = until.subsec_nanos().into();
        let seconds = until.as_secs().try_into().unwrap();
        assert_eq!(
            call::clock_sleep::<H>(clock::ABSMONO, seconds, nanoseconds),
            0
        );
    }
    assert!(read(clock::ABSMONO) >= until);
}

#[test]
fn files_are_read_and_written_where_asked() {
    start();
    let path = scratch("file");
    let name = c_path(&path);
    let mut fd = -1;
    let mut moved = 0;
    let iov = |bytes: &mut [u8]| rump_hyper::abi::Iovec {
        base: bytes.as_mut_ptr().cast(),
        len: bytes.len(),
    };
    // SAFETY: everything passed is live.
    unsafe {
        assert_eq!(call::open::<H>(name.as_ptr(), open::RDWR, &mut fd), 2);
        let create = open::RDWR | open::CREATE | open::EXCL;
        assert_eq!(call::open::<H>(name.as_ptr(), create, &mut fd), 0);
        let mut again = -1;
        assert_eq!(call::open::<H>(name.as_ptr(), create, &mut again), 17);
        let (mut one, mut two) = (*b"hello ", *b"world");
        let out = [iov(&mut one), iov(&mut two)];
        assert_eq!(call::iovwrite::<H>(fd, out.as_ptr(), 2, 10, &mut moved), 0);
        assert_eq!(moved, 11);
        let mut back = [0; 32];
        let into = [iov(&mut back)];
        assert_eq!(call::iovread::<H>(fd, into.as_ptr(), 1, 10, &mut moved), 0);
        assert_eq!(&back[..moved], b"hello world");
        assert_eq!(call::iovread::<H>(fd, into.as_ptr(), 1, -1, &mut moved), 0);
        assert_eq!(moved, 21, "the descriptor itself has not moved");
        assert_eq!(call::syncfd::<H>(fd, 2, 0, 0), 0);
        let (mut size, mut kind) = (0, 0);
        assert_eq!(
            call::getfileinfo::<H>(name.as_ptr(), &mut size, &mut kind),
            0
        );
        assert_eq!((size, kind), (21, 2));
        assert_eq!(call::close::<H>(fd), 0);
        assert_eq!(call::iovread::<H>(fd, into.as_ptr(), 1, -1, &mut moved), 9);
    }
    std::fs::remove_file(path).unwrap();
}

unsafe extern "C" fn bio_done(arg: *mut c_void, moved: usize, error: c_int) {
    // SAFETY: the sender of the request, which is waited for.
    let sender = unsafe { Box::from_raw(arg.cast::<Sender<(usize, c_int)>>()) };
    sender.send((moved, error)).unwrap();
}

#[test]
fn block_io_completes_with_what_it_moved() {
    start();
    let path = scratch("bio");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let name = c_path(&path);
    let mut fd = -1;
    // SAFETY: a C string and a place for the descriptor.
    let error = unsafe { call::open::<H>(name.as_ptr(), open::RDWR, &mut fd) };
    assert_eq!(error, 0);
    let submit = |op, buf: &mut [u8], offset| {
        let (sender, receiver) = channel::<(usize, c_int)>();
        let arg = Box::into_raw(Box::new(sender)).cast();
        let (start, len) = (buf.as_mut_ptr().cast(), buf.len());
        // SAFETY: the buffer lives until the answer has come, see below.
        unsafe { call::bio::<H>(fd, op, start, len, offset, bio_done as BioDone, arg) };
        receiver
    };
    let mut buffers = vec![vec![0_u8; 65536]; 64];
    let receivers: Vec<_> = buffers
        .iter_mut()
        .enumerate()
        .map(|(at, buf)| submit(bio::READ, buf, (at as i64) << 14))
        .collect();
    for (at, receiver) in receivers.into_iter().enumerate() {
        let left = (1 << 20) - (at << 14);
        assert_eq!(
            receiver.recv().unwrap(),
            (left.min(65536), 0),
            "request {at}"
        );
    }
    assert!(buffers[0].iter().all(|byte| *byte == 7));
    let mut data = vec![9_u8; 1000];
    let written = submit(2 | bio::SYNC, &mut data, 5000).recv().unwrap();
    assert_eq!(written, (1000, 0));
    assert_eq!(std::fs::read(&path).unwrap()[5000..6000], data);
    // SAFETY: the descriptor is not used again, but for one that must fail.
    unsafe { call::close::<H>(fd) };
    assert_eq!(submit(bio::READ, &mut data, 0).recv().unwrap(), (0, 9));
    std::fs::remove_file(path).unwrap();
}

fn ask(name: &CStr, room: usize) -> Result<String, c_int> {
    let mut buf = vec![0x7f; room];
    // SAFETY: a C string and a buffer of that size.
    match unsafe { call::getparam::<H>(name.as_ptr(), buf.as_mut_ptr().cast(), room) } {
        0 => Ok(CStr::from_bytes_until_nul(&buf)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()),
        error => Err(error),
    }
}

#[test]
fn parameters() {
    start();
    assert_eq!(ask(c"_RUMPUSER_NCPU", 16).unwrap(), "2");
    params::set("RUMP_NCPU", "host");
    let host = std::thread::available_parallelism().unwrap().to_string();
    assert_eq!(ask(c"_RUMPUSER_NCPU", 16).unwrap(), host);
    params::set("RUMP_NCPU", "3");
    assert_eq!(ask(c"_RUMPUSER_NCPU", 16).unwrap(), "3");
    let name = format!("rump-{}", std::process::id());
    assert_eq!(ask(c"_RUMPUSER_HOSTNAME", 64).unwrap(), name);
    params::set("RUMP_HOSTNAME", "north");
    assert_eq!(ask(c"_RUMPUSER_HOSTNAME", 64).unwrap(), "north");
    assert_eq!(ask(c"_RUMPUSER_HOSTNAME", 6).unwrap(), "north");
    assert_eq!(ask(c"_RUMPUSER_HOSTNAME", 5), Err(7), "no room for the NUL");
    assert_eq!(ask(c"_RUMPUSER_OTHER", 64), Err(22));
    assert_eq!(ask(c"RUMP_NOT_THERE", 64), Err(2));
    assert_eq!(ask(c"PATH", 4096), Err(2), "not every variable is ours");
    assert_eq!(memory::limit(), None);
    params::set("RUMP_MEMLIMIT", "12m");
    assert_eq!(memory::limit(), Some(12 << 20));
    params::set("RUMP_MEMLIMIT", "12q");
    assert_eq!(memory::limit(), None);
}

unsafe extern "C" {
    fn rumpuser_dprintf(format: *const c_char, ...);
}

static LINES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

fn sink(line: &[u8]) {
    let line = String::from_utf8_lossy(line).into_owned();
    LINES.lock().unwrap().push(line);
}

#[test]
fn console_goes_to_the_sink_by_lines_and_is_kept() {
    start();
    console::set_sink(sink);
    for byte in b"one line\nand " {
        // SAFETY: takes no memory.
        unsafe { call::putchar::<H>((*byte).into()) };
    }
    let (word, number) = (c"another".as_ptr(), c_int::from(42_i8));
    // SAFETY: the arguments are what the format says.
    unsafe { rumpuser_dprintf(c"%s: %d\n".as_ptr(), word, number) };
    let lines = LINES.lock().unwrap().clone();
    assert_eq!(lines, ["one line\n", "and another: 42\n"]);
    let tail = String::from_utf8(console::tail()).unwrap();
    assert!(tail.ends_with("one line\nand another: 42\n"), "{tail}");
    let long = CString::new("x".repeat(5000)).unwrap();
    // SAFETY: as above.
    unsafe { rumpuser_dprintf(c"%s".as_ptr(), long.as_ptr()) };
    assert!(console::tail().ends_with(b"xxxx"));
    assert!(console::tail().len() <= 8192);
}

#[test]
fn randomness_is_not_constant() {
    start();
    let mut bufs = [[0_u8; 32]; 2];
    for buf in &mut bufs {
        let mut got = 0;
        // SAFETY: a buffer of that size and a place for the count.
        let error = unsafe { call::getrandom::<H>(buf.as_mut_ptr().cast(), 32, 1, &mut got) };
        assert_eq!((error, got), (0, 32));
    }
    assert_ne!(bufs[0], bufs[1]);
}

/// Forks; returns how the child ended.
fn in_child(child: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the child calls nothing that another thread may have locked, but
    // what is under test, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = child();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: a child of this process and a place for the status.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    status
}

#[test]
fn a_fork_knows_that_it_is_one() {
    start();
    assert!(!rump_hyper::forked());
    let status = in_child(|| c_int::from(rump_hyper::forked()));
    assert_eq!(libc::WEXITSTATUS(status), 1);
    assert!(!rump_hyper::forked());
}

#[test]
fn a_panic_of_the_kernel_aborts() {
    start();
    let status = in_child(|| {
        // SAFETY: ends the child.
        unsafe { call::exit::<H>(-1) }
    });
    assert!(libc::WIFSIGNALED(status));
    assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
}

#[test]
fn a_daemon_reports_its_start_to_its_parent() {
    start();
    for error in [0, 5] {
        let status = in_child(|| {
            // SAFETY: the child, then the daemon, end below or in the call.
            unsafe {
                assert_eq!(call::daemonize_begin::<H>(), 0);
                c_int::from(call::daemonize_done::<H>(error) != 0)
            }
        });
        assert_eq!(libc::WEXITSTATUS(status), error);
    }
    // SAFETY: takes nothing; nothing was begun here.
    assert_eq!(unsafe { call::daemonize_done::<H>(0) }, 2);
}

static SIGNALLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: c_int) {
    SIGNALLED.store(signal, Ordering::SeqCst);
}

#[test]
fn signals_have_linux_numbers_when_they_arrive() {
    start();
    let handler = note as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGUSR1, handler) };
    // SAFETY: takes no memory. 30 is NetBSD's SIGUSR1.
    unsafe { call::kill::<H>(-1, 30) };
    assert_eq!(SIGNALLED.load(Ordering::SeqCst), libc::SIGUSR1);
}
