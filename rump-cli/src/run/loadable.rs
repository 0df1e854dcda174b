//! Programs that would not load a library, which are told before they run: the dynamic
//! linker would leave it out without a word.

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file of a program, as `execvp(3)` finds it.
pub fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let executable = |file: &PathBuf| {
        let data = file.metadata();
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(executable)
}

/// Whether the dynamic linker would load a library into it. What cannot be read is left for
/// `execve(2)` to refuse; a script's interpreter is not looked at.
pub fn check(file: &Path) -> Result<(), &'static str> {
    let Ok(data) = file.metadata() else {
        return Ok(());
    };
    let sets = |bit: u32, id: u32| data.mode() & bit != 0 && id != 0;
    let caller = nix::unistd::geteuid().as_raw();
    if caller != 0 && (sets(0o4000, data.uid() + 1) || sets(0o2000, data.gid() + 1)) {
        return Err("it runs with other rights than yours and loads no libraries of yours");
    }
    let Ok(bytes) = std::fs::read(file) else {
        return Ok(());
    };
    let Ok(elf) = ElfFile64::<Endianness>::parse(&*bytes) else {
        return Ok(());
    };
    let interpreted =
        |header: &elf::ProgramHeader64<Endianness>| header.p_type(elf.endian()) == elf::PT_INTERP;
    let machine = elf.elf_header().e_machine(elf.endian());
    match elf.elf_program_headers().iter().any(interpreted) {
        _ if machine != elf::EM_X86_64 => Err("it is of another architecture"),
        false => Err("it is linked statically"),
        true => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_programs_are_refused() {
        assert_eq!(check(&std::env::current_exe().unwrap()), Ok(()));
        assert_eq!(check(Path::new("/nonexistent")), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        // This very program without what it is interpreted by.
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let (first, size) = {
            let parsed = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
            let at = parsed
                .elf_program_headers()
                .iter()
                .position(|header| header.p_type(parsed.endian()) == elf::PT_INTERP);
            let start = parsed.elf_header().e_phoff.get(parsed.endian()) as usize;
            (start + at.unwrap() * 56, 4)
        };
        bytes[first..first + size].fill(0);
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(check(&file), Err("it is linked statically"));
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(check(&file), Ok(()));
    }

    #[test]
    fn programs_are_found_in_path() {
        assert_eq!(find(OsStr::new("./x")), Some("./x".into()));
        assert!(find(OsStr::new("sh")).unwrap().is_file());
        assert_eq!(find(OsStr::new("nonexistent-program")), None);
    }
}
