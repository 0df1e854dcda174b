//! How little memory an image does with: it is tried, in QEMU.

use super::qemu::{Machine, Net, missing};
use crate::error::{Error, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a machine may take until it is ready; with less memory, as many times longer than it
/// took with all.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMES: u32 = 10;

/// The least memory, in MiB, with which an image gets as far as to say this, and the time in which
/// it does so with all the memory that it may have. It has no devices; each try is the start of a
/// machine.
///
/// # Errors
/// [`Error::Program`] without QEMU; [`Error::Image`] if it does not get so far with all its memory.
pub fn memory(image: &Path, machine: &Machine, ready: &str) -> Result<(u32, Duration)> {
    let mut machine = Machine {
        net: Net::None,
        ..machine.clone()
    };
    let most = machine.memory;
    let Some(time) = gets_there(image, &machine, ready, PATIENCE)? else {
        return Err(Error::Image(format!(
            "{}: with {most} MiB it does not say `{ready}` within {} seconds; try it: {}",
            image.display(),
            PATIENCE.as_secs(),
            machine.words(image)
        )));
    };
    let patience = (time * TIMES).clamp(Duration::from_secs(2), PATIENCE);
    let least = least(most, |memory| {
        machine.memory = memory;
        Ok(gets_there(image, &machine, ready, patience)?.is_some())
    })?;
    Ok((least, time))
}

/// The least number from 1 on that is enough; `most` is.
fn least(most: u32, mut enough: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut low, mut high) = (0, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match enough(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(high)
}

/// A machine that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a machine takes to say something; `None` if it ends before, or takes too long.
fn gets_there(
    image: &Path,
    machine: &Machine,
    ready: &str,
    patience: Duration,
) -> Result<Option<Duration>> {
    let mut command = machine.command(image);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // What QEMU has against too little memory is of no interest.
    command.stderr(Stdio::null());
    let start = Instant::now();
    let mut running = Running(command.spawn().map_err(missing)?);
    let Some(console) = running.0.stdout.take() else {
        return Ok(None);
    };
    let (to, from) = mpsc::channel();
    let wanted = ready.as_bytes().to_vec();
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(console)
            .split(b'\n')
            .map_while(|line| line.ok());
        let has = |line: &Vec<u8>| line.windows(wanted.len()).any(|part| part == wanted);
        // Who waits may have given up.
        let _ = to.send(lines.any(|line| has(&line)));
    });
    let said = from.recv_timeout(patience);
    let time = start.elapsed();
    drop(running);
    // Its console is closed: the thread ends.
    let _ = reader.join();
    Ok(matches!(said, Ok(true)).then_some(time))
}

#[cfg(test)]
mod tests {
    use super::least;

    #[test]
    fn the_least_is_found_in_few_tries() {
        for needed in 1..=40 {
            let mut tries = 0;
            let found = least(40, |memory| {
                tries += 1;
                Ok(memory >= needed)
            });
            assert_eq!(found.unwrap(), needed);
            assert!(tries <= 6);
        }
        assert_eq!(least(1, |_| Ok(true)).unwrap(), 1);
    }
}
