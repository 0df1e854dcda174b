//! Which system this is, as far as it decides who installs things.

use serde::Serialize;

/// A family of systems with one way to install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Debian,
    Ubuntu,
    Fedora,
    FreeBsd,
    NetBsd,
    OpenBsd,
}

/// All of them.
pub const KNOWN: &[Kind] = &[
    Kind::Debian,
    Kind::Ubuntu,
    Kind::Fedora,
    Kind::FreeBsd,
    Kind::NetBsd,
    Kind::OpenBsd,
];

impl Kind {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::Fedora => "Fedora",
            Self::FreeBsd => "FreeBSD",
            Self::NetBsd => "NetBSD",
            Self::OpenBsd => "OpenBSD",
        }
    }

    /// The command that installs a package.
    pub fn installer(self) -> &'static str {
        match self {
            Self::Debian | Self::Ubuntu => "apt install",
            Self::Fedora => "dnf install",
            Self::FreeBsd => "pkg install",
            Self::NetBsd => "pkgin install",
            Self::OpenBsd => "pkg_add",
        }
    }

    /// From a word of `ID` or `ID_LIKE`, see os-release(5).
    fn of(id: &str) -> Option<Self> {
        Some(match id {
            "debian" => Self::Debian,
            "ubuntu" => Self::Ubuntu,
            "fedora" | "rhel" | "centos" => Self::Fedora,
            "freebsd" => Self::FreeBsd,
            "netbsd" => Self::NetBsd,
            "openbsd" => Self::OpenBsd,
            _ => return None,
        })
    }
}

/// A system: its name, and its family if it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    pub name: String,
    pub kind: Option<Kind>,
}

impl System {
    /// This one.
    pub fn here() -> Self {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        Self::read(&text.unwrap_or_default(), std::env::consts::OS)
    }

    /// From the text of os-release(5), which OpenBSD does not have.
    fn read(os_release: &str, os: &str) -> Self {
        let value = |name: &str| {
            os_release.lines().find_map(|line| {
                let value = line.trim().strip_prefix(name)?.strip_prefix('=')?;
                let value = value.trim_matches(['"', '\'']);
                (!value.is_empty()).then(|| value.to_lowercase())
            })
        };
        let id = value("ID").unwrap_or_else(|| os.into());
        let like = value("ID_LIKE").unwrap_or_default();
        let kind = [id.as_str()]
            .into_iter()
            .chain(like.split_whitespace())
            .chain([os])
            .find_map(Kind::of);
        Self { name: id, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_recognised_by_their_id_or_what_they_are_like() {
        for (text, os, name, kind) in [
            (
                "PRETTY_NAME=\"Debian\"\nID=debian\n",
                "linux",
                "debian",
                Some(Kind::Debian),
            ),
            (
                "ID=ubuntu\nID_LIKE=debian\n",
                "linux",
                "ubuntu",
                Some(Kind::Ubuntu),
            ),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                "linux",
                "linuxmint",
                Some(Kind::Ubuntu),
            ),
            (
                "ID='rocky'\nID_LIKE=\"rhel centos fedora\"\n",
                "linux",
                "rocky",
                Some(Kind::Fedora),
            ),
            ("ID=arch\n", "linux", "arch", None),
            ("", "openbsd", "openbsd", Some(Kind::OpenBsd)),
            ("", "linux", "linux", None),
            ("ID=freebsd\n", "freebsd", "freebsd", Some(Kind::FreeBsd)),
        ] {
            let system = System {
                name: name.into(),
                kind,
            };
            assert_eq!(System::read(text, os), system, "{text}");
        }
    }
}
