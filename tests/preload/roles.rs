//! What only a program with the kernel in it has to see to.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::thread;

/// Each is a test, and a process.
pub const ROLES: &[(&str, fn())] = &[
    ("descriptors_4096", many),
    ("a_buffer_goes_meanwhile", unmapped),
    ("a_child_keeps_its_own", forks),
    ("a_program_is_executed", executes),
    ("streams_of_the_c_library", streams),
    ("pages_that_cannot_be_written", read_only),
    ("calls_by_instruction", instructions),
];

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn many() {
    let sockets: Vec<_> = (0..4096)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for (one, other) in sockets.iter().zip(sockets.iter().rev()).step_by(64) {
        one.send_to(b"here", other.local_addr().unwrap()).unwrap();
        let (length, from) = other.recv_from(&mut [0; 9]).unwrap();
        assert_eq!((length, from), (4, one.local_addr().unwrap()));
    }
    // What is closed is free for Linux's own again.
    let last = sockets.last().unwrap().as_raw_fd();
    drop(sockets);
    let files: Vec<_> = (0..4096)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    assert!(files.iter().any(|file| file.as_raw_fd() == last));
}

/// Pages of the program's, which it unmaps while the kernel uses them.
fn unmapped() {
    const LENGTH: usize = 1 << 16;
    let map = |at: *mut libc::c_void| {
        let fixed = if at.is_null() { 0 } else { libc::MAP_FIXED };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, or one in the place of this function's own.
        unsafe { libc::mmap(at, LENGTH, access, flags, -1, 0) }
    };
    let buffer = map(null_mut());
    let (one, mut other) = pair();
    one.set_nonblocking(true).unwrap();
    let ends = AtomicBool::new(false);
    let mut faults = 0;
    let place = buffer as usize;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                // SAFETY: this function's own mapping, which only system calls touch.
                unsafe { libc::munmap(place as *mut libc::c_void, LENGTH) };
                thread::yield_now();
                map(place as *mut libc::c_void);
            }
        });
        for _ in 0..3000 {
            other.write_all(&[7; 600]).unwrap();
            for number in [libc::SYS_write, libc::SYS_read] {
                // SAFETY: that it may fault is the test.
                let result = unsafe { libc::syscall(number, one.as_raw_fd(), place, 30_000) };
                let errno = Errno::last();
                faults += usize::from(result < 0 && errno == Errno::EFAULT);
                let known = [Errno::EFAULT, Errno::EAGAIN].contains(&errno);
                assert!(result > 0 || known, "{number}: {result} {errno}");
            }
            other.set_nonblocking(true).unwrap();
            while other.read(&mut [0; 65_536]).is_ok_and(|length| length > 0) {}
            other.set_nonblocking(false).unwrap();
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert!(faults > 0);
}

fn forks() {
    let (one, mut other) = pair();
    let (mut words, mut tell) = {
        let (read, write) = pipe().unwrap();
        (std::fs::File::from(read), std::fs::File::from(write))
    };
    // SAFETY: the child makes system calls and ends.
    match unsafe { fork().unwrap() } {
        ForkResult::Child => {
            let refused = send(one.as_raw_fd(), b"x", MsgFlags::empty()) == Err(Errno::EIO)
                && UdpSocket::bind("127.0.0.1:0")
                    .is_err_and(|error| error.raw_os_error() == Some(libc::EIO));
            // Its pipes are its own, and it can put one in a socket's place.
            // SAFETY: descriptors of this process.
            let placed = unsafe { libc::dup2(tell.as_raw_fd(), one.as_raw_fd()) };
            // SAFETY: as above.
            let mut placed = unsafe { std::fs::File::from_raw_fd(placed) };
            let told = placed.write_all(b"told").is_ok();
            // SAFETY: nothing is to be run at the end.
            unsafe { libc::_exit(i32::from(!(refused && told))) };
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).unwrap();
            assert_eq!(status, WaitStatus::Exited(child, 0));
        }
    }
    let mut text = [0; 4];
    words.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"told");
    tell.write_all(b"!").unwrap();
    // The parent's sockets are as they were.
    send(one.as_raw_fd(), b"mine", MsgFlags::empty()).unwrap();
    other.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"mine");
}

/// Programs that it starts end well, and take nothing of its own away.
fn executes() {
    let (mut one, mut other) = pair();
    for _ in 0..5 {
        let told = std::process::Command::new("echo").arg("hello").output();
        assert_eq!(told.unwrap().stdout, b"hello\n");
    }
    one.write_all(b"mine").unwrap();
    let mut text = [0; 4];
    other.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"mine");
}

fn streams() {
    let (one, mut other) = pair();
    other.write_all(b"a line\nanother\n").unwrap();
    // SAFETY: a descriptor that is the stream's from now on.
    unsafe {
        let fd = libc::dup(one.as_raw_fd());
        let stream = libc::fdopen(fd, c"r".as_ptr());
        assert!(!stream.is_null());
        let mut line = [0u8; 32];
        for words in [c"a line\n", c"another\n"] {
            assert!(!libc::fgets(line.as_mut_ptr().cast(), 32, stream).is_null());
            assert_eq!(std::ffi::CStr::from_bytes_until_nul(&line).unwrap(), words);
        }
        libc::fclose(stream);
        let fd = libc::dup(one.as_raw_fd());
        let stream = libc::fdopen(fd, c"w".as_ptr());
        libc::fputs(c"back".as_ptr(), stream);
        assert_eq!(libc::fclose(stream), 0);
        assert_eq!(libc::fcntl(fd, libc::F_GETFD), -1);
    }
    drop(one);
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    assert_eq!(text, "back");
}

fn read_only() {
    let (one, mut other) = pair();
    other.write_all(b"data").unwrap();
    // SAFETY: a new mapping of one page, which only system calls touch.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(null_mut(), 4096, libc::PROT_READ, flags, -1, 0)
    };
    // SAFETY: that it may fault is the test.
    let result = unsafe { libc::read(one.as_raw_fd(), page, 4) };
    assert_eq!((result, Errno::last()), (-1, Errno::EFAULT));
    // It can be sent from.
    // SAFETY: as above.
    assert_eq!(unsafe { libc::write(one.as_raw_fd(), page, 4) }, 4);
    let mut text = [1; 4];
    other.read_exact(&mut text).unwrap();
    assert_eq!(text, [0; 4]);
    // What the kernel took and could not give is lost, as with any kernel.
    other.write_all(b"more").unwrap();
    let _ = recv(one.as_raw_fd(), &mut text, MsgFlags::empty());
}

/// A system call by an instruction of this program's own.
fn instruction<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> isize {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let result;
    // SAFETY: the arguments are those of the callers below, which hand over what lives.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") all[0],
            in("rsi") all[1],
            in("rdx") all[2],
            in("r10") all[3],
            in("r8") all[4],
            in("r9") all[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// A program that does without the C library's functions, in several threads, with signals
/// blocked, and in a handler.
fn instructions() {
    let socket = || {
        let kind = [libc::AF_INET, libc::SOCK_STREAM, 0].map(|number| number as usize);
        let fd = instruction(libc::SYS_socket, kind);
        assert!(fd >= 0, "socket: {fd}");
        fd as usize
    };
    // A listener that std can connect to is the kernel's, as std's sockets are.
    let listener = socket();
    assert_eq!(instruction(libc::SYS_listen, [listener, 4]), 0);
    let (mut name, mut length) = ([0u8; 16], 16u32);
    let arguments = [
        listener,
        (&raw mut name) as usize,
        (&raw mut length) as usize,
    ];
    assert_eq!(instruction(libc::SYS_getsockname, arguments), 0);
    let port = u16::from_be_bytes([name[2], name[3]]);
    let mut one = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let other = instruction(libc::SYS_accept4, [listener, 0, 0, 0]) as usize;

    let talk = |one: &mut TcpStream, byte: u8| {
        let mut data = [byte; 5];
        let arguments = [other, (&raw mut data) as usize, data.len()];
        assert_eq!(instruction(libc::SYS_write, arguments), 5);
        let mut got = [0; 5];
        one.read_exact(&mut got).unwrap();
        assert_eq!(got, [byte; 5]);
        one.write_all(&[byte + 1; 5]).unwrap();
        assert_eq!(instruction(libc::SYS_read, arguments), 5);
        assert_eq!(data, [byte + 1; 5]);
    };
    talk(&mut one, 1);
    thread::scope(|scope| scope.spawn(|| talk(&mut one, 2)).join().unwrap());

    // Linux's own are Linux's, and what a call sets stays.
    let mut ends = [0i32; 2];
    assert_eq!(
        instruction(libc::SYS_pipe2, [(&raw mut ends) as usize, 0]),
        0
    );
    assert_eq!(
        instruction(
            libc::SYS_write,
            [ends[1] as usize, c"x".as_ptr() as usize, 1]
        ),
        1
    );
    assert_eq!(
        instruction(libc::SYS_getpid, []),
        std::process::id() as isize
    );
    assert_eq!(
        instruction(libc::SYS_close, [9999]),
        -(libc::EBADF as isize)
    );
    let (all, mut now) = (u64::MAX, 0u64);
    let block = [libc::SIG_SETMASK as usize, (&raw const all) as usize, 0, 8];
    assert_eq!(instruction(libc::SYS_rt_sigprocmask, block), 0);
    let ask = [libc::SIG_SETMASK as usize, 0, (&raw mut now) as usize, 8];
    assert_eq!(instruction(libc::SYS_rt_sigprocmask, ask), 0);
    assert_ne!(now & (1 << (libc::SIGUSR1 - 1)), 0);
    talk(&mut one, 3);
    let none = 0u64;
    let unblock = [libc::SIG_SETMASK as usize, (&raw const none) as usize, 0, 8];
    assert_eq!(instruction(libc::SYS_rt_sigprocmask, unblock), 0);

    static IN_HANDLER: AtomicIsize = AtomicIsize::new(0);
    extern "C" fn handler(_: i32) {
        IN_HANDLER.store(instruction(libc::SYS_getppid, []), Ordering::Relaxed);
    }
    // SAFETY: a handler that makes a system call only.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as *const () as usize);
        libc::raise(libc::SIGUSR1);
    }
    assert!(IN_HANDLER.load(Ordering::Relaxed) > 0);
    talk(&mut one, 4);
    assert_eq!(instruction(libc::SYS_close, [other]), 0);
    assert_eq!(one.read(&mut [0]).unwrap(), 0);
}
