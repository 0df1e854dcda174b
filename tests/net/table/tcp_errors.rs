//! `TcpStream`: what fails, and how.

use super::*;
use api::Shutdown;

pub const CASES: &[Case] = &[
    case("refused", refused, "connect=ConnectionRefused"),
    case("refused_again_and_again", refused_again, "refused=20"),
    case(
        "reset_seen_by_reader",
        reset_seen_by_reader,
        "read=ConnectionReset, then=0",
    ),
    case(
        "reset_seen_by_blocked_reader",
        reset_seen_by_blocked_reader,
        "read=ConnectionReset",
    ),
    case(
        "reset_seen_by_writer",
        reset_seen_by_writer,
        "write=ConnectionReset, then=BrokenPipe",
    ),
    case(
        "data_before_reset",
        data_before_reset,
        "read=21, then=ConnectionReset",
    ),
    case(
        "reset_in_take_error",
        reset_in_take_error,
        "first=Some(ConnectionReset), second=None, read=0",
    ),
    case(
        "shutdown_after_reset",
        shutdown_after_reset,
        "both=NotConnected",
    ),
    case(
        "peer_addr_after_reset",
        peer_addr_after_reset,
        "peer=NotConnected, local=true",
    ),
    case(
        "peer_addr_after_peer_close",
        peer_addr_after_peer_close,
        "peer=true",
    ),
    case(
        "write_to_closed_peer",
        write_to_closed_peer,
        "first=1, later=BrokenPipe",
    ),
    case(
        "close_with_unread_data",
        close_with_unread_data,
        "read=ConnectionReset",
    ),
    case(
        "shutdown_after_peer_close",
        shutdown_after_peer_close,
        "write=ok",
    ),
    case(
        "options_after_reset",
        options_after_reset,
        "set=ok, get=true",
    ),
    case(
        "connect_timeout_connects",
        connect_timeout_connects,
        r#"read="in time""#,
    ),
    case(
        "connect_timeout_refused",
        connect_timeout_refused,
        "connect=ConnectionRefused",
    ),
    case(
        "connect_timeout_of_zero",
        connect_timeout_of_zero,
        "connect=InvalidInput",
    ),
    case(
        "connect_timeout_then_blocking",
        connect_timeout_then_blocking,
        "read=WouldBlock, in time",
    ),
    case(
        "connect_to_port_zero",
        connect_to_port_zero,
        "connect=ConnectionRefused",
    ),
    case(
        "connect_to_other_loopback_address",
        connect_to_other_loopback,
        "connect=ConnectionRefused",
    ),
];

fn refused(seen: &mut Seen) -> io::Result<()> {
    seen.result("connect", TcpStream::connect(closed_address()?).map(drop));
    Ok(())
}

fn refused_again(seen: &mut Seen) -> io::Result<()> {
    let address = closed_address()?;
    let refused = (0..20).filter(|_| {
        TcpStream::connect(address)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    seen.value("refused", refused.count());
    Ok(())
}

fn reset_seen_by_reader(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    reset(client)?;
    seen.result("read", server.read(&mut [0; 8]));
    seen.result("then", server.read(&mut [0; 8]));
    Ok(())
}

fn reset_seen_by_blocked_reader(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    let reader = std::thread::spawn(move || server.read(&mut [0; 8]));
    std::thread::sleep(SOON);
    reset(client)?;
    seen.result("read", reader.join().expect("the reader does not panic"));
    Ok(())
}

fn reset_seen_by_writer(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    reset(client)?;
    seen.result("write", server.write(b"x"));
    seen.result("then", server.write(b"x"));
    Ok(())
}

fn data_before_reset(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    server.write_all(b"never read by the client")?;
    client.write_all(b"sent before the reset")?;
    reset(client)?;
    seen.result("read", server.read(&mut [0; 64]));
    seen.result("then", server.read(&mut [0; 64]));
    Ok(())
}

fn reset_in_take_error(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    reset(client)?;
    seen.value("first", server.take_error()?.map(|error| error.kind()));
    seen.value("second", server.take_error()?.map(|error| error.kind()));
    seen.result("read", server.read(&mut [0; 8]));
    Ok(())
}

fn shutdown_after_reset(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    reset(client)?;
    seen.result("both", server.shutdown(Shutdown::Both));
    Ok(())
}

fn peer_addr_after_reset(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let local = server.local_addr()?;
    reset(client)?;
    seen.result("peer", server.peer_addr());
    seen.value("local", server.local_addr()? == local);
    Ok(())
}

fn peer_addr_after_peer_close(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let peer = client.local_addr()?;
    drop(client);
    std::thread::sleep(SOON);
    seen.value("peer", server.peer_addr()? == peer);
    Ok(())
}

fn write_to_closed_peer(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    drop(client);
    std::thread::sleep(SOON);
    // The first write finds nothing wrong; what it sends is answered by a reset.
    seen.result("first", server.write(b"x"));
    std::thread::sleep(SOON);
    seen.result("later", server.write(b"x"));
    Ok(())
}

fn close_with_unread_data(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.write_all(b"never read")?;
    std::thread::sleep(SOON);
    drop(server);
    std::thread::sleep(SOON);
    seen.result("read", client.read(&mut [0; 8]));
    Ok(())
}

fn shutdown_after_peer_close(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    drop(client);
    std::thread::sleep(SOON);
    seen.result("write", server.shutdown(Shutdown::Write));
    Ok(())
}

fn options_after_reset(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    reset(client)?;
    seen.result("set", server.set_nodelay(true));
    seen.result("get", server.nodelay());
    Ok(())
}

fn connect_timeout_connects(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let mut client = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(5))?;
    let (server, _) = listener.accept()?;
    client.write_all(b"in time")?;
    seen.value("read", read_text(server)?);
    Ok(())
}

fn connect_timeout_refused(seen: &mut Seen) -> io::Result<()> {
    let result = TcpStream::connect_timeout(&closed_address()?, Duration::from_secs(5));
    seen.result("connect", result.map(drop));
    Ok(())
}

fn connect_timeout_of_zero(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let result = TcpStream::connect_timeout(&listener.local_addr()?, Duration::ZERO);
    seen.result("connect", result.map(drop));
    Ok(())
}

fn connect_timeout_then_blocking(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let mut client = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(5))?;
    let _server = listener.accept()?;
    // The stream must be a blocking one again: its read waits for the read timeout.
    client.set_read_timeout(Some(SOON))?;
    seen.timed("read", SOON, || client.read(&mut [0; 8]));
    Ok(())
}

fn connect_to_port_zero(seen: &mut Seen) -> io::Result<()> {
    seen.result("connect", TcpStream::connect(LOCAL).map(drop));
    Ok(())
}

fn connect_to_other_loopback(seen: &mut Seen) -> io::Result<()> {
    // The listener is bound to 127.0.0.1; 127.0.0.1 is not the only loopback address.
    let listener = TcpListener::bind(LOCAL)?;
    let address = (Ipv4Addr::new(127, 0, 0, 2), listener.local_addr()?.port());
    let result = TcpStream::connect_timeout(&address.into(), Duration::from_secs(2));
    seen.result("connect", result.map(drop));
    Ok(())
}
