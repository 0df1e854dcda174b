//! The table of system calls: one row for each that is answered here.

use crate::calls::{
    Args, Outcome, address, data, descriptor, epoll, event, message, option, poll, socket,
};
use crate::process::Process;
use crate::raw::general::*;

/// A system call.
#[derive(Clone, Copy)]
pub struct Row {
    /// Linux's number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// Which argument is the descriptor that says whose the call is; `None` where the
    /// handler sees to it.
    pub descriptor: Option<usize>,
    pub(crate) handler: fn(&Process, &Args) -> Outcome,
}

impl core::fmt::Debug for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

macro_rules! rows {
    ($($number:ident $descriptor:expr, $handler:path;)*) => {
        &[$(Row {
            number: $number,
            // Without `__NR_`.
            name: stringify!($number).split_at(5).1,
            descriptor: $descriptor,
            handler: $handler,
        }),*]
    };
}

const FIRST: Option<usize> = Some(0);

/// All of them.
pub const TABLE: &[Row] = rows! {
    __NR_socket None, socket::socket;
    __NR_socketpair None, socket::socketpair;
    __NR_bind FIRST, socket::bind;
    __NR_listen FIRST, socket::listen;
    __NR_accept FIRST, socket::accept;
    __NR_accept4 FIRST, socket::accept4;
    __NR_connect FIRST, socket::connect;
    __NR_shutdown FIRST, socket::shutdown;
    __NR_getsockname FIRST, address::getsockname;
    __NR_getpeername FIRST, address::getpeername;
    __NR_setsockopt FIRST, option::setsockopt;
    __NR_getsockopt FIRST, option::getsockopt;
    __NR_sendto FIRST, message::sendto;
    __NR_recvfrom FIRST, message::recvfrom;
    __NR_sendmsg FIRST, message::sendmsg;
    __NR_recvmsg FIRST, message::recvmsg;
    __NR_sendmmsg FIRST, message::sendmmsg;
    __NR_recvmmsg FIRST, message::recvmmsg;
    __NR_read FIRST, data::read;
    __NR_write FIRST, data::write;
    __NR_readv FIRST, data::readv;
    __NR_writev FIRST, data::writev;
    __NR_lseek FIRST, data::no_position;
    __NR_pread64 FIRST, data::no_position;
    __NR_pwrite64 FIRST, data::no_position;
    __NR_sendfile None, data::sendfile;
    __NR_splice None, data::splice;
    __NR_close FIRST, descriptor::close;
    __NR_close_range None, descriptor::close_range;
    __NR_dup FIRST, descriptor::dup;
    __NR_dup2 None, descriptor::dup2;
    __NR_dup3 None, descriptor::dup3;
    __NR_fcntl FIRST, descriptor::fcntl;
    __NR_ioctl FIRST, descriptor::ioctl;
    __NR_pipe None, descriptor::pipe;
    __NR_pipe2 None, descriptor::pipe2;
    __NR_poll None, poll::poll;
    __NR_ppoll None, poll::ppoll;
    __NR_select None, poll::select;
    __NR_pselect6 None, poll::pselect6;
    __NR_epoll_create None, epoll::create;
    __NR_epoll_create1 None, epoll::create1;
    __NR_epoll_ctl FIRST, epoll::ctl;
    __NR_epoll_wait FIRST, epoll::wait;
    __NR_epoll_pwait FIRST, epoll::pwait;
    __NR_epoll_pwait2 FIRST, epoll::pwait2;
    __NR_eventfd None, event::eventfd;
    __NR_eventfd2 None, event::eventfd2;
    __NR_timerfd_create None, event::timerfd_create;
    __NR_timerfd_settime FIRST, event::timerfd_settime;
    __NR_timerfd_gettime FIRST, event::timerfd_gettime;
};

/// The row of a call.
pub fn find(number: u32) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.number == number)
}
