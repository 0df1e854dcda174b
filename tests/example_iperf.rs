//! The example `iperf`: both ends in one process, and with a real iperf3 over a TAP
//! interface.

mod common;

use common::{Outcome, netns};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

fn main() {
    let iperf3 = Command::new("iperf3").arg("--version").output().is_ok();
    let namespace = netns::enter().map_err(|reason| &*Box::leak(reason.into_boxed_str()));
    use rump_sys::kernel::{KIND, Kind};
    let interfaces = match namespace {
        _ if !matches!(KIND, Kind::Netbsd | Kind::Lite) => {
            Err("no interfaces but lo0 in this kernel")
        }
        Ok(()) if !iperf3 => Err("no iperf3"),
        other => other,
    };
    let root = |name, test: fn() -> Outcome| {
        let reason = interfaces.err().unwrap_or_default();
        common::trial_if(interfaces.is_ok(), "root", reason, name, test)
    };
    common::run(vec![
        common::kernel_trial("over_lo0", over_lo0),
        root("root::iperf3::is_the_client", iperf3_is_the_client),
        root("root::iperf3::is_the_server", iperf3_is_the_server),
    ]);
}

/// The TAP interface is one, and takes one kernel at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn iperf() -> Result<Command, Box<dyn std::error::Error>> {
    let program = common::example("iperf").map_err(|error| format!("{error:?}"))?;
    Ok(Command::new(program))
}

fn output(command: &mut Command) -> Result<String, Box<dyn std::error::Error>> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {said}{text}").into());
    }
    Ok(text)
}

/// The bytes of the last line that ends with these words.
fn bytes(text: &str, words: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let line = text.lines().rfind(|line| line.ends_with(words));
    let line = line.ok_or_else(|| format!("nothing was {words}: {text}"))?;
    let before = line.split(" bytes").next().unwrap_or_default();
    Ok(before
        .split_whitespace()
        .last()
        .unwrap_or_default()
        .parse()?)
}

fn over_lo0() -> Outcome {
    for (arguments, lines) in [("-t 1 -P 2", 3), ("-t 1 -R -l 1000", 1)] {
        let text = output(iperf()?.args(arguments.split(' ')))?;
        let received = text.lines().filter(|line| line.ends_with(" received"));
        assert_eq!(received.count(), lines, "{text}");
        let (sent, received) = (bytes(&text, " sent")?, bytes(&text, " received")?);
        assert!(sent > 0 && received > 0, "{text}");
        // What is under way at the end is not counted by the receiver.
        assert!(sent.abs_diff(received) < 64 << 20, "{text}");
    }
    let wrong = iperf()?.args(["-P", "1000"]).output()?;
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("1 to 128"));
    Ok(())
}

const INTERFACE: [&str; 4] = ["--tap", "perf0", "--address", "10.16.0.2/24"];

/// Gives Linux its end, which is there from when the kernel has its own.
fn set_up() -> Result<(), String> {
    netns::ip("address add 10.16.0.1/24 dev perf0")?;
    netns::ip("link set perf0 up")
}

fn iperf3_is_the_client() -> Outcome {
    let _one = ONE.lock().unwrap_or_else(|poison| poison.into_inner());
    let mut server = iperf()?
        .arg("-s")
        .args(INTERFACE)
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)?;
    let said = server.0.stdout.take().ok_or("no output")?;
    let mut said = BufReader::new(said).lines();
    while !said
        .next()
        .ok_or("the server has ended")??
        .starts_with("listening")
    {}
    // Nobody waits for what it says next.
    std::thread::spawn(move || said.for_each(drop));
    set_up()?;
    for (arguments, streams) in [("-t 1 -P 4", 4), ("-t 1 -R -P 2", 2)] {
        let text = output(
            Command::new("iperf3")
                .args(["-c", "10.16.0.2", "--json", "--connect-timeout", "10000"])
                .args(arguments.split(' ')),
        )?;
        let told: serde_json::Value = serde_json::from_str(&text)?;
        assert!(
            told.get("error").is_none(),
            "{arguments}: {}",
            told["error"]
        );
        for sum in ["sum_sent", "sum_received"] {
            let bytes = told["end"][sum]["bytes"].as_u64();
            assert!(bytes > Some(1 << 20), "{arguments}: {sum}: {bytes:?}");
        }
        let ends = told["end"]["streams"].as_array().map(Vec::len);
        assert_eq!(ends, Some(streams), "{arguments}");
    }
    Ok(())
}

fn iperf3_is_the_server() -> Outcome {
    let _one = ONE.lock().unwrap_or_else(|poison| poison.into_inner());
    let mut server = Command::new("iperf3")
        .args(["-s", "--forceflush"])
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)?;
    let mut said = BufReader::new(server.0.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            return Err("iperf3 has ended".into());
        }
    }
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    for arguments in ["-t 1 -P 3", "-t 1 -R"] {
        let mut client = iperf()?;
        client.args(["-c", "10.16.0.1"]).args(INTERFACE);
        client.args(arguments.split(' '));
        let client = std::thread::spawn(move || output(&mut client).map_err(|e| e.to_string()));
        // The interface comes and goes with the client.
        while set_up().is_err() && !client.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let text = client.join().map_err(|_| "panicked")??;
        let (here, there) = match arguments.contains("-R") {
            true => (" received", " sent there"),
            false => (" sent", " received there"),
        };
        assert!(bytes(&text, here)? > 1 << 16, "{text}");
        assert!(bytes(&text, there)? > 1 << 16, "{text}");
    }
    Ok(())
}
