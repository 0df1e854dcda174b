//! The table of system calls: one row for each that is answered here.

use crate::calls::{
    Args, Outcome, address, data, descriptor, epoll, event, message, option, poll, socket,
};
use crate::object::Description;
use crate::process::Process;
use crate::raw::general::*;
use alloc::sync::Arc;

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
    pub(crate) handler: Handler,
}

/// Who makes a call.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// It is given what the descriptor stands for.
    Of(fn(&Process, &Arc<Description>, &Args) -> Outcome),
    /// It is not, and keeps nothing open that it is about.
    By(fn(&Process, &Args) -> Outcome),
}

use Handler::{By, Of};

impl core::fmt::Debug for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

macro_rules! rows {
    ($($number:ident $descriptor:expr, $handler:expr;)*) => {
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
    __NR_socket None, By(socket::socket);
    __NR_socketpair None, By(socket::socketpair);
    __NR_bind FIRST, Of(socket::bind);
    __NR_listen FIRST, Of(socket::listen);
    __NR_accept FIRST, Of(socket::accept);
    __NR_accept4 FIRST, Of(socket::accept4);
    __NR_connect FIRST, Of(socket::connect);
    __NR_shutdown FIRST, Of(socket::shutdown);
    __NR_getsockname FIRST, Of(address::getsockname);
    __NR_getpeername FIRST, Of(address::getpeername);
    __NR_setsockopt FIRST, Of(option::setsockopt);
    __NR_getsockopt FIRST, Of(option::getsockopt);
    __NR_sendto FIRST, Of(message::sendto);
    __NR_recvfrom FIRST, Of(message::recvfrom);
    __NR_sendmsg FIRST, Of(message::sendmsg);
    __NR_recvmsg FIRST, Of(message::recvmsg);
    __NR_sendmmsg FIRST, Of(message::sendmmsg);
    __NR_recvmmsg FIRST, Of(message::recvmmsg);
    __NR_read FIRST, Of(data::read);
    __NR_write FIRST, Of(data::write);
    __NR_readv FIRST, Of(data::readv);
    __NR_writev FIRST, Of(data::writev);
    __NR_lseek FIRST, By(data::no_position);
    __NR_pread64 FIRST, By(data::no_position);
    __NR_pwrite64 FIRST, By(data::no_position);
    __NR_sendfile None, By(data::sendfile);
    __NR_splice None, By(data::splice);
    __NR_close FIRST, By(descriptor::close);
    __NR_close_range None, By(descriptor::close_range);
    __NR_dup FIRST, Of(descriptor::dup);
    __NR_dup2 None, By(descriptor::dup2);
    __NR_dup3 None, By(descriptor::dup3);
    __NR_fcntl FIRST, Of(descriptor::fcntl);
    __NR_ioctl FIRST, Of(descriptor::ioctl);
    __NR_pipe None, By(descriptor::pipe);
    __NR_pipe2 None, By(descriptor::pipe2);
    __NR_poll None, By(poll::poll);
    __NR_ppoll None, By(poll::ppoll);
    __NR_select None, By(poll::select);
    __NR_pselect6 None, By(poll::pselect6);
    __NR_epoll_create None, By(epoll::create);
    __NR_epoll_create1 None, By(epoll::create1);
    __NR_epoll_ctl FIRST, Of(epoll::ctl);
    __NR_epoll_wait FIRST, Of(epoll::wait);
    __NR_epoll_pwait FIRST, Of(epoll::pwait);
    __NR_epoll_pwait2 FIRST, Of(epoll::pwait2);
    __NR_eventfd None, By(event::eventfd);
    __NR_eventfd2 None, By(event::eventfd2);
    __NR_timerfd_create None, By(event::timerfd_create);
    __NR_timerfd_settime FIRST, Of(event::timerfd_settime);
    __NR_timerfd_gettime FIRST, Of(event::timerfd_gettime);
};

/// The row of a call.
pub fn find(number: u32) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.number == number)
}
