//! Processes that are killed while a device writes into their memory.
//!
//! The victim is this program again, which boots a kernel, attaches the device, says that it
//! is ready and has the device work until it is killed, at a random moment. The IOMMU is to
//! see no fault meanwhile: its log is what fails such a test.

use super::guest::{Random, Result, interrupts, wait_for};
use rump::pci::Address;
use std::error::Error;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says to this program that it is to be killed.
const VICTIM: &str = "TEST_PCI_VICTIM";
/// What it says when the device works.
const READY: &str = "ready";
/// Where its kernel writes.
const SAID: &str = "/tmp/victim";
/// How many are killed; the second number is that of RUMP_TEST_LONG.
const VICTIMS: [u64; 2] = [10, 100];
/// How long one works at most.
const WORK: Duration = Duration::from_millis(250);
/// How long the tests may take that do this.
pub const LIMIT: Duration = Duration::from_secs(1500);

/// Whether this process is one that is to be killed.
pub fn is_victim() -> bool {
    std::env::var_os(VICTIM).is_some()
}

/// To be called by a victim whose device works from now on.
pub fn ready() {
    println!("{READY}");
}

/// Whether there is time for more.
pub fn long() -> bool {
    std::env::var_os("RUMP_TEST_LONG").is_some()
}

/// Kills them one after the other. Whose device has interrupted in the meantime was killed at
/// work, and most must have been.
pub fn kill(device: Address) -> Result<()> {
    let worked = || Ok::<u64, Box<dyn Error>>(interrupts("vfio-msix", device)?.iter().sum());
    let victims = VICTIMS[usize::from(long())];
    let mut random = Random::default();
    let (start, mut readied, mut longest) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    let mut at_work = 0;
    for turn in 0..victims {
        let began = Instant::now();
        let mut child = start_one().map_err(|error| format!("victim {turn}: {error}"))?;
        longest = longest.max(began.elapsed());
        readied += began.elapsed();
        let before = worked()?;
        std::thread::sleep(WORK.mul_f64(random.fraction()));
        at_work += u64::from(worked()? > before);
        child.kill()?;
        child.wait()?;
    }
    println!(
        "{victims} were killed, {at_work} of them at work, in {:?}; each was ready after {:?}, at most {longest:?}",
        start.elapsed(),
        readied / victims as u32
    );
    if at_work * 2 < victims {
        return Err(format!("{at_work} of {victims} were at work").into());
    }
    Ok(())
}

fn start_one() -> Result<Child> {
    let mut child = Command::new("/proc/self/exe")
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(File::create(SAID)?)
        .spawn()?;
    let mut output = child.stdout.take().ok_or("no output")?;
    let heard = wait_for(&mut output, READY);
    // Who writes into a pipe that nobody reads is ended by a signal, so it is kept.
    child.stdout = Some(output);
    heard.map_err(|error| {
        let _ = child.kill();
        let _ = child.wait();
        let said = std::fs::read_to_string(SAID).unwrap_or_default();
        format!("{error}\n{said}")
    })?;
    Ok(child)
}
