//! `UdpSocket`: what fails, and how.

use super::*;

pub const CASES: &[Case] = &[
    case("double_bind", double_bind, "second=AddrInUse"),
    case("bind_non_local", bind_non_local, "bind=AddrNotAvailable"),
    case("rebind_after_drop", rebind_after_drop, "rebind=true"),
    case("send_without_peer", send_without_peer, "send=Error"),
    case("recv_without_peer", recv_without_peer, "recv=3"),
    case(
        "too_large",
        too_large,
        "send_to=Error, connected=Error, smaller=3",
    ),
    case("absurdly_large", absurdly_large, "send_to=Error"),
    case(
        "refused_when_connected",
        refused_when_connected,
        "send=1, recv=ConnectionRefused, then=WouldBlock",
    ),
    case(
        "refused_reported_by_send",
        refused_reported_by_send,
        "first=1, second=ConnectionRefused, third=1",
    ),
    case(
        "refused_in_take_error",
        refused_in_take_error,
        "error=Some(ConnectionRefused), then=None",
    ),
    case(
        "refused_is_unseen_when_free",
        refused_when_free,
        "send_to=1, again=1, recv=WouldBlock",
    ),
    case(
        "wrong_family",
        wrong_family,
        "v6 from v4=Error, still works=1",
    ),
    case(
        "connect_wrong_family",
        connect_wrong_family,
        "connect=Error, still free=NotConnected",
    ),
    case(
        "send_to_port_zero",
        send_to_port_zero,
        "send_to=InvalidInput",
    ),
    case(
        "send_to_while_connected",
        send_to_while_connected,
        r#"send_to=9, read="elsewhere""#,
    ),
    case(
        "broadcast_without_permission",
        broadcast_without_permission,
        "send_to=PermissionDenied",
    ),
    case(
        "send_to_unspecified",
        send_to_unspecified,
        r#"read="anyone""#,
    ),
];

/// An address on 127.0.0.1 where no socket is bound.
fn closed_udp() -> io::Result<SocketAddr> {
    UdpSocket::bind(LOCAL)?.local_addr()
}

fn double_bind(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("second", UdpSocket::bind(socket.local_addr()?).map(drop));
    Ok(())
}

fn bind_non_local(seen: &mut Seen) -> io::Result<()> {
    seen.result(
        "bind",
        UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), 0)).map(drop),
    );
    Ok(())
}

fn rebind_after_drop(seen: &mut Seen) -> io::Result<()> {
    let address = closed_udp()?;
    seen.result(
        "rebind",
        UdpSocket::bind(address).and_then(|again| Ok(again.local_addr()? == address)),
    );
    Ok(())
}

fn send_without_peer(seen: &mut Seen) -> io::Result<()> {
    seen.result("send", UdpSocket::bind(LOCAL)?.send(b"x"));
    Ok(())
}

fn recv_without_peer(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = (UdpSocket::bind(LOCAL)?, UdpSocket::bind(LOCAL)?);
    one.send_to(b"abc", other.local_addr()?)?;
    seen.result("recv", other.recv(&mut [0; 8]));
    Ok(())
}

fn too_large(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    let block = vec![0; 65_508];
    seen.result(
        "send_to",
        UdpSocket::bind(LOCAL)?.send_to(&block, other.local_addr()?),
    );
    seen.result("connected", one.send(&block));
    seen.result("smaller", one.send(b"abc"));
    Ok(())
}

fn absurdly_large(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "send_to",
        socket.send_to(&vec![0; 16 << 20], socket.local_addr()?),
    );
    Ok(())
}

fn refused_when_connected(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    socket.connect(closed_udp()?)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    seen.result("send", socket.send(b"x"));
    seen.result("recv", socket.recv(&mut [0; 8]));
    seen.result("then", socket.recv(&mut [0; 8]));
    Ok(())
}

fn refused_reported_by_send(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    socket.connect(closed_udp()?)?;
    for label in ["first", "second", "third"] {
        seen.result(label, socket.send(b"x"));
        std::thread::sleep(SOON);
    }
    Ok(())
}

fn refused_in_take_error(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    socket.connect(closed_udp()?)?;
    socket.send(b"x")?;
    std::thread::sleep(SOON);
    seen.value("error", socket.take_error()?.map(|error| error.kind()));
    seen.value("then", socket.take_error()?.map(|error| error.kind()));
    Ok(())
}

fn refused_when_free(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    let address = closed_udp()?;
    seen.result("send_to", socket.send_to(b"x", address));
    std::thread::sleep(SOON);
    seen.result("again", socket.send_to(b"x", address));
    socket.set_nonblocking(true)?;
    seen.result("recv", socket.recv(&mut [0; 8]));
    Ok(())
}

fn wrong_family(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("v6 from v4", socket.send_to(b"x", (Ipv6Addr::LOCALHOST, 9)));
    seen.result("still works", socket.send_to(b"x", socket.local_addr()?));
    Ok(())
}

fn connect_wrong_family(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("connect", socket.connect((Ipv6Addr::LOCALHOST, 9)));
    seen.result("still free", socket.peer_addr());
    Ok(())
}

fn send_to_port_zero(seen: &mut Seen) -> io::Result<()> {
    seen.result("send_to", UdpSocket::bind(LOCAL)?.send_to(b"x", LOCAL));
    Ok(())
}

fn send_to_while_connected(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    let third = UdpSocket::bind(LOCAL)?;
    third.set_read_timeout(Some(Duration::from_millis(500)))?;
    seen.result("send_to", one.send_to(b"elsewhere", third.local_addr()?));
    let mut buffer = [0; 16];
    let length = third.recv(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    Ok(())
}

fn broadcast_without_permission(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result(
        "send_to",
        socket.send_to(b"x", (Ipv4Addr::new(127, 255, 255, 255), 9)),
    );
    Ok(())
}

fn send_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.send_to(
        b"anyone",
        (Ipv4Addr::UNSPECIFIED, socket.local_addr()?.port()),
    )?;
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    Ok(())
}
