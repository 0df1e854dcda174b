//! The device of the packet filter, `npf(4)`.
//!
//! A configuration goes into the kernel as bytes, and the answer comes out in pages that
//! the kernel maps for us.
#![allow(unsafe_code)]

use crate::descriptor::{AsDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys;
use rump_sys::abi::{self, npf};
use rump_sys::syscalls;
use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::io;
use std::mem::size_of;

/// What pages are rounded up to.
const PAGE: usize = 4096;

/// How many counters there is room for: later versions have some more.
const COUNTERS: usize = 64;

/// An entry of a table, as the kernel has it: 4 or 16 bytes of an address.
pub(crate) type Entry = npf::npf_ioctl_ent;

/// `/dev/npf`.
pub(crate) struct Device(OwnedDescriptor);

impl Device {
    pub(crate) fn open() -> io::Result<Self> {
        let path = c"/dev/npf";
        let flags = abi::O_RDWR | abi::O_CLOEXEC;
        // SAFETY: the path ends in 0.
        sys::call(|| unsafe { syscalls::open(path.as_ptr(), flags, 0) })
            .map(OwnedDescriptor::adopt)
            .map(Self)
    }

    pub(crate) fn version(&self) -> io::Result<c_int> {
        let mut version: c_int = 0;
        // SAFETY: an int is written.
        unsafe { self.control(npf::IOC_NPF_VERSION, &raw mut version)? };
        Ok(version)
    }

    /// Whether packets are looked at.
    pub(crate) fn switch(&self, on: bool) -> io::Result<()> {
        let mut on = c_int::from(on);
        // SAFETY: an int is read.
        unsafe { self.control(npf::IOC_NPF_SWITCH, &raw mut on) }
    }

    /// The counters, by `NPF_STAT_*`.
    pub(crate) fn statistics(&self) -> io::Result<[u64; COUNTERS]> {
        const { assert!(npf::NPF_STATS_COUNT <= COUNTERS) };
        let mut counters = [0; COUNTERS];
        let mut argument = counters.as_mut_ptr();
        // SAFETY: a pointer is read, and there is room for all counters where it points.
        unsafe { self.control(npf::IOC_NPF_STATS, &raw mut argument)? };
        Ok(counters)
    }

    /// Sends a configuration, and returns the answer.
    pub(crate) fn load(&self, version: c_int, configuration: &[u8]) -> io::Result<Vec<u8>> {
        let request = if version == npf::nvlist::VERSION {
            npf::nvlist::IOC_NPF_LOAD
        } else {
            npf::plist::IOC_NPF_LOAD
        };
        self.exchange(version, request, configuration)
    }

    /// The configuration in force.
    pub(crate) fn save(&self, version: c_int) -> io::Result<Vec<u8>> {
        let request = if version == npf::nvlist::VERSION {
            npf::nvlist::IOC_NPF_SAVE
        } else {
            npf::plist::IOC_NPF_SAVE
        };
        self.exchange(version, request, &[])
    }

    fn exchange(&self, version: c_int, request: u64, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let sent: *mut c_void = bytes.as_ptr().cast_mut().cast();
        let (start, length) = if version == npf::nvlist::VERSION {
            let mut argument = npf::nvlist::nvlist_ref {
                buf: sent,
                len: bytes.len(),
                flags: 0,
            };
            // SAFETY: the argument of the request, about bytes that the kernel reads.
            unsafe { self.control(request, &raw mut argument)? };
            (argument.buf, argument.len)
        } else {
            let mut argument = npf::plist::plistref {
                pref_plist: sent,
                pref_len: bytes.len(),
            };
            // SAFETY: as above.
            unsafe { self.control(request, &raw mut argument)? };
            (argument.pref_plist, argument.pref_len)
        };
        if start.is_null() || start == sent || length == 0 {
            return Err(Errno::EIO.into());
        }
        // SAFETY: the kernel has written so many bytes there for us alone.
        let answer = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec();
        // SAFETY: the kernel has mapped these pages with this size, for us to unmap.
        unsafe { rump_sys::memory::unmap(start, length.next_multiple_of(PAGE)) };
        Ok(answer)
    }

    /// A command about one entry of a table.
    pub(crate) fn table_entry(&self, table: &CStr, command: c_int, entry: Entry) -> io::Result<()> {
        self.table(table, command, npf::npf_ioctl_data { ent: entry })
    }

    /// All entries of a table.
    pub(crate) fn table_entries(&self, table: &CStr) -> io::Result<Vec<Entry>> {
        let empty = Entry {
            alen: 0,
            addr: [0; 4],
            mask: 0,
        };
        let mut room = 64;
        loop {
            let mut entries = vec![empty; room];
            let buf = npf::npf_ioctl_buf {
                buf: entries.as_mut_ptr().cast(),
                len: room * size_of::<Entry>(),
            };
            let listed = self.table(table, npf::NPF_CMD_TABLE_LIST, npf::npf_ioctl_data { buf });
            match listed {
                Err(error) if Errno::of(&error) == Some(Errno::ENOMEM) && room < 1 << 24 => {
                    room *= 4;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    // How many there are is not told.
                    let end = entries.iter().position(|entry| entry.alen == 0);
                    entries.truncate(end.unwrap_or(room));
                    return Ok(entries);
                }
            }
        }
    }

    fn table(&self, name: &CStr, command: c_int, data: npf::npf_ioctl_data) -> io::Result<()> {
        let mut argument = npf::npf_ioctl_table {
            nct_cmd: command,
            nct_name: name.as_ptr().cast(),
            nct_data: data,
        };
        // SAFETY: the argument of the request; the name ends in 0, and the caller has the
        // room that is in the data.
        unsafe { self.control(npf::IOC_NPF_TABLE, &raw mut argument) }
    }

    /// # Safety
    /// The argument is what the request reads and writes.
    unsafe fn control<T>(&self, request: u64, argument: *mut T) -> io::Result<()> {
        // The size is part of the number (`IOCPARM_LEN` of `<sys/ioccom.h>`).
        assert_eq!(size_of::<T>(), (request >> 16 & 0x1fff) as usize);
        let fd = self.0.as_descriptor().as_raw();
        // SAFETY: by contract.
        sys::call(|| unsafe { syscalls::ioctl(fd, request as c_ulong, argument.cast()) })?;
        Ok(())
    }
}
