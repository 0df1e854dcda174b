//! What rump-lite does not have is an error of the kind `Unsupported` that names it;
//! NetBSD has it.

mod common;

use common::Outcome;
use rump::Errno;
use rump::iface::{Interface, Pair};
use rump::net::UdpSocket;
use std::io;

fn main() {
    common::run_on_kernel([
        ("absent::interfaces_to_clone", interfaces_to_clone),
        ("absent::fragments", fragments),
        ("absent::router_advertisements", router_advertisements),
        ("absent::other_errors_are_what_they_were", other_errors),
    ]);
}

/// What a call comes to: on NetBSD it succeeds.
fn expect<T: std::fmt::Debug>(
    result: Result<T, impl Into<io::Error>>,
    lacking: &str,
    errno: Errno,
) -> Outcome {
    let result = result.map_err(Into::into);
    if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Lite {
        result?;
        return Ok(());
    }
    let error = result.expect_err("rump-lite has it not");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    let text = format!("rump-lite has no {lacking}: ");
    assert!(error.to_string().contains(&text), "{error}");
    assert!(error.to_string().contains(errno.name().unwrap()), "{error}");
    Ok(())
}

fn interfaces_to_clone() -> Outcome {
    let created = Interface::create("lo7");
    assert!(
        created
            .as_ref()
            .err()
            .is_none_or(|e| e.errno() == Some(Errno::EINVAL))
    );
    expect(created, "interfaces that can be cloned", Errno::EINVAL)
}

/// NetBSD has it, or says the same if it has not.
fn router_advertisements() -> Outcome {
    let link = common::boot().attach(Pair::new().0)?;
    match link
        .accepts_router_advertisements()
        .map_err(io::Error::from)
    {
        Ok(_) if common::kernel_name() == "NetBSD" => Ok(()),
        Ok(accepts) => Err(format!("it says {accepts}").into()),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
            assert!(
                error.to_string().contains("be configured by routers"),
                "{error}"
            );
            Ok(())
        }
    }
}

/// A datagram larger than the MTU: over an interface to other hosts, not over lo0.
fn fragments() -> Outcome {
    let link = common::boot().attach(Pair::new().0)?;
    link.add_address("10.31.0.1/24".parse()?)?;
    let socket = UdpSocket::bind("10.31.0.1:0")?;
    let whole = [7; 1472];
    assert_eq!(socket.send_to(&whole, "10.31.0.2:9")?, whole.len());
    assert_eq!(socket.send_to(&[7; 9000], "10.31.0.1:9")?, 9000);
    expect(
        socket.send_to(&[7; 1473], "10.31.0.2:9"),
        "fragments of IP packets",
        Errno::EMSGSIZE,
    )
}

/// What was lacking once is not the reason of the next failure.
fn other_errors() -> Outcome {
    let _ = Interface::create("lo8").map(Interface::destroy);
    let error = rump::net::TcpStream::connect("127.0.0.1:1").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(Errno::of(&error), Some(Errno::ECONNREFUSED));
    assert!(!error.to_string().contains("rump-lite"), "{error}");
    Ok(())
}
