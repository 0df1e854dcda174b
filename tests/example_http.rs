//! The example `http_server`, asked by Linux's curl over a TAP interface.

mod common;

use common::{Outcome, netns};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

fn main() {
    common::run_with_interfaces([("root::curl::asks_for_each_page", asks_for_each_page)]);
}

/// Ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve() -> Result<Server, Box<dyn std::error::Error>> {
    let mut server =
        Command::new(common::example("http_server").map_err(|error| format!("{error:?}"))?)
            .args([
                "--tap",
                "web0",
                "--address",
                "10.15.0.2/24",
                "--address",
                "2001:db8:15::2/64",
            ])
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
    let _server = serve()?;
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
