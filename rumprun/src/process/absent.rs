//! No kernel: sockets and their like are refused.
use rump_linux::kernel::{Answer, Received, Room};
use rump_linux::{Failure, Kernel};

/// It is not there.
pub(crate) struct Absent;
const NO: Failure = Failure(78);
#[rustfmt::skip]
impl Kernel for Absent {
    fn socket(&self, _: i32, _: i32, _: i32) -> Answer<i32> { Err(NO) }
    fn bind(&self, _: i32, _: &[u8]) -> Answer<()> { Err(NO) }
    fn connect(&self, _: i32, _: &[u8]) -> Answer<()> { Err(NO) }
    fn listen(&self, _: i32, _: i32) -> Answer<()> { Err(NO) }
    fn accept(&self, _: i32, _: &mut [u8], _: i32) -> Answer<(i32, usize)> { Err(NO) }
    fn getsockname(&self, _: i32, _: &mut [u8]) -> Answer<usize> { Err(NO) }
    fn getpeername(&self, _: i32, _: &mut [u8]) -> Answer<usize> { Err(NO) }
    fn sendmsg(&self, _: i32, _: &[u8], _: &[u8], _: &[u8], _: i32) -> Answer<usize> { Err(NO) }
    fn recvmsg(&self, _: i32, _: Room<'_>, _: i32) -> Answer<Received> { Err(NO) }
    fn getsockopt(&self, _: i32, _: i32, _: i32, _: &mut [u8]) -> Answer<usize> { Err(NO) }
    fn setsockopt(&self, _: i32, _: i32, _: i32, _: &[u8]) -> Answer<()> { Err(NO) }
    fn shutdown(&self, _: i32, _: i32) -> Answer<()> { Err(NO) }
    fn fcntl(&self, _: i32, _: i32, _: usize) -> Answer<i32> { Err(NO) }
    fn ioctl(&self, _: i32, _: u64, _: &mut [u8]) -> Answer<i32> { Err(NO) }
    fn interfaces(&self, _: i32, _: &mut [u8]) -> Answer<usize> { Err(NO) }
    fn read(&self, _: i32, _: &mut [u8]) -> Answer<usize> { Err(NO) }
    fn write(&self, _: i32, _: &[u8]) -> Answer<usize> { Err(NO) }
    fn pipe2(&self, _: i32) -> Answer<[i32; 2]> { Err(NO) }
    fn poll(&self, _: &mut [rump_abi::pollfd], _: i32) -> Answer<usize> { Err(NO) }
    fn kqueue(&self) -> Answer<i32> { Err(NO) }
    fn kevent(&self, _: i32, _: &[rump_abi::kevent], _: &mut [rump_abi::kevent], _: Option<u64>) -> Answer<usize> { Err(NO) }
    fn close(&self, _: i32) {}
}
