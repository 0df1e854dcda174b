//! Programs of Debian's, each over a TAP interface to Linux in a namespace of this test's.

use super::common::{Outcome, Test};
use super::runner::{Net, Runner};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The name of each begins with the program's.
pub const TESTS: &[Test] = &[
    ("curl::gets_a_page", curl),
    ("curl::goes_to_the_host", to_host),
    ("wget::gets_a_page", wget),
    ("python3::is_a_client", python_client),
    ("python3::is_a_server", python_server),
    ("nc::talks", nc),
    ("socat::forks_for_each_connection", socat),
    ("redis-server::answers", redis),
    ("nginx::in_the_foreground", || nginx(false)),
    ("nginx::as_a_daemon", || nginx(true)),
    ("iperf3::client_and_server", iperf),
];

const PAGE: &str = "a page of Linux's";

/// A server of Linux's that knows one page and answers so many.
fn serve(net: &Net, count: usize) -> Result<(String, JoinHandle<()>), Failed> {
    let listener = TcpListener::bind((net.linux.as_str(), 0))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let server = thread::spawn(move || {
        for _ in 0..count {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            // All of the request, so that the end is no reset.
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let length = PAGE.len();
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{PAGE}"
            );
        }
    });
    Ok((url, server))
}

fn gets<const N: usize>(program: impl Fn(&str) -> [String; N]) -> Outcome {
    let net = Net::new()?;
    let (url, server) = serve(&net, 1)?;
    let told = Runner::new()
        .outside(&net)
        .arguments(program(&url))
        .output()?;
    assert_eq!((told.status, told.output.trim()), (0, PAGE), "{told:?}");
    server.join().map_err(|_| "the server")?;
    Ok(())
}

fn words<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(String::from)
}

fn curl() -> Outcome {
    gets(|url| words(["curl", "-sS", "--noproxy", "*", "-m", "20", url]))?;
    let net = Net::new()?;
    let nobody = format!("http://{}:9/", net.linux);
    let told = Runner::new()
        .outside(&net)
        .arguments(["curl", "-sS", "--noproxy", "*", "-m", "20", &nobody])
        .output()?;
    assert_eq!(told.status, 7, "refused: {told:?}");
    Ok(())
}

/// By whom a server of Linux's is asked shows whose network was used.
fn to_host() -> Outcome {
    let net = Net::new()?;
    let answers = UdpSocket::bind((net.linux.as_str(), 0))?;
    answers.set_read_timeout(Some(Duration::from_secs(20)))?;
    let listener = TcpListener::bind((net.linux.as_str(), 0))?;
    let [udp, tcp] = [answers.local_addr()?, listener.local_addr()?];
    let port = format!(":{}", udp.port());
    let nets = format!("{}/31", net.linux);
    for (option, asked_by) in [
        (port.as_str(), &net.linux),
        (nets.as_str(), &net.linux),
        (":9", &net.kernel),
    ] {
        let running = Runner::new()
            .outside(&net)
            .option("--to-host", option)
            .variable("RUMP_TEST_TO", &udp.to_string())
            .role("asks")
            .start()?;
        for _ in 0..3 {
            let mut text = [0; 9];
            let (length, from) = answers.recv_from(&mut text)?;
            assert_eq!(from.ip().to_string(), *asked_by, "{option}");
            answers.send_to(&text[..length], from)?;
        }
        let told = running.end()?;
        assert_eq!(told.status, 0, "{told:?}");
    }
    let running = Runner::new()
        .outside(&net)
        .option("--to-host", &nets)
        .arguments(["curl", "-sS", "--noproxy", "*", "-m", "20"])
        .more(format!("http://{tcp}/"))
        .start()?;
    let (mut stream, from) = listener.accept()?;
    assert_eq!(from.ip().to_string(), net.linux);
    write!(stream, "HTTP/1.0 200 OK\r\n\r\n{PAGE}")?;
    stream.shutdown(Shutdown::Write)?;
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(running.end()?.output, PAGE);
    Ok(())
}

fn wget() -> Outcome {
    gets(|url| words(["wget", "--no-proxy", "-q", "-T", "20", "-O", "-", url]))
}

fn python_client() -> Outcome {
    gets(|url| {
        let script = "import sys, urllib.request as u; u.install_opener(u.build_opener(\
                      u.ProxyHandler({}))); print(u.urlopen(sys.argv[1], timeout=20).read().decode())";
        words(["python3", "-c", script, url])
    })
}

/// Tries until a server of the kernel's answers.
fn connect(net: &Net, port: u16) -> Result<TcpStream, Failed> {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let address = format!("{}:{port}", net.kernel).parse()?;
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > limit => {
                return Err(format!("{address}: {error}").into());
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Asks with curl of Linux's own.
fn page(net: &Net, port: u16, path: &str) -> Result<Vec<u8>, Failed> {
    drop(connect(net, port)?);
    let output = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "-m", "20"])
        .arg(format!("http://{}:{port}/{path}", net.kernel))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(output.stdout)
}

/// A folder with a file of random length in it.
fn folder(name: &str) -> Result<(PathBuf, Vec<u8>), Failed> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder)?;
    let data: Vec<u8> = (0..700_001u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    std::fs::write(folder.join("file"), &data)?;
    Ok((folder, data))
}

fn python_server() -> Outcome {
    let net = Net::new()?;
    let (folder, data) = folder("run_python")?;
    let running = Runner::new()
        .outside(&net)
        .arguments(["python3", "-m", "http.server", "8000", "--directory"])
        .more(folder)
        .start()?;
    assert!(page(&net, 8000, "file")? == data);
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.end()?.status, 128 + 15);
    Ok(())
}

fn nc() -> Outcome {
    let net = Net::new()?;
    // Over lo0 of the kernel, between two programs of one runner.
    let script = "nc -l 127.0.0.1 99 > \"$0\" & sleep 0.3; \
                  head -c 1000000 /dev/zero | nc -N 127.0.0.1 99; wait; wc -c < \"$0\"";
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/run_nc");
    let told = Runner::new()
        .outside(&net)
        .arguments(["sh", "-c", script, file])
        .output()?;
    assert_eq!(
        (told.status, told.output.trim()),
        (0, "1000000"),
        "{told:?}"
    );
    Ok(())
}

fn socat() -> Outcome {
    let net = Net::new()?;
    let running = Runner::new()
        .outside(&net)
        .arguments(["socat", "TCP-LISTEN:7000,fork,reuseaddr", "EXEC:cat"])
        .start()?;
    let mut streams = Vec::new();
    for number in 0..5u8 {
        let mut stream = connect(&net, 7000)?;
        stream.write_all(&[number; 100])?;
        streams.push(stream);
    }
    for (stream, number) in streams.iter_mut().zip(0..5u8).rev() {
        let mut back = [0; 100];
        stream.read_exact(&mut back)?;
        assert_eq!(back, [number; 100]);
    }
    drop(streams);
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.end()?.status, 128 + 15);
    Ok(())
}

fn redis() -> Outcome {
    let net = Net::new()?;
    let running = Runner::new()
        .outside(&net)
        .arguments(["redis-server", "--protected-mode", "no", "--save", ""])
        .more("--bind")
        .more(&net.kernel)
        .start()?;
    drop(connect(&net, 6379)?);
    let ask = |program: &str, arguments: &[&str]| -> Result<String, Failed> {
        let output = Command::new(program)
            .args(["-h", &net.kernel])
            .args(arguments)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into())
    };
    assert_eq!(ask("redis-cli", &["set", "key", "value"])?.trim(), "OK");
    assert_eq!(ask("redis-cli", &["get", "key"])?.trim(), "value");
    for pipeline in ["1", "16"] {
        let told = ask(
            "redis-benchmark",
            &["-q", "-t", "get,set", "-n", "4000", "-P", pipeline],
        )?;
        assert_eq!(told.matches("requests per second").count(), 2, "{told}");
    }
    // On the kernel's own lo0 it must be asked by another client of this runner; it saves
    // nothing at the end.
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.end()?.status, 0);
    Ok(())
}

fn nginx(daemon: bool) -> Outcome {
    let net = Net::new()?;
    let name = if daemon { "run_nginx_d" } else { "run_nginx" };
    let (folder, data) = folder(name)?;
    let pid = folder.join("pid");
    let _ = std::fs::remove_file(&pid);
    let place = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("{module}_temp_path {place}/{module};\n"))
        .concat();
    let on = if daemon { "on" } else { "off" };
    let settings = format!(
        "user root; worker_processes 2; daemon {on}; pid {place}/pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; sendfile on; {paths}\n\
         server {{ listen 80; root {place}; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings)?;
    let running = Runner::new()
        .outside(&net)
        .arguments(["nginx", "-e", "stderr", "-c"])
        .more(&file)
        .start()?;
    for _ in 0..10 {
        assert!(page(&net, 80, "file")? == data);
    }
    // Several at a time, each in pieces.
    let asked: Vec<_> = (0..4)
        .map(|_| {
            Command::new("curl")
                .args(["-sS", "--noproxy", "*", "-m", "20", "--limit-rate", "2M"])
                .arg(format!("http://{}/file", net.kernel))
                .stdout(Stdio::piped())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for one in asked {
        assert!(one.wait_with_output()?.stdout == data);
    }
    if daemon {
        let master = std::fs::read_to_string(&pid)?.trim().parse()?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(master), Signal::SIGQUIT)?;
    } else {
        running.signal(Signal::SIGTERM)?;
    }
    let told = running.end()?;
    assert_eq!(told.status, 0, "{told:?}");
    // Who says so is the runner that has the kernel.
    let counted = !super::ELSEWHERE;
    assert!(
        !counted || told.errors.contains("0 sockets are left"),
        "{told:?}"
    );
    Ok(())
}

fn iperf() -> Outcome {
    let net = Net::new()?;
    let running = Runner::new()
        .outside(&net)
        .arguments(["iperf3", "-s", "-1", "-B", &net.kernel])
        .start()?;
    let limit = Instant::now() + Duration::from_secs(20);
    // The first connection that is made is the test already.
    let rate = loop {
        let output = Command::new("iperf3")
            .args(["-c", &net.kernel, "-t", "1", "-J"])
            .output()?;
        let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let rate = &told["end"]["sum_received"]["bits_per_second"];
        if let Some(rate) = rate.as_f64() {
            break rate;
        }
        assert!(Instant::now() < limit, "{told}");
        thread::sleep(Duration::from_millis(50));
    };
    println!("iperf3 to the kernel: {rate:e} bits per second");
    assert!(rate > 1e6);
    assert_eq!(running.end()?.status, 0);
    let mut server = Command::new("iperf3")
        .args(["-s", "-1", "-B", &net.linux])
        .stdout(Stdio::null())
        .spawn()?;
    thread::sleep(Duration::from_millis(200));
    let told = Runner::new()
        .outside(&net)
        .arguments(["iperf3", "-c", &net.linux, "-t", "1"])
        .output()?;
    let _ = server.kill();
    server.wait()?;
    assert!(told.output.contains("receiver"), "{told:?}");
    assert_eq!(told.status, 0, "{told:?}");
    Ok(())
}
