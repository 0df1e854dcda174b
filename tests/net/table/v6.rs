//! IPv6, and IPv4 through IPv6 sockets.

use super::*;

pub const CASES: &[Case] = &[
    case("tcp_echo", tcp_echo, r#"there="ping", back="pong""#),
    case(
        "addresses",
        addresses,
        "peer=true, ip=::1, flowinfo=0, scope=0",
    ),
    case("refused", refused, "connect=ConnectionRefused"),
    case("reset", reset_v6, "read=ConnectionReset"),
    case("bind_non_local", bind_non_local, "bind=AddrNotAvailable"),
    case("double_bind", double_bind, "second=AddrInUse"),
    case(
        "bound_to_unspecified",
        bound_to_unspecified,
        "ip=::, accepted on=::1",
    ),
    case("connect_to_unspecified", connect_to_unspecified, "peer=::1"),
    case("only_v6_default", only_v6_default, "v6 only=false"),
    case("only_v6_after_bind", only_v6_after_bind, "set=InvalidInput"),
    case(
        "v4_client_of_v6_listener",
        v4_client_of_v6_listener,
        r#"from=::ffff:127.0.0.1, client=127.0.0.1, read="mapped""#,
    ),
    case(
        "connect_to_mapped",
        connect_to_mapped,
        "peer=::ffff:127.0.0.1, accepted from=127.0.0.1",
    ),
    case(
        "bind_to_mapped",
        bind_to_mapped,
        "local=::ffff:127.0.0.1, accepted=true",
    ),
    case("v4_then_v6_on_one_port", v4_then_v6, "second=AddrInUse"),
    case("loopbacks_share_a_port", loopbacks_share_a_port, "v6=ok"),
    case(
        "udp_exchange",
        udp_exchange,
        r#"read="six", from=true, back=3"#,
    ),
    case("udp_truncation", udp_truncation, "read=4, next=2"),
    case("udp_refused", udp_refused, "recv=ConnectionRefused"),
    case(
        "udp_largest_datagram",
        udp_largest,
        "sent=65507, read=65507",
    ),
    case("udp_too_large", udp_too_large, "send=Error"),
    case(
        "udp_mapped",
        udp_mapped,
        r#"read="mapped", from=::ffff:127.0.0.1"#,
    ),
    case(
        "udp_wrong_family",
        udp_wrong_family,
        "bound to ::1=NetworkUnreachable",
    ),
    case("ttl", ttl, "default=64, set=ok, get=55"),
    case(
        "link_local_without_scope",
        link_local_without_scope,
        "bind=InvalidInput",
    ),
    case(
        "half_close",
        half_close,
        r#"request="question", reply="answer""#,
    ),
];

fn pair6() -> io::Result<(TcpStream, TcpStream)> {
    pair_on(LOCAL6.into())
}

fn udp_pair6() -> io::Result<(UdpSocket, UdpSocket)> {
    let (one, other) = (UdpSocket::bind(LOCAL6)?, UdpSocket::bind(LOCAL6)?);
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    one.set_read_timeout(Some(Duration::from_secs(2)))?;
    other.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok((one, other))
}

fn tcp_echo(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair6()?;
    client.write_all(b"ping")?;
    seen.value("there", read_text(&server)?);
    server.write_all(b"pong")?;
    seen.value("back", read_text(&client)?);
    Ok(())
}

fn addresses(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair6()?;
    seen.value("peer", client.local_addr()? == server.peer_addr()?);
    if let SocketAddr::V6(address) = client.peer_addr()? {
        seen.value("ip", address.ip());
        seen.value("flowinfo", address.flowinfo());
        seen.value("scope", address.scope_id());
    }
    Ok(())
}

fn refused(seen: &mut Seen) -> io::Result<()> {
    let address = TcpListener::bind(LOCAL6)?.local_addr()?;
    seen.result("connect", TcpStream::connect(address).map(drop));
    Ok(())
}

fn reset_v6(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair6()?;
    reset(client)?;
    seen.result("read", server.read(&mut [0; 8]));
    Ok(())
}

fn bind_non_local(seen: &mut Seen) -> io::Result<()> {
    // The documentation prefix (RFC 3849) belongs to nobody.
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    seen.result("bind", TcpListener::bind((address, 0)).map(drop));
    Ok(())
}

fn double_bind(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL6)?;
    seen.result(
        "second",
        TcpListener::bind(listener.local_addr()?).map(drop),
    );
    Ok(())
}

fn bound_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let address = listener.local_addr()?;
    seen.value("ip", address.ip());
    let _client = TcpStream::connect((Ipv6Addr::LOCALHOST, address.port()))?;
    seen.value("accepted on", listener.accept()?.0.local_addr()?.ip());
    Ok(())
}

fn connect_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL6)?;
    let client = TcpStream::connect((Ipv6Addr::UNSPECIFIED, listener.local_addr()?.port()))?;
    seen.value("peer", client.peer_addr()?.ip());
    Ok(())
}

#[allow(deprecated, reason = "deprecated calls are part of the shape")]
fn only_v6_default(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    seen.result("v6 only", listener.only_v6());
    Ok(())
}

#[allow(deprecated, reason = "deprecated calls are part of the shape")]
fn only_v6_after_bind(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    seen.result("set", listener.set_only_v6(true));
    Ok(())
}

fn v4_client_of_v6_listener(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))?;
    let (server, from) = listener.accept()?;
    seen.value("from", from.ip());
    seen.value("client", client.local_addr()?.ip());
    client.write_all(b"mapped")?;
    seen.value("read", read_text(server)?);
    Ok(())
}

fn connect_to_mapped(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let client = TcpStream::connect((mapped, listener.local_addr()?.port()))?;
    seen.value("peer", client.peer_addr()?.ip());
    seen.value("accepted from", listener.accept()?.1.ip());
    Ok(())
}

fn bind_to_mapped(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0))?;
    seen.value("local", listener.local_addr()?.ip());
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))?;
    seen.value(
        "accepted",
        listener.accept()?.1.port() == client.local_addr()?.port(),
    );
    Ok(())
}

fn v4_then_v6(seen: &mut Seen) -> io::Result<()> {
    let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let second = TcpListener::bind((Ipv6Addr::UNSPECIFIED, v4.local_addr()?.port()));
    seen.result("second", second.map(drop));
    Ok(())
}

fn loopbacks_share_a_port(seen: &mut Seen) -> io::Result<()> {
    let v4 = TcpListener::bind(LOCAL)?;
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, v4.local_addr()?.port()));
    seen.result("v6", v6.map(drop));
    Ok(())
}

fn udp_exchange(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair6()?;
    one.send(b"six")?;
    let mut buffer = [0; 8];
    let (length, from) = other.recv_from(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    seen.value("from", from == one.local_addr()?);
    other.send(b"abc")?;
    seen.result("back", one.recv(&mut buffer));
    Ok(())
}

fn udp_truncation(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair6()?;
    one.send(&[1; 100])?;
    one.send(&[2; 2])?;
    seen.result("read", other.recv(&mut [0; 4]));
    seen.result("next", other.recv(&mut [0; 4]));
    Ok(())
}

fn udp_refused(seen: &mut Seen) -> io::Result<()> {
    let closed = UdpSocket::bind(LOCAL6)?.local_addr()?;
    let socket = UdpSocket::bind(LOCAL6)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(closed)?;
    socket.send(b"x")?;
    seen.result("recv", socket.recv(&mut [0; 8]));
    Ok(())
}

fn udp_largest(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair6()?;
    seen.result("sent", one.send(&vec![7; 65_507]));
    seen.result("read", other.recv(&mut vec![0; 70_000]));
    Ok(())
}

fn udp_too_large(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair6()?;
    seen.result("send", one.send(&vec![7; 65_528]));
    Ok(())
}

fn udp_mapped(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let address = (Ipv4Addr::LOCALHOST, socket.local_addr()?.port());
    UdpSocket::bind(LOCAL)?.send_to(b"mapped", address)?;
    let mut buffer = [0; 8];
    let (length, from) = socket.recv_from(&mut buffer)?;
    seen.text("read", &buffer[..length]);
    seen.value("from", from.ip());
    Ok(())
}

fn udp_wrong_family(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL6)?;
    seen.result(
        "bound to ::1",
        socket.send_to(b"x", (Ipv4Addr::LOCALHOST, 9)),
    );
    Ok(())
}

fn ttl(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair6()?;
    seen.result("default", client.ttl());
    seen.result("set", client.set_ttl(55));
    seen.result("get", client.ttl());
    Ok(())
}

fn link_local_without_scope(seen: &mut Seen) -> io::Result<()> {
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    seen.result("bind", TcpListener::bind((address, 0)).map(drop));
    Ok(())
}

fn half_close(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair6()?;
    client.write_all(b"question")?;
    client.shutdown(api::Shutdown::Write)?;
    let mut text = String::new();
    server.read_to_string(&mut text)?;
    seen.value("request", &text);
    server.write_all(b"answer")?;
    drop(server);
    text.clear();
    client.read_to_string(&mut text)?;
    seen.value("reply", &text);
    Ok(())
}
