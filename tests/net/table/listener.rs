//! `TcpListener`: binding, accepting, `incoming`, closing.

use super::*;
use std::collections::HashSet;

pub const CASES: &[Case] = &[
    case(
        "port_zero_is_assigned",
        port_zero_is_assigned,
        "assigned=true, ip=127.0.0.1",
    ),
    case("port_zero_is_unique", port_zero_is_unique, "different=10"),
    case(
        "bound_to_unspecified",
        bound_to_unspecified,
        "ip=0.0.0.0, accepted on=127.0.0.1",
    ),
    case("double_bind", double_bind, "second=AddrInUse"),
    case(
        "double_bind_unspecified",
        double_bind_unspecified,
        "second=AddrInUse",
    ),
    case(
        "double_bind_specific_then_unspecified",
        specific_then_unspecified,
        "second=AddrInUse",
    ),
    case("bind_non_local", bind_non_local, "bind=AddrNotAvailable"),
    case("bind_other_loopback", bind_other_loopback, "bind=127.0.0.2"),
    case(
        "tcp_and_udp_share_a_port",
        tcp_and_udp_share_a_port,
        "udp=ok",
    ),
    case("rebind_after_drop", rebind_after_drop, "rebind=true"),
    case(
        "rebind_with_open_connection",
        rebind_with_open_connection,
        r#"rebind=true, old connection="old", new="new""#,
    ),
    case("rebind_in_time_wait", rebind_in_time_wait, "rebind=true"),
    case("accept_in_order", accept_in_order, "in order=true"),
    case(
        "accept_after_client_sent_and_closed",
        accept_after_client_closed,
        r#"data="gone", then=0"#,
    ),
    case(
        "accept_after_client_reset",
        accept_after_client_reset,
        "accept=true, read=ConnectionReset",
    ),
    case(
        "drop_refuses_new_connections",
        drop_refuses,
        "connect=ConnectionRefused",
    ),
    case(
        "drop_resets_pending_connections",
        drop_resets_pending,
        "read=ConnectionReset",
    ),
    case(
        "drop_keeps_accepted_connections",
        drop_keeps_accepted,
        r#"read="kept""#,
    ),
    case(
        "clone_accepts_too",
        clone_accepts_too,
        "same address=true, first=true, second=true",
    ),
    case(
        "clone_outlives_original",
        clone_outlives_original,
        "accept=true",
    ),
    case(
        "incoming_yields_streams",
        incoming_yields_streams,
        r#"0="zero", 1="one", 2="two""#,
    ),
    case(
        "incoming_never_ends_on_error",
        incoming_never_ends,
        "first=Some(WouldBlock), second=Some(WouldBlock)",
    ),
    case(
        "backlog_of_128",
        backlog_of_128,
        "connected=128, accepted=128",
    ),
    case(
        "backlog_overflow",
        backlog_overflow,
        "connected all=false, error=Some(TimedOut)",
    ),
    case(
        "listener_ttl",
        listener_ttl,
        "default=64, set=ok, get=33, accepted=33",
    ),
];

fn port_zero_is_assigned(seen: &mut Seen) -> io::Result<()> {
    let address = TcpListener::bind(LOCAL)?.local_addr()?;
    seen.value("assigned", address.port() != 0);
    seen.value("ip", address.ip());
    Ok(())
}

fn port_zero_is_unique(seen: &mut Seen) -> io::Result<()> {
    let listeners = (0..10)
        .map(|_| TcpListener::bind(LOCAL))
        .collect::<io::Result<Vec<_>>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    seen.value(
        "different",
        ports.collect::<io::Result<HashSet<_>>>()?.len(),
    );
    Ok(())
}

fn bound_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let address = listener.local_addr()?;
    seen.value("ip", address.ip());
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()))?;
    seen.value("accepted on", listener.accept()?.0.local_addr()?.ip());
    Ok(())
}

fn double_bind(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    seen.result(
        "second",
        TcpListener::bind(listener.local_addr()?).map(drop),
    );
    Ok(())
}

fn double_bind_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    seen.result(
        "second",
        TcpListener::bind(listener.local_addr()?).map(drop),
    );
    Ok(())
}

fn specific_then_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = (Ipv4Addr::UNSPECIFIED, listener.local_addr()?.port());
    seen.result("second", TcpListener::bind(address).map(drop));
    Ok(())
}

fn bind_non_local(seen: &mut Seen) -> io::Result<()> {
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    seen.result(
        "bind",
        TcpListener::bind((Ipv4Addr::new(192, 0, 2, 1), 0)).map(drop),
    );
    Ok(())
}

fn bind_other_loopback(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0));
    seen.result(
        "bind",
        listener.and_then(|listener| Ok(listener.local_addr()?.ip())),
    );
    Ok(())
}

fn tcp_and_udp_share_a_port(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    seen.result("udp", UdpSocket::bind(listener.local_addr()?).map(drop));
    Ok(())
}

fn rebind_after_drop(seen: &mut Seen) -> io::Result<()> {
    let address = closed_address()?;
    seen.result(
        "rebind",
        TcpListener::bind(address).and_then(|again| Ok(again.local_addr()? == address)),
    );
    Ok(())
}

fn rebind_with_open_connection(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let mut old = TcpStream::connect(address)?;
    let (old_server, _) = listener.accept()?;
    drop(listener);
    let again = TcpListener::bind(address)?;
    seen.value("rebind", again.local_addr()? == address);
    old.write_all(b"old")?;
    seen.value("old connection", read_text(old_server)?);
    let mut new = TcpStream::connect(address)?;
    new.write_all(b"new")?;
    seen.value("new", read_text(again.accept()?.0)?);
    Ok(())
}

fn rebind_in_time_wait(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect(address)?;
    // The end that closes first, here the one with the listener's port, stays in TIME_WAIT.
    drop(listener.accept()?);
    client.read_to_end(&mut Vec::new())?;
    drop((client, listener));
    std::thread::sleep(SOON);
    seen.result(
        "rebind",
        TcpListener::bind(address).and_then(|again| Ok(again.local_addr()? == address)),
    );
    Ok(())
}

fn accept_in_order(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let clients = (0..8)
        .map(|_| TcpStream::connect(address))
        .collect::<io::Result<Vec<_>>>()?;
    let mut in_order = true;
    for client in &clients {
        in_order &= listener.accept()?.1 == client.local_addr()?;
    }
    seen.value("in order", in_order);
    Ok(())
}

fn accept_after_client_closed(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.write_all(b"gone")?;
    drop(client);
    std::thread::sleep(SOON);
    let (mut server, _) = listener.accept()?;
    seen.value("data", read_text(&server)?);
    seen.result("then", server.read(&mut [0; 4]));
    Ok(())
}

fn accept_after_client_reset(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let address = client.local_addr()?;
    reset(client)?;
    listener.set_nonblocking(true)?;
    let (mut server, from) = listener.accept()?;
    seen.value("accept", from == address);
    seen.result("read", server.read(&mut [0; 4]));
    Ok(())
}

fn drop_refuses(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let _client = TcpStream::connect(address)?;
    let _server = listener.accept()?;
    drop(listener);
    seen.result("connect", TcpStream::connect(address).map(drop));
    Ok(())
}

fn drop_resets_pending(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    std::thread::sleep(SOON);
    drop(listener);
    std::thread::sleep(SOON);
    seen.result("read", client.read(&mut [0; 4]));
    Ok(())
}

fn drop_keeps_accepted(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.write_all(b"kept")?;
    seen.value("read", read_text(server)?);
    Ok(())
}

fn clone_accepts_too(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let clone = listener.try_clone()?;
    let address = listener.local_addr()?;
    seen.value("same address", clone.local_addr()? == address);
    let (one, two) = (TcpStream::connect(address)?, TcpStream::connect(address)?);
    seen.value("first", clone.accept()?.1 == one.local_addr()?);
    seen.value("second", listener.accept()?.1 == two.local_addr()?);
    Ok(())
}

fn clone_outlives_original(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let clone = listener.try_clone()?;
    let address = listener.local_addr()?;
    drop(listener);
    let client = TcpStream::connect(address)?;
    seen.value("accept", clone.accept()?.1 == client.local_addr()?);
    Ok(())
}

fn incoming_yields_streams(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    for word in ["zero", "one", "two"] {
        TcpStream::connect(address)?.write_all(word.as_bytes())?;
    }
    for (number, stream) in listener.incoming().take(3).enumerate() {
        seen.value(&number.to_string(), read_text(stream?)?);
    }
    Ok(())
}

fn incoming_never_ends(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    listener.set_nonblocking(true)?;
    let mut incoming = listener.incoming();
    for label in ["first", "second"] {
        seen.value(
            label,
            incoming
                .next()
                .and_then(|stream| stream.err().map(|error| error.kind())),
        );
    }
    Ok(())
}

fn backlog_of_128(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(2));
    let clients = (0..128)
        .map(|_| connect())
        .collect::<io::Result<Vec<_>>>()?;
    seen.value("connected", clients.len());
    let accepted = (0..128)
        .map(|_| listener.accept())
        .collect::<io::Result<Vec<_>>>()?;
    seen.value("accepted", accepted.len());
    Ok(())
}

fn backlog_overflow(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    let mut error = None;
    while clients.len() < 400 && error.is_none() {
        match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(client) => clients.push(client),
            Err(failed) => error = Some(failed.kind()),
        }
    }
    seen.value("connected all", clients.len() == 400);
    seen.value("error", error);
    Ok(())
}

fn listener_ttl(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    seen.result("default", listener.ttl());
    seen.result("set", listener.set_ttl(33));
    seen.result("get", listener.ttl());
    let _client = TcpStream::connect(listener.local_addr()?)?;
    seen.result("accepted", listener.accept()?.0.ttl());
    Ok(())
}
