//! The examples `http_server` and `https_server`, asked by Linux's curl over TAP interfaces.

mod common;

use common::{Outcome, netns};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

fn main() {
    common::run_with_interfaces_of(
        [
            ("root::curl::asks_for_each_page", asks_for_each_page),
            ("root::curl::asks_over_tls", asks_over_tls),
        ],
        |_| None,
    );
}

/// Ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(name: &str, arguments: &[&str]) -> Result<Server, Box<dyn std::error::Error>> {
    let mut server = Command::new(common::example(name).map_err(|error| format!("{error:?}"))?)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map(Server)?;
    let output = server.0.stdout.take().ok_or("no output")?;
    for line in BufReader::new(output).lines() {
        if line?.starts_with("serving ") {
            return Ok(server);
        }
    }
    Err("the server ended".into())
}

fn curl(arguments: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--noproxy",
            "*",
        ])
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn asks_for_each_page() -> Outcome {
    let addresses = [
        "--address",
        "10.15.0.2/24",
        "--address",
        "2001:db8:15::2/64",
    ];
    let _server = serve(
        "http_server",
        &[&["--tap", "web0"], &addresses[..]].concat(),
    )?;
    netns::ip("address add 10.15.0.1/24 dev web0")?;
    netns::ip("link set web0 up")?;
    let page = curl(&["http://10.15.0.2/"])?;
    assert_eq!(page.len(), 612);
    // Several over one connection.
    let told = curl(&[
        "--write-out",
        "%{num_connects} ",
        "--output",
        "/dev/null",
        "http://10.15.0.2/",
        "--output",
        "/dev/null",
        "http://10.15.0.2/",
    ])?;
    assert_eq!(told, "1 0 ");
    let netstat = curl(&["http://10.15.0.2/netstat"])?;
    for says in [
        "vif0",
        "10.15.0.2/24",
        "10.15.0.0/24 dev vif0",
        "10.15.0.1 at ",
    ] {
        assert!(netstat.contains(says), "{says}: {netstat}");
    }
    let metrics = curl(&["http://10.15.0.2/metrics"])?;
    assert!(
        metrics.contains("rump_interface_received_total{interface=\"vif0\"}"),
        "{metrics}"
    );
    let status = curl(&[
        "--write-out",
        "%{http_code}",
        "--output",
        "/dev/null",
        "http://10.15.0.2/nothing",
    ])?;
    assert_eq!(status, "404");
    Ok(())
}

fn asks_over_tls() -> Outcome {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/https_server.pem");
    let outside = ["--tap", "web1", "--address", "10.17.0.2/24"];
    let _server = serve("https_server", &[&outside[..], &["--cert", file]].concat())?;
    netns::ip("address add 10.17.0.1/24 dev web1")?;
    netns::ip("link set web1 up")?;
    let page = curl(&["--cacert", file, "https://10.17.0.2/"])?;
    assert!(page.starts_with("Hello over TLS"), "{page}");
    // Who does not know the certificate refuses it.
    assert!(curl(&["https://10.17.0.2/"]).is_err());
    // Who speaks no TLS does not disturb.
    assert!(curl(&["http://10.17.0.2:443/"]).is_err());
    assert_eq!(curl(&["--cacert", file, "https://10.17.0.2/"])?, page);
    Ok(())
}
