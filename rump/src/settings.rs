//! What the settings of a kernel may be, wherever they come from.
//!
//! The kernel reads its parameters while it boots, and panics over one that it cannot
//! read or meet (`rump_init`, `uvm_init`), which ends the process. So each is checked
//! before: those of [`Builder`](crate::kernel::Builder) and those that it leaves to the
//! environment.

use crate::kernel::BootError;

/// As many as `<sys/param.h>` has of them at least on every port (`MAXCPUS`).
const MAX_CPUS: usize = 32;
/// What the networking components need to boot.
const LEAST_MEMORY: u64 = 8 << 20;
/// The longest name (`MAXHOSTNAMELEN` without its end).
const LONGEST_HOSTNAME: usize = 255;

pub(crate) fn cpus(count: usize) -> Result<(), String> {
    if (1..=MAX_CPUS).contains(&count) {
        Ok(())
    } else {
        Err(format!("{count} is not between 1 and {MAX_CPUS}"))
    }
}

pub(crate) fn memory(bytes: u64) -> Result<(), String> {
    if bytes >= LEAST_MEMORY {
        return Ok(());
    }
    Err(format!(
        "{bytes} bytes are less than the {LEAST_MEMORY} that a kernel needs"
    ))
}

pub(crate) fn buffers(bytes: usize) -> Result<(), String> {
    let most = 16 << 20;
    if (4096..=most).contains(&bytes) {
        return Ok(());
    }
    Err(format!("{bytes} bytes are not between 4096 and {most}"))
}

pub(crate) fn hostname(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= LONGEST_HOSTNAME && !name.contains('\0') {
        return Ok(());
    }
    Err(format!(
        "{name:?} is empty, longer than {LONGEST_HOSTNAME} bytes, or has a NUL in it"
    ))
}

/// Checks what the kernel will find under these names.
pub(crate) fn environment(get: impl Fn(&str) -> Option<String>) -> Result<(), BootError> {
    type Check = fn(&str) -> Result<(), String>;
    const CHECKS: [(&str, Check); 4] = [
        ("RUMP_NCPU", text_cpus),
        ("RUMP_MEMLIMIT", text_memory),
        ("RUMP_HOSTNAME", hostname),
        ("RUMP_THREADS", threads),
    ];
    for (name, check) in CHECKS {
        if let Some(value) = get(name) {
            check(&value).map_err(|problem| BootError::Setting {
                setting: name,
                problem,
            })?;
        }
    }
    Ok(())
}

/// A number, or "host" for as many as the host has.
fn text_cpus(text: &str) -> Result<(), String> {
    match text.parse() {
        _ if text == "host" => Ok(()),
        Ok(count) => cpus(count),
        Err(_) => Err(format!("{text:?} is neither a number of CPUs nor \"host\"")),
    }
}

/// A number of bytes, with `k`, `m` or `g` behind it for a multiple.
fn text_memory(text: &str) -> Result<(), String> {
    let (digits, multiple) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(multiple));
    bytes.map_or_else(
        || {
            Err(format!(
                "{text:?} is not a number of bytes, such as 67108864, 65536k or 64m"
            ))
        },
        memory,
    )
}

fn threads(text: &str) -> Result<(), String> {
    if text.starts_with('0') {
        Err("the kernel cannot do without threads".into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<(), BootError> {
        environment(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn an_environment_with_meaning_is_taken() {
        environment(|_| None).unwrap();
        for (name, value) in [
            ("RUMP_NCPU", "1"),
            ("RUMP_NCPU", "32"),
            ("RUMP_NCPU", "host"),
            ("RUMP_MEMLIMIT", "8388608"),
            ("RUMP_MEMLIMIT", "8192k"),
            ("RUMP_MEMLIMIT", "8m"),
            ("RUMP_MEMLIMIT", "1g"),
            ("RUMP_HOSTNAME", "mayfly"),
            ("RUMP_THREADS", "1"),
            ("RUMP_VERBOSE", "anything"),
        ] {
            with(name, value).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        }
    }

    #[test]
    fn an_environment_without_meaning_is_refused_by_name() {
        for (name, value) in [
            ("RUMP_NCPU", "0"),
            ("RUMP_NCPU", "-1"),
            ("RUMP_NCPU", "33"),
            ("RUMP_NCPU", ""),
            ("RUMP_NCPU", "two"),
            ("RUMP_MEMLIMIT", ""),
            ("RUMP_MEMLIMIT", "m"),
            ("RUMP_MEMLIMIT", "8mb"),
            ("RUMP_MEMLIMIT", "7m"),
            ("RUMP_MEMLIMIT", "-8m"),
            ("RUMP_MEMLIMIT", "8388608\u{fc}"),
            ("RUMP_MEMLIMIT", "18446744073709551615g"),
            ("RUMP_HOSTNAME", ""),
            ("RUMP_THREADS", "0"),
        ] {
            let error = with(name, value).unwrap_err();
            assert!(
                matches!(error, BootError::Setting { setting, .. } if setting == name),
                "{name}={value}: {error}"
            );
        }
    }
}
