//! Options of streams and UDP sockets.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "nodelay",
        nodelay,
        "default=false, set=ok, get=true, clear=ok, cleared=false",
    ),
    case("nodelay_of_accepted", nodelay_of_accepted, "accepted=false"),
    case(
        "ttl",
        ttl,
        "default=64, set=ok, get=100, highest=ok, get=255",
    ),
    case("ttl_too_large", ttl_too_large, "set=InvalidInput, still=64"),
    case("ttl_absurd", ttl_absurd, "set=InvalidInput"),
    case("ttl_zero", ttl_zero, "set=InvalidInput"),
    case("ttl_is_shared_by_clones", ttl_shared, "clone=77"),
    case("udp_ttl", udp_ttl, "default=64, set=ok, get=12"),
    case(
        "keepalive",
        keepalive,
        "default=false, set=ok, get=true, clear=ok, cleared=false",
    ),
    case(
        "linger",
        linger,
        "default=None, set=ok, get=Some(5s), clear=ok, cleared=None",
    ),
    case(
        "linger_sends_data",
        linger_sends_data,
        r#"read="lingering""#,
    ),
    case("send_buffer", send_buffer, "set=ok, at least=true"),
    case("receive_buffer", receive_buffer, "set=ok, at least=true"),
    case("small_buffers_still_work", small_buffers, "arrived=true"),
    case(
        "buffer_of_nothing",
        buffer_of_nothing,
        "connection works=true",
    ),
    case(
        "broadcast",
        broadcast,
        "default=false, set=ok, get=true, clear=ok, cleared=false",
    ),
    case(
        "options_are_per_socket",
        per_socket,
        "one=true, other=false",
    ),
];

fn nodelay(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("default", client.nodelay());
    seen.result("set", client.set_nodelay(true));
    seen.result("get", client.nodelay());
    seen.result("clear", client.set_nodelay(false));
    seen.result("cleared", client.nodelay());
    Ok(())
}

fn nodelay_of_accepted(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    client.set_nodelay(true)?;
    seen.result("accepted", server.nodelay());
    Ok(())
}

fn ttl(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("default", client.ttl());
    seen.result("set", client.set_ttl(100));
    seen.result("get", client.ttl());
    seen.result("highest", client.set_ttl(255));
    seen.result("get", client.ttl());
    Ok(())
}

fn ttl_too_large(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("set", client.set_ttl(256));
    seen.result("still", client.ttl());
    Ok(())
}

fn ttl_absurd(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("set", client.set_ttl(u32::MAX - 1));
    Ok(())
}

fn ttl_zero(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("set", client.set_ttl(0));
    Ok(())
}

fn ttl_shared(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let clone = client.try_clone()?;
    client.set_ttl(77)?;
    seen.result("clone", clone.ttl());
    Ok(())
}

fn udp_ttl(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("default", socket.ttl());
    seen.result("set", socket.set_ttl(12));
    seen.result("get", socket.ttl());
    Ok(())
}

fn keepalive(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("default", extra::keepalive(&client));
    seen.result("set", extra::set_keepalive(&client, true));
    seen.result("get", extra::keepalive(&client));
    seen.result("clear", extra::set_keepalive(&client, false));
    seen.result("cleared", extra::keepalive(&client));
    Ok(())
}

fn linger(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("default", extra::linger(&client));
    seen.result(
        "set",
        extra::set_linger(&client, Some(Duration::from_secs(5))),
    );
    seen.result("get", extra::linger(&client));
    seen.result("clear", extra::set_linger(&client, None));
    seen.result("cleared", extra::linger(&client));
    Ok(())
}

fn linger_sends_data(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    extra::set_linger(&client, Some(Duration::from_secs(5)))?;
    client.write_all(b"lingering")?;
    drop(client);
    seen.value("read", read_text(server)?);
    Ok(())
}

fn send_buffer(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("set", extra::set_send_buffer(&client, 128 * 1024));
    seen.value("at least", extra::send_buffer(&client)? >= 128 * 1024);
    Ok(())
}

fn receive_buffer(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("set", extra::set_receive_buffer(&client, 128 * 1024));
    seen.value("at least", extra::receive_buffer(&client)? >= 128 * 1024);
    Ok(())
}

fn small_buffers(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    extra::set_send_buffer(&client, 4096)?;
    extra::set_receive_buffer(&server, 4096)?;
    let sent: Vec<u8> = (0..100_000u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&sent));
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived)?;
    seen.value("arrived", arrived == expected);
    writer.join().expect("the writer does not panic")
}

fn buffer_of_nothing(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    // Whether it is refused or raised to a minimum, the connection goes on.
    let _ = extra::set_send_buffer(&client, 0);
    client.write_all(b"x")?;
    seen.value("connection works", read_text(server)? == "x");
    Ok(())
}

fn broadcast(seen: &mut Seen) -> io::Result<()> {
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("default", socket.broadcast());
    seen.result("set", socket.set_broadcast(true));
    seen.result("get", socket.broadcast());
    seen.result("clear", socket.set_broadcast(false));
    seen.result("cleared", socket.broadcast());
    Ok(())
}

fn per_socket(seen: &mut Seen) -> io::Result<()> {
    let (one, _server) = pair()?;
    let (other, _server) = pair()?;
    one.set_nodelay(true)?;
    seen.result("one", one.nodelay());
    seen.result("other", other.nodelay());
    Ok(())
}
