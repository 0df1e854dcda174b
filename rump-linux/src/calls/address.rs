//! Addresses of the program's: a buffer and its length.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::memory::{get, put};
use crate::object::{Description, Socket};
use crate::process::Process;
use crate::translate::address::{LONGEST, to_linux};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

impl Process {
    /// An address that is handed in.
    pub(crate) fn take_name(&self, address: u64, length: u64) -> Result<Vec<u8>, Errno> {
        let length = length as i32;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LONGEST);
        let mut bytes = vec![0; length.ok_or(Errno::EINVAL)?];
        self.host.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Hands an address out, as far as there is room, and says how long it is. `name` is the
    /// kernel's.
    pub(crate) fn give_name(&self, address: u64, length: u64, name: &[u8]) -> Result<(), Errno> {
        let room: i32 = get(&*self.host, length)?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        let name = to_linux(name);
        self.host.write(address, &name[..name.len().min(room)])?;
        put(&*self.host, length, &(name.len() as i32))?;
        Ok(())
    }
}

fn tell(
    process: &Process,
    one: &Description,
    [_, address, length, ..]: &Args,
    ask: impl Fn(&Socket, &mut [u8]) -> Result<usize, Errno>,
) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let mut name = [0; LONGEST];
    let used = ask(socket, &mut name)?;
    process.give_name(*address, *length, &name[..used.min(LONGEST)])?;
    Ok(0)
}

pub(crate) fn getsockname(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    tell(process, one, args, |socket, name| {
        Ok(process.kernel.getsockname(socket.fd.number, name)?)
    })
}

pub(crate) fn getpeername(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    tell(process, one, args, |socket, name| {
        Ok(process.kernel.getpeername(socket.fd.number, name)?)
    })
}
