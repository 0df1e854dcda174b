//! A program of this machine, and the libraries that it needs in the guest.
//!
//! The program's own loader is asked (`ld.so --list`, which is what ldd(1) does), because
//! only it knows all the rules by which it finds them.

use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The loader that a program names; none if it is static.
///
/// # Errors
/// It cannot be read, or is no ELF program of 64 bits.
pub(crate) fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    let data = std::fs::read(program).map_err(|error| about(program, error))?;
    let parse = || -> Result<Option<Vec<u8>>, String> {
        let text = |error: object::Error| error.to_string();
        let header = FileHeader64::<Endianness>::parse(&*data).map_err(text)?;
        let endian = header.endian().map_err(text)?;
        let segments = header.program_headers(endian, &*data).map_err(text)?;
        let segment = segments
            .iter()
            .find(|each| each.p_type(endian) == PT_INTERP);
        let name = segment.map(|segment| segment.data(endian, &*data));
        let name = name.transpose();
        Ok(name
            .map_err(|()| "a segment is not in the file".to_string())?
            .map(<[u8]>::to_vec))
    };
    let name = parse().map_err(|error| about(program, error))?;
    Ok(name.map(|name| {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        PathBuf::from(String::from_utf8_lossy(name).into_owned())
    }))
}

/// A program's loader and its libraries; nothing if it is static.
///
/// # Errors
/// It is no program, its loader does not run, or a library is missing.
pub(crate) fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(loader) = interpreter(program)? else {
        return Ok(Vec::new());
    };
    let output = Command::new(&loader)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| about(&loader, error))?;
    if !output.status.success() {
        return Err(about(program, String::from_utf8_lossy(&output.stderr)));
    }
    let mut files = listed(&String::from_utf8_lossy(&output.stdout))
        .map_err(|library| about(program, format!("{library} is not there")))?;
    files.push(loader);
    files.sort();
    files.dedup();
    Ok(files)
}

/// The files in a loader's list; the one that is missing is the error.
fn listed(list: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for line in list.lines().map(str::trim) {
        let place = match line.split_once(" => ") {
            Some((library, "not found")) => return Err(library.into()),
            Some((_, place)) => place,
            None => line,
        };
        // Behind a file stands the address that it would have; the vDSO has only that.
        let file = place.rsplit_once(" (").map_or(place, |(file, _)| file);
        if file.starts_with('/') {
            files.push(file.into());
        }
    }
    Ok(files)
}

fn about(file: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {what}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let files = listed(list).unwrap();
        let expected = ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(files, expected.map(PathBuf::from));
        let missing = listed("\tlibnone.so => not found\n");
        assert_eq!(missing, Err("libnone.so".into()));
    }

    #[test]
    fn this_program_has_a_loader_and_libraries() {
        let own = std::env::current_exe().unwrap();
        let files = libraries(&own).unwrap();
        assert!(files.iter().all(|file| file.is_file()), "{files:?}");
        if cfg!(target_env = "gnu") {
            assert!(files.contains(&interpreter(&own).unwrap().unwrap()));
        }
        assert!(interpreter(Path::new("/proc/self/status")).is_err());
    }
}
