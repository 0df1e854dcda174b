//! Where a kernel is found by others: `unix:PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub PathBuf);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("not unix:PATH".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood() {
        let place: Place = "unix:/run/rump.sock".parse().unwrap();
        assert_eq!(place.to_string(), "unix:/run/rump.sock");
        for wrong in ["", "unix:", "/run/rump.sock", "tcp:1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
