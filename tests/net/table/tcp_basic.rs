//! `TcpStream`: data, its end, shutdown, peek.

use super::*;
use api::Shutdown;

pub const CASES: &[Case] = &[
    case("echo", echo, r#"write=4, server="ping", client="pong""#),
    case(
        "addresses_agree",
        addresses_agree,
        "peer of client=true, peer of server=true, accept says=true, loopback=true",
    ),
    case(
        "read_to_end_after_close",
        read_to_end_after_close,
        r#"read=11, text="hello world""#,
    ),
    case(
        "read_after_peer_close",
        read_after_peer_close,
        r#"data="last", then=0, again=0"#,
    ),
    case("read_on_closed_is_zero", read_on_closed_is_zero, "read=0"),
    case(
        "half_close",
        half_close,
        r#"request="question", reply="answer""#,
    ),
    case(
        "shutdown_read_ends_reading",
        shutdown_read,
        "shutdown=ok, read=0, again=0",
    ),
    case(
        "shutdown_read_leaves_writing",
        shutdown_read_leaves_writing,
        r#"write=5, other end="still""#,
    ),
    case(
        "shutdown_both",
        shutdown_both,
        "shutdown=ok, read=0, write=BrokenPipe, other end reads=0",
    ),
    case(
        "shutdown_write_leaves_reading",
        shutdown_write_leaves_reading,
        r#"read="late""#,
    ),
    case(
        "write_after_shutdown",
        write_after_shutdown,
        "write=BrokenPipe, again=BrokenPipe",
    ),
    case(
        "double_shutdown_write",
        double_shutdown_write,
        "first=ok, second=ok",
    ),
    case(
        "double_shutdown_both",
        double_shutdown_both,
        "first=ok, second=ok",
    ),
    case(
        "shutdown_keeps_sent_data",
        shutdown_keeps_sent_data,
        r#"text="all of it""#,
    ),
    case(
        "drop_delivers_sent_data",
        drop_delivers_sent_data,
        r#"text="parting words""#,
    ),
    case(
        "read_into_nothing",
        read_into_nothing,
        r#"read=0, then="x""#,
    ),
    case(
        "read_into_nothing_at_end",
        read_into_nothing_at_end,
        "read=0",
    ),
    case("write_of_nothing", write_of_nothing, r#"write=0, then="y""#),
    case("flush", flush, r#"flush=ok, read="f""#),
    case(
        "peek_leaves_data",
        peek_leaves_data,
        r#"peek="peeked", again="peeked", read="peeked""#,
    ),
    case("peek_short", peek_short, r#"peek=2, read="abcdef""#),
    case("peek_at_end", peek_at_end, "peek=0, read=0"),
    case(
        "read_in_pieces",
        read_in_pieces,
        r#"first="abc", second="def", third="g""#,
    ),
    case(
        "small_writes_in_order",
        small_writes_in_order,
        "read=ok, in order=true",
    ),
    case(
        "read_exact_across_writes",
        read_exact_across_writes,
        r#"read=ok, text="onetwothree""#,
    ),
    case(
        "read_exact_of_too_little",
        read_exact_of_too_little,
        "read=UnexpectedEof",
    ),
    case(
        "through_shared_reference",
        through_shared_reference,
        r#"read="shared""#,
    ),
    case(
        "clone_is_the_same_socket",
        clone_is_the_same_socket,
        r#"addresses=true, data="via clone""#,
    ),
    case(
        "drop_of_clone_keeps_connection",
        drop_of_clone,
        r#"read="alive""#,
    ),
    case(
        "connect_to_unspecified",
        connect_to_unspecified,
        "connected=true, peer=127.0.0.1",
    ),
    case(
        "take_error_is_none",
        take_error_is_none,
        "client=None, server=None, listener=None",
    ),
];

fn echo(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    seen.result("write", client.write(b"ping"));
    seen.value("server", read_text(&server)?);
    server.write_all(b"pong")?;
    seen.value("client", read_text(&client)?);
    Ok(())
}

fn addresses_agree(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, said) = listener.accept()?;
    seen.value(
        "peer of client",
        client.peer_addr()? == listener.local_addr()?,
    );
    seen.value(
        "peer of server",
        server.peer_addr()? == client.local_addr()?,
    );
    seen.value("accept says", said == client.local_addr()?);
    seen.value(
        "loopback",
        said.ip().is_loopback() && server.local_addr()? == listener.local_addr()?,
    );
    Ok(())
}

fn read_to_end_after_close(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"hello ")?;
    client.write_all(b"world")?;
    drop(client);
    let mut text = String::new();
    seen.result("read", server.read_to_string(&mut text));
    seen.value("text", text);
    Ok(())
}

fn read_after_peer_close(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"last")?;
    drop(client);
    seen.value("data", read_text(&server)?);
    seen.result("then", server.read(&mut [0; 8]));
    seen.result("again", server.read(&mut [0; 8]));
    Ok(())
}

fn read_on_closed_is_zero(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    drop(client);
    seen.result("read", server.read(&mut [0; 8]));
    Ok(())
}

fn half_close(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"question")?;
    client.shutdown(Shutdown::Write)?;
    let mut request = String::new();
    server.read_to_string(&mut request)?;
    seen.value("request", request);
    server.write_all(b"answer")?;
    drop(server);
    let mut reply = String::new();
    client.read_to_string(&mut reply)?;
    seen.value("reply", reply);
    Ok(())
}

fn shutdown_read(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    seen.result("shutdown", client.shutdown(Shutdown::Read));
    seen.result("read", client.read(&mut [0; 8]));
    seen.result("again", client.read(&mut [0; 8]));
    Ok(())
}

fn shutdown_read_leaves_writing(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.shutdown(Shutdown::Read)?;
    seen.result("write", client.write(b"still"));
    seen.value("other end", read_text(&server)?);
    Ok(())
}

fn shutdown_both(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    seen.result("shutdown", client.shutdown(Shutdown::Both));
    seen.result("read", client.read(&mut [0; 8]));
    seen.result("write", client.write(b"x"));
    seen.result("other end reads", server.read(&mut [0; 8]));
    Ok(())
}

fn shutdown_write_leaves_reading(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    client.shutdown(Shutdown::Write)?;
    server.write_all(b"late")?;
    seen.value("read", read_text(&client)?);
    Ok(())
}

fn write_after_shutdown(seen: &mut Seen) -> io::Result<()> {
    let (mut client, _server) = pair()?;
    client.shutdown(Shutdown::Write)?;
    seen.result("write", client.write(b"x"));
    seen.result("again", client.write(b"x"));
    Ok(())
}

fn double_shutdown_write(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("first", client.shutdown(Shutdown::Write));
    seen.result("second", client.shutdown(Shutdown::Write));
    Ok(())
}

fn double_shutdown_both(seen: &mut Seen) -> io::Result<()> {
    let (client, _server) = pair()?;
    seen.result("first", client.shutdown(Shutdown::Both));
    seen.result("second", client.shutdown(Shutdown::Both));
    Ok(())
}

fn shutdown_keeps_sent_data(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"all of it")?;
    client.shutdown(Shutdown::Write)?;
    drop(client);
    let mut text = Vec::new();
    server.read_to_end(&mut text)?;
    seen.text("text", &text);
    Ok(())
}

fn drop_delivers_sent_data(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"parting words")?;
    drop(client);
    std::thread::sleep(SOON);
    let mut text = Vec::new();
    server.read_to_end(&mut text)?;
    seen.text("text", &text);
    Ok(())
}

fn read_into_nothing(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"x")?;
    std::thread::sleep(SOON);
    seen.result("read", server.read(&mut []));
    seen.value("then", read_text(&server)?);
    Ok(())
}

fn read_into_nothing_at_end(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    drop(client);
    std::thread::sleep(SOON);
    seen.result("read", server.read(&mut []));
    Ok(())
}

fn write_of_nothing(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    seen.result("write", client.write(b""));
    client.write_all(b"y")?;
    seen.value("then", read_text(&server)?);
    Ok(())
}

fn flush(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.write_all(b"f")?;
    seen.result("flush", client.flush());
    seen.value("read", read_text(&server)?);
    Ok(())
}

fn peek_leaves_data(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.write_all(b"peeked")?;
    let mut buffer = [0; 16];
    let length = server.peek(&mut buffer)?;
    seen.text("peek", &buffer[..length]);
    let length = server.peek(&mut buffer)?;
    seen.text("again", &buffer[..length]);
    seen.value("read", read_text(&server)?);
    Ok(())
}

fn peek_short(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    client.write_all(b"abcdef")?;
    seen.result("peek", server.peek(&mut [0; 2]));
    seen.value("read", read_text(&server)?);
    Ok(())
}

fn peek_at_end(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    drop(client);
    seen.result("peek", server.peek(&mut [0; 4]));
    seen.result("read", server.read(&mut [0; 4]));
    Ok(())
}

fn read_in_pieces(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"abcdefg")?;
    for label in ["first", "second", "third"] {
        let mut buffer = [0; 3];
        let length = server.read(&mut buffer)?;
        seen.text(label, &buffer[..length]);
    }
    Ok(())
}

fn small_writes_in_order(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let sent: Vec<u8> = (0..1000u32).map(|number| (number * 7) as u8).collect();
    let mut got = vec![0; sent.len()];
    for byte in &sent {
        client.write_all(&[*byte])?;
    }
    seen.result("read", server.read_exact(&mut got));
    seen.value("in order", got == sent);
    Ok(())
}

fn read_exact_across_writes(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let writer = std::thread::spawn(move || -> io::Result<()> {
        for part in ["one", "two", "three"] {
            client.write_all(part.as_bytes())?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    });
    let mut text = [0; 11];
    seen.result("read", server.read_exact(&mut text));
    seen.text("text", &text);
    writer.join().expect("the writer does not panic")
}

fn read_exact_of_too_little(seen: &mut Seen) -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"short")?;
    drop(client);
    seen.result("read", server.read_exact(&mut [0; 6]));
    Ok(())
}

fn through_shared_reference(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    (&client).write_all(b"shared")?;
    seen.value("read", read_text(&server)?);
    Ok(())
}

fn clone_is_the_same_socket(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let mut clone = client.try_clone()?;
    seen.value(
        "addresses",
        clone.local_addr()? == client.local_addr()? && clone.peer_addr()? == client.peer_addr()?,
    );
    clone.write_all(b"via clone")?;
    seen.value("data", read_text(&server)?);
    Ok(())
}

fn drop_of_clone(seen: &mut Seen) -> io::Result<()> {
    let (mut client, server) = pair()?;
    drop(client.try_clone()?);
    drop(server.try_clone()?);
    client.write_all(b"alive")?;
    seen.value("read", read_text(&server)?);
    Ok(())
}

fn connect_to_unspecified(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let client = TcpStream::connect((Ipv4Addr::UNSPECIFIED, listener.local_addr()?.port()))?;
    let (_server, from) = listener.accept()?;
    seen.value("connected", from == client.local_addr()?);
    seen.value("peer", client.peer_addr()?.ip());
    Ok(())
}

fn take_error_is_none(seen: &mut Seen) -> io::Result<()> {
    let listener = TcpListener::bind(LOCAL)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for (label, error) in [
        ("client", client.take_error()?),
        ("server", server.take_error()?),
        ("listener", listener.take_error()?),
    ] {
        seen.value(label, error.map(|error| error.kind()));
    }
    Ok(())
}
