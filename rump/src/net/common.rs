//! Methods that all three socket types have, word for word.

/// Adds them to a type with a field `0` that is a `Socket`.
macro_rules! common_methods {
    ($type:ident) => {
        impl $type {
            /// The socket's own address. After `bind` to port 0 it tells which port was
            /// chosen.
            ///
            /// Follows [`getsockname(2)`](https://man.netbsd.org/getsockname.2).
            ///
            /// # Errors
            /// When a TCP connection has ended completely (it was reset, for instance),
            /// NetBSD has forgotten its address: [`InvalidInput`](std::io::ErrorKind::InvalidInput).
            #[doc(alias = "getsockname")]
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()
            }

            /// A second handle to the same socket: both share its options, its position in
            /// the stream and its [nonblocking mode](Self::set_nonblocking).
            ///
            /// # Errors
            /// If the kernel has no more descriptors.
            #[doc(alias = "dup")]
            pub fn try_clone(&self) -> io::Result<Self> {
                self.0.try_clone().map(Self)
            }

            /// Whether calls that would have to wait fail with
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead (`FIONBIO`).
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "FIONBIO")]
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.set_nonblocking(nonblocking)
            }

            /// The error that waits on the socket, which is cleared (`SO_ERROR`).
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "SO_ERROR")]
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.take_error()
            }

            /// How many hops a packet of this socket may take (`IP_TTL`; for an IPv6 socket
            /// `IPV6_UNICAST_HOPS`).
            ///
            /// # Errors
            /// As [`local_addr`](Self::local_addr).
            #[doc(alias("IP_TTL", "IPV6_UNICAST_HOPS"))]
            pub fn ttl(&self) -> io::Result<u32> {
                options::ttl(self.0.fd(), self.0.family()?)
            }

            /// Sets how many hops a packet of this socket may take, 1 to 255.
            ///
            /// # Errors
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for other values, and as
            /// [`local_addr`](Self::local_addr).
            #[doc(alias("IP_TTL", "IPV6_UNICAST_HOPS"))]
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                options::set_ttl(self.0.fd(), self.0.family()?, ttl)
            }

            /// Whether an IPv6 socket keeps to IPv6 (`IPV6_V6ONLY`).
            ///
            /// # Errors
            /// If it is an IPv4 socket.
            #[doc(alias = "IPV6_V6ONLY")]
            pub fn only_v6(&self) -> io::Result<bool> {
                options::flag(self.0.fd(), abi::IPPROTO_IPV6, abi::IPV6_V6ONLY)
            }

            /// The size of the send buffer in bytes (`SO_SNDBUF`).
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "SO_SNDBUF")]
            pub fn send_buffer_size(&self) -> io::Result<usize> {
                options::size(self.0.fd(), abi::SO_SNDBUF)
            }

            /// Sets the size of the send buffer in bytes, and ends its automatic growth.
            ///
            /// # Errors
            /// If it is 0, or more than the kernel allows (`kern.sbmax`, 256 KiB unless it
            /// was changed; Linux would take its own limit instead).
            #[doc(alias = "SO_SNDBUF")]
            pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
                options::set_size(self.0.fd(), abi::SO_SNDBUF, bytes)
            }

            /// The size of the receive buffer in bytes (`SO_RCVBUF`).
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "SO_RCVBUF")]
            pub fn recv_buffer_size(&self) -> io::Result<usize> {
                options::size(self.0.fd(), abi::SO_RCVBUF)
            }

            /// Sets the size of the receive buffer in bytes, and ends its automatic growth.
            ///
            /// # Errors
            /// As [`set_send_buffer_size`](Self::set_send_buffer_size).
            #[doc(alias = "SO_RCVBUF")]
            pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
                options::set_size(self.0.fd(), abi::SO_RCVBUF, bytes)
            }
        }

        impl AsDescriptor for $type {
            fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
                self.0.fd()
            }
        }

        impl From<$type> for OwnedDescriptor {
            fn from(socket: $type) -> Self {
                socket.0.into_descriptor()
            }
        }

        /// The descriptor should be of a socket of this type; if it is not, calls fail.
        impl From<OwnedDescriptor> for $type {
            fn from(descriptor: OwnedDescriptor) -> Self {
                Self(Socket::from_descriptor(descriptor))
            }
        }
    };
}

/// Adds timeouts to a type with a field `0` that is a `Socket`.
macro_rules! timeout_methods {
    ($type:ident, $read:literal, $write:literal) => {
        impl $type {
            #[doc = concat!("How long ", $read, " waits; `None` is forever (`SO_RCVTIMEO`).")]
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "SO_RCVTIMEO")]
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                options::timeout(self.0.fd(), abi::SO_RCVTIMEO)
            }

            #[doc = concat!("Sets how long ", $read, " waits; `None` is forever.")]
            ///
            /// When the time is over, the call fails with
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock). The kernel counts in clock
            /// ticks of 10 ms, to which the time is rounded up; more than 24 days are
            /// shortened to that.
            ///
            /// # Errors
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a time of zero.
            #[doc(alias = "SO_RCVTIMEO")]
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                options::set_timeout(self.0.fd(), abi::SO_RCVTIMEO, timeout)
            }

            #[doc = concat!("How long ", $write, " waits; `None` is forever (`SO_SNDTIMEO`).")]
            ///
            /// # Errors
            /// If the kernel is down.
            #[doc(alias = "SO_SNDTIMEO")]
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                options::timeout(self.0.fd(), abi::SO_SNDTIMEO)
            }

            #[doc = concat!("Sets how long ", $write, " waits; `None` is forever.")]
            ///
            /// As [`set_read_timeout`](Self::set_read_timeout).
            ///
            /// # Errors
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a time of zero.
            #[doc(alias = "SO_SNDTIMEO")]
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                options::set_timeout(self.0.fd(), abi::SO_SNDTIMEO, timeout)
            }
        }
    };
}

pub(super) use {common_methods, timeout_methods};
