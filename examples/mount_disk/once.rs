//! `--once`: files go into an image of Linux's, which Linux then finds clean.

use rump::Kernel;
use rump::fs::{self, Mount};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

/// Files that are written.
const FILES: usize = 100;

fn tool(name: &str, arguments: &[&str], image: &Path) -> Result<(), Box<dyn Error>> {
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(name)
        .args(arguments)
        .arg(image)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("{name}: {error} (install e2fsprogs)"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} {arguments:?}: {status}").into())
    }
}

/// What is in a file.
fn contents(number: usize) -> Vec<u8> {
    (0..number * 700)
        .map(|at| ((at * number) >> 4) as u8)
        .collect()
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let kernel = Kernel::builder().boot()?;
    println!("kernel: {}", kernel.identity()?);
    let name = format!("rump-mount-disk-{}.img", std::process::id());
    let image = std::env::temp_dir().join(name);
    let done = on(&kernel, &image);
    let _ = std::fs::remove_file(&image);
    done?;
    println!("{FILES} files were written to an image of Linux's, which e2fsck found clean");
    Ok(())
}

fn on(kernel: &Kernel, image: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::File::create(image)?.set_len(32 << 20)?;
    tool("mkfs.ext2", &["-q", "-F"], image)?;
    let mount = Mount::ext2(kernel).image(image, "/mnt")?;
    for number in 0..FILES {
        let folder = format!("/mnt/folder {}", number % 10);
        fs::create_dir_all(&folder)?;
        fs::write(format!("{folder}/file {number}"), contents(number))?;
    }
    mount.unmount()?;
    tool("e2fsck", &["-f", "-n"], image)?;
    let mount = Mount::ext2(kernel).read_only().image(image, "/mnt")?;
    for number in 0..FILES {
        let path = format!("/mnt/folder {}/file {number}", number % 10);
        if fs::read(&path)? != contents(number) {
            return Err(format!("{path}: other contents").into());
        }
    }
    mount.unmount()?;
    Ok(())
}
