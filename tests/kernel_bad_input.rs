//! Input without meaning: a clear error, and the kernel goes on.

mod common;

use common::{Outcome, pair};
use rump::Errno;
use rump::descriptor::OwnedDescriptor;
use rump::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::time::Duration;

fn main() {
    common::run_on_kernel([
        ("bad_input::wrong_family", wrong_family),
        ("bad_input::wrong_kind_of_socket", wrong_kind),
        ("bad_input::absurd_lengths", absurd_lengths),
        ("bad_input::empty_buffers", empty_buffers),
        ("bad_input::many_small_buffers", many_small_buffers),
        ("bad_input::absurd_options", absurd_options),
        ("bad_input::names", names),
        ("bad_input::out_of_descriptors", out_of_descriptors),
    ]);
}

fn wrong_family() -> Outcome {
    let v4 = UdpSocket::bind("127.0.0.1:0")?;
    for error in [
        v4.send_to(b"x", "[::1]:9").map(drop).unwrap_err(),
        v4.connect("[::1]:9").unwrap_err(),
    ] {
        assert_eq!(Errno::of(&error), Some(Errno::EAFNOSUPPORT), "{error}");
    }
    assert_eq!(
        TcpListener::bind_only_v6("127.0.0.1:0").unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        UdpSocket::bind_only_v6("127.0.0.1:0").unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let only = UdpSocket::bind_only_v6("[::1]:0")?;
    assert!(only.send_to(b"x", "127.0.0.1:9").is_err());
    assert!(
        v4.join_multicast_v6(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0)
            .is_err()
    );
    let not_a_group = v4
        .join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::LOCALHOST)
        .unwrap_err();
    assert_eq!(not_a_group.kind(), ErrorKind::InvalidInput);
    assert!(v4.only_v6().is_err());
    // Addresses that are not this host's.
    for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
        assert_eq!(
            TcpListener::bind(address).unwrap_err().kind(),
            ErrorKind::AddrNotAvailable
        );
    }
    v4.send_to(b"x", v4.local_addr()?)?;
    Ok(())
}

/// A descriptor in the clothes of another: calls fail, each with its error.
fn wrong_kind() -> Outcome {
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let listener = TcpListener::from(OwnedDescriptor::from(udp));
    assert!(listener.accept().is_err());
    let queue = OwnedDescriptor::from(TcpListener::bind("127.0.0.1:0")?);
    let mut stream = TcpStream::from(queue);
    assert_eq!(
        stream.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert!(stream.write(b"x").is_err());
    assert!(stream.peer_addr().is_err());
    Ok(())
}

fn absurd_lengths() -> Outcome {
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let error = udp
        .send_to(&vec![0; 1 << 20], udp.local_addr()?)
        .unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EMSGSIZE));
    // 4 GiB in one call, of which the kernel takes what it has room for.
    let (mut client, mut server) = pair()?;
    client.set_nonblocking(true)?;
    let block = vec![0x5a; 1 << 26];
    let slices: Vec<_> = (0..64).map(|_| IoSlice::new(&block)).collect();
    for written in [client.write_vectored(&slices), client.write(&block)] {
        match written {
            Ok(written) => assert!(written < 1 << 26),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received)?;
    assert!(!received.is_empty() && received.iter().all(|byte| *byte == 0x5a));
    Ok(())
}

fn empty_buffers() -> Outcome {
    let (mut client, mut server) = pair()?;
    assert_eq!(client.write(&[])?, 0);
    assert_eq!(client.write_vectored(&[])?, 0);
    assert_eq!(
        client.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])])?,
        0
    );
    assert_eq!(server.read(&mut [])?, 0);
    assert_eq!(server.read_vectored(&mut [])?, 0);
    assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut [])])?, 0);
    assert_eq!(server.peek(&mut [])?, 0);
    client.write_all(b"x")?;
    server.read_exact(&mut [0])?;

    let udp = UdpSocket::bind("127.0.0.1:0")?;
    assert_eq!(udp.send_to(&[], udp.local_addr()?)?, 0);
    assert_eq!(udp.recv_from(&mut [0; 8])?, (0, udp.local_addr()?));
    udp.send_to(b"lost", udp.local_addr()?)?;
    assert_eq!(
        udp.recv(&mut [])?,
        0,
        "a datagram is taken, and none of it kept"
    );
    udp.set_read_timeout(Some(Duration::from_millis(20)))?;
    assert_eq!(
        udp.recv(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    Ok(())
}

fn many_small_buffers() -> Outcome {
    let (mut client, mut server) = pair()?;
    let byte = [7];
    let slices: Vec<_> = (0..5000).map(|_| IoSlice::new(&byte)).collect();
    let written = client.write_vectored(&slices)?;
    assert_eq!(written, 1024, "as many buffers as one call takes");
    drop(client);
    let mut bytes = vec![[0]; 5000];
    let mut slices: Vec<_> = bytes.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
    let mut read = 0;
    loop {
        match server.read_vectored(&mut slices[read..])? {
            0 => break,
            more => read += more,
        }
    }
    assert_eq!(read, written);
    assert!(
        bytes[..read].iter().all(|byte| *byte == [7])
            && bytes[read..].iter().all(|byte| *byte == [0])
    );
    Ok(())
}

fn absurd_options() -> Outcome {
    let (client, _server) = pair()?;
    for bytes in [0, usize::MAX, i32::MAX as usize] {
        assert!(client.set_send_buffer_size(bytes).is_err(), "{bytes}");
    }
    for ttl in [0, 256, 257, u32::MAX] {
        assert_eq!(
            client.set_ttl(ttl).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{ttl}"
        );
    }
    client.set_read_timeout(Some(Duration::MAX))?;
    assert!(
        client
            .read_timeout()?
            .is_some_and(|time| time > Duration::from_secs(1_000_000))
    );
    assert_eq!(
        client
            .set_read_timeout(Some(Duration::ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    client.set_linger(Some(Duration::MAX))?;
    assert_eq!(client.linger()?, Some(Duration::from_secs(65535)));
    client.set_linger(None)?;
    for time in [Duration::ZERO, Duration::MAX] {
        assert_eq!(
            client.set_keepalive_idle(time).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            client.set_keepalive_interval(time).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    assert!(client.set_keepalive_count(0).is_err());
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    assert_eq!(
        udp.set_multicast_ttl_v4(256).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let zero = TcpStream::connect_timeout(&"127.0.0.1:9".parse()?, Duration::ZERO).unwrap_err();
    assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    let refused = TcpStream::connect_timeout(&"127.0.0.1:9".parse()?, Duration::MAX).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

fn names() -> Outcome {
    for name in ["127.0.0.1", "127.0.0.1:65536", "a\0b:80", ":::", ""] {
        assert!(TcpStream::connect(name).is_err(), "{name:?}");
        assert!(rump::net::lookup(name).is_err(), "{name:?}");
    }
    let none: &[std::net::SocketAddr] = &[];
    assert_eq!(
        TcpStream::connect(none).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        UdpSocket::bind("127.0.0.1:0")?
            .send_to(b"x", none)
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    Ok(())
}

/// Everything that can be open is open; what was open works, and what is closed is free
/// again.
fn out_of_descriptors() -> Outcome {
    let first = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..2 {
        let mut clones = Vec::new();
        let error = loop {
            match first.try_clone() {
                Ok(clone) => clones.push(clone),
                Err(error) => break error,
            }
        };
        assert!(clones.len() > 1000, "only {} descriptors", clones.len());
        assert!(
            matches!(Errno::of(&error), Some(Errno::EMFILE | Errno::ENFILE)),
            "{error}"
        );
        let error = TcpListener::bind("127.0.0.1:0").unwrap_err();
        assert!(
            matches!(Errno::of(&error), Some(Errno::EMFILE | Errno::ENFILE)),
            "{error}"
        );
        first.send_to(b"x", first.local_addr()?)?;
        assert_eq!(first.recv(&mut [0; 2])?, 1);
    }
    Ok(())
}
