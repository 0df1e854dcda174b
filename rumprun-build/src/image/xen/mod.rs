//! Images as guests of Xen's: the configuration that xl(1) reads.

mod guest;

pub use guest::{Guest, Kind};

use super::write as write_text;
use crate::error::{Error, IoContext, Result};
use std::path::{Path, PathBuf};

/// Writes `NAME.cfg` beside an image.
///
/// # Errors
/// [`Error::Image`] for what cannot be written there.
pub fn write(image: &Path, guest: &Guest) -> Result<PathBuf> {
    let absolute = |path: &Path| std::path::absolute(path).context("finding", path);
    let image = absolute(image)?;
    let name = image.file_name().map(|name| name.to_string_lossy());
    let name = name.ok_or_else(|| Error::Image("an image without a name".into()))?;
    let mut guest = guest.clone();
    for path in guest.disks.iter_mut().chain(&mut guest.root) {
        *path = absolute(path)?;
    }
    let configuration = image.with_file_name(format!("{name}.cfg"));
    write_text(&configuration, &guest.config(&name, &image)?)?;
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::line::Line;

    #[test]
    fn a_configuration_lies_beside_the_image_and_names_paths_from_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("app");
        std::fs::write(&image, "").unwrap();
        let guest = Guest {
            disks: vec!["disk.img".into()],
            line: Line::default().with("hostname", "here"),
            ..Guest::default()
        };
        let made = write(&image, &guest).unwrap();
        assert_eq!(made, folder.path().join("app.cfg"));
        let text = std::fs::read_to_string(&made).unwrap();
        let here = std::env::current_dir().unwrap();
        for words in [
            format!("kernel = \"{}\"\n", image.display()),
            format!("target={}\" ]\n", here.join("disk.img").display()),
            "cmdline = \"hostname=here\"\n".into(),
            "name = \"app\"\n".into(),
        ] {
            assert!(text.contains(&words), "{words}\n{text}");
        }
    }
}
