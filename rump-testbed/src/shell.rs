//! A command as one line for the guest's shell.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// The command with its arguments, environment and folder, on one line.
///
/// # Errors
/// Something in it is not UTF-8.
pub(crate) fn line(command: &Command) -> io::Result<String> {
    let mut line = String::new();
    if let Some(folder) = command.get_current_dir() {
        line += &format!("cd {} && ", word(folder.as_os_str())?);
    }
    line += "exec env";
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => line += &format!(" {}={}", word(name)?, word(value)?),
            None => line += &format!(" -u {}", word(name)?),
        }
    }
    for argument in std::iter::once(command.get_program()).chain(command.get_args()) {
        line.push(' ');
        line += &word(argument)?;
    }
    Ok(line)
}

/// A word that the shell (busybox's ash) takes for just this text.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn word(text: &OsStr) -> io::Result<String> {
    let text = text
        .to_str()
        .ok_or_else(|| io::Error::other(format!("{} is not UTF-8", text.display())))?;
    if !text.contains(char::is_control) {
        return Ok(format!("'{}'", text.replace('\'', r"'\''")));
    }
    let mut word = String::from("$'");
    for byte in text.bytes() {
        match byte {
            b'\'' | b'\\' | 0..0x20 | 0x7f..=0xff => word += &format!("\\x{byte:02x}"),
            _ => word.push(byte.into()),
        }
    }
    word.push('\'');
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line() {
        let mut command = Command::new("/bin/a b");
        command.args(["it's", "two\nlines", ""]).env("NAME", "$x");
        assert_eq!(
            line(&command).unwrap(),
            r"exec env 'NAME'='$x' '/bin/a b' 'it'\''s' $'two\x0alines' ''"
        );
        command.current_dir("/tmp");
        assert!(line(&command).unwrap().starts_with("cd '/tmp' && exec env"));
    }
}
