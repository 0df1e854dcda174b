//! Settings of the kernel, each in a process of its own: this program runs itself once
//! more for each, because a kernel boots once.

mod common;

use libtest_mimic::{Failed, Trial};
use rump::kernel::{BootError, Builder, Kernel};
use rump::net::{TcpListener, TcpStream};
use std::io::{Read, Write};
use std::process::{Command, Output};
use std::sync::Barrier;
use std::thread;

/// Names the setting that this process is to boot with.
const ROLE: &str = "RUMP_TEST_ROLE";

type Outcome = Result<(), Failed>;

/// Role, variables of the environment.
const BOOTS: &[(&str, &[(&str, &str)])] = &[
    ("one_cpu", &[]),
    ("most_cpus", &[]),
    ("least_memory", &[]),
    ("longest_hostname", &[]),
    ("race", &[]),
    (
        "plain",
        &[("RUMP_NCPU", "3"), ("RUMP_HOSTNAME", "from-outside")],
    ),
    ("plain", &[("RUMP_NCPU", "host")]),
];

/// Values in the environment that have no meaning: an error, and no abort.
const REFUSED: &[(&str, &str)] = &[
    ("RUMP_NCPU", "0"),
    ("RUMP_NCPU", "-1"),
    ("RUMP_NCPU", "many"),
    ("RUMP_NCPU", ""),
    ("RUMP_NCPU", "1000"),
    ("RUMP_MEMLIMIT", "1"),
    ("RUMP_MEMLIMIT", "lots"),
    ("RUMP_MEMLIMIT", "99999999999999999999999"),
    ("RUMP_THREADS", "0"),
];

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return boot_as(&role);
    }
    let boots = BOOTS
        .iter()
        .enumerate()
        .map(|(number, (role, environment))| {
            common::kernel_trial(format!("settings::boots::{role}_{number}"), move || {
                boots(role, environment)
            })
        });
    let refused = REFUSED.iter().map(|(name, value)| {
        common::kernel_trial(format!("settings::refused::{name}={value:?}"), move || {
            refuses(name, value)
        })
    });
    let talks = common::kernel_trial("settings::verbose_talks", verbose_talks);
    common::run(boots.chain(refused).chain([talks]).collect::<Vec<Trial>>());
}

fn run(role: &str, environment: &[(&str, &str)]) -> Result<Output, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    for name in [
        "RUMP_NCPU",
        "RUMP_MEMLIMIT",
        "RUMP_HOSTNAME",
        "RUMP_VERBOSE",
        "RUMP_THREADS",
    ] {
        command.env_remove(name);
    }
    Ok(command
        .env(ROLE, role)
        .envs(environment.iter().copied())
        .output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat())
        .into_owned()
}

fn boots(role: &str, environment: &[(&str, &str)]) -> Outcome {
    let output = run(role, environment)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {}", output.status, text(&output)).into())
    }
}

fn refuses(name: &str, value: &str) -> Outcome {
    let output = run("refused", &[(name, value)])?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, text(&output)).into());
    }
    let said = text(&output);
    assert!(
        said.contains(name),
        "the error does not name the variable: {said}"
    );
    Ok(())
}

fn verbose_talks() -> Outcome {
    let quiet = run("plain", &[])?;
    assert!(
        quiet.status.success() && quiet.stderr.is_empty(),
        "{}",
        text(&quiet)
    );
    for output in [
        run("verbose", &[])?,
        run("plain", &[("RUMP_VERBOSE", "1")])?,
    ] {
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            text(&output).contains(common::kernel_name()),
            "{}",
            text(&output)
        );
    }
    Ok(())
}

fn boot_as(role: &str) {
    let builder = Kernel::builder();
    match role {
        "one_cpu" => works(builder.cpus(1)),
        "most_cpus" => works(builder.cpus(32)),
        "least_memory" => works(builder.memory_limit(8 << 20)),
        "longest_hostname" => {
            let name = "h".repeat(255);
            works(builder.hostname(name.clone()));
            assert_eq!(Kernel::current().unwrap().hostname().unwrap(), name);
        }
        "verbose" => works(builder.verbose(true)),
        "race" => race(),
        "refused" => match builder.boot() {
            Err(BootError::AlreadyBooted) | Ok(_) => panic!("it booted"),
            Err(error) => println!("{error}"),
        },
        _ => {
            works(builder);
            if let Ok(name) = std::env::var("RUMP_HOSTNAME") {
                assert_eq!(Kernel::current().unwrap().hostname().unwrap(), name);
            }
        }
    }
}

/// Boots, and moves more than the buffers hold.
fn works(builder: Builder) {
    builder.boot().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = thread::spawn(move || {
        TcpStream::connect(address)
            .unwrap()
            .write_all(&vec![7; 1 << 20])
            .unwrap()
    });
    let mut received = Vec::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_end(&mut received)
        .unwrap();
    sender.join().unwrap();
    assert!(received.len() == 1 << 20 && received.iter().all(|byte| *byte == 7));
}

/// Of many threads that boot at the same time, one does.
fn race() {
    let barrier = Barrier::new(16);
    let booted = thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    Kernel::builder().boot()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(Result::is_ok)
            .count()
    });
    assert_eq!(booted, 1);
    TcpListener::bind("127.0.0.1:0").unwrap();
}
