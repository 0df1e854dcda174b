//! Addresses given as anything that is `ToSocketAddrs`: none, several, as text.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "connect_to_no_address",
        connect_to_no_address,
        "connect=InvalidInput",
    ),
    case(
        "bind_to_no_address",
        bind_to_no_address,
        "tcp=InvalidInput, udp=InvalidInput",
    ),
    case(
        "udp_without_address",
        udp_without_address,
        "connect=InvalidInput, send_to=InvalidInput",
    ),
    case(
        "connect_falls_to_the_next",
        connect_falls_to_the_next,
        "peer=true",
    ),
    case(
        "connect_stops_at_the_first",
        connect_stops_at_the_first,
        "peer=true, second waits=WouldBlock",
    ),
    case(
        "connect_reports_the_last_error",
        connect_reports_last,
        "connect=ConnectionRefused",
    ),
    case(
        "bind_falls_to_the_next",
        bind_falls_to_the_next,
        "ip=127.0.0.1",
    ),
    case(
        "bind_reports_the_last_error",
        bind_reports_last,
        "bind=AddrNotAvailable",
    ),
    case(
        "udp_bind_falls_to_the_next",
        udp_bind_falls_to_the_next,
        "ip=127.0.0.1",
    ),
    case(
        "send_to_uses_the_first_only",
        send_to_uses_the_first,
        r#"first="one", second=WouldBlock"#,
    ),
    case("connect_by_text", connect_by_text, "connect=true"),
    case("connect_by_tuple_of_text", connect_by_tuple, "connect=true"),
    case("connect_by_name", connect_by_name, "connect=true"),
    case(
        "text_without_port",
        text_without_port,
        "connect=InvalidInput",
    ),
    case(
        "text_with_absurd_port",
        text_with_absurd_port,
        "connect=InvalidInput",
    ),
    case("text_v6", text_v6, "bind=true"),
];

fn connect_to_no_address(seen: &mut Seen) -> io::Result<()> {
    let none: &[SocketAddr] = &[];
    seen.result("connect", TcpStream::connect(none).map(drop));
    Ok(())
}

fn bind_to_no_address(seen: &mut Seen) -> io::Result<()> {
    let none: &[SocketAddr] = &[];
    seen.result("tcp", TcpListener::bind(none).map(drop));
    seen.result("udp", UdpSocket::bind(none).map(drop));
    Ok(())
}

fn udp_without_address(seen: &mut Seen) -> io::Result<()> {
    let none: &[SocketAddr] = &[];
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("connect", socket.connect(none));
    seen.result("send_to", socket.send_to(b"x", none));
    Ok(())
}

fn connect_falls_to_the_next(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let addresses = [closed_address()?, listener.local_addr()?];
    seen.value(
        "peer",
        TcpStream::connect(&addresses[..])?.peer_addr()? == addresses[1],
    );
    Ok(())
}

fn connect_stops_at_the_first(seen: &mut Seen) -> io::Result<()> {
    let (one, two) = (TcpListener::bind(LOCAL)?, TcpListener::bind(LOCAL)?);
    let addresses = [one.local_addr()?, two.local_addr()?];
    seen.value(
        "peer",
        TcpStream::connect(&addresses[..])?.peer_addr()? == addresses[0],
    );
    two.set_nonblocking(true)?;
    seen.result("second waits", two.accept().map(drop));
    Ok(())
}

fn connect_reports_last(seen: &mut Seen) -> io::Result<()> {
    let addresses = [closed_address()?, closed_address()?];
    seen.result("connect", TcpStream::connect(&addresses[..]).map(drop));
    Ok(())
}

fn bind_falls_to_the_next(seen: &mut Seen) -> io::Result<()> {
    let addresses = [SocketAddr::from(([192, 0, 2, 1], 0)), LOCAL.into()];
    seen.value("ip", TcpListener::bind(&addresses[..])?.local_addr()?.ip());
    Ok(())
}

fn bind_reports_last(seen: &mut Seen) -> io::Result<()> {
    let taken = TcpListener::bind(LOCAL)?;
    let addresses = [taken.local_addr()?, SocketAddr::from(([192, 0, 2, 1], 0))];
    seen.result("bind", TcpListener::bind(&addresses[..]).map(drop));
    Ok(())
}

fn udp_bind_falls_to_the_next(seen: &mut Seen) -> io::Result<()> {
    let taken = UdpSocket::bind(LOCAL)?;
    let addresses = [taken.local_addr()?, LOCAL.into()];
    seen.value("ip", UdpSocket::bind(&addresses[..])?.local_addr()?.ip());
    Ok(())
}

fn send_to_uses_the_first(seen: &mut Seen) -> io::Result<()> {
    let (one, two) = (UdpSocket::bind(LOCAL)?, UdpSocket::bind(LOCAL)?);
    let addresses = [one.local_addr()?, two.local_addr()?];
    UdpSocket::bind(LOCAL)?.send_to(b"one", &addresses[..])?;
    let mut buffer = [0; 8];
    let (length, _) = one.recv_from(&mut buffer)?;
    seen.text("first", &buffer[..length]);
    two.set_nonblocking(true)?;
    seen.result("second", two.recv_from(&mut buffer));
    Ok(())
}

fn connect_by_text(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let text = listener.local_addr()?.to_string();
    seen.value(
        "connect",
        TcpStream::connect(text)?.peer_addr()? == listener.local_addr()?,
    );
    Ok(())
}

fn connect_by_tuple(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    seen.value(
        "connect",
        TcpStream::connect(("127.0.0.1", port))?.peer_addr()?.port() == port,
    );
    Ok(())
}

fn connect_by_name(seen: &mut Seen) -> io::Result<()> {
    // `localhost` may have addresses of both families; only one of them listens.
    let listener = TcpListener::bind(LOCAL)?;
    let port = listener.local_addr()?.port();
    seen.value(
        "connect",
        TcpStream::connect(("localhost", port))?.peer_addr()?.port() == port,
    );
    Ok(())
}

fn text_without_port(seen: &mut Seen) -> io::Result<()> {
    seen.result("connect", TcpStream::connect("127.0.0.1").map(drop));
    Ok(())
}

fn text_with_absurd_port(seen: &mut Seen) -> io::Result<()> {
    seen.result("connect", TcpStream::connect("127.0.0.1:65536").map(drop));
    Ok(())
}

fn text_v6(seen: &mut Seen) -> io::Result<()> {
    seen.value(
        "bind",
        TcpListener::bind("[::1]:0")?.local_addr()?.is_ipv6(),
    );
    Ok(())
}
