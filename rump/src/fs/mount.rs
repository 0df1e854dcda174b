//! Mounting and unmounting: `mount(2)`.

use super::MountError;
use crate::block::{Backend, BlockDevice, Disk, Image};
use crate::kernel::Kernel;
use crate::sys::{fault, file as sys};
use rump_sys::abi::fs;
use std::ffi::CStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A mounted file system.
///
/// [`unmount`](Self::unmount) says whether all of it was written. Dropping it tries to, and
/// tells of a failure by the crate `tracing`.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
    device: Option<PathBuf>,
    /// One that was made for it.
    disk: Option<Disk>,
    mounted: bool,
}

/// A kind of file system, and what can be said about it.
pub trait FileSystem: sealed::Sealed {
    /// Its name in the kernel.
    #[doc(hidden)]
    const NAME: &'static CStr;

    #[doc(hidden)]
    fn arguments(&self) -> Arguments;
}

mod sealed {
    pub trait Sealed {}
}

/// What the kernel is told of a file system.
#[doc(hidden)]
pub struct Arguments(sys::Arguments);

impl sealed::Sealed for Ffs {}
impl sealed::Sealed for Ext2 {}
impl sealed::Sealed for Msdos {}
impl sealed::Sealed for Cd9660 {}
impl sealed::Sealed for Tmpfs {}

/// The Berkeley Fast File System, in both versions and byte orders.
#[derive(Debug, Clone, Default)]
pub struct Ffs(());

/// ext2, with what NetBSD knows of the later versions.
#[derive(Debug, Clone, Default)]
pub struct Ext2(());

/// FAT, with 12, 16 or 32 bits.
#[derive(Debug, Clone)]
pub struct Msdos {
    user: u32,
    group: u32,
    file_mask: u32,
    directory_mask: u32,
    flags: i32,
    minutes_east: i32,
}

/// ISO 9660, with Rock Ridge or Joliet names; always read-only.
#[derive(Debug, Clone, Default)]
pub struct Cd9660 {
    flags: i32,
}

/// Files in the kernel's memory.
#[derive(Debug, Clone)]
pub struct Tmpfs {
    nodes: u64,
    bytes: i64,
    user: u32,
    group: u32,
    mode: u32,
}

impl FileSystem for Ffs {
    const NAME: &'static CStr = c"ffs";

    fn arguments(&self) -> Arguments {
        Arguments(sys::Arguments::Ufs)
    }
}

impl FileSystem for Ext2 {
    const NAME: &'static CStr = c"ext2fs";

    fn arguments(&self) -> Arguments {
        Arguments(sys::Arguments::Ufs)
    }
}

impl FileSystem for Msdos {
    const NAME: &'static CStr = c"msdos";

    fn arguments(&self) -> Arguments {
        Arguments(sys::Arguments::Msdos {
            user: self.user,
            group: self.group,
            file_mask: self.file_mask,
            directory_mask: self.directory_mask,
            flags: self.flags,
            minutes_east: self.minutes_east,
        })
    }
}

impl FileSystem for Cd9660 {
    const NAME: &'static CStr = c"cd9660";

    fn arguments(&self) -> Arguments {
        Arguments(sys::Arguments::Iso { flags: self.flags })
    }
}

impl FileSystem for Tmpfs {
    const NAME: &'static CStr = c"tmpfs";

    fn arguments(&self) -> Arguments {
        Arguments(sys::Arguments::Tmpfs {
            nodes: self.nodes,
            bytes: self.bytes,
            user: self.user,
            group: self.group,
            mode: self.mode,
        })
    }
}

/// What is to be mounted, and how (`mount(8)`).
#[derive(Debug, Clone)]
pub struct Builder<F> {
    kernel: Kernel,
    kind: F,
    flags: i32,
}

impl Mount {
    fn builder<F>(kernel: &Kernel, kind: F) -> Builder<F> {
        Builder {
            kernel: kernel.clone(),
            kind,
            flags: 0,
        }
    }

    /// Mounts a Berkeley Fast File System.
    pub fn ffs(kernel: &Kernel) -> Builder<Ffs> {
        Self::builder(kernel, Ffs::default())
    }

    /// Mounts ext2.
    pub fn ext2(kernel: &Kernel) -> Builder<Ext2> {
        Self::builder(kernel, Ext2::default())
    }

    /// Mounts a FAT file system, whose names are UTF-8.
    pub fn msdos(kernel: &Kernel) -> Builder<Msdos> {
        let kind = Msdos {
            user: 0,
            group: 0,
            file_mask: 0o755,
            directory_mask: 0o755,
            flags: fs::MSDOSFSMNT_LONGNAME | fs::MSDOSFSMNT_UTF8,
            minutes_east: 0,
        };
        Self::builder(kernel, kind)
    }

    /// Mounts an ISO 9660 file system, read-only.
    pub fn cd9660(kernel: &Kernel) -> Builder<Cd9660> {
        Self::builder(kernel, Cd9660::default()).read_only()
    }

    /// Mounts an empty file system in memory.
    pub fn tmpfs(kernel: &Kernel) -> Builder<Tmpfs> {
        let kind = Tmpfs {
            nodes: 0,
            bytes: 0,
            user: 0,
            group: 0,
            mode: 0o755,
        };
        Self::builder(kernel, kind)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// The disk that was made for it.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Writes out all of it, waits, and has the disk flush its cache.
    ///
    /// # Errors
    /// The file system's and the disk's.
    pub fn sync(&self) -> io::Result<()> {
        sys::sync_all_of(&self.at)?;
        match (&self.disk, &self.device) {
            (Some(disk), _) if disk.backend().is_read_only() => Ok(()),
            (Some(disk), _) => Ok(disk.backend().flush()?),
            (None, Some(device)) => flush(device),
            (None, None) => Ok(()),
        }
    }

    /// Writes out all of it and unmounts it; a disk that was made for it is detached.
    ///
    /// # Errors
    /// [`MountError::Unmount`] if something on it is open: the mount is in it, to be tried
    /// again. [`MountError::Detach`] if its disk is open, which stays then.
    pub fn unmount(self) -> Result<(), MountError> {
        self.end(false)
    }

    /// The same also if something on it is open, whose users get errors from then on.
    ///
    /// # Errors
    /// As [`unmount`](Self::unmount).
    #[doc(alias = "MNT_FORCE")]
    pub fn unmount_by_force(self) -> Result<(), MountError> {
        self.end(true)
    }

    /// Gives the mount away: it stays as long as the kernel runs.
    pub fn leave(mut self) {
        self.abandon();
    }

    fn abandon(&mut self) {
        self.mounted = false;
        // The file system goes on to use it.
        std::mem::forget(self.disk.take());
    }

    fn ended(&mut self) {
        self.mounted = false;
        if self.device.is_some() {
            fault::unmounted();
        }
    }

    fn end(mut self, force: bool) -> Result<(), MountError> {
        if let Err(source) = sys::unmount(&self.at, force) {
            let mount = Box::new(self);
            return Err(MountError::Unmount { mount, source });
        }
        self.ended();
        tracing::info!(at = %self.at.display(), "unmounted");
        match self.disk.take() {
            None => Ok(()),
            Some(disk) => disk.detach().map_err(|source| MountError::Detach {
                at: self.at.clone(),
                source: Box::new(source),
            }),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.mounted {
            return;
        }
        match sys::unmount(&self.at, false) {
            Ok(()) => self.ended(),
            Err(error) => {
                tracing::warn!(at = %self.at.display(), %error, "left mounted");
                self.abandon();
            }
        }
    }
}

/// The character device beside a block device has an r before its name.
fn flush(device: &Path) -> io::Result<()> {
    let name = device.file_name().unwrap_or_default();
    let mut raw = std::ffi::OsString::from("r");
    raw.push(name);
    BlockDevice::open(device.with_file_name(raw))?.flush()
}

macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident $flag:ident;)*) => {
        impl<F: FileSystem> Builder<F> {
            $(
                $(#[$meta])*
                #[must_use]
                pub fn $name(mut self) -> Self {
                    self.flags |= fs::$flag;
                    self
                }
            )*
        }
    };
}

flags! {
    /// It cannot be written.
    read_only MNT_RDONLY;
    /// Every write is done before the call returns.
    sync MNT_SYNCHRONOUS;
    /// No write is waited for, which may lose the file system in a crash.
    asynchronous MNT_ASYNC;
    /// Reading a file does not change when it was read.
    no_access_times MNT_NOATIME;
    /// Nodes of devices on it do not work.
    no_devices MNT_NODEV;
    /// Files on it change nobody's user.
    no_setuid MNT_NOSUID;
    /// Files on it are not executed.
    no_exec MNT_NOEXEC;
}

impl Builder<Ffs> {
    /// Keeps a log, WAPBL (`wapbl(4)`): what is unfinished after a crash is finished, or
    /// undone, by the next mount.
    #[doc(alias("MNT_LOG", "WAPBL"))]
    #[must_use]
    pub fn log(mut self) -> Self {
        self.flags |= fs::MNT_LOG;
        self
    }
}

impl Builder<Msdos> {
    /// Whose files are, of which FAT knows nothing: root's by default.
    #[must_use]
    pub fn owner(mut self, user: u32, group: u32) -> Self {
        (self.kind.user, self.kind.group) = (user, group);
        self
    }

    /// The permissions that files and directories can have, 0755 by default.
    #[must_use]
    pub fn masks(mut self, files: u32, directories: u32) -> Self {
        (self.kind.file_mask, self.kind.directory_mask) = (files, directories);
        self
    }

    /// The time zone that times on it are in, in minutes east of Greenwich; 0 by default.
    #[must_use]
    pub fn time_zone(mut self, minutes_east: i32) -> Self {
        self.kind.minutes_east = minutes_east;
        self
    }

    /// Only names of 8 and 3 characters.
    #[must_use]
    pub fn short_names(mut self) -> Self {
        self.kind.flags = fs::MSDOSFSMNT_SHORTNAME;
        self
    }
}

impl Builder<Cd9660> {
    /// Does not look at names by Rock Ridge.
    #[must_use]
    pub fn no_rock_ridge(mut self) -> Self {
        self.kind.flags |= fs::ISOFSMNT_NORRIP;
        self
    }

    /// Does not look at names by Joliet.
    #[must_use]
    pub fn no_joliet(mut self) -> Self {
        self.kind.flags |= fs::ISOFSMNT_NOJOLIET;
        self
    }
}

impl Builder<Tmpfs> {
    /// How many bytes there is room for; all the kernel's memory by default.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.kind.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self
    }

    /// How many files there can be.
    #[must_use]
    pub fn files(mut self, count: u64) -> Self {
        self.kind.nodes = count;
        self
    }

    /// Owner and permissions of its top directory.
    #[must_use]
    pub fn root(mut self, user: u32, group: u32, mode: u32) -> Self {
        (self.kind.user, self.kind.group, self.kind.mode) = (user, group, mode);
        self
    }

    /// Mounts it on a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn mount(self, at: impl AsRef<Path>) -> Result<Mount, MountError> {
        self.mount_from(None, None, at.as_ref())
    }
}

/// File systems that are on a disk.
pub trait OnDisk: FileSystem {}
impl OnDisk for Ffs {}
impl OnDisk for Ext2 {}
impl OnDisk for Msdos {}
impl OnDisk for Cd9660 {}

impl<F: OnDisk> Builder<F> {
    /// Mounts it from a disk of the kernel's, by its block device ("/dev/ld0d", "/dev/dk0"),
    /// on a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn device(
        self,
        device: impl AsRef<Path>,
        at: impl AsRef<Path>,
    ) -> Result<Mount, MountError> {
        self.mount_from(Some(device.as_ref().to_path_buf()), None, at.as_ref())
    }

    /// Mounts it from an image of the host: a file, or a block device.
    ///
    /// # Errors
    /// [`MountError`].
    #[doc(alias = "rump_etfs_register")]
    pub fn image(self, image: impl AsRef<Path>, at: impl AsRef<Path>) -> Result<Mount, MountError> {
        let path = image.as_ref();
        let opened = Image::builder()
            .read_only(self.flags & fs::MNT_RDONLY != 0)
            .open(path);
        let image = opened.map_err(|source| MountError::Image {
            path: path.to_path_buf(),
            source,
        })?;
        self.backend(image, at)
    }

    /// Mounts it from a back end, for which a disk is made.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn backend(
        self,
        backend: impl Backend + 'static,
        at: impl AsRef<Path>,
    ) -> Result<Mount, MountError> {
        let attached = Disk::attach(&self.kernel, backend);
        let disk = attached.map_err(|source| MountError::Disk {
            kind: Self::name(),
            source,
        })?;
        self.mount_from(Some(disk.path().into()), Some(disk), at.as_ref())
    }
}

impl<F: FileSystem> Builder<F> {
    fn name() -> &'static str {
        F::NAME.to_str().unwrap_or_default()
    }

    fn mount_from(
        self,
        device: Option<PathBuf>,
        disk: Option<Disk>,
        at: &Path,
    ) -> Result<Mount, MountError> {
        match super::metadata(at) {
            Err(error) if error.kind() == ErrorKind::NotFound => super::create_dir_all(at),
            found => found.map(drop),
        }
        .map_err(|source| MountError::Directory {
            at: at.to_path_buf(),
            source,
        })?;
        let from = device.as_deref().unwrap_or(Path::new(Self::name()));
        let Arguments(arguments) = self.kind.arguments();
        if device.is_some() {
            fault::mounting();
        }
        sys::mount(F::NAME, at, self.flags, from, &arguments).map_err(|source| {
            if device.is_some() {
                fault::unmounted();
            }
            MountError::Mount {
                kind: Self::name(),
                device: from.display().to_string(),
                at: at.to_path_buf(),
                source,
            }
        })?;
        tracing::info!(kind = Self::name(), from = %from.display(), at = %at.display(), "mounted");
        Ok(Mount {
            at: at.to_path_buf(),
            device,
            disk,
            mounted: true,
        })
    }
}
