//! Nonblocking sockets.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "accept_would_block",
        accept_would_block,
        "accept=WouldBlock, then=true",
    ),
    case(
        "accepted_stream_blocks",
        accepted_stream_blocks,
        "read=WouldBlock, in time",
    ),
    case(
        "flag_is_per_socket",
        flag_is_per_socket,
        "one=WouldBlock, other times out=WouldBlock, in time",
    ),
    case(
        "read_would_block",
        read_would_block,
        r#"read=WouldBlock, peek=WouldBlock, then="now""#,
    ),
    case("read_at_end", read_at_end, "read=0"),
    case("read_after_reset", read_after_reset, "read=ConnectionReset"),
    case(
        "write_would_block",
        write_would_block,
        "taken=true, end=WouldBlock, after draining=1",
    ),
    case(
        "write_all_would_block",
        write_all_would_block,
        "write_all=WouldBlock",
    ),
    case("write_is_partial", write_is_partial, "partial=true"),
    case(
        "back_to_blocking",
        back_to_blocking,
        "first=WouldBlock, then=WouldBlock, in time",
    ),
    case(
        "clone_shares_the_flag",
        clone_shares_the_flag,
        "clone=WouldBlock",
    ),
    case("read_of_nothing", read_of_nothing, "read=WouldBlock"),
    case(
        "connect_in_progress",
        connect_in_progress,
        r#"connected=ok, error=None, peer=true, read="hi""#,
    ),
    case(
        "connect_refused",
        connect_refused,
        "waited=ok, error=Some(ConnectionRefused), then=None",
    ),
    case(
        "incoming_would_block",
        incoming_would_block,
        "first=WouldBlock, then=true",
    ),
    case(
        "udp_recv_would_block",
        udp_recv_would_block,
        "recv=WouldBlock, recv_from=WouldBlock, peek=WouldBlock, then=3",
    ),
    case(
        "udp_clone_shares_the_flag",
        udp_clone_shares_the_flag,
        "clone=WouldBlock",
    ),
    case(
        "udp_back_to_blocking",
        udp_back_to_blocking,
        "first=WouldBlock, then=WouldBlock, in time",
    ),
    case(
        "timeout_does_not_matter",
        timeout_does_not_matter,
        "read=WouldBlock, at once=true",
    ),
];

fn accept_would_block(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    listener.set_nonblocking(true)?;
    seen.result("accept", listener.accept().map(drop));
    let client = TcpStream::connect(listener.local_addr()?)?;
    extra::wait_acceptable(&listener)?;
    seen.value("then", listener.accept()?.1 == client.local_addr()?);
    Ok(())
}

fn accepted_stream_blocks(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    listener.set_nonblocking(true)?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    extra::wait_acceptable(&listener)?;
    let (mut server, _) = listener.accept()?;
    // A stream that inherited the flag would return at once.
    server.set_read_timeout(Some(SOON))?;
    seen.timed("read", SOON, || server.read(&mut [0; 4]));
    Ok(())
}

fn flag_is_per_socket(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result("one", client.read(&mut [0; 4]));
    server.set_read_timeout(Some(SOON))?;
    seen.timed("other times out", SOON, || server.read(&mut [0; 4]));
    Ok(())
}

fn read_would_block(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result("read", client.read(&mut [0; 4]));
    seen.result("peek", client.peek(&mut [0; 4]));
    server.write_all(b"now")?;
    std::thread::sleep(SOON);
    seen.value("then", read_text(&client)?);
    Ok(())
}

fn read_at_end(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.set_nonblocking(true)?;
    drop(server);
    std::thread::sleep(SOON);
    seen.result("read", client.read(&mut [0; 4]));
    Ok(())
}

fn read_after_reset(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.set_nonblocking(true)?;
    reset(server)?;
    seen.result("read", client.read(&mut [0; 4]));
    Ok(())
}

fn write_would_block(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.set_nonblocking(true)?;
    let (mut taken, mut error) = fill(&client);
    // The stack moves data on by itself for a while after the first refusal.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(20));
        let (more, last) = fill(&client);
        (taken, error) = (taken + more, last);
    }
    seen.value("taken", taken > 0);
    seen.end(error);
    let mut drained = vec![0; taken];
    server.read_exact(&mut drained)?;
    extra::wait_writable(&client)?;
    seen.result("after draining", client.write(b"x"));
    Ok(())
}

fn write_all_would_block(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result("write_all", client.write_all(&vec![0; 64 << 20]));
    Ok(())
}

fn write_is_partial(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    let block = vec![0; 64 << 20];
    let taken = client.write(&block)?;
    seen.value("partial", 0 < taken && taken < block.len());
    Ok(())
}

fn back_to_blocking(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result("first", client.read(&mut [0; 4]));
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(SOON))?;
    seen.timed("then", SOON, || client.read(&mut [0; 4]));
    Ok(())
}

fn clone_shares_the_flag(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let mut clone = client.try_clone()?;
    clone.set_read_timeout(Some(Duration::from_secs(1)))?;
    client.set_nonblocking(true)?;
    seen.result("clone", clone.read(&mut [0; 4]));
    Ok(())
}

fn read_of_nothing(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    seen.result("read", client.read(&mut []));
    Ok(())
}

fn connect_in_progress(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let client = extra::start_connect(listener.local_addr()?)?;
    let (mut server, from) = listener.accept()?;
    seen.result("connected", extra::wait_writable(&client));
    seen.value("error", client.take_error()?.map(|error| error.kind()));
    seen.value(
        "peer",
        client.peer_addr()? == listener.local_addr()? && from == client.local_addr()?,
    );
    server.write_all(b"hi")?;
    client.set_nonblocking(false)?;
    seen.value("read", read_text(&client)?);
    Ok(())
}

fn connect_refused(seen: &mut Seen) -> io::Result<()> {
    let client = extra::start_connect(closed_address()?)?;
    seen.result("waited", extra::wait_writable(&client));
    seen.value("error", client.take_error()?.map(|error| error.kind()));
    seen.value("then", client.take_error()?.map(|error| error.kind()));
    Ok(())
}

fn incoming_would_block(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    listener.set_nonblocking(true)?;
    let mut incoming = listener.incoming();
    let mut next = || incoming.next().expect("incoming never ends");
    seen.result("first", next().map(drop));
    let client = TcpStream::connect(listener.local_addr()?)?;
    extra::wait_acceptable(&listener)?;
    seen.value("then", next()?.peer_addr()? == client.local_addr()?);
    Ok(())
}

fn udp_recv_would_block(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.set_nonblocking(true)?;
    seen.result("recv", one.recv(&mut [0; 4]));
    seen.result("recv_from", one.recv_from(&mut [0; 4]));
    seen.result("peek", one.peek(&mut [0; 4]));
    other.send(b"now")?;
    std::thread::sleep(SOON);
    seen.result("then", one.recv(&mut [0; 4]));
    Ok(())
}

fn udp_clone_shares_the_flag(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    let clone = one.try_clone()?;
    one.set_nonblocking(true)?;
    seen.result("clone", clone.recv(&mut [0; 4]));
    Ok(())
}

fn udp_back_to_blocking(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    one.set_nonblocking(true)?;
    seen.result("first", one.recv(&mut [0; 4]));
    one.set_nonblocking(false)?;
    one.set_read_timeout(Some(SOON))?;
    seen.timed("then", SOON, || one.recv(&mut [0; 4]));
    Ok(())
}

fn timeout_does_not_matter(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_nonblocking(true)?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    let start = std::time::Instant::now();
    seen.result("read", client.read(&mut [0; 4]));
    seen.value("at once", start.elapsed() < Duration::from_secs(1));
    Ok(())
}
