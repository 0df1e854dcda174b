//! Unmodified Linux programs in an image, from a root file system: Debian's redis-server and
//! nginx, with their dynamic linker and libraries; and a program of tokio's, in the image's
//! own link. Each serves the host.

mod image;

use image::{Outcome, Running, check, connect};
use libtest_mimic::{Failed, Trial};
use rumprun_build::image::qemu::{Forward, Machine};
use rumprun_build::image::root;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

const REDIS: &str = "/usr/bin/redis-server";
const NGINX: &str = "/usr/sbin/nginx";

fn main() {
    let trials = [1, 2, 4].into_iter().flat_map(|cpus| {
        let name = |program: &str| format!("qemu::{program}::cpus_{cpus}");
        [
            needs(REDIS, name("redis"), move || redis(cpus)),
            needs(NGINX, name("nginx"), move || nginx(cpus)),
            image::trial(name("tokio"), move || tokio(cpus)),
        ]
    });
    image::run_trials(trials.collect());
}

/// A trial with a program of this machine's.
fn needs(
    program: &'static str,
    name: String,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    image::trial_if(
        Path::new(program).is_file(),
        "programs",
        &format!("{program} is not installed"),
        name,
        test,
    )
}

/// A folder with a program, and the libraries that its loader says it wants.
fn root_of(program: &str) -> Result<PathBuf, Failed> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("root-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    image::recipe::with_libraries(program, &folder)?;
    Ok(folder)
}

/// A machine that runs a program of a folder, and one of whose ports is this one here.
fn served(
    folder: Option<&Path>,
    program: &str,
    arguments: &[&str],
    port: u16,
) -> Result<(Machine, u16), Failed> {
    let here = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut machine = image::machine(arguments);
    machine.net = Default::default();
    machine.memory = 256;
    machine.forwards = vec![Forward {
        host: here,
        machine: port,
        datagrams: false,
    }];
    if let Some(folder) = folder {
        let archive = folder.with_extension("cpio");
        root::archive(folder, &archive)?;
        machine.root = Some(archive);
        machine.line = machine.line.with("exec", program);
    }
    Ok((machine, here))
}

fn redis(cpus: u32) -> Outcome {
    let folder = root_of(REDIS)?;
    let arguments = ["--save", "", "--protected-mode", "no", "--bind", "0.0.0.0"];
    let (mut machine, port) = served(Some(&folder), REDIS, &arguments, 6379)?;
    machine.cpus = cpus;
    let mut running = Running::start(&machine, &image::image("hello")?)?;
    running.wait_for("Ready to accept connections")?;
    let stream = connect(port)?;
    let (mut to, mut from) = (&stream, BufReader::new(&stream));
    let mut ask = |words: &[&[u8]]| -> Result<Vec<u8>, Failed> {
        let mut asked = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            asked.extend(format!("${}\r\n", word.len()).bytes());
            asked.extend(*word);
            asked.extend(b"\r\n");
        }
        to.write_all(&asked)?;
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some(length) = line.strip_prefix('$') else {
            return Ok(line.trim_end().into());
        };
        let mut bytes = vec![0; length.trim_end().parse::<usize>()? + 2];
        from.read_exact(&mut bytes)?;
        bytes.truncate(bytes.len() - 2);
        Ok(bytes)
    };
    let big = vec![b'x'; 200_000];
    if ask(&[b"PING"])? != b"+PONG" || ask(&[b"SET", b"big", &big])? != b"+OK" {
        return Err("not as redis answers".into());
    }
    if ask(&[b"GET", b"big"])? != big {
        return Err("another value".into());
    }
    for n in 0..200_u32 {
        let key = format!("key {n}");
        ask(&[b"SET", key.as_bytes(), n.to_string().as_bytes()])?;
        if ask(&[b"GET", key.as_bytes()])? != n.to_string().as_bytes() {
            return Err(format!("{key} has another value").into());
        }
    }
    to.write_all(b"SHUTDOWN NOSAVE\r\n")?;
    let (status, text) = running.end()?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

const CONFIGURATION: &str = "daemon off;
master_process off;
error_log stderr warn;
pid /run/nginx.pid;
events { worker_connections 128; }
http { access_log off; sendfile on; server { listen 80; root /srv; } }
";

fn nginx(cpus: u32) -> Outcome {
    let folder = root_of(NGINX)?;
    for path in ["etc/nginx", "var/log/nginx", "var/lib/nginx", "srv"] {
        std::fs::create_dir_all(folder.join(path))?;
    }
    std::fs::write(folder.join("etc/nginx/nginx.conf"), CONFIGURATION)?;
    let big: Vec<u8> = (0..500_000_u32).map(|n| (n / 11) as u8).collect();
    std::fs::write(folder.join("srv/big"), &big)?;
    std::fs::write(folder.join("srv/small"), "small\n")?;
    let (mut machine, port) = served(Some(&folder), NGINX, &[], 80)?;
    machine.cpus = cpus;
    let running = Running::start(&machine, &image::image("hello")?)?;
    // It says nothing when it is ready.
    let mut got = Vec::new();
    for _ in 0..100 {
        got = get(port, "/small").unwrap_or_default();
        if !got.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    if !got.ends_with(b"\r\n\r\nsmall\n") {
        return Err(format!("{}\n{}", String::from_utf8_lossy(&got), running.said()).into());
    }
    let threads: Vec<_> = (0..6)
        .map(|_| std::thread::spawn(move || get(port, "/big").map_err(|error| error.to_string())))
        .collect();
    for thread in threads {
        let got = thread.join().map_err(|_| "a panic")??;
        if !got.ends_with(&big) {
            return Err("another file came".into());
        }
    }
    Ok(())
}

fn get(port: u16, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(port)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: image\r\nConnection: close\r\n\r\n"
    )?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got)?;
    Ok(got)
}

/// Eight connections at a time, each with forty lines that come back after a timer.
fn tokio(cpus: u32) -> Outcome {
    let (mut machine, port) = served(None, "", &[], 7)?;
    machine.cpus = cpus;
    let mut running = Running::start(&machine, &image::image_with_packages("tokio-echo")?)?;
    running.wait_for("listening")?;
    let threads: Vec<_> = (0..8)
        .map(|n| std::thread::spawn(move || lines(port, n).map_err(|error| error.to_string())))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a panic")??;
    }
    connect(port)?.write_all(b"end\n")?;
    let (status, text) = running.end()?;
    check(text.contains("served 9"), "not all served", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

fn lines(port: u16, n: u32) -> std::io::Result<()> {
    let stream = connect(port)?;
    let (mut to, mut from) = (&stream, BufReader::new(&stream));
    for turn in 0..40 {
        let line = format!("connection {n} turn {turn}\n");
        to.write_all(line.as_bytes())?;
        let mut back = String::new();
        from.read_line(&mut back)?;
        if back != line {
            return Err(std::io::Error::other(format!("{back} in place of {line}")));
        }
    }
    Ok(())
}
