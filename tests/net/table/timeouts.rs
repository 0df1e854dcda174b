//! Read and write timeouts of streams and UDP sockets.

use super::*;

pub const CASES: &[Case] = &[
    case(
        "default_is_none",
        default_is_none,
        "read=None, write=None, udp read=None, udp write=None",
    ),
    case(
        "zero_is_an_error",
        zero_is_an_error,
        "read=InvalidInput, write=InvalidInput, udp read=InvalidInput, udp write=InvalidInput, still=None",
    ),
    case(
        "set_and_get",
        set_and_get,
        "100ms=true, 1.5s=true, 60s=true",
    ),
    case("set_and_clear", set_and_clear, "read=None, write=None"),
    case(
        "read_and_write_are_independent",
        independent,
        "read=true, write=None",
    ),
    case("hour", hour, "set=ok, get=true"),
    case("longest", longest, "set=ok, finite or none=true, read=0"),
    case(
        "shortest_is_not_for_ever",
        shortest,
        "set=ok, read=WouldBlock, in time",
    ),
    case("read_times_out", read_times_out, "read=WouldBlock, in time"),
    case(
        "read_times_out_again",
        read_times_out_again,
        r#"read=WouldBlock, in time, again=WouldBlock, in time, data="late""#,
    ),
    case("peek_times_out", peek_times_out, "peek=WouldBlock, in time"),
    case("data_beats_timeout", data_beats_timeout, r#"read="soon""#),
    case("end_beats_timeout", end_beats_timeout, "read=0"),
    case(
        "write_times_out",
        write_times_out,
        "taken=true, write=WouldBlock, in time",
    ),
    case(
        "write_timeout_keeps_what_was_taken",
        write_keeps_taken,
        "arrived=true, write=WouldBlock",
    ),
    case(
        "clone_shares_timeout",
        clone_shares_timeout,
        "get=true, read=WouldBlock, in time",
    ),
    case(
        "timeout_of_half_a_second",
        half_a_second,
        "read=WouldBlock, in time",
    ),
    case(
        "cleared_timeout_waits",
        cleared_timeout_waits,
        r#"read="patience""#,
    ),
    case(
        "udp_read_times_out",
        udp_read_times_out,
        "recv=WouldBlock, in time, recv_from=WouldBlock, in time",
    ),
    case(
        "udp_peek_times_out",
        udp_peek_times_out,
        "peek=WouldBlock, in time, peek_from=WouldBlock, in time",
    ),
    case("udp_data_beats_timeout", udp_data_beats_timeout, "recv=4"),
    case(
        "timeout_of_accepted_stream",
        timeout_of_accepted,
        "accepted=None",
    ),
];

const TIMEOUT: Duration = Duration::from_millis(60);

/// Whether a timeout came back as set. Kernels round it up to their clock tick.
fn about(got: io::Result<Option<Duration>>, set: Duration) -> io::Result<bool> {
    Ok(got?.is_some_and(|got| got.abs_diff(set) <= Duration::from_millis(20)))
}

fn default_is_none(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let socket = UdpSocket::bind(LOCAL)?;
    seen.value("read", client.read_timeout()?);
    seen.value("write", client.write_timeout()?);
    seen.value("udp read", socket.read_timeout()?);
    seen.value("udp write", socket.write_timeout()?);
    Ok(())
}

fn zero_is_an_error(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let socket = UdpSocket::bind(LOCAL)?;
    seen.result("read", client.set_read_timeout(Some(Duration::ZERO)));
    seen.result("write", client.set_write_timeout(Some(Duration::ZERO)));
    seen.result("udp read", socket.set_read_timeout(Some(Duration::ZERO)));
    seen.result("udp write", socket.set_write_timeout(Some(Duration::ZERO)));
    seen.value("still", client.read_timeout()?);
    Ok(())
}

fn set_and_get(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    for (label, timeout) in [("100ms", 100), ("1.5s", 1500), ("60s", 60_000)] {
        let timeout = Duration::from_millis(timeout);
        client.set_read_timeout(Some(timeout))?;
        client.set_write_timeout(Some(timeout))?;
        seen.value(
            label,
            about(client.read_timeout(), timeout)? && about(client.write_timeout(), timeout)?,
        );
    }
    Ok(())
}

fn set_and_clear(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    client.set_write_timeout(Some(TIMEOUT))?;
    client.set_read_timeout(None)?;
    client.set_write_timeout(None)?;
    seen.value("read", client.read_timeout()?);
    seen.value("write", client.write_timeout()?);
    Ok(())
}

fn independent(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.value("read", about(client.read_timeout(), TIMEOUT)?);
    seen.value("write", client.write_timeout()?);
    Ok(())
}

fn hour(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let hour = Duration::from_secs(3600);
    seen.result("set", client.set_read_timeout(Some(hour)));
    seen.value("get", about(client.read_timeout(), hour)?);
    Ok(())
}

fn longest(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    seen.result("set", client.set_read_timeout(Some(Duration::MAX)));
    // A kernel may not be able to count that far, but it must not count less than days.
    let days = Duration::from_secs(2 * 86_400);
    seen.value(
        "finite or none",
        client.read_timeout()?.is_none_or(|got| got > days),
    );
    let closer = std::thread::spawn(move || {
        std::thread::sleep(SOON);
        drop(server);
    });
    seen.result("read", client.read(&mut [0; 4]));
    closer.join().expect("the closer does not panic");
    Ok(())
}

fn shortest(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    // Less than a microsecond must not be rounded down to "no timeout".
    seen.result(
        "set",
        client.set_read_timeout(Some(Duration::from_nanos(1))),
    );
    seen.timed("read", Duration::ZERO, || client.read(&mut [0; 4]));
    Ok(())
}

fn read_times_out(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.timed("read", TIMEOUT, || client.read(&mut [0; 4]));
    Ok(())
}

fn read_times_out_again(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.timed("read", TIMEOUT, || client.read(&mut [0; 4]));
    seen.timed("again", TIMEOUT, || client.read(&mut [0; 4]));
    server.write_all(b"late")?;
    seen.value("data", read_text(&client)?);
    Ok(())
}

fn peek_times_out(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.timed("peek", TIMEOUT, || client.peek(&mut [0; 4]));
    Ok(())
}

fn data_beats_timeout(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let writer = std::thread::spawn(move || {
        std::thread::sleep(SOON);
        server.write_all(b"soon")
    });
    seen.value("read", read_text(&client)?);
    writer.join().expect("the writer does not panic")
}

fn end_beats_timeout(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    drop(server);
    seen.result("read", client.read(&mut [0; 4]));
    Ok(())
}

fn write_times_out(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    client.set_write_timeout(Some(TIMEOUT))?;
    let (taken, _) = fill(&client);
    seen.value("taken", taken > 0);
    seen.timed("write", TIMEOUT, || (&client).write(b"x"));
    Ok(())
}

fn write_keeps_taken(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    client.set_write_timeout(Some(TIMEOUT))?;
    let (taken, error) = fill(&client);
    drop(client);
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived)?;
    seen.value(
        "arrived",
        arrived.len() == taken && arrived.iter().all(|byte| *byte == 0x5a),
    );
    seen.result::<()>("write", Err(error));
    Ok(())
}

fn clone_shares_timeout(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    let mut clone = client.try_clone()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.value("get", about(clone.read_timeout(), TIMEOUT)?);
    seen.timed("read", TIMEOUT, || clone.read(&mut [0; 4]));
    Ok(())
}

fn half_a_second(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    let timeout = Duration::from_millis(500);
    client.set_read_timeout(Some(timeout))?;
    seen.timed("read", timeout, || client.read(&mut [0; 4]));
    Ok(())
}

fn cleared_timeout_waits(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    client.set_read_timeout(Some(Duration::from_millis(10)))?;
    client.set_read_timeout(None)?;
    let writer = std::thread::spawn(move || {
        std::thread::sleep(3 * SOON);
        server.write_all(b"patience")
    });
    seen.value("read", read_text(&client)?);
    writer.join().expect("the writer does not panic")
}

fn udp_read_times_out(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    one.set_read_timeout(Some(TIMEOUT))?;
    seen.timed("recv", TIMEOUT, || one.recv(&mut [0; 4]));
    seen.timed("recv_from", TIMEOUT, || one.recv_from(&mut [0; 4]));
    Ok(())
}

fn udp_peek_times_out(seen: &mut Seen) -> io::Result<()> {
    let (one, _other) = udp_pair()?;
    one.set_read_timeout(Some(TIMEOUT))?;
    seen.timed("peek", TIMEOUT, || one.peek(&mut [0; 4]));
    seen.timed("peek_from", TIMEOUT, || one.peek_from(&mut [0; 4]));
    Ok(())
}

fn udp_data_beats_timeout(seen: &mut Seen) -> io::Result<()> {
    let (one, other) = udp_pair()?;
    one.set_read_timeout(Some(Duration::from_secs(10)))?;
    other.send(b"data")?;
    seen.result("recv", one.recv(&mut [0; 8]));
    Ok(())
}

fn timeout_of_accepted(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    client.set_read_timeout(Some(TIMEOUT))?;
    seen.value("accepted", server.read_timeout()?);
    Ok(())
}
