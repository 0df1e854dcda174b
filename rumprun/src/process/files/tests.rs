use super::*;
use std::ffi::CString;
use std::sync::Mutex as StdMutex;
use std::vec;

/// A machine that keeps what is printed.
#[derive(Default)]
struct Kept(StdMutex<Vec<u8>>);

impl Outside for Kept {
    fn wall(&self) -> u64 {
        1_700_000_000_000_000_000
    }
    fn print(&self, text: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(text);
    }
    fn random(&self, into: &mut [u8]) {
        into.fill(7);
    }
    fn tell(&self, what: Told) -> Vec<u8> {
        alloc::format!("{what:?}\n").into_bytes()
    }
}

/// Makes calls with what this process owns.
struct Caller {
    files: Files,
    kept: &'static Kept,
}

fn caller() -> Caller {
    let kept: &'static Kept = std::boxed::Box::leak(Default::default());
    Caller {
        files: Files::new(Tree::new(), kept),
        kept,
    }
}

fn at<T>(of: &[T]) -> u64 {
    of.as_ptr().addr() as u64
}

fn at_mut<T>(of: &mut [T]) -> u64 {
    of.as_mut_ptr().addr() as u64
}

impl Caller {
    fn call(&self, number: u32, args: &[u64]) -> Result<i64> {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.files.call(number, &all).expect("a call about files")
    }

    fn with_path(&self, number: u32, path: &str, args: &[u64]) -> Result<i64> {
        let path = CString::new(path).unwrap();
        let mut all = vec![at(path.to_bytes_with_nul())];
        all.extend(args);
        self.call(number, &all)
    }

    fn open(&self, path: &str, flags: u32) -> Result<u64> {
        let fd = self.with_path(__NR_open, path, &[flags.into(), 0o666])?;
        Ok(fd as u64)
    }

    fn write(&self, fd: u64, text: &str) -> Result<i64> {
        self.call(__NR_write, &[fd, at(text.as_bytes()), text.len() as u64])
    }

    fn read(&self, fd: u64, most: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let length = self.call(__NR_read, &[fd, at_mut(&mut bytes), most as u64])?;
        bytes.truncate(length as usize);
        Ok(bytes)
    }
}

#[test]
fn what_is_written_is_read() {
    let caller = caller();
    let fd = caller.open("/tmp/f", O_CREAT | O_RDWR).unwrap();
    assert_eq!(fd, 3);
    assert_eq!(caller.write(fd, "0123456789"), Ok(10));
    assert_eq!(caller.read(fd, 9).unwrap(), b"");
    assert_eq!(
        caller.call(__NR_lseek, &[fd, -4_i64 as u64, SEEK_END.into()]),
        Ok(6)
    );
    assert_eq!(caller.read(fd, 3).unwrap(), b"678");
    let mut two = [0_u8; 2];
    assert_eq!(
        caller.call(__NR_pread64, &[fd, at_mut(&mut two), 2, 4]),
        Ok(2)
    );
    assert_eq!(&two, b"45");
    let (mut one, mut rest) = ([0_u8; 1], [0_u8; 20]);
    let vectors = [[at_mut(&mut one), 1], [at_mut(&mut rest), 20]];
    assert_eq!(
        caller.call(__NR_preadv, &[fd, at(&vectors), 2, 0, 0]),
        Ok(10)
    );
    assert_eq!((&one, &rest[..9]), (b"0", &b"123456789"[..]));
    // Where a program of 64 bits puts the high half of the position is nobody's concern.
    let file = caller.files.file(fd).unwrap();
    assert_eq!(*file.position.lock(), 9);
    assert_eq!(caller.call(__NR_ftruncate, &[fd, 4]), Ok(0));
    assert_eq!(caller.call(__NR_lseek, &[fd, 0, SEEK_END.into()]), Ok(4));
    assert_eq!(
        caller.call(__NR_lseek, &[fd, -5_i64 as u64, SEEK_CUR.into()]),
        Err(Errno::EINVAL)
    );
    assert_eq!(caller.call(__NR_close, &[fd]), Ok(0));
    assert_eq!(caller.call(__NR_close, &[fd]), Err(Errno::EBADF));
    let fd = caller.open("/tmp/f", O_WRONLY | O_APPEND).unwrap();
    assert_eq!(caller.write(fd, "xy"), Ok(2));
    assert_eq!(caller.read(fd, 1), Err(Errno::EBADF));
    let fd = caller.open("/tmp/f", O_RDONLY).unwrap();
    assert_eq!(caller.read(fd, 20).unwrap(), b"0123xy");
    assert_eq!(caller.write(fd, "z"), Err(Errno::EBADF));
}

#[test]
fn flags_of_open_are_obeyed() {
    let caller = caller();
    let open = |path, flags| caller.open(path, flags).map(drop);
    assert_eq!(open("/tmp/f", O_RDONLY), Err(Errno::ENOENT));
    assert_eq!(open("/tmp/f", O_CREAT | O_EXCL | O_WRONLY), Ok(()));
    assert_eq!(
        open("/tmp/f", O_CREAT | O_EXCL | O_WRONLY),
        Err(Errno::EEXIST)
    );
    assert_eq!(open("/tmp/f", O_DIRECTORY), Err(Errno::ENOTDIR));
    assert_eq!(open("/tmp", O_RDWR), Err(Errno::EISDIR));
    assert_eq!(open("/tmp/f/x", O_CREAT | O_RDWR), Err(Errno::ENOTDIR));
    assert_eq!(open("/none/x", O_CREAT | O_RDWR), Err(Errno::ENOENT));
    assert_eq!(open("/proc/self/maps", O_WRONLY), Err(Errno::EACCES));
    let path = CString::new("gone").unwrap();
    let link = CString::new("/tmp/link").unwrap();
    let both = [at(path.to_bytes_with_nul()), at(link.to_bytes_with_nul())];
    assert_eq!(caller.call(__NR_symlink, &both), Ok(0));
    assert_eq!(open("/tmp/link", O_NOFOLLOW), Err(Errno::ELOOP));
    assert_eq!(open("/tmp/link", O_RDONLY), Err(Errno::ENOENT));
    assert_eq!(
        open("/tmp/link", O_CREAT | O_EXCL | O_RDWR),
        Err(Errno::EEXIST)
    );
    assert_eq!(open("/tmp/link", O_CREAT | O_RDWR), Ok(()));
    assert_eq!(open("/tmp/gone", O_RDONLY), Ok(()));
    let fd = caller.open("/tmp/f", O_RDONLY | O_CLOEXEC).unwrap();
    assert_eq!(caller.call(__NR_fcntl, &[fd, F_GETFD.into()]), Ok(1));
    let copy = caller.call(__NR_dup, &[fd]).unwrap() as u64;
    assert_eq!(caller.call(__NR_fcntl, &[copy, F_GETFD.into()]), Ok(0));
    assert_eq!(
        caller.call(__NR_fcntl, &[fd, F_SETFL.into(), O_APPEND.into()]),
        Ok(0)
    );
    assert_eq!(
        caller.call(__NR_fcntl, &[copy, F_GETFL.into()]),
        Ok(O_APPEND.into())
    );
    assert_eq!(caller.call(__NR_dup2, &[fd, 90]), Ok(90));
    assert_eq!(caller.call(__NR_dup3, &[fd, 91, O_CLOEXEC.into()]), Ok(91));
    assert_eq!(caller.call(__NR_close_range, &[90, 95, 0]), Ok(0));
    assert_eq!(caller.call(__NR_close, &[91]), Err(Errno::EBADF));
}

#[test]
fn devices_do_what_they_do() {
    let caller = caller();
    assert_eq!(caller.write(1, "hello"), Ok(5));
    assert_eq!(&*caller.kept.0.lock().unwrap(), b"hello");
    assert_eq!(caller.read(0, 5).unwrap(), b"");
    let of = |path| caller.open(path, O_RDWR).unwrap();
    assert_eq!(caller.read(of("/dev/zero"), 3).unwrap(), [0; 3]);
    assert_eq!(caller.read(of("/dev/urandom"), 3).unwrap(), [7; 3]);
    assert_eq!(caller.read(of("/dev/null"), 3).unwrap(), b"");
    assert_eq!(caller.write(of("/dev/full"), "x"), Err(Errno::ENOSPC));
    assert_eq!(caller.call(__NR_lseek, &[1, 0, 0]), Err(Errno::ESPIPE));
    assert_eq!(
        caller.call(__NR_ioctl, &[1, ioctl::TCGETS.into(), 0]),
        Err(Errno::ENOTTY)
    );
    let maps = caller.open("/proc/self/maps", O_RDONLY).unwrap();
    assert_eq!(caller.read(maps, 100).unwrap(), b"Maps\n");
}

#[test]
fn folders_are_told() {
    let caller = caller();
    for name in ["b", "a", "long-name-of-a-file"] {
        caller
            .open(&alloc::format!("/tmp/{name}"), O_CREAT | O_RDWR)
            .unwrap();
    }
    let folder = caller.open("/tmp", O_RDONLY | O_DIRECTORY).unwrap();
    let mut names = Vec::new();
    loop {
        let mut bytes = [0_u8; 64];
        let length = caller
            .call(__NR_getdents64, &[folder, at_mut(&mut bytes), 64])
            .unwrap();
        let mut rest = &bytes[..length as usize];
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let size = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..size].split(|byte| *byte == 0).next().unwrap();
            names.push((
                std::string::String::from_utf8(name.to_vec()).unwrap(),
                rest[18],
            ));
            rest = &rest[size..];
        }
    }
    let expected = [
        (".", 4),
        ("..", 4),
        ("a", 8),
        ("b", 8),
        ("long-name-of-a-file", 8),
    ];
    let expected = expected.map(|(name, kind)| (std::string::String::from(name), kind));
    assert_eq!(names, expected);
    let mut none = [0_u8; 8];
    assert_eq!(
        caller.call(__NR_getdents64, &[folder, at_mut(&mut none), 8]),
        Ok(0)
    );
    let again = caller.open("/tmp", O_RDONLY).unwrap();
    assert_eq!(
        caller.call(__NR_getdents64, &[again, 4096, 8]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn what_a_file_is() {
    let caller = caller();
    let fd = caller.open("/tmp/f", O_CREAT | O_RDWR).unwrap();
    caller.write(fd, "12345").unwrap();
    let mut stat = [0_u64; 18];
    assert_eq!(caller.call(__NR_fstat, &[fd, at_mut(&mut stat)]), Ok(0));
    assert_eq!((stat[3] as u32, stat[6], stat[2]), (0o100_644, 5, 1));
    assert_eq!(stat[13], 1_700_000_000);
    let mut statx = [0_u8; 256];
    let path = CString::new("/dev/null").unwrap();
    let args = [0, at(path.to_bytes_with_nul()), 0, 0, at_mut(&mut statx)];
    assert_eq!(caller.call(__NR_statx, &args), Ok(0));
    assert_eq!(u16::from_ne_bytes([statx[28], statx[29]]), 0o020_666);
    assert_eq!((statx[128], statx[132]), (1, 3));
    assert_eq!(
        caller.with_path(__NR_stat, "/none", &[0]),
        Err(Errno::ENOENT)
    );
    assert_eq!(caller.call(__NR_stat, &[0, 0]), Err(Errno::EFAULT));
}

#[test]
fn the_current_folder_is_kept() {
    let caller = caller();
    let mkdir = |path| caller.with_path(__NR_mkdir, path, &[0o777]);
    assert_eq!(mkdir("/tmp/d"), Ok(0));
    assert_eq!(mkdir("/tmp/d"), Err(Errno::EEXIST));
    assert_eq!(caller.with_path(__NR_chdir, "/tmp/d", &[]), Ok(0));
    let mut path = [0_u8; 16];
    assert_eq!(caller.call(__NR_getcwd, &[at_mut(&mut path), 16]), Ok(7));
    assert_eq!(&path[..7], b"/tmp/d\0");
    assert_eq!(
        caller.call(__NR_getcwd, &[at_mut(&mut path), 6]),
        Err(Errno::ERANGE)
    );
    caller.open("f", O_CREAT | O_RDWR).unwrap();
    assert!(caller.open("/tmp/d/f", O_RDONLY).is_ok());
    assert_eq!(
        caller.with_path(__NR_rmdir, "/tmp/d", &[]),
        Err(Errno::ENOTEMPTY)
    );
    assert_eq!(caller.with_path(__NR_unlink, "f", &[]), Ok(0));
    assert_eq!(caller.with_path(__NR_rmdir, "/tmp/d", &[]), Ok(0));
    assert_eq!(caller.with_path(__NR_rmdir, "/", &[]), Err(Errno::EBUSY));
    // It is gone, and one is still in it.
    assert_eq!(
        caller.call(__NR_getcwd, &[at_mut(&mut path), 16]),
        Err(Errno::ENOENT)
    );
    assert_eq!(caller.open("f", O_CREAT | O_RDWR), Err(Errno::ENOENT));
}

proptest::proptest! {
    /// Whatever is asked for, in whatever order, with descriptors and numbers at random.
    #[test]
    fn no_call_does_harm(calls in proptest::collection::vec(
        (0..40_usize, proptest::array::uniform3(0..6_u64), 0..5_usize), 0..60,
    )) {
        const NUMBERS: [u32; 40] = [
            __NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64, __NR_pwrite64,
            __NR_lseek, __NR_ftruncate, __NR_fallocate, __NR_fsync, __NR_close, __NR_dup,
            __NR_dup2, __NR_fcntl, __NR_ioctl, __NR_open, __NR_openat, __NR_chdir,
            __NR_fchdir, __NR_getcwd, __NR_mkdir, __NR_rmdir, __NR_unlink, __NR_rename,
            __NR_link, __NR_symlink, __NR_readlink, __NR_truncate, __NR_chmod, __NR_fchmod,
            __NR_utimensat, __NR_stat, __NR_lstat, __NR_fstat, __NR_newfstatat, __NR_statx,
            __NR_getdents64, __NR_access, __NR_umask, __NR_close_range,
        ];
        let caller = caller();
        let paths: [&[u8]; 5] = [b"/tmp/a\0", b"/tmp/b\0", b"/tmp/a/c\0", b"..\0", b"\0"];
        let mut room = vec![0_u64; 64];
        for (number, numbers, path) in calls {
            let number = NUMBERS[number];
            let path = at(paths[path]);
            let room = at_mut(&mut room);
            // A path where one is wanted, and else a place with room.
            let args: Args = match number {
                __NR_open => [path, u64::from(O_CREAT | O_RDWR), 0, 0, 0, 0],
                __NR_chdir | __NR_rmdir | __NR_unlink | __NR_mkdir | __NR_chmod | __NR_truncate
                | __NR_access => [path, numbers[1], 0, 0, 0, 0],
                __NR_rename | __NR_link | __NR_symlink => [path, at(paths[numbers[1] as usize % 5]), 0, 0, 0, 0],
                __NR_readlink | __NR_stat | __NR_lstat => [path, room, 16, 0, 0, 0],
                __NR_openat | __NR_newfstatat => [numbers[0], path, room, numbers[2], 0, 0],
                __NR_utimensat => [numbers[0], path, 0, numbers[2], 0, 0],
                __NR_statx => [numbers[0], path, 0, 0, room, 0],
                __NR_readv | __NR_writev => [numbers[0], room, 0, 0, 0, 0],
                __NR_getcwd => [room, 64, 0, 0, 0, 0],
                __NR_lseek | __NR_ftruncate | __NR_fallocate | __NR_fcntl | __NR_dup2
                | __NR_close_range => [numbers[0], numbers[1], numbers[2], 0, 0, 0],
                _ => [numbers[0], room, numbers[2] * 8, numbers[1], 0, 0],
            };
            let result = caller.files.call(number, &args);
            proptest::prop_assert!(result.is_some(), "{}", number);
        }
    }
}
