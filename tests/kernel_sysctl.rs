//! `rump::sysctl`: nodes by name, on whatever kernel runs.

mod common;

use libtest_mimic::Trial;
use rump::Errno;
use rump::kernel::Builder;
use rump::sysctl::{self, Error, Kind, Value};

use common::Outcome;

const TRIALS: &[common::Test] = &[
    ("by_name_as_by_number", by_name_as_by_number),
    ("a_setting_is_kept", a_setting_is_kept),
    ("everything_can_be_walked", everything_can_be_walked),
    (
        "unknown_names_say_where_they_end",
        unknown_names_say_where_they_end,
    ),
    ("wrong_values_are_refused", wrong_values_are_refused),
    ("buffers_are_as_set_at_boot", buffers_are_as_set_at_boot),
];

/// What this process boots with; no multiple of anything.
const BUFFERS: usize = 200_001;

fn main() {
    if rump::kernel::available()
        && let Err(error) = Builder::default().tcp_buffers(BUFFERS).boot()
    {
        eprintln!("{error}");
        std::process::exit(1);
    }
    common::run(
        TRIALS
            .iter()
            .map(|(name, test)| common::kernel_trial(format!("sysctl::{name}"), *test))
            .collect::<Vec<Trial>>(),
    );
}

fn by_name_as_by_number() -> Outcome {
    let kernel = rump::Kernel::current()?;
    let identity = kernel.identity()?;
    assert_eq!(sysctl::get("kern.ostype")?, Value::Text(identity.system));
    assert_eq!(
        sysctl::get("kern.osrelease")?,
        Value::Text(identity.release)
    );
    let node = sysctl::node("hw.ncpu")?;
    assert_eq!(node.kind(), Kind::Int);
    assert!(node.get()?.number().is_some_and(|cpus| cpus >= 1));
    Ok(())
}

fn a_setting_is_kept() -> Outcome {
    let node = sysctl::node("net.inet.tcp.recvspace")?;
    assert!(node.is_writable());
    let before = node.get()?;
    for value in [8192, 100_000] {
        node.set(value)?;
        assert_eq!(sysctl::get("net.inet.tcp.recvspace")?, Value::Int(value));
    }
    node.set(before)?;
    Ok(())
}

fn everything_can_be_walked() -> Outcome {
    let mut todo = sysctl::list("")?;
    let mut leaves = 0;
    while let Some(node) = todo.pop() {
        if node.kind() == Kind::Node {
            // Those of some components answer in their own way.
            todo.extend(node.children().unwrap_or_default());
            continue;
        }
        leaves += 1;
        // Some want an argument; none may do harm.
        let _ = node.get();
        assert!(node.children()?.is_empty());
    }
    assert!(leaves >= 10, "{leaves}");
    Ok(())
}

fn unknown_names_say_where_they_end() -> Outcome {
    for (asked, there, not_there) in [
        ("net.inet.tcp.nonsense", "net.inet.tcp", "nonsense"),
        ("net.nonsense.tcp", "net", "nonsense"),
        ("", "the kernel", ""),
        ("nonsense", "the kernel", "nonsense"),
        ("kern.", "kern", ""),
        ("kern.ostype.deeper", "kern.ostype", "deeper"),
    ] {
        match sysctl::get(asked) {
            Err(Error::Unknown {
                name,
                parent,
                missing,
            }) => {
                assert_eq!((&*name, &*parent, &*missing), (asked, there, not_there));
            }
            other => return Err(format!("{asked}: {other:?}").into()),
        }
    }
    Ok(())
}

fn wrong_values_are_refused() -> Outcome {
    for value in [
        Value::from("many"),
        Value::from(1_u64 << 40),
        Value::Bytes(vec![1]),
    ] {
        let error = sysctl::set("net.inet.tcp.sendspace", value).unwrap_err();
        assert!(matches!(error, Error::Kind { .. }), "{error}");
    }
    // kern.sbmax has a least value; kern.version cannot be set.
    let error = sysctl::set("kern.sbmax", 100).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
    let error = sysctl::set("kern.version", "mine").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EPERM), "{error}");
    assert!(error.to_string().contains("kern.version"), "{error}");
    Ok(())
}

fn buffers_are_as_set_at_boot() -> Outcome {
    let listener = rump::net::TcpListener::bind("127.0.0.1:0")?;
    let stream = rump::net::TcpStream::connect(listener.local_addr()?)?;
    // NetBSD rounds it up to segments, which have up to 64 KiB here.
    let size = stream.send_buffer_size()?;
    assert!((BUFFERS..BUFFERS + 65_536).contains(&size), "{size}");
    Ok(())
}
