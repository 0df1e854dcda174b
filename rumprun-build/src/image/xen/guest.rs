//! A guest of Xen's, as xl(1) is told of it: xl.cfg(5).

use crate::error::{Error, Result};
use crate::image::line::Line;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Kinds of guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// No firmware and no device model: the image is entered directly.
    #[default]
    Pvh,
    /// With a device model. The image stands in for the firmware.
    Hvm,
}

/// A guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What kind of machine it is.
    pub kind: Kind,
    /// How many CPUs it has.
    pub cpus: u32,
    /// Its memory, in MiB.
    pub memory: u32,
    /// The bridge that its network interface is joined to, if it has one.
    pub bridge: Option<String>,
    /// The domain that its network interface is served by, if it is not dom0: its name or number.
    pub backend: Option<String>,
    /// Its disks: block devices of dom0's, or files.
    pub disks: Vec<PathBuf>,
    /// PCI devices that are given to it, as `BUS:DEVICE.FUNCTION`.
    pub devices: Vec<String>,
    /// An archive: the root of its file system.
    pub root: Option<PathBuf>,
    /// What it is told.
    pub line: Line,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            cpus: 1,
            memory: 128,
            bridge: None,
            backend: None,
            disks: Vec::new(),
            devices: Vec::new(),
            root: None,
            line: Line::default(),
        }
    }
}

/// A text as the configuration has it: a string of C's.
fn quote(text: &str) -> Result<String> {
    if text.contains(char::is_control) {
        return Err(Error::Image(format!(
            "{text:?} cannot stand in a configuration of xl's: it has a control character"
        )));
    }
    Ok(format!(
        "\"{}\"",
        text.replace('\\', r"\\").replace('"', "\\\"")
    ))
}

fn path(path: &Path) -> Result<String> {
    quote(&path.to_string_lossy())
}

/// A disk, with a name by its number.
fn disk((target, number): (&PathBuf, u8)) -> Result<String> {
    let letter = char::from(b'a' + number.min(26));
    if !letter.is_ascii_lowercase() {
        return Err(Error::Image("a guest has 26 disks at most".into()));
    }
    medium(&format!("xvd{letter},access=rw"), target)
}

/// As xl-disk-configuration(5) has it.
fn medium(about: &str, target: &Path) -> Result<String> {
    let target = target.to_string_lossy();
    if target.contains(',') {
        return Err(Error::Image(format!(
            "{target}: xl takes no disk with a comma in its path"
        )));
    }
    quote(&format!("format=raw,vdev={about},target={target}"))
}

impl Guest {
    /// The configuration for an image at a path of dom0's.
    ///
    /// # Errors
    /// [`Error::Image`] for what cannot be written there.
    pub fn config(&self, name: &str, image: &Path) -> Result<String> {
        let mut text = String::from("# Made by `cargo rumprun`.\n");
        let mut set = |key: &str, value: &str| {
            let _ = writeln!(text, "{key} = {value}");
        };
        set("name", &quote(name)?);
        set("memory", &self.memory.to_string());
        set("vcpus", &self.cpus.to_string());
        // The counter is read often, and by itself tells the time on all CPUs.
        set("tsc_mode", "\"native\"");
        set("on_crash", "\"destroy\"");
        set("on_reboot", "\"destroy\"");
        let line = self.line.to_string();
        match self.kind {
            Kind::Pvh => {
                set("type", "\"pvh\"");
                set("kernel", &path(image)?);
                if let Some(root) = &self.root {
                    set("ramdisk", &path(root)?);
                }
                if !self.devices.is_empty() {
                    return Err(Error::Image(
                        "a PVH guest is given no PCI devices: use an HVM guest".into(),
                    ));
                }
            }
            Kind::Hvm => {
                set("type", "\"hvm\"");
                // The device model passes the command line and files on with the kernel only.
                if !line.is_empty() || self.root.is_some() {
                    set("kernel", &path(image)?);
                }
                set("firmware_override", &path(image)?);
                if let Some(root) = &self.root {
                    let file = root.to_string_lossy().replace(',', ",,");
                    let file = quote(&format!("name=opt/rumprun/root,file={file}"))?;
                    set("device_model_args", &format!("[ \"-fw_cfg\", {file} ]"));
                }
                set("vga", "\"none\"");
                set("vnc", "0");
                set("usb", "0");
            }
        }
        if !line.is_empty() {
            set("cmdline", &quote(&line)?);
        }
        let ends = [("bridge", &self.bridge), ("backend", &self.backend)];
        let mut vif = String::from("type=vif");
        for (name, value) in ends {
            if let Some(value) = value {
                let _ = write!(vif, ",{name}={value}");
            }
        }
        if self.bridge.is_some() || self.backend.is_some() {
            set("vif", &format!("[ {} ]", quote(&vif)?));
        }
        let disks = self.disks.iter().zip(0..).map(disk);
        let disks: Vec<_> = disks.collect::<Result<_>>()?;
        if !disks.is_empty() {
            set("disk", &format!("[ {} ]", disks.join(", ")));
        }
        if !self.devices.is_empty() {
            let devices: Result<Vec<_>> = self.devices.iter().map(|device| quote(device)).collect();
            set("pci", &format!("[ {} ]", devices?.join(", ")));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_written_as_xl_reads_it() {
        let guest = Guest {
            cpus: 2,
            bridge: Some("xenbr0".into()),
            line: Line::default().with("env", "A=b c"),
            ..Guest::default()
        };
        let text = guest.config("web", Path::new("/images/web")).unwrap();
        for line in [
            "name = \"web\"",
            "type = \"pvh\"",
            "kernel = \"/images/web\"",
            "vcpus = 2",
            "memory = 128",
            r#"cmdline = "\"env=A=b c\"""#,
            "vif = [ \"type=vif,bridge=xenbr0\" ]",
        ] {
            assert!(text.lines().any(|is| is == line), "{line}:\n{text}");
        }
        assert!(!text.contains("disk") && !text.contains("pci"));
        let served = Guest {
            bridge: None,
            backend: Some("net".into()),
            ..guest.clone()
        };
        let text = served.config("web", Path::new("/web")).unwrap();
        assert!(
            text.contains("vif = [ \"type=vif,backend=net\" ]\n"),
            "{text}"
        );
        let disks = Guest {
            disks: vec!["/dev/loop0".into(), "/a b".into()],
            ..guest.clone()
        };
        let text = disks.config("web", Path::new("/images/web")).unwrap();
        let line = "disk = [ \"format=raw,vdev=xvda,access=rw,target=/dev/loop0\", \
                    \"format=raw,vdev=xvdb,access=rw,target=/a b\" ]";
        assert!(text.lines().any(|is| is == line), "{text}");
        let hvm = Guest {
            kind: Kind::Hvm,
            ..guest
        };
        let text = hvm.config("web", Path::new("/images/web")).unwrap();
        assert!(text.contains("firmware_override = \"/images/web\"\n"));
        let rooted = Guest {
            kind: Kind::Hvm,
            root: Some("/images/a,b.cpio".into()),
            ..Guest::default()
        };
        let text = rooted.config("web", Path::new("/images/web")).unwrap();
        let line = "\"name=opt/rumprun/root,file=/images/a,,b.cpio\"";
        assert!(text.contains(line), "{text}");
        let given = |kind| Guest {
            kind,
            devices: vec!["00:05.0".into(), "0000:06:00.1".into()],
            ..Guest::default()
        };
        let text = given(Kind::Hvm).config("web", Path::new("/web")).unwrap();
        assert!(text.contains("pci = [ \"00:05.0\", \"0000:06:00.1\" ]\n"));
        assert!(given(Kind::Pvh).config("web", Path::new("/web")).is_err());
    }

    #[test]
    fn what_cannot_be_quoted_is_an_error() {
        assert!(disk((&"/a,b".into(), 0)).is_err());
        assert!(disk((&"/a".into(), 26)).is_err());
        assert!(quote("two\nlines").is_err());
        assert_eq!(quote(r#"a "b\"#).unwrap(), r#""a \"b\\""#);
    }
}
